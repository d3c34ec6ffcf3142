import type { NodeId } from '../../../store/environment.ts';
import type { FoldedOrder } from '../../../node/orders/fold.ts';
import type { Order, Outcome } from '../../../node/orders/order.ts';
import type { Violations } from '../violations.ts';
import type { Bank } from '../world/bank.ts';
import type { ShopDatabase } from '../world/shop-database.ts';
import type { Fate, LedgerChecker } from './ledger-checker.ts';

/**
 * What the shop's customers were promised: an outcome once seen never changes and is the one that the ledger decided,
 * money is taken once and kept only for goods, an accepted order is there in the end, one key has one order, an
 * accepted cancellation holds. Owns what clients and views have seen.
 *
 * An accepted order stays the registration that was accepted. With one limit (registration.ts): which one won is known by
 * the votes, and a lost disk takes its vote along. Where another one of the same key was made as well, and nobody could
 * build on the winner before, the other one may take its place; it is counted, and has to ask for the same.
 */
export interface AcceptedOrder {
  readonly orderId: string;
  readonly fingerprint: string;
  createdAt: number;
  registration: string;
  /** Its client was told that it had been given up before. */
  readonly wasAbandoned: boolean;
  /** How many disks had been lost when it was accepted. */
  readonly disksLost: number;
  cancelled: boolean;
}

interface Seen {
  readonly outcome: Outcome;
  readonly by: string;
}

/** Reasons by which the ledger closes an order that ends like this. */
const reasons: Readonly<Record<Exclude<Outcome, 'fulfilled'>, readonly string[]>> = {
  cancelled: ['cancelled'],
  refunded: ['refunded'],
  failed: ['failed', 'abandoned'],
};

export class OrderChecker {
  readonly #violations: Violations;
  readonly #bank: Bank;
  readonly #shop: ShopDatabase;
  readonly #ledger: LedgerChecker;
  readonly #disksLost: () => number;
  /** Accepted orders that became another registration of their key, at the limit. */
  renamed = 0;
  readonly #seen = new Map<string, Seen>();
  readonly #accepted = new Map<string, AcceptedOrder>();
  readonly #first = new Map<string, string>();
  #news: { readonly orderId: string; readonly outcome: Outcome; readonly by: string }[] = [];

  constructor(dependencies: {
    readonly violations: Violations;
    readonly bank: Bank;
    readonly shop: ShopDatabase;
    readonly ledger: LedgerChecker;
    /** How many disks were lost by now. */
    readonly disksLost: () => number;
  }) {
    this.#disksLost = dependencies.disksLost;
    this.#violations = dependencies.violations;
    this.#bank = dependencies.bank;
    this.#shop = dependencies.shop;
    this.#ledger = dependencies.ledger;
  }

  /** Orders that a client was told are accepted. */
  get accepted(): ReadonlyMap<string, AcceptedOrder> {
    return this.#accepted;
  }

  /** Orders whose outcome anybody has seen. */
  get outcomes(): ReadonlyMap<string, Seen> {
    return this.#seen;
  }

  /** A node's view of an order has changed. */
  viewed(node: NodeId, { order, confirmed }: FoldedOrder): void {
    const accepted = this.#accepted.get(order.id);
    if (accepted !== undefined && this.#isAnother(accepted, order)) return;
    if (confirmed && accepted !== undefined && accepted.registration !== order.registration) {
      this.#becameAnother(accepted, order, node);
    }
    // Only what nobody was told of is given up for want of a client.
    if (accepted?.wasAbandoned === false && order.reason === 'ABANDONED') {
      this.#violations.report('acknowledged order', `${order.id} was accepted, and is abandoned at ${node}`);
    }
    if (order.outcome !== undefined) this.#note(order.id, order.outcome, node);
  }

  /** Once an order is forgotten, its key may make another one of its name. */
  #isAnother(accepted: AcceptedOrder, { registration }: Order): boolean {
    return accepted.createdAt < this.#ledger.horizon && registration !== accepted.registration;
  }

