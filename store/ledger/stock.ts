import { encodeAnswer } from './answers.ts';
import type { StockAnswer } from './answers.ts';
import { decodeCommand, encodeCommand } from './commands.ts';
import type { Command, Malformed } from './commands.ts';
import { limits } from './limits.ts';
import type { StateMachine } from './machine.ts';
import type { CommitAnswer, HoldAnswer, Ledger, ReleaseAnswer, ReleaseReason, StockLevel } from './port.ts';
import { decodeSnapshot, encodeSnapshot } from './stock-snapshot.ts';
import { availableUnits, conservationResidual, emptyState, noLines } from './stock-state.ts';
import type { Hold, OrderRecord, OrderState, Product, StagedSync, StockState } from './stock-state.ts';

/**
 * Decides who gets which units: the state machine behind the ledger's log, after TigerBeetle's two-phase
 * transfer (pending, then posted, voided or timed out, once). It owns stock, holds and claims. It does not own
 * time (commands carry the leader's stamp), durability or agreement (the log's), or money and orders (callers').
 *
 *   hold ──► held ──► committed        held ──► released, expired       expired, refused ──► released
 *     └────► refused                   (nothing) ──► released
 *
 *   L1  The first hold of an order id is decided; later ones report what became of it. Other lines: conflict.
 *   L2  A hold takes all of its lines or none.
 *   L3  A hold is granted only out of available units, so it never makes available negative.
 *   L4  A hold resolves at most once. Committed is final; the first release reason stands.
 *   L5  Per SKU: available + held + sold = onHand, held = Σ standing holds, sold = Σ unapplied sales.
 *   L6  A hold whose expiry is not after the command's stamp is expired, swept or not: it is never committed,
 *       and its units never cause a refusal.
 *   L7  A sync takes effect whole or not at all, never after a newer one, and takes each sale out of `sold` once.
 *   L8  Nothing promised is taken back: a shrunken or dropped SKU stops selling and keeps what is held and sold.
 *   L9  Same commands, same answers, same snapshot bytes; a restored machine continues like the original.
 *   L10 No input throws. A malformed command changes nothing.
 *   L11 A correction counts once per id, and is gone at the next sync, which reads the real figure.
 *
 * DESIGN.md gives the reasons and names the test that guards each.
 */
export interface StockMachine
  extends
    StateMachine,
    Pick<Ledger, 'stock' | 'stocks' | 'unappliedSales' | 'lastSyncAt' | 'conservationResidual'> {}

export function createStockMachine(): StockMachine {
  let state = emptyState();
  return {
    apply: (at, bytes) => encodeAnswer(decide(state, at, decodeCommand(bytes))),
    due: (now) => {
      const next = state.expiries.peek();
      return next !== undefined && next.expiresAt <= now ? encodeCommand({ kind: 'expire' }) : undefined;
    },
    snapshot: () => encodeSnapshot(state),
    restore: (snapshot) => {
      state = decodeSnapshot(snapshot);
    },
    stock: (sku) => {
      const product = state.products.get(sku);
      return product === undefined ? undefined : level(product);
    },
    stocks: () => Array.from(state.products.values(), level),
    unappliedSales: () => [...state.unapplied],
    lastSyncAt: () => state.lastSyncAt,
    conservationResidual: () => conservationResidual(state),
  };
}

function decide(state: StockState, at: number, command: Command | Malformed): StockAnswer {
  switch (command.kind) {
    case 'hold':
      return hold(state, at, command);
    case 'commit':
      return commit(state, at, command.orderId);
    case 'release':
      return release(state, at, command.orderId, command.reason);
    case 'expire':
      return { kind: 'swept', holds: sweep(state, at) };
    case 'stockSync':
      return sync(state, command);
    case 'adjust':
      return adjust(state, command);
    case 'claim': {
      const registration = state.registrations.get(command.orderId) ?? command.registration;
      state.registrations.set(command.orderId, registration);
      return { kind: 'claimed', registration };
    }
    case 'malformed':
      return command;
  }
}

