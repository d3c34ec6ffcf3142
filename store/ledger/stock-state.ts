import { ExpiryQueue } from './expiry-queue.ts';
import type { Expiring } from './expiry-queue.ts';
import type { ProductRow, ReleaseReason, StockLine } from './port.ts';

/** What the stock machine remembers. Plain data: the rules are in stock.ts, the bytes in stock-snapshot.ts. */
export interface StockState {
  readonly products: Map<string, Product>;
  /** Every order that was ever decided, in order of its first command: the answers stand for ever. */
  readonly orders: Map<string, OrderRecord>;
  /** Orders committed and not yet contained in `onHand`, in order of commit. */
  readonly unapplied: Set<string>;
  /** Holds that stand, by expiry. Derived from `orders`. */
  readonly expiries: ExpiryQueue<Hold>;
  /** Order id to the registration that claimed it first. */
  readonly registrations: Map<string, string>;
  /** Corrections since the last sync, by id. */
  readonly adjustments: Map<string, Adjustment>;
  /** Parts of a sync that is not complete yet. */
  staged: StagedSync | undefined;
  lastSyncAt: number;
}

export interface Product {
  readonly sku: string;
  name: string;
  unitPrice: number;
  currency: string;
  onHand: number;
  /** Σ units of standing holds. */
  held: number;
  /** Σ units of unapplied orders. */
  sold: number;
  /** False once the system of record dropped it; then kept only while units are promised. */
  listed: boolean;
}

export interface OrderRecord {
  readonly orderId: string;
  /** Of the first hold; empty when the order was closed before any. */
  readonly fingerprint: string;
  /** What is held or sold; emptied once the units are neither, to keep a closed order small. */
  lines: readonly StockLine[];
  state: OrderState;
}

export interface Hold extends Expiring {
  readonly kind: 'held';
}

export type OrderState =
  | Hold
  /** `counted`: its units have left `sold`, because `onHand` contains the sale. */
  | { readonly kind: 'committed'; readonly counted: boolean }
  | { readonly kind: 'released'; readonly reason: ReleaseReason }
  | { readonly kind: 'expired' }
  | { readonly kind: 'refused'; readonly reason: 'OUT_OF_STOCK' | 'UNKNOWN_SKU'; readonly sku: string };

export interface Adjustment {
  readonly sku: string;
  readonly delta: number;
}

export interface StagedSync {
  readonly takenAt: number;
  readonly parts: number;
  /** Parts 0 to received − 1 are here. */
  received: number;
  readonly products: ProductRow[];
  readonly removed: string[];
  readonly applied: string[];
}

export const noLines: readonly StockLine[] = [];

export function emptyState(): StockState {
  return {
    products: new Map(),
    orders: new Map(),
    unapplied: new Set(),
    expiries: new ExpiryQueue(),
    registrations: new Map(),
    adjustments: new Map(),
    staged: undefined,
    lastSyncAt: 0,
  };
}

/** Units that may still be promised. Negative when the system of record reports fewer than are promised. */
export function availableUnits(product: Product): number {
  return product.onHand - product.sold - product.held;
}

/**
 * Counts held and sold again from the order records and sums, over all SKUs, how far the counters are off.
 * Always 0; reads every order.
 */
export function conservationResidual(state: StockState): number {
  const held = new Map<string, number>();
  const sold = new Map<string, number>();
  for (const record of state.orders.values()) {
    const promised =
      record.state.kind === 'held'
        ? held
        : record.state.kind === 'committed' && !record.state.counted
          ? sold
          : undefined;
    if (promised === undefined) continue;
    for (const { sku, quantity } of record.lines) promised.set(sku, (promised.get(sku) ?? 0) + quantity);
  }
  let residual = 0;
  for (const product of state.products.values()) {
    residual += Math.abs(product.held - (held.get(product.sku) ?? 0));
    residual += Math.abs(product.sold - (sold.get(product.sku) ?? 0));
    held.delete(product.sku);
    sold.delete(product.sku);
  }
  // What is left was promised of a product that the ledger has forgotten.
  for (const units of held.values()) residual += units;
  for (const units of sold.values()) residual += units;
  return residual;
}