  #becameAnother(accepted: AcceptedOrder, order: Order, node: NodeId): void {
    const isLimit = this.#disksLost() > accepted.disksLost && accepted.fingerprint === order.fingerprint;
    if (!isLimit) {
      const detail = `${order.id} was accepted as ${accepted.registration}, and is ${order.registration} at ${node}`;
      this.#violations.report('idempotency', detail);
    }
    this.renamed += 1;
    accepted.registration = order.registration;
    accepted.createdAt = order.createdAt;
  }

  /** A client was told of an order: `201`, or its answer once more. */
  acceptedBy(node: NodeId, order: Order, told: { readonly replayed: boolean; readonly asked: string }): void {
    const { id, fingerprint, createdAt, registration } = order;
    if (fingerprint !== told.asked) {
      this.#violations.report('idempotency', `${id} was accepted at ${node} for what it did not ask for`);
    }
    const known = this.#accepted.get(id);
    if (known === undefined)
      this.#accepted.set(id, {
        orderId: id,
        fingerprint,
        createdAt,
        registration,
        wasAbandoned: order.reason === 'ABANDONED',
        disksLost: this.#disksLost(),
        cancelled: false,
      });
    else if (known.fingerprint !== fingerprint) {
      this.#violations.report('idempotency', `${id} was accepted for two different things`);
    }
    if (!told.replayed) {
      const other = this.#first.get(id);
      if (other !== undefined)
        this.#violations.report('idempotency', `${id} is new at both ${other} and ${node}`);
      this.#first.set(id, node);
    }
    if (order.outcome !== undefined) this.#note(id, order.outcome, `a client of ${node}`);
  }

  /** A client was told that its cancellation is accepted. */
  cancelledBy(node: NodeId, order: Order): void {
    const known = this.#accepted.get(order.id);
    if (known !== undefined) known.cancelled = true;
    this.#note(order.id, 'cancelled', `a cancelling client of ${node}`);
  }

  read(node: NodeId, order: Order): void {
    const accepted = this.#accepted.get(order.id);
    if (accepted !== undefined && this.#isAnother(accepted, order)) return;
    if (order.outcome !== undefined) this.#note(order.id, order.outcome, `a reader at ${node}`);
  }

  /** After anything has happened. What rests on the decided log is judged only now, when the witness has it too. */
  check(): void {
    const news = this.#news;
    if (news.length === 0) return;
    this.#news = [];
    for (const { orderId, outcome, by } of news) {
      const fate = this.#ledger.fateOf(orderId);
      const isDecided =
        outcome === 'fulfilled'
          ? fate?.kind === 'committed'
          : fate?.kind === 'released' && reasons[outcome].includes(fate.reason);
      if (!isDecided) {
        this.#violations.report(
          'ledger decides',
          `${by} has ${orderId} as ${outcome}, the ledger as ${textOf(fate)}`,
        );
      }
      if (outcome === 'fulfilled' && this.#bank.keeps(orderId) !== 'money') {
        this.#violations.report(
          'money',
          `${orderId} is fulfilled, and the shop has ${this.#bank.keeps(orderId)}`,
        );
      }
    }
  }

  /** Never sold beyond what there was, at any time. */
  checkStock(): void {
    for (const { sku, opening, restocked } of this.#shop.products.values()) {
      const sold = this.#ledger.sold.get(sku) ?? 0;
      if (sold > opening + restocked) {
        this.#violations.report(
          'oversold',
          `${sold} of ${sku} are sold, ${opening + restocked} there ever were`,
        );
      }
    }
    const [refused] = this.#shop.refused;
    if (refused !== undefined) this.#violations.report('oversold', `the system of record lacks ${refused}`);
  }

  checkMoney(orderId: string): void {
    const times = this.#bank.timesCharged(orderId);
    if (times > 1) this.#violations.report('money', `${orderId} was charged ${times} times`);
  }

  /** At rest: every order that anybody has seen has come to its one end everywhere. */
  checkEnd(): void {
    for (const [orderId, { outcome }] of this.#seen) {
      const keeps = this.#bank.keeps(orderId);
      const due = outcome === 'fulfilled' ? 'money' : 'nothing';
      if (keeps !== due)
        this.#violations.report('money', `${orderId} is ${outcome}, and the shop has ${keeps}`);
      const applied = this.#shop.applied.get(orderId);
      if (applied === undefined) {
        this.#violations.report('system of record', `it lacks ${orderId}, which is ${outcome}`);
      } else if (applied.record.outcome !== outcome) {
        this.#violations.report(
          'system of record',
          `it has ${orderId} as ${applied.record.outcome}, which is ${outcome}`,
        );
      }
    }
    for (const { orderId, cancelled } of this.#accepted.values()) {
      const outcome = this.#shop.applied.get(orderId)?.record.outcome;
      if (!cancelled || outcome === 'cancelled') continue;
      this.#violations.report(
        'outcome',
        `the cancellation of ${orderId} was accepted, and it is ${outcome ?? 'nowhere'}`,
      );
    }
    for (const { sku, opening, restocked, onHand } of this.#shop.products.values()) {
      let sold = 0;
      for (const { record } of this.#shop.applied.values()) {
        if (record.outcome !== 'fulfilled') continue;
        for (const line of record.order.lines) if (line.sku === sku) sold += line.quantity;
      }
      if (opening + restocked - onHand !== sold || sold !== (this.#ledger.sold.get(sku) ?? 0)) {
        this.#violations.report(
          'system of record',
          `${sku}: ${opening} and ${restocked} came in, ${onHand} are there, ${sold} were applied as sold, ` +
            `${this.#ledger.sold.get(sku) ?? 0} committed`,
        );
      }
    }
  }

  #note(orderId: string, outcome: Outcome, by: string): void {
    const known = this.#seen.get(orderId);
    if (known !== undefined) {
      if (known.outcome === outcome) return;
      this.#violations.report(
        'outcome',
        `${orderId} is ${outcome} for ${by}, and was ${known.outcome} for ${known.by}`,
      );
      return;
    }
    this.#seen.set(orderId, { outcome, by });
    // An accepted cancellation promises how the order will end, not that it has.
    if (!by.startsWith('a cancelling')) this.#news.push({ orderId, outcome, by });
  }
}

function textOf(fate: Fate | undefined): string {
  return fate === undefined
    ? 'undecided'
    : fate.kind === 'committed'
      ? 'committed'
      : `released: ${fate.reason}`;
}