function hold(state: StockState, at: number, command: Extract<Command, { kind: 'hold' }>): HoldAnswer {
  const { orderId, fingerprint, lines } = command;
  const known = state.orders.get(orderId);
  if (known !== undefined) {
    // L1. An order closed before any hold has no fingerprint to compare with.
    if (known.fingerprint !== '' && known.fingerprint !== fingerprint) return { kind: 'conflict' };
    expireIfDue(state, at, known);
    return report(known.state);
  }
  const record = (decided: OrderState, kept: OrderRecord['lines']): HoldAnswer => {
    state.orders.set(orderId, { orderId, fingerprint, lines: kept, state: decided });
    return report(decided);
  };

  for (const { sku, quantity } of lines) {
    const product = state.products.get(sku);
    if (product === undefined || !product.listed) {
      return record({ kind: 'refused', reason: 'UNKNOWN_SKU', sku }, noLines);
    }
    // L6. A refusal stands for ever, so it must not rest on holds that are over and only wait for the sweep.
    while (availableUnits(product) < quantity) {
      if (!expireNext(state, at)) {
        return record({ kind: 'refused', reason: 'OUT_OF_STOCK', sku: product.sku }, noLines);
      }
    }
  }
  for (const { sku, quantity } of lines) productOf(state, sku).held += quantity;
  const granted: Hold = { kind: 'held', orderId, expiresAt: at + command.ttlMs, slot: -1 };
  state.expiries.add(granted);
  return record(granted, lines);
}

function commit(state: StockState, at: number, orderId: string): CommitAnswer {
  const record = state.orders.get(orderId);
  if (record === undefined) return { kind: 'absent' };
  expireIfDue(state, at, record);
  const current = record.state;
  switch (current.kind) {
    case 'held':
      state.expiries.remove(current);
      for (const { sku, quantity } of record.lines) {
        const product = productOf(state, sku);
        product.held -= quantity;
        product.sold += quantity;
      }
      record.state = { kind: 'committed', counted: false };
      state.unapplied.add(orderId);
      return { kind: 'committed' };
    case 'committed':
      return { kind: 'committed' };
    case 'released':
    case 'expired':
      return current;
    case 'refused':
      return { kind: 'absent' };
  }
}

function release(state: StockState, at: number, orderId: string, reason: ReleaseReason): ReleaseAnswer {
  const record = state.orders.get(orderId);
  const released = { kind: 'released', reason } as const;
  if (record === undefined) {
    // A tombstone: the order may still be on its way to its first hold, and must find itself closed.
    state.orders.set(orderId, { orderId, fingerprint: '', lines: noLines, state: released });
    return released;
  }
  expireIfDue(state, at, record);
  const current = record.state;
  switch (current.kind) {
    case 'held':
      giveBack(state, record, current, released);
      return released;
    case 'expired':
    case 'refused':
      record.state = released;
      return released;
    case 'released':
      return current;
    case 'committed':
      return { kind: 'committed' };
  }
}

function sweep(state: StockState, at: number): number {
  let holds = 0;
  while (holds < limits.expiriesPerCommand && expireNext(state, at)) holds += 1;
  return holds;
}

/** Expires the hold that is due first. False when none is due. */
function expireNext(state: StockState, at: number): boolean {
  const next = state.expiries.peek();
  if (next === undefined || next.expiresAt > at) return false;
  const record = state.orders.get(next.orderId) as OrderRecord;
  giveBack(state, record, next, { kind: 'expired' });
  return true;
}

function expireIfDue(state: StockState, at: number, record: OrderRecord): void {
  const current = record.state;
  if (current.kind === 'held' && current.expiresAt <= at) {
    giveBack(state, record, current, { kind: 'expired' });
  }
}

function giveBack(state: StockState, record: OrderRecord, granted: Hold, outcome: OrderState): void {
  state.expiries.remove(granted);
  for (const { sku, quantity } of record.lines) {
    const product = productOf(state, sku);
    product.held -= quantity;
    forgetIfGone(state, product);
  }
  record.lines = noLines;
  record.state = outcome;
}

