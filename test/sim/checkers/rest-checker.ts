import { crc32 } from 'node:zlib';
import type { NodeId } from '../../../store/environment.ts';
import type { AssembledStore } from '../../../store/assemble.ts';
import type { OrderFlow } from '../../../node/order-flow.ts';
import type { SimNode } from '../node.ts';
import type { Violations } from '../violations.ts';
import type { ShopDatabase } from '../world/shop-database.ts';
import type { LedgerChecker } from './ledger-checker.ts';
import type { OrderChecker } from './order-checker.ts';

/**
 * What a cluster must come to when nothing fails any more: one leader whom all know, every order ended and delivered,
 * journals equal, stock as the system of record has it. Then reads everything back, at every node.
 */
export interface RestDependencies {
  readonly nodes: ReadonlyMap<NodeId, SimNode>;
  readonly shop: ShopDatabase;
  readonly orders: OrderChecker;
  readonly ledger: LedgerChecker;
  readonly violations: Violations;
}

interface Whole {
  readonly id: NodeId;
  readonly store: AssembledStore;
  readonly flow: OrderFlow;
}

const entriesPerRead = 200;

export class RestChecker {
  readonly #dependencies: RestDependencies;

  constructor(dependencies: RestDependencies) {
    this.#dependencies = dependencies;
  }

  /** Why the cluster is not at rest yet; undefined when it is. */
  unrest(): string | undefined {
    const wholes: Whole[] = [];
    for (const { id, life } of this.#dependencies.nodes.values()) {
      if (life?.store === undefined || life.flow === undefined) return `${id} has not started`;
      wholes.push({ id, store: life.store, flow: life.flow });
    }
    return this.#unrestOfLedgers(wholes) ?? this.#unrestOfJournals(wholes) ?? this.#unrestOfOrders(wholes);
  }

  /** Reads everything back and compares it; reports what differs. */
  async check(): Promise<void> {
    const { orders, nodes } = this.#dependencies;
    const contents: { readonly id: NodeId; readonly digests: ReadonlyMap<string, number> }[] = [];
    for (const { id, life } of nodes.values()) {
      if (life?.store === undefined || life.flow === undefined) throw new Error(`${id} has ended`);
      await this.#checkOrders(id, life.flow);
      contents.push({ id, digests: await contentOf(life.store) });
    }
    const [first, ...others] = contents;
    for (const { id, digests } of others) {
      const key = [...digests.keys()].find((one) => first?.digests.get(one) !== digests.get(one));
      if (key === undefined && digests.size === first?.digests.size) continue;
      this.#report(
        'convergence',
        `${id} and ${first?.id ?? ''} have different journals, at ${key ?? 'the end'}`,
      );
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

  async #checkOrders(id: NodeId, flow: OrderFlow): Promise<void> {
    const { orders } = this.#dependencies;
    for (const { orderId, cancelled } of orders.accepted.values()) {
      const order = await flow.orders.find(orderId);
      if (order === undefined) {
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

  #report(...[checker, detail]: Parameters<Violations['report']>): void {
    this.#dependencies.violations.report(checker, detail);
  }
}

/** By position, what an entry says. */
async function contentOf({ journal }: AssembledStore): Promise<ReadonlyMap<string, number>> {
  const digests = new Map<string, number>();
  for (const origin of Object.keys(journal.vector())) {
    for (let from = 1; ;) {
      const entries = await journal.read(origin, from, entriesPerRead);
      for (const { sequence, payload } of entries) digests.set(`${origin}:${sequence}`, crc32(payload));
      if (entries.length === 0) break;
      from += entries.length;
    }
  }
  return digests;
}
