/** How far back orders go at this node, as the order flow has to know it; `node/retention` provides it. */
export interface Horizon {
  /** ms. Orders created before it are forgotten; 0 while none are. */
  horizon(): number;
  /**
   * Whether this node has asked recently enough what is forgotten. If not, it may be about to drive an order that
   * ended elsewhere so long ago that nobody can tell it so any more: it does nothing for any order.
   */
  isCurrent(): boolean;
  /** The ledger answered `forgotten` for an order that is here: not current until asked again. */
  doubt(): void;
}

/** What operators see of it. */
export interface RetentionStatus {
  /** ms; 0 while nothing was forgotten. */
  readonly horizon: number;
  /** By this node's clock; undefined while nothing was forgotten. */
  readonly ageMs?: number;
  /** How far the horizon is behind where `orders.retainFor` would have it, ms; undefined where that is not judged. */
  readonly behindMs?: number;
  /** The oldest order that keeps it there: one that is open, or that the system of record does not have. */
  readonly heldUpBy?: { readonly orderId: string; readonly createdAt: number };
}
