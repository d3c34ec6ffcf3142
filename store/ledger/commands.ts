import { limits } from './limits.ts';
import { pack, unpack } from './msgpack.ts';
import type { ProductRow, ReleaseReason, StockLine } from './port.ts';
import { fieldsOfRules, rulesOfFields } from './stock-rules.ts';

/**
 * What can be written to the ledger's log, and its bytes: a msgpack array that opens with an opcode. An opcode
 * names one shape for ever, because logs outlive programs: a changed shape takes a new opcode. A shape may grow at
 * its end, if the old bytes mean what they meant: `createdAt` is absent in what older programs wrote, and so are
 * products' rules of sale, which stand behind all else, by the places of those products that have any.
 *
 * Decoding is also the check. What comes out satisfies every bound in limits.ts, or is `malformed`; the same
 * bytes give the same verdict on every node.
 */
export type Command =
  | (OfOrder & {
      readonly kind: 'hold';
      readonly fingerprint: string;
      readonly ttlMs: number;
      readonly lines: readonly StockLine[];
    })
  | (OfOrder & { readonly kind: 'commit' })
  | (OfOrder & { readonly kind: 'release'; readonly reason: ReleaseReason })
  | (OfOrder & { readonly kind: 'claim'; readonly registration: string })
  /** Gives back holds that are due at the command's stamp, at most `limits.expiriesPerCommand`. */
  | { readonly kind: 'expire' }
  /** Part `part` (from 0) of `parts` of one sync. Takes effect as a whole, when its last part arrives. */
  | {
      readonly kind: 'stockSync';
      readonly takenAt: number;
      readonly part: number;
      readonly parts: number;
      readonly products: readonly ProductRow[];
      readonly removed: readonly string[];
      readonly applied: readonly string[];
    }
  | { readonly kind: 'adjust'; readonly id: string; readonly sku: string; readonly delta: number }
  /** Raises the horizon to `before`, ms, and drops at most `limits.forgottenPerCommand` records behind it. */
  | { readonly kind: 'forget'; readonly before: number };

interface OfOrder {
  readonly orderId: string;
  /** When the order was created, ms. Without it, the order is not taken for older than any horizon. */
  readonly createdAt?: number;
}

export interface Malformed {
  readonly kind: 'malformed';
  readonly detail: string;
}

const opcode = {
  hold: 1,
  commit: 2,
  release: 3,
  expire: 4,
  stockSync: 5,
  adjust: 6,
  claim: 7,
  forget: 8,
} as const;

/** Their places in this list are written to the log: append only. */
export const releaseReasons: readonly ReleaseReason[] = ['cancelled', 'failed', 'refunded', 'abandoned'];

/** A command that breaks a bound encodes all the same, and is `malformed` when decoded. */
export function encodeCommand(command: Command): Uint8Array {
  switch (command.kind) {
    case 'hold': {
      const flat: unknown[] = [];
      for (const line of command.lines) flat.push(line.sku, line.quantity);
      return packOfOrder(command, [opcode.hold, command.orderId, command.fingerprint, command.ttlMs, flat]);
    }
    case 'commit':
      return packOfOrder(command, [opcode.commit, command.orderId]);
    case 'release':
      return packOfOrder(command, [opcode.release, command.orderId, releaseReasons.indexOf(command.reason)]);
    case 'expire':
      return pack([opcode.expire]);
    case 'stockSync': {
      const flat: unknown[] = [];
      for (const row of command.products)
        flat.push(row.sku, row.name, row.unitPrice, row.currency, row.onHand);
      const { takenAt, part, parts, removed, applied } = command;
      const fields = [opcode.stockSync, takenAt, part, parts, flat, removed, applied];
      const rules = flatRules(command.products);
      return pack(rules.length === 0 ? fields : [...fields, rules]);
    }
    case 'adjust':
      return pack([opcode.adjust, command.id, command.sku, command.delta]);
    case 'claim':
      return packOfOrder(command, [opcode.claim, command.orderId, command.registration]);
    case 'forget':
      return pack([opcode.forget, command.before]);
  }
}

/** The fields of an order's command, and the moment of its creation behind them. */
function packOfOrder({ createdAt }: OfOrder, fields: readonly unknown[]): Uint8Array {
  return pack(createdAt === undefined ? fields : [...fields, createdAt]);
}

export function decodeCommand(bytes: Uint8Array): Command | Malformed {
  let fields: unknown;
  try {
    fields = unpack(bytes);
  } catch {
    return malformed('not msgpack');
  }
  if (!Array.isArray(fields)) return malformed('not an array');
  return decodeFields(fields as readonly unknown[]);
}

