import { crc32 } from 'node:zlib';
import type { NodeId } from '../../../store/environment.ts';
import type { AssembledStore } from '../../../store/assemble.ts';
import { JournalError, type Entry } from '../../../store/journal/port.ts';
import type { OrderFlow } from '../../../node/order-flow.ts';
import type { SimNode } from '../node.ts';
import type { Violations } from '../violations.ts';
import type { ShopDatabase } from '../world/shop-database.ts';
import type { LedgerChecker } from './ledger-checker.ts';
import type { OrderChecker } from './order-checker.ts';
import type { RetentionChecker } from './retention-checker.ts';

/**
 * What a cluster must come to when nothing fails any more: one leader whom all know, every order ended and delivered,
 * journals equal, stock as the system of record has it. Then reads everything back, at every node.
 */
export interface RestDependencies {
  readonly nodes: ReadonlyMap<NodeId, SimNode>;
  readonly shop: ShopDatabase;
  readonly orders: OrderChecker;
  readonly ledger: LedgerChecker;
  readonly retention: RetentionChecker;
  readonly violations: Violations;
}

interface Whole {
  readonly id: NodeId;
  readonly store: AssembledStore;
  readonly flow: OrderFlow;
}

interface Content {
  /** By position, what an entry says. */
  readonly digests: ReadonlyMap<string, number>;
  /** By origin, up to where entries are gone. */
  readonly bases: ReadonlyMap<NodeId, number>;
}

const entriesPerRead = 200;
/** The leader looks now and then how far orders can be forgotten. */
const horizonBehindMsMax = 3_000;

export class RestChecker {
  readonly #options: { readonly retainForMs: number };
  readonly #dependencies: RestDependencies;

  constructor(options: { readonly retainForMs: number }, dependencies: RestDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Why the cluster is not at rest yet; undefined when it is. */
  unrest(): string | undefined {
    const wholes: Whole[] = [];
    for (const { id, life } of this.#dependencies.nodes.values()) {
      if (life?.store === undefined || life.flow === undefined) return `${id} has not started`;
      wholes.push({ id, store: life.store, flow: life.flow });
    }
    return (
      this.#unrestOfLedgers(wholes) ??
      this.#unrestOfJournals(wholes) ??
      this.#unrestOfOrders(wholes) ??
      this.#unrestOfHorizons(wholes)
    );
  }

  /** Reads everything back and compares it; reports what differs. */
  async check(): Promise<void> {
    const { orders, nodes } = this.#dependencies;
    const contents: { readonly id: NodeId; readonly content: Content }[] = [];
    for (const { id, life } of nodes.values()) {
      if (life?.store === undefined || life.flow === undefined) throw new Error(`${id} has ended`);
      await this.#checkOrders(id, life.flow);
      await this.#checkViews(id, life.store, life.flow);
      contents.push({ id, content: await contentOf(life.store) });
    }
    const [first, ...others] = contents;
    for (const { id, content } of others) {
      const key = first === undefined ? undefined : differenceOf(first.content, content);
      if (key === undefined) continue;
      this.#report('convergence', `${id} and ${first?.id ?? ''} have different journals, at ${key}`);
    }
    orders.checkEnd();
  }

  #unrestOfLedgers(wholes: readonly Whole[]): string | undefined {
    const leader = wholes.find(({ store }) => store.ledger.freshness().linearizable);
    if (leader === undefined) return 'nobody leads';
    const { commitIndex, lastIndex } = leader.store.ledger.status();
    if (commitIndex !== lastIndex) return 'something is undecided';
    for (const { id, store } of wholes) {
      const status = store.ledger.status();
      if (status.leader !== leader.id) return `${id} does not follow ${leader.id}`;
      if (status.appliedIndex !== commitIndex) return `${id} has not applied everything`;
      for (const { sku, held, sold, onHand } of store.ledger.stocks()) {
        if (held > 0) return `${held} of ${sku} are held`;
        if (sold > 0) return `${sold} of ${sku} are sold and not counted`;
        const there = this.#dependencies.shop.products.get(sku)?.onHand;
        if (onHand !== there)
          return `the ledger has ${onHand} of ${sku}, the system of record ${there ?? 'none'}`;
      }
    }
    return undefined;
  }

