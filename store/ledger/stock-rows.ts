import { invariant } from '../environment.ts';
import { releaseReasons } from './commands.ts';
import { pack, packLarge, unpack } from './msgpack.ts';
import type { ProductRow, SaleRules, StockLine } from './port.ts';
import { fieldsOfRules, rulesOfFields } from './stock-rules.ts';
import { noLines } from './stock-state.ts';
import type { Adjustment, OrderRecord, OrderState, Product } from './stock-state.ts';

/**
 * The bytes of a snapshot of the stock state: a head, any number of chunks of rows, an end. A row is a msgpack array
 * that opens with its table. Owns the shapes; which rows there are is stock-snapshot.ts's, what becomes of them
 * stock-restore.ts's.
 */
export type SnapshotChunk =
  | { readonly kind: 'head'; readonly head: SnapshotHead }
  | { readonly kind: 'rows'; readonly rows: readonly Row[] }
  /** How many rows there were: chunks that are missing are noticed. */
  | { readonly kind: 'end'; readonly rows: number };

export interface SnapshotHead {
  readonly lastSyncAt: number;
  readonly horizon: number;
  /** Of a sync that is not complete yet. */
  readonly staged:
    { readonly takenAt: number; readonly parts: number; readonly received: number } | undefined;
}

/** Fields in a fixed order, behind the number of the table; a product's rules of sale last, if it has any. */
export type Row = readonly [table: number, ...fields: readonly unknown[]];

/** Written to disk and sent to other members: a changed shape takes a new number, of its table or of the version. */
const version = 3;
const chunkKind = { head: 0, rows: 1, end: 2 };

export const tables = {
  products: 0,
  orders: 1,
  adjustments: 2,
  stagedProducts: 3,
  stagedRemovals: 4,
  stagedSales: 5,
} as const;

const orderKind = {
  held: 0,
  committed: 1,
  counted: 2,
  released: 3,
  expired: 4,
  outOfStock: 5,
  unknownSku: 6,
  claimed: 7,
} as const;

export function encodeHead({ lastSyncAt, horizon, staged }: SnapshotHead): Uint8Array {
  const under = staged === undefined ? null : [staged.takenAt, staged.parts, staged.received];
  return pack([chunkKind.head, version, lastSyncAt, horizon, under]);
}

export function encodeRows(rows: readonly Row[], bytes: number): Uint8Array {
  return packLarge([chunkKind.rows, ...rows], bytes);
}

export function encodeEnd(rows: number): Uint8Array {
  return pack([chunkKind.end, rows]);
}

/** Throws on what is no chunk of this version. Rows are checked for their table only: whoever wrote them is one of us. */
export function decodeChunk(bytes: Uint8Array): SnapshotChunk {
  const fields = unpack(bytes);
  invariant(Array.isArray(fields), 'a chunk of a stock snapshot is a list');
  const [kind, ...rest] = fields as readonly unknown[];
  switch (kind) {
    case chunkKind.head: {
      const [itsVersion, lastSyncAt, horizon, staged] = rest as [number, number, number, number[] | null];
      invariant(itsVersion === version, `a stock snapshot has version ${version}, not ${itsVersion}`);
      const [takenAt = 0, parts = 0, received = 0] = staged ?? [];
      return {
        kind: 'head',
        head: { lastSyncAt, horizon, staged: staged === null ? undefined : { takenAt, parts, received } },
      };
    }
    case chunkKind.rows:
      return { kind: 'rows', rows: rest as readonly Row[] };
    case chunkKind.end:
      return { kind: 'end', rows: rest[0] as number };
    default:
      throw new Error('a chunk of a stock snapshot of an unknown kind');
  }
}

/** No less than what a row takes when it is encoded, and not much more. */
export function bytesOf(value: unknown): number {
  if (typeof value === 'string') return 5 + Buffer.byteLength(value);
  if (!Array.isArray(value)) return 9;
  let bytes = 5;
  for (const field of value as readonly unknown[]) bytes += bytesOf(field);
  return bytes;
}

export function productRow(product: Product): Row {
  const { sku, name, unitPrice, currency, onHand, held, sold, listed } = product;
  const rules = fieldsOfRules(product.rules);
  return [tables.products, sku, name, unitPrice, currency, onHand, held, sold, listed, ...rules];
}

