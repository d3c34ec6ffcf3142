import type { Cancel, NodeId } from '../environment.ts';

export interface StockLine {
  readonly sku: string;
  /** Positive integer. */
  readonly quantity: number;
}

/** Why units went back, or why an order that never held any is closed. The first reason given stands. */
export type ReleaseReason = 'cancelled' | 'failed' | 'refunded' | 'abandoned';

/**
 * The order was created before the horizon, and the ledger has no record of it: it ended long ago, everywhere. Nothing
 * was changed, and nothing may be done for it any more.
 */
export interface Forgotten {
  readonly kind: 'forgotten';
}

export type HoldAnswer =
  | { readonly kind: 'held'; readonly expiresAt: number }
  | { readonly kind: 'committed' }
  | { readonly kind: 'expired' }
  | { readonly kind: 'released'; readonly reason: ReleaseReason }
  | { readonly kind: 'refused'; readonly reason: 'OUT_OF_STOCK' | 'UNKNOWN_SKU'; readonly sku: string }
  /** The same order id was held with other lines: a bug or an attack upstream. */
  | { readonly kind: 'conflict' }
  | Forgotten;

export type CommitAnswer =
  | { readonly kind: 'committed' }
  | { readonly kind: 'expired' }
  | { readonly kind: 'released'; readonly reason: ReleaseReason }
  /** There is no hold to commit: none was asked for, or it was refused. */
  | { readonly kind: 'absent' }
  | Forgotten;

export type ReleaseAnswer =
  /** Released, now or before; `reason` is the first one given. An order never seen is closed by this. */
  { readonly kind: 'released'; readonly reason: ReleaseReason } | { readonly kind: 'committed' } | Forgotten;

export type ClaimAnswer =
  /** The first registration claimed for the order stands, whoever asks (as `n1:42`). */
  { readonly kind: 'claimed'; readonly registration: string } | Forgotten;

/** Which order a command is about. */
export interface OrderReference {
  readonly orderId: string;
  /** When it was created, ms by the clock of the node that registered it: whether it is behind the horizon. */
  readonly createdAt: number;
}

/** Rules of sale that a product has of its own, as the system of record says; where it has none, the shop's hold. */
export interface SaleRules {
  /** How long its units are set aside for an order, ms. */
  readonly holdMs?: number;
  /** Units of it that one order may have at most. */
  readonly maxPerOrder?: number;
}

export interface ProductRow extends SaleRules {
  readonly sku: string;
  readonly name: string;
  /** Minor units. */
  readonly unitPrice: number;
  /** ISO 4217. */
  readonly currency: string;
  /** Units in the system of record when it was read. */
  readonly onHand: number;
}

export interface StockSync {
  /** The system of record's clock at its snapshot, ms; a sync older than the last applied one is ignored. */
  readonly takenAt: number;
  /** New or changed rows. Rows that did not change may be left out. */
  readonly products: readonly ProductRow[];
  /** SKUs the system of record no longer lists: they stop selling. */
  readonly removed: readonly string[];
  /** Orders whose sale `onHand` already contains. Unknown or already counted ids are ignored. */
  readonly applied: readonly string[];
}

export interface StockLevel extends ProductRow {
  /** Committed, not yet contained in `onHand`. */
  readonly sold: number;
  readonly held: number;
  /** onHand − sold − held; negative when the system of record reports fewer units than are promised. */
  readonly available: number;
}

/** What the ledger keeps of an order. */
export type OrderStock = {
  readonly orderId: string;
  /** Empty once its units are neither held nor sold. */
  readonly lines: readonly StockLine[];
} & (
  | { readonly kind: 'held'; readonly expiresAt: number }
  /** `counted`: `onHand` contains the sale. */
  | { readonly kind: 'committed'; readonly counted: boolean }
  | { readonly kind: 'released' | 'expired' | 'refused' | 'claimed' }
);

export type LedgerErrorCode = 'NO_LEADER' | 'TIMEOUT' | 'QUEUE_FULL' | 'CLOSED';

/** The command's fate is unknown, unless the code is QUEUE_FULL. Every command may be sent again. */
export class LedgerError extends Error {
  readonly code: LedgerErrorCode;
  constructor(code: LedgerErrorCode, detail: string) {
    super(`${code}: ${detail}`);
    this.name = 'LedgerError';
    this.code = code;
  }
}

/** How long a command may stay undecided, if less than usual. It is no longer: its fate is unknown after that. */
export interface CommandPatience {
  readonly timeoutMs?: number;
}

/**
 * Where stock is decided. Callers do not know where or how: a later version may answer from this node's own
 * share. All commands are linearizable, idempotent by order id, and reject with LedgerError when undecided.
 */
export interface Ledger {
  hold(
    hold: OrderReference & {
      readonly fingerprint: string;
      readonly lines: readonly StockLine[];
      readonly ttlMs: number;
    },
  ): Promise<HoldAnswer>;
  commit(order: OrderReference): Promise<CommitAnswer>;
  release(
    order: OrderReference & { readonly reason: ReleaseReason },
    patience?: CommandPatience,
  ): Promise<ReleaseAnswer>;
  claim(
    order: OrderReference & { readonly registration: string },
    patience?: CommandPatience,
  ): Promise<ClaimAnswer>;
  sync(sync: StockSync): Promise<{ readonly applied: boolean }>;
  /** Back-office correction of `onHand` until the next sync reads the real figure. Idempotent by `id`. */
  adjust(
    adjustment: { readonly id: string; readonly sku: string; readonly delta: number },
    patience?: CommandPatience,
  ): Promise<{ readonly applied: boolean }>;
  /**
   * Raises the horizon to `before` (ms), if it is lower: every order created before it has ended, or so the caller
   * knows. The ledger then forgets those that promise no units, bit by bit. Answers the horizon that holds now.
   */
  forget(before: number): Promise<{ readonly horizon: number }>;

  /** This node's copy. */
  stock(sku: string): StockLevel | undefined;
  stocks(): readonly StockLevel[];
  /** Orders whose committed units `onHand` does not contain yet, by this node's copy. */
  unappliedSales(): readonly string[];
  /** Undefined when this node's copy keeps nothing of the order. */
  order(orderId: string): OrderStock | undefined;
  /** The orders whose units make up `held` and `sold`, by this node's copy. */
  promises(): readonly OrderStock[];
  /** `takenAt` of the last applied sync; 0 when there was none. */
  lastSyncAt(): number;
  /** By this node's copy, ms; 0 while nothing was ever forgotten. */
  horizon(): number;
  /** Told each time this node's copy learns of a higher horizon; and at once, when there is one. */
  onHorizon(handler: (horizon: number) => void): Cancel;
  /**
   * How far the units that products count as held and sold are from those that orders promise, in sum.
   * Always 0, or stock was made or lost. Cheap: both sides are counted as they change.
   */
  conservationResidual(): number;

  /**
   * How fresh this node's copy is. `linearizable` only on the leader, under its lease and with everything
   * committed applied; `asOf` is the leader's stamp (ms) on the last applied command.
   */
  freshness(): { readonly linearizable: boolean; readonly asOf: number };
  status(): LedgerStatus;
  /**
   * Told when this node gains (lease held, all applied) or loses leadership, and at once when it leads already. The role
   * in `status` says less: a leader may have no lease yet, or none any more.
   */
  onLeadership(handler: (leading: boolean) => void): Cancel;
}

export interface LedgerStatus {
  readonly role: 'leader' | 'follower' | 'candidate' | 'observer';
  readonly leader?: NodeId;
  readonly term: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** On the leader: the last index each member holds. */
  readonly match: Readonly<Record<NodeId, number>>;
}