  #unrestOfJournals(wholes: readonly Whole[]): string | undefined {
    const vectors = new Set<string>();
    for (const { id, store } of wholes) {
      const { phase, queuedEntries } = store.stats().journal;
      if (phase !== 'open') return `the journal of ${id} is ${phase}`;
      if (queuedEntries > 0) return `the journal of ${id} is being written`;
      vectors.add(JSON.stringify(Object.entries(store.journal.vector()).toSorted()));
    }
    return vectors.size === 1 ? undefined : `the journals differ: ${[...vectors].join(' ')}`;
  }

  #unrestOfOrders(wholes: readonly Whole[]): string | undefined {
    for (const { id, flow } of wholes) {
      const [open] = flow.views.open();
      if (open !== undefined) return `${open} is open at ${id}`;
      const pending = flow.views.pendingCount();
      if (pending > 0) return `${pending} orders are not delivered, as ${id} knows`;
    }
    return undefined;
  }

  /** Every order has closed: it is forgotten when its time is over, everywhere. */
  #unrestOfHorizons(wholes: readonly Whole[]): string | undefined {
    const { retainForMs } = this.#options;
    if (retainForMs === 0) return undefined;
    const { horizon } = this.#dependencies.ledger;
    for (const { id, flow } of wholes) {
      const known = flow.retention.horizon();
      if (known !== horizon) return `${id} knows the horizon ${known}, and ${horizon} is decided`;
      const now = this.#dependencies.nodes.get(id)?.life?.process.clock.now() ?? 0;
      if (now - retainForMs - horizon > horizonBehindMsMax) return `the horizon stays at ${horizon}`;
    }
    return undefined;
  }

  async #checkOrders(id: NodeId, flow: OrderFlow): Promise<void> {
    const { orders, retention } = this.#dependencies;
    for (const { orderId, cancelled } of orders.accepted.values()) {
      const order = await flow.orders.find(orderId);
      if (order === undefined) {
        // Forgotten orders live on in the system of record, and were judged when they were forgotten.
        if (retention.isForgotten(orderId)) continue;
        this.#report('acknowledged order', `${orderId} was accepted, and ${id} does not have it`);
        continue;
      }
      orders.read(id, order);
      if (order.outcome === undefined || order.state !== 'synced') {
        this.#report('acknowledged order', `${orderId} is ${order.state} at ${id}`);
      }
      if (cancelled && order.outcome !== 'cancelled') {
        this.#report(
          'outcome',
          `the cancellation of ${orderId} was accepted, and it is ${order.outcome ?? 'open'}`,
        );
      }
    }
  }

  /** What the journal holds, given up or not, is folded in: nobody waits for an entry that will never come. */
  async #checkViews(id: NodeId, { journal }: AssembledStore, { views }: OrderFlow): Promise<void> {
    for (const [origin, sequence] of Object.entries(journal.vector())) {
      if (await views.hasTakenIn({ origin, sequence })) continue;
      this.#report('convergence', `the views of ${id} have not taken in ${origin}:${sequence}`);
    }
  }

  #report(...[checker, detail]: Parameters<Violations['report']>): void {
    this.#dependencies.violations.report(checker, detail);
  }
}

async function contentOf({ journal }: AssembledStore): Promise<Content> {
  const digests = new Map<string, number>();
  const baseOf = (origin: NodeId): number => journal.bases()[origin]?.sequence ?? 0;
  const origins = Object.keys(journal.vector());
  for (const origin of origins) {
    for (let from = baseOf(origin) + 1; ;) {
      const entries = await readFrom(journal, origin, from);
      if (entries === 'given up') {
        from = baseOf(origin) + 1;
        continue;
      }
      for (const { sequence, payload } of entries) digests.set(`${origin}:${sequence}`, crc32(payload));
      if (entries.length === 0) break;
      from += entries.length;
    }
  }
  return { digests, bases: new Map(origins.map((origin) => [origin, baseOf(origin)])) };
}

/** Bases go on rising while what is there is read. */
async function readFrom(
  journal: AssembledStore['journal'],
  origin: NodeId,
  from: number,
): Promise<readonly Entry[] | 'given up'> {
  try {
    return await journal.read(origin, from, entriesPerRead);
  } catch (error) {
    if (error instanceof JournalError && error.code === 'COMPACTED') return 'given up';
    throw error;
  }
}

/** The first position beyond the higher of both bases at which two journals differ. */
function differenceOf(one: Content, other: Content): string | undefined {
  return [...new Set([...one.digests.keys(), ...other.digests.keys()])].find((position) => {
    const [origin = '', sequence] = position.split(':');
    const base = Math.max(one.bases.get(origin) ?? 0, other.bases.get(origin) ?? 0);
    return Number(sequence) > base && one.digests.get(position) !== other.digests.get(position);
  });
}
