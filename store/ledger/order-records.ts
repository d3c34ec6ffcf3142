import { limits } from './limits.ts';
import type { StockLine } from './port.ts';
import { beforeChange, dropIfGone, noLines, productToChange, promiseOf } from './stock-state.ts';
import type { Hold, OrderRecord, OrderState, Product, StockState } from './stock-state.ts';

/**
 * The life of an order's record: found or made, moved from state to state with its units, expired, forgotten.
 * Owns every change of a record, and with it the counters that follow from records. What a command answers is
 * stock.ts's.
 *
 * 1. A record's units stand in the counters of its products exactly as its state says (L5).
 * 2. A record that promises no units is in `closed`, and in no other queue; a hold is in `expiries`.
 * 3. Time decides what a record is, not the sweep: `recall` gives what has expired as expired (L6), and what is
 *    behind the horizon as forgotten (L13), whether a sweep has been there or not.
 * 4. A snapshot under way sees a record before it changes. Who has recalled a record may change it.
 */

/** What the ledger knows of an order: its record; nothing yet; or nothing any more. */
export type Recalled = OrderRecord | 'unknown' | 'forgotten';

/**
 * The record of an order as it is at `at`. `createdAt` is what the command says of the order's creation; the
 * record notes it if it is later than what others said, so that no order is forgotten that a node may still take
 * for younger than the horizon.
 */
export function recall(
  state: StockState,
  at: number,
  order: { readonly orderId: string; readonly createdAt?: number },
): Recalled {
  const record = state.orders.get(order.orderId);
  if (record !== undefined) {
    expireIfDue(state, at, record);
    if (!isForgotten(state, record)) {
      beforeChange(state, record);
      date(state, record, createdAtOf(order, at));
      return record;
    }
    drop(state, record);
  }
  return createdAtOf(order, at) < state.horizon ? 'forgotten' : 'unknown';
}

/** A first record, for an order that `recall` does not know. */
export function open(
  state: StockState,
  at: number,
  order: { readonly orderId: string; readonly createdAt?: number },
): OrderRecord {
  const { orderId } = order;
  const record: OrderRecord = {
    orderId,
    fingerprint: '',
    lines: noLines,
    state: { kind: 'claimed' },
    registration: undefined,
    datedAt: createdAtOf(order, at),
    slot: -1,
    snapshotNumber: state.snapshotNumber,
  };
  state.orders.set(orderId, record);
  state.closed.add(record);
  return record;
}

export function grant(
  state: StockState,
  record: OrderRecord,
  lines: readonly StockLine[],
  expiresAt: number,
): Hold {
  const hold: Hold = { kind: 'held', orderId: record.orderId, expiresAt, slot: -1 };
  state.closed.remove(record);
  record.lines = lines;
  shift(state, record, hold);
  state.expiries.add(hold);
  return hold;
}

export function sell(state: StockState, record: OrderRecord, hold: Hold): void {
  state.expiries.remove(hold);
  shift(state, record, { kind: 'committed', counted: false });
  state.unapplied.add(record.orderId);
}

/** Ends what the record promises, if it promises anything, or says otherwise why it promises nothing. */
export function close(
  state: StockState,
  record: OrderRecord,
  outcome: Exclude<OrderState, Hold>,
  closedAt: number,
): void {
  beforeChange(state, record);
  if (record.state.kind === 'held') state.expiries.remove(record.state);
  state.unapplied.delete(record.orderId);
  state.closed.remove(record);
  shift(state, record, outcome);
  record.lines = noLines;
  record.datedAt = Math.max(record.datedAt, closedAt);
  state.closed.add(record);
}

/** Expires the hold that is due first. False when none is due. */
export function expireNext(state: StockState, at: number): boolean {
  const next = state.expiries.peek();
  if (next === undefined || next.expiresAt > at) return false;
  expire(state, state.orders.get(next.orderId) as OrderRecord, next);
  return true;
}

/** Drops records that are forgotten, at most `limits.forgottenPerCommand`. */
export function dropForgotten(state: StockState): void {
  for (let records = 0; records < limits.forgottenPerCommand; records += 1) {
    const record = state.closed.peek();
    if (record === undefined || !isForgotten(state, record)) return;
    drop(state, record);
  }
}

/** Only records that promise nothing can be. */
export function isForgotten({ horizon }: Pick<StockState, 'horizon'>, record: OrderRecord): boolean {
  return record.datedAt < horizon && promiseOf(record.state) === undefined;
}

/** A command of an older program does not tell; it is from this moment then, and never behind any horizon. */
function createdAtOf({ createdAt }: { readonly createdAt?: number }, at: number): number {
  return createdAt ?? at;
}

function expireIfDue(state: StockState, at: number, record: OrderRecord): void {
  const current = record.state;
  if (current.kind === 'held' && current.expiresAt <= at) expire(state, record, current);
}

/** Its end is dated at its expiry, whoever finds it when, so that every replica forgets it alike. */
function expire(state: StockState, record: OrderRecord, hold: Hold): void {
  close(state, record, { kind: 'expired' }, hold.expiresAt);
}

function date(state: StockState, record: OrderRecord, createdAt: number): void {
  if (createdAt <= record.datedAt) return;
  const isClosed = record.slot >= 0;
  if (isClosed) state.closed.remove(record);
  record.datedAt = createdAt;
  if (isClosed) state.closed.add(record);
}

function drop(state: StockState, record: OrderRecord): void {
  beforeChange(state, record);
  state.closed.remove(record);
  state.orders.delete(record.orderId);
}

/** Gives the record its next state, and moves its units with it. */
function shift(state: StockState, record: OrderRecord, next: OrderState): void {
  const from = promiseOf(record.state);
  const to = promiseOf(next);
  let units = 0;
  if (from !== to) {
    for (const { sku, quantity } of record.lines) {
      // It cannot have been dropped while some of it is promised, or is about to be.
      const product = productToChange(state, sku) as Product;
      if (from !== undefined) product[from] -= quantity;
      if (to !== undefined) product[to] += quantity;
      dropIfGone(state, product);
      units += quantity;
    }
    if (from !== undefined) state.promised[from] -= units;
    if (to !== undefined) state.promised[to] += units;
  }
  record.state = next;
}