function sync(state: StockState, part: Extract<Command, { kind: 'stockSync' }>): StockAnswer {
  const overtaken = part.takenAt < state.lastSyncAt || part.takenAt < (state.staged?.takenAt ?? 0);
  if (overtaken) return { kind: 'synced', outcome: 'ignored' };
  if (part.part === 0) {
    const { takenAt, parts } = part;
    state.staged = { takenAt, parts, received: 0, products: [], removed: [], applied: [] };
  }
  const staged = state.staged;
  if (staged?.takenAt !== part.takenAt || staged.parts !== part.parts || part.part > staged.received) {
    return { kind: 'synced', outcome: 'gap' };
  }
  if (part.part === staged.received) {
    staged.products.push(...part.products);
    staged.removed.push(...part.removed);
    staged.applied.push(...part.applied);
    staged.received += 1;
  }
  if (staged.received < staged.parts) return { kind: 'synced', outcome: 'staged' };
  state.staged = undefined;
  return applySync(state, staged);
}

function applySync(state: StockState, whole: StagedSync): StockAnswer {
  const named = new Set(whole.removed);
  for (const row of whole.products) named.add(row.sku);
  if (named.size !== whole.removed.length + whole.products.length) {
    return { kind: 'malformed', detail: 'a SKU is named twice in one sync' };
  }

  // L11. Rows that did not change are left out, so corrections of theirs are undone here.
  for (const { sku, delta } of state.adjustments.values()) productOf(state, sku).onHand -= delta;
  state.adjustments.clear();

  for (const row of whole.products) {
    const product = state.products.get(row.sku);
    if (product === undefined) state.products.set(row.sku, { ...row, held: 0, sold: 0, listed: true });
    else Object.assign(product, row, { listed: true });
  }
  for (const orderId of whole.applied) {
    const record = state.orders.get(orderId);
    if (record?.state.kind !== 'committed' || record.state.counted) continue;
    for (const { sku, quantity } of record.lines) {
      const product = productOf(state, sku);
      product.sold -= quantity;
      forgetIfGone(state, product);
    }
    record.lines = noLines;
    record.state = { kind: 'committed', counted: true };
    state.unapplied.delete(orderId);
  }
  for (const sku of whole.removed) {
    const product = state.products.get(sku);
    if (product === undefined) continue;
    // L8. The system of record has none of it any more; what is promised shows as negative available.
    product.listed = false;
    product.onHand = 0;
    forgetIfGone(state, product);
  }
  state.lastSyncAt = whole.takenAt;
  return { kind: 'synced', outcome: 'applied' };
}

function adjust(state: StockState, command: Extract<Command, { kind: 'adjust' }>): StockAnswer {
  const { id, sku, delta } = command;
  if (state.adjustments.has(id)) return { kind: 'adjusted', applied: true };
  const product = state.products.get(sku);
  if (product === undefined || !product.listed) return { kind: 'adjusted', applied: false };
  if (Math.abs(product.onHand + delta) > limits.unitsMax) return { kind: 'malformed', detail: 'delta' };
  if (state.adjustments.size >= limits.adjustmentsMax) {
    return { kind: 'malformed', detail: 'too many adjustments before the next sync' };
  }
  state.adjustments.set(id, { sku: product.sku, delta });
  product.onHand += delta;
  return { kind: 'adjusted', applied: true };
}

/** A SKU that the system of record dropped is remembered only while some of it is promised. */
function forgetIfGone(state: StockState, product: Product): void {
  if (!product.listed && product.held === 0 && product.sold === 0) state.products.delete(product.sku);
}

/** The product of a line that is held or sold, or of a correction: it cannot have been forgotten. */
function productOf(state: StockState, sku: string): Product {
  return state.products.get(sku) as Product;
}

function report(current: OrderState): HoldAnswer {
  switch (current.kind) {
    case 'held':
      return { kind: 'held', expiresAt: current.expiresAt };
    case 'committed':
      return { kind: 'committed' };
    case 'released':
    case 'expired':
    case 'refused':
      return current;
  }
}

function level(product: Product): StockLevel {
  const { sku, name, unitPrice, currency, onHand, sold, held } = product;
  return { sku, name, unitPrice, currency, onHand, sold, held, available: availableUnits(product) };
}