function decodeFields(fields: readonly unknown[]): Command | Malformed {
  switch (fields[0]) {
    case opcode.hold: {
      const [, orderId, fingerprint, ttlMs, flat, createdAt] = fields;
      const order = ofOrder(orderId, createdAt);
      if (order.kind === 'malformed') return order;
      if (!isIdentifier(fingerprint)) return malformed('fingerprint');
      if (!isIntegerIn(ttlMs, 1, limits.holdTtlMsMax)) return malformed('ttlMs');
      const lines = summedLines(flat);
      return lines === undefined ? malformed('lines') : { ...order, kind: 'hold', fingerprint, ttlMs, lines };
    }
    case opcode.commit: {
      const [, orderId, createdAt] = fields;
      const order = ofOrder(orderId, createdAt);
      return order.kind === 'malformed' ? order : { ...order, kind: 'commit' };
    }
    case opcode.release: {
      const [, orderId, reasonIndex, createdAt] = fields;
      const order = ofOrder(orderId, createdAt);
      if (order.kind === 'malformed') return order;
      const reason = typeof reasonIndex === 'number' ? releaseReasons[reasonIndex] : undefined;
      return reason === undefined ? malformed('reason') : { ...order, kind: 'release', reason };
    }
    case opcode.expire:
      return { kind: 'expire' };
    case opcode.stockSync:
      return decodeSync(fields);
    case opcode.adjust: {
      const [, id, sku, delta] = fields;
      if (!isIdentifier(id)) return malformed('id');
      if (!isIdentifier(sku)) return malformed('sku');
      if (!isIntegerIn(delta, -limits.unitsMax, limits.unitsMax)) return malformed('delta');
      return { kind: 'adjust', id, sku, delta };
    }
    case opcode.claim: {
      const [, orderId, registration, createdAt] = fields;
      const order = ofOrder(orderId, createdAt);
      if (order.kind === 'malformed') return order;
      return isIdentifier(registration)
        ? { ...order, kind: 'claim', registration }
        : malformed('registration');
    }
    case opcode.forget: {
      const [, before] = fields;
      return isTime(before) ? { kind: 'forget', before } : malformed('before');
    }
    default:
      return malformed('opcode');
  }
}

function ofOrder(orderId: unknown, createdAt: unknown): (OfOrder & { readonly kind: 'order' }) | Malformed {
  if (!isIdentifier(orderId)) return malformed('orderId');
  if (createdAt === undefined) return { kind: 'order', orderId };
  return isTime(createdAt) ? { kind: 'order', orderId, createdAt } : malformed('createdAt');
}

/** One line per SKU, in order of first mention: an order may name the same SKU twice. */
function summedLines(flat: unknown): readonly StockLine[] | undefined {
  if (!Array.isArray(flat) || flat.length === 0 || flat.length % 2 !== 0) return undefined;
  if (flat.length / 2 > limits.linesPerHoldMax) return undefined;
  const units = new Map<string, number>();
  for (let index = 0; index < flat.length; index += 2) {
    const sku: unknown = flat[index];
    const quantity: unknown = flat[index + 1];
    if (!isIdentifier(sku) || !isIntegerIn(quantity, 1, Number.MAX_SAFE_INTEGER)) return undefined;
    const sum = (units.get(sku) ?? 0) + quantity;
    if (!Number.isSafeInteger(sum)) return undefined;
    units.set(sku, sum);
  }
  const lines: StockLine[] = [];
  for (const [sku, quantity] of units) lines.push({ sku, quantity });
  return lines;
}

function decodeSync(fields: readonly unknown[]): Command | Malformed {
  const [, takenAt, part, parts, flat, removed, applied, rules] = fields;
  if (!isTime(takenAt)) return malformed('takenAt');
  const partsMax = limits.syncEntriesMax / limits.syncEntriesPerPart;
  if (!isIntegerIn(parts, 1, partsMax) || !isIntegerIn(part, 0, parts - 1)) return malformed('part');
  if (!isIdentifierList(removed)) return malformed('removed');
  if (!isIdentifierList(applied)) return malformed('applied');
  const plain = productRows(flat);
  if (plain === undefined) return malformed('products');
  const products = withRules(plain, rules);
  if (products === undefined) return malformed('rules');
  const entries = products.length + removed.length + applied.length;
  if (entries > limits.syncEntriesPerPart) return malformed('too many entries');
  return { kind: 'stockSync', takenAt, part, parts, products, removed, applied };
}

function productRows(flat: unknown): readonly ProductRow[] | undefined {
  if (!Array.isArray(flat) || flat.length % 5 !== 0) return undefined;
  const rows: ProductRow[] = [];
  for (let index = 0; index < flat.length; index += 5) {
    const [sku, name, unitPrice, currency, onHand] = flat.slice(index, index + 5) as unknown[];
    if (!isIdentifier(sku)) return undefined;
    if (typeof name !== 'string' || name.length > limits.productNameLengthMax) return undefined;
    if (!isIntegerIn(unitPrice, 0, Number.MAX_SAFE_INTEGER)) return undefined;
    if (typeof currency !== 'string' || !/^[A-Za-z]{3}$/.test(currency)) return undefined;
    // Some shops book below zero. The ledger follows, and sells nothing there.
    if (!isIntegerIn(onHand, -limits.unitsMax, limits.unitsMax)) return undefined;
    rows.push({ sku, name, unitPrice, currency, onHand });
  }
  return rows;
}

/** Place, hold and limit of each product that has rules of its own. */
function flatRules(products: readonly ProductRow[]): readonly number[] {
  return products.flatMap((product, place) => {
    const rules = fieldsOfRules(product);
    return rules.length === 0 ? [] : [place, ...rules];
  });
}

function withRules(products: readonly ProductRow[], flat: unknown): readonly ProductRow[] | undefined {
  if (flat === undefined) return products;
  if (!Array.isArray(flat) || flat.length % 3 !== 0) return undefined;
  const rows = [...products];
  for (let index = 0; index < flat.length; index += 3) {
    const [place, holdMs, maxPerOrder] = flat.slice(index, index + 3) as unknown[];
    if (!isIntegerIn(place, 0, rows.length - 1)) return undefined;
    const row = rows[place];
    const rules = rulesOfFields(holdMs, maxPerOrder);
    if (row === undefined || rules === undefined) return undefined;
    rows[place] = { ...row, ...rules };
  }
  return rows;
}

function isIdentifier(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= limits.identifierLengthMax;
}

function isIdentifierList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(isIdentifier);
}

/** ms since the epoch. */
function isTime(value: unknown): value is number {
  return isIntegerIn(value, 0, Number.MAX_SAFE_INTEGER);
}

function isIntegerIn(value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;
}

function malformed(detail: string): Malformed {
  return { kind: 'malformed', detail };
}
