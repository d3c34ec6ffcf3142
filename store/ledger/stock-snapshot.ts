import { invariant } from '../environment.ts';
import { releaseReasons } from './commands.ts';
import { pack, unpack } from './msgpack.ts';
import type { StockLine } from './port.ts';
import { emptyState, noLines, promiseOf, recountedResidual } from './stock-state.ts';
import type { OrderRecord, OrderState, StagedSync, StockState } from './stock-state.ts';

/**
 * The whole stock state as bytes. Tables are flat lists, a fixed number of fields per row: a cluster that has
 * sold for a year has millions of closed orders. Rows keep the order of the maps they come from, so equal
 * histories give equal bytes, also through a restore.
 */
const version = 2;

const kindCode = {
  held: 0,
  committed: 1,
  counted: 2,
  released: 3,
  expired: 4,
  outOfStock: 5,
  unknownSku: 6,
  claimed: 7,
};

export function encodeSnapshot(state: StockState): Uint8Array {
  const products: unknown[] = [];
  for (const product of state.products.values()) {
    const { sku, name, unitPrice, currency, onHand, held, sold, listed } = product;
    products.push(sku, name, unitPrice, currency, onHand, held, sold, listed);
  }
  const orders: unknown[] = [];
  for (const record of state.orders.values()) {
    const [kind, detail] = encodeOrderState(record.state);
    const { orderId, fingerprint, lines, datedAt, registration } = record;
    orders.push(orderId, fingerprint, kind, detail, flatLines(lines), datedAt, registration ?? null);
  }
  const adjustments: unknown[] = [];
  for (const [id, { sku, delta }] of state.adjustments) adjustments.push(id, sku, delta);
  return pack([
    version,
    state.lastSyncAt,
    state.horizon,
    products,
    orders,
    [...state.unapplied],
    adjustments,
    state.staged ?? null,
  ]);
}

/** Throws on bytes of another version, and on a state whose counters do not add up: such a copy must not serve. */
export function decodeSnapshot(bytes: Uint8Array): StockState {
  const fields = unpack(bytes) as readonly unknown[];
  invariant(Array.isArray(fields) && fields[0] === version, 'stock snapshot of an unknown version');
  const [, lastSyncAt, horizon, products, orders, unapplied, adjustments, staged] = fields as [
    number,
    number,
    number,
    unknown[],
    unknown[],
    string[],
    unknown[],
    StagedSync | null,
  ];
  const state = emptyState();
  state.lastSyncAt = lastSyncAt;
  state.horizon = horizon;
  state.staged = staged ?? undefined;

  type ProductFields = [string, string, number, string, number, number, number, boolean];
  for (const row of rows<ProductFields>(products, 8)) {
    const [sku, name, unitPrice, currency, onHand, held, sold, listed] = row;
    state.products.set(sku, { sku, name, unitPrice, currency, onHand, held, sold, listed });
  }
  type OrderFields = [string, string, number, unknown, unknown[] | 0, number, string | null];
  for (const row of rows<OrderFields>(orders, 7)) {
    const [orderId, fingerprint, kind, detail, flat, datedAt, registration] = row;
    const decided = decodeOrderState(orderId, kind, detail);
    const record: OrderRecord = {
      orderId,
      fingerprint,
      lines: linesOf(flat),
      state: decided,
      registration: registration ?? undefined,
      datedAt,
      slot: -1,
    };
    state.orders.set(orderId, record);
    const promise = promiseOf(decided);
    if (decided.kind === 'held') state.expiries.add(decided);
    if (promise === undefined) state.closed.add(record);
    else for (const { quantity } of record.lines) state.promised[promise] += quantity;
  }
  for (const orderId of unapplied) state.unapplied.add(orderId);
  for (const [id, sku, delta] of rows<[string, string, number]>(adjustments, 3)) {
    state.adjustments.set(id, { sku, delta });
  }
  invariant(recountedResidual(state) === 0, 'stock snapshot makes or loses units');
  return state;
}

function encodeOrderState(state: OrderState): readonly [kind: number, detail: unknown] {
  switch (state.kind) {
    case 'held':
      return [kindCode.held, state.expiresAt];
    case 'committed':
      return [state.counted ? kindCode.counted : kindCode.committed, 0];
    case 'released':
      return [kindCode.released, releaseReasons.indexOf(state.reason)];
    case 'expired':
      return [kindCode.expired, 0];
    case 'claimed':
      return [kindCode.claimed, 0];
    case 'refused':
      return [state.reason === 'OUT_OF_STOCK' ? kindCode.outOfStock : kindCode.unknownSku, state.sku];
  }
}

function decodeOrderState(orderId: string, kind: number, detail: unknown): OrderState {
  switch (kind) {
    case kindCode.held:
      return { kind: 'held', orderId, expiresAt: detail as number, slot: -1 };
    case kindCode.committed:
      return { kind: 'committed', counted: false };
    case kindCode.counted:
      return { kind: 'committed', counted: true };
    case kindCode.released: {
      const reason = releaseReasons[detail as number];
      invariant(reason !== undefined, 'stock snapshot with an unknown release reason');
      return { kind: 'released', reason };
    }
    case kindCode.expired:
      return { kind: 'expired' };
    case kindCode.claimed:
      return { kind: 'claimed' };
    case kindCode.outOfStock:
      return { kind: 'refused', reason: 'OUT_OF_STOCK', sku: detail as string };
    case kindCode.unknownSku:
      return { kind: 'refused', reason: 'UNKNOWN_SKU', sku: detail as string };
    default:
      throw new Error(`stock snapshot with an unknown order state ${kind}`);
  }
}

function flatLines(lines: readonly StockLine[]): unknown {
  if (lines.length === 0) return 0;
  const flat: unknown[] = [];
  for (const { sku, quantity } of lines) flat.push(sku, quantity);
  return flat;
}

function linesOf(flat: unknown[] | 0): readonly StockLine[] {
  if (flat === 0) return noLines;
  const lines: StockLine[] = [];
  for (const [sku, quantity] of rows<[string, number]>(flat, 2)) lines.push({ sku, quantity });
  return lines;
}

function* rows<Row extends readonly unknown[]>(flat: readonly unknown[], width: number): Generator<Row> {
  invariant(flat.length % width === 0, 'stock snapshot with a torn table');
  for (let index = 0; index < flat.length; index += width) {
    yield flat.slice(index, index + width) as unknown as Row;
  }
}
