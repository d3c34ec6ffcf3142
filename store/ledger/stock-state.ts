import type { ProductRow, ReleaseReason, SaleRules, StockLine } from './port.ts';
import { TimeQueue } from './time-queue.ts';
import type { Queued } from './time-queue.ts';

/**
 * What the stock machine remembers. Plain data: the rules are in stock.ts and the files it names, the bytes in
 * stock-snapshot.ts.
 */
export interface StockState {
  readonly products: Map<string, Product>;
  /** One record per order that any command named, until it is forgotten. */
  readonly orders: Map<string, OrderRecord>;
  /** Orders committed and not yet contained in `onHand`. Derived from `orders`. */
  readonly unapplied: Set<string>;
  /** Holds that stand, by expiry. Derived from `orders`. */
  readonly expiries: TimeQueue<Hold>;
  /** Records that promise no units, by the date past which they may be forgotten. Derived from `orders`. */
  readonly closed: TimeQueue<OrderRecord>;
  /**
   * Units held and sold, summed up order by order. The products' counters must come to the same. Derived from
   * `orders`.
   */
  readonly promised: { held: number; sold: number };
  /** The snapshot that is being read out, which must see what it has not seen yet before that changes. */
  snapshot: SnapshotInProgress | undefined;
  /** Of the snapshot that was begun last. */
  snapshotNumber: number;
  /** What a snapshot found when it counted again: always 0. */
  miscounted: number;
  /** Corrections since the last sync, by id. */
  readonly adjustments: Map<string, Adjustment>;
  /** Parts of a sync that is not complete yet. */
  staged: StagedSync | undefined;
  lastSyncAt: number;
  /** Orders created before this (ms), of which there is no record, ended long ago. 0: nothing was forgotten yet. */
  horizon: number;
}

/** What a snapshot has to know of a record: whether it has it. */
interface InSnapshots {
  /** The number of the last snapshot that has the record, or that was begun before there was one. */
  snapshotNumber: number;
}

export interface SnapshotInProgress {
  abandon(): void;
  order(record: OrderRecord): void;
  product(product: Product): void;
}

export interface Product extends InSnapshots {
  readonly sku: string;
  name: string;
  unitPrice: number;
  currency: string;
  rules: SaleRules;
  onHand: number;
  /** Σ units of standing holds. */
  held: number;
  /** Σ units of unapplied orders. */
  sold: number;
  /** False once the system of record dropped it; then kept only while units are promised. */
  listed: boolean;
}

export interface OrderRecord extends Queued, InSnapshots {
  /** Of the first hold; empty when there was none. */
  fingerprint: string;
  /** What is held or sold; emptied once the units are neither, to keep a closed order small. */
  lines: readonly StockLine[];
  state: OrderState;
  /** The registration that claimed the order first. */
  registration: string | undefined;
  /** The latest of its creation, as any command tells it, and of its closing, ms. */
  datedAt: number;
}

export interface Hold extends Queued {
  readonly kind: 'held';
  readonly expiresAt: number;
}

export type OrderState =
  | Hold
  /** `counted`: its units have left `sold`, because `onHand` contains the sale. */
  | { readonly kind: 'committed'; readonly counted: boolean }
  | { readonly kind: 'released'; readonly reason: ReleaseReason }
  | { readonly kind: 'expired' }
  | { readonly kind: 'refused'; readonly reason: 'OUT_OF_STOCK' | 'UNKNOWN_SKU'; readonly sku: string }
  /** A registration was claimed for it; units were not asked for yet. */
  | { readonly kind: 'claimed' };

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
    expiries: new TimeQueue((hold) => hold.expiresAt),
    closed: new TimeQueue((record) => record.datedAt),
    promised: { held: 0, sold: 0 },
    snapshot: undefined,
    snapshotNumber: 0,
    miscounted: 0,
    adjustments: new Map(),
    staged: undefined,
    lastSyncAt: 0,
    horizon: 0,
  };
}

/** Units that may still be promised. Negative when the system of record reports fewer than are promised. */
export function availableUnits(product: Product): number {
  return product.onHand - product.sold - product.held;
}

/** In which of a product's counters the units of an order in this state stand. */
export function promiseOf(state: OrderState): 'held' | 'sold' | undefined {
  if (state.kind === 'held') return 'held';
  return state.kind === 'committed' && !state.counted ? 'sold' : undefined;
}

/** A product that is about to change. */
export function productToChange(state: StockState, sku: string): Product | undefined {
  const product = state.products.get(sku);
  if (product !== undefined && product.snapshotNumber !== state.snapshotNumber)
    state.snapshot?.product(product);
  return product;
}

/** An order's record that is about to change, or to go. */
export function beforeChange(state: StockState, record: OrderRecord): void {
  if (record.snapshotNumber !== state.snapshotNumber) state.snapshot?.order(record);
}

/** A SKU that the system of record dropped is remembered only while some of it is promised. */
export function dropIfGone(state: StockState, product: Product): void {
  if (!product.listed && product.held === 0 && product.sold === 0) state.products.delete(product.sku);
}

/**
 * How far the products' counters are from the units that the orders promise, summed up as they came and went.
 * Always 0. Reads the products only; the thorough count is made with each snapshot (recount.ts).
 */
export function conservationResidual(state: StockState): number {
  let { held, sold } = state.promised;
  let belowZero = 0;
  for (const product of state.products.values()) {
    held -= product.held;
    sold -= product.sold;
    belowZero += Math.max(0, -product.held) + Math.max(0, -product.sold);
  }
  return Math.abs(held) + Math.abs(sold) + belowZero + state.miscounted;
}
