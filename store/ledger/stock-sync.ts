import type { StockAnswer } from './answers.ts';
import type { Command } from './commands.ts';
import { limits } from './limits.ts';
import { close } from './order-records.ts';
import { rulesOf } from './stock-rules.ts';
import { dropIfGone, productToChange } from './stock-state.ts';
import type { StagedSync, StockState } from './stock-state.ts';

/**
 * What the system of record says of stock: syncs, which travel in parts and take effect whole (L7), and
 * corrections between two of them (L11). Owns the products' `onHand` and catalogue fields.
 */
export function sync(
  state: StockState,
  at: number,
  part: Extract<Command, { kind: 'stockSync' }>,
): StockAnswer {
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
  return applySync(state, at, staged);
}

function applySync(state: StockState, at: number, whole: StagedSync): StockAnswer {
  const named = new Set(whole.removed);
  for (const row of whole.products) named.add(row.sku);
  if (named.size !== whole.removed.length + whole.products.length) {
    return { kind: 'malformed', detail: 'a SKU is named twice in one sync' };
  }

  // L11. Rows that did not change are left out, so corrections of theirs are undone here.
  for (const { sku, delta } of state.adjustments.values()) {
    const product = productToChange(state, sku);
    if (product !== undefined) product.onHand -= delta;
  }
  state.adjustments.clear();

  for (const row of whole.products) {
    const product = productToChange(state, row.sku);
    const { sku, name, unitPrice, currency, onHand } = row;
    const told = { sku, name, unitPrice, currency, onHand, rules: rulesOf(row), listed: true };
    if (product === undefined) {
      const { snapshotNumber } = state;
      state.products.set(sku, { ...told, held: 0, sold: 0, snapshotNumber });
    } else Object.assign(product, told);
  }
  for (const orderId of whole.applied) {
    const record = state.orders.get(orderId);
    if (record?.state.kind !== 'committed' || record.state.counted) continue;
    close(state, record, { kind: 'committed', counted: true }, at);
  }
  for (const sku of whole.removed) {
    const product = productToChange(state, sku);
    if (product === undefined) continue;
    // L8. The system of record has none of it any more; what is promised shows as negative available.
    product.listed = false;
    product.onHand = 0;
    dropIfGone(state, product);
  }
  state.lastSyncAt = whole.takenAt;
  return { kind: 'synced', outcome: 'applied' };
}

export function adjust(state: StockState, command: Extract<Command, { kind: 'adjust' }>): StockAnswer {
  const { id, sku, delta } = command;
  if (state.adjustments.has(id)) return { kind: 'adjusted', applied: true };
  const product = productToChange(state, sku);
  if (product === undefined || !product.listed) return { kind: 'adjusted', applied: false };
  if (Math.abs(product.onHand + delta) > limits.unitsMax) return { kind: 'malformed', detail: 'delta' };
  if (state.adjustments.size >= limits.adjustmentsMax) {
    return { kind: 'malformed', detail: 'too many adjustments before the next sync' };
  }
  state.adjustments.set(id, { sku: product.sku, delta });
  product.onHand += delta;
  return { kind: 'adjusted', applied: true };
}