export function productOfRow(row: Row): Product {
  type Fields = [number, string, string, number, string, number, number, number, boolean, ...unknown[]];
  const [, sku, name, unitPrice, currency, onHand, held, sold, listed, ...fields] = row as Fields;
  const rules = rulesOfRow(fields);
  return { sku, name, unitPrice, currency, onHand, held, sold, listed, rules, snapshotNumber: 0 };
}

export function orderRow(record: OrderRecord): Row {
  const { orderId, fingerprint, lines, datedAt, registration } = record;
  const [kind, detail] = stateFields(record.state);
  return [tables.orders, orderId, fingerprint, kind, detail, flat(lines), datedAt, registration ?? null];
}

export function orderOfRow(row: Row): OrderRecord {
  type Fields = [number, string, string, number, unknown, unknown[] | 0, number, string | null];
  const [, orderId, fingerprint, kind, detail, lines, datedAt, registration] = row as Fields;
  return {
    orderId,
    fingerprint,
    lines: linesOf(lines),
    state: stateOf(orderId, kind, detail),
    registration: registration ?? undefined,
    datedAt,
    slot: -1,
    snapshotNumber: 0,
  };
}

export function adjustmentRow(id: string, { sku, delta }: Adjustment): Row {
  return [tables.adjustments, id, sku, delta];
}

export function adjustmentOfRow(row: Row): readonly [id: string, Adjustment] {
  const [, id, sku, delta] = row as [number, string, string, number];
  return [id, { sku, delta }];
}

export function stagedProductRow(product: ProductRow): Row {
  const { sku, name, unitPrice, currency, onHand } = product;
  return [tables.stagedProducts, sku, name, unitPrice, currency, onHand, ...fieldsOfRules(product)];
}

export function stagedProductOfRow(row: Row): ProductRow {
  type Fields = [number, string, string, number, string, number, ...unknown[]];
  const [, sku, name, unitPrice, currency, onHand, ...fields] = row as Fields;
  return { sku, name, unitPrice, currency, onHand, ...rulesOfRow(fields) };
}

function rulesOfRow([holdMs, maxPerOrder]: readonly unknown[]): SaleRules {
  const rules = rulesOfFields(holdMs, maxPerOrder);
  invariant(rules !== undefined, 'a stock snapshot has rules that a product can have');
  return rules;
}

function stateFields(state: OrderState): readonly [kind: number, detail: unknown] {
  switch (state.kind) {
    case 'held':
      return [orderKind.held, state.expiresAt];
    case 'committed':
      return [state.counted ? orderKind.counted : orderKind.committed, 0];
    case 'released':
      return [orderKind.released, releaseReasons.indexOf(state.reason)];
    case 'refused':
      return [state.reason === 'OUT_OF_STOCK' ? orderKind.outOfStock : orderKind.unknownSku, state.sku];
    case 'expired':
    case 'claimed':
      return [orderKind[state.kind], 0];
  }
}

function stateOf(orderId: string, kind: number, detail: unknown): OrderState {
  switch (kind) {
    case orderKind.held:
      return { kind: 'held', orderId, expiresAt: detail as number, slot: -1 };
    case orderKind.committed:
      return { kind: 'committed', counted: false };
    case orderKind.counted:
      return { kind: 'committed', counted: true };
    case orderKind.released: {
      const reason = releaseReasons[detail as number];
      invariant(reason !== undefined, 'a stock snapshot knows the reason of a release');
      return { kind: 'released', reason };
    }
    case orderKind.expired:
      return { kind: 'expired' };
    case orderKind.claimed:
      return { kind: 'claimed' };
    case orderKind.outOfStock:
      return { kind: 'refused', reason: 'OUT_OF_STOCK', sku: detail as string };
    case orderKind.unknownSku:
      return { kind: 'refused', reason: 'UNKNOWN_SKU', sku: detail as string };
    default:
      throw new Error(`a stock snapshot with an unknown order state ${kind}`);
  }
}

function flat(lines: readonly StockLine[]): unknown {
  if (lines.length === 0) return 0;
  const fields: unknown[] = [];
  for (const { sku, quantity } of lines) fields.push(sku, quantity);
  return fields;
}

function linesOf(fields: readonly unknown[] | 0): readonly StockLine[] {
  if (fields === 0) return noLines;
  const lines: StockLine[] = [];
  for (let place = 0; place < fields.length; place += 2) {
    lines.push({ sku: fields[place] as string, quantity: fields[place + 1] as number });
  }
  return lines;
}
