import type { Operation } from '../../../store/disk/port.ts';
import type { NodeId } from '../../../store/environment.ts';
import { openBase, openEntry, originOfBase, positionOf } from '../../../store/journal/records.ts';
import type { RecordedEvent } from '../../../node/orders/events.ts';
import { decodeEntry } from '../../../node/views/codec.ts';
import type { Violations } from '../violations.ts';
import type { Bank } from '../world/bank.ts';
import type { ShopDatabase } from '../world/shop-database.ts';
import { entryPrefix } from './journal-checker.ts';
import type { LedgerChecker } from './ledger-checker.ts';
import type { OrderChecker } from './order-checker.ts';

/**
 * What retention promises. Owns which orders are forgotten, and since when: those that were accepted and created before
 * the horizon of the decided log.
 *
 * 1. Every accepted order is closed when it is forgotten: decided by the ledger, its money settled, in the system of
 *    record.
 * 2. A journal gives up only entries of orders behind the horizon, and tells of no horizon that was not decided.
 * 3. Nobody asks the payment provider for an order that was forgotten longer ago than a node may not know of it.
 */
export interface RetentionOptions {
  /** 0: for ever. */
  readonly retainForMs: number;
}

export interface RetentionDependencies {
  readonly violations: Violations;
  readonly now: () => number;
  readonly ledger: LedgerChecker;
  readonly orders: OrderChecker;
  readonly bank: Bank;
  readonly shop: ShopDatabase;
  /** Hears of each fact when it first is on any disk. */
  readonly onFact?: (fact: RecordedEvent, by: NodeId) => void;
}

const basePrefix = 'journal/base/';
/** Between a node's look at what is forgotten and its question lie writes to a disk that may be stalled. */
const slowWritesMs = 2_000;

export class RetentionChecker {
  readonly #options: RetentionOptions;
  readonly #dependencies: RetentionDependencies;
  /** World time, by order. */
  readonly #forgottenAt = new Map<string, number>();
  /** By key of the entry, the order it is about. */
  readonly #subjects = new Map<string, string>();
  /** By order, what the earliest of its registrations says it was created at. */
  readonly #registeredAt = new Map<string, number>();
  /** By origin, up to where what was given up is judged. */
  readonly #judged = new Map<NodeId, number>();
  #horizon = 0;
  #accepted = 0;

  constructor(options: RetentionOptions, dependencies: RetentionDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Accepted orders that are forgotten by now. */
  get forgotten(): number {
    return this.#forgottenAt.size;
  }

  /** Entries that journals have given up. */
  get givenUp(): number {
    return [...this.#judged.values()].reduce((sum, sequence) => sum + sequence, 0);
  }

  isForgotten(orderId: string): boolean {
    return this.#forgottenAt.has(orderId);
  }

  durable(id: NodeId, operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.kind === 'delete') continue;
      if (operation.key.startsWith(entryPrefix)) this.#learn(id, operation.key, operation.value);
      else if (operation.key.startsWith(basePrefix)) this.#checkBase(id, operation.key, operation.value);
    }
  }

  /** After anything has happened. */
  check(): void {
    const { ledger, orders, now } = this.#dependencies;
    if (ledger.horizon === this.#horizon && orders.accepted.size === this.#accepted) return;
    this.#horizon = ledger.horizon;
    this.#accepted = orders.accepted.size;
    for (const { orderId, createdAt } of orders.accepted.values()) {
      if (createdAt >= this.#horizon || this.#forgottenAt.has(orderId)) continue;
      this.#forgottenAt.set(orderId, now());
      this.#checkClosed(orderId);
    }
  }

  /** A node asks the payment provider. Half of what is retained: a quarter for the fence, and a pause of the program. */
  asked(orderId: string, what: string, by: string): void {
    const at = this.#forgottenAt.get(orderId);
    if (at === undefined) return;
    const sinceMs = this.#dependencies.now() - at;
    if (sinceMs <= this.#options.retainForMs / 2 + slowWritesMs) return;
    this.#broken(`${by} asks to ${what} for ${orderId}, forgotten ${sinceMs.toFixed(0)} ms ago`);
  }

  #checkClosed(orderId: string): void {
    const { ledger, bank, shop } = this.#dependencies;
    const fate = ledger.fateOf(orderId);
    const keeps = bank.keeps(orderId);
    if (fate === undefined) this.#broken(`${orderId} is forgotten, and the ledger has not decided it`);
    else if (keeps !== (fate.kind === 'committed' ? 'money' : 'nothing')) {
      this.#broken(`${orderId} is forgotten as ${fate.kind}, and the shop has ${keeps}`);
    }
    if (!shop.applied.has(orderId)) {
      this.#broken(`${orderId} is forgotten, and the system of record does not have it`);
    }
  }

  #learn(id: NodeId, key: string, record: Uint8Array): void {
    const position = positionOf(key);
    if (position === undefined) return;
    const fact = decodeEntry(openEntry(position, record).entry);
    const { orderId, type, at } = fact;
    if (!this.#subjects.has(key)) this.#dependencies.onFact?.(fact, id);
    this.#subjects.set(key, orderId);
    if (type !== 'registered') return;
    this.#registeredAt.set(orderId, Math.min(at, this.#registeredAt.get(orderId) ?? Infinity));
  }

  #checkBase(id: NodeId, key: string, record: Uint8Array): void {
    const { ledger, orders } = this.#dependencies;
    const origin = originOfBase(key) ?? '';
    const base = openBase(origin, record);
    if (base.horizon > ledger.horizon) {
      this.#broken(`${id} tells of the horizon ${base.horizon}, and ${ledger.horizon} is decided`);
    }
    const judged = this.#judged.get(origin) ?? 0;
    for (let sequence = judged + 1; sequence <= base.sequence; sequence++) {
      const orderId = this.#subjects.get(`${entryPrefix}${origin}/${String(sequence).padStart(16, '0')}`);
      if (orderId === undefined) continue;
      const createdAt = orders.accepted.get(orderId)?.createdAt ?? this.#registeredAt.get(orderId);
      if (createdAt === undefined || createdAt < ledger.horizon) continue;
      this.#broken(`${id} gives up ${origin}:${sequence}, and ${orderId} is not forgotten`);
    }
    this.#judged.set(origin, Math.max(judged, base.sequence));
  }

  #broken(detail: string): void {
    this.#dependencies.violations.report('retention', detail);
  }
}
