import type { BookName } from './books.ts';
import type { Deadline } from './deadline.ts';

/** What the drift report says: the differences between journal, ledger, payment provider and system of record. */
export type DifferenceCode =
  // Money
  | 'PAYMENT_WITHOUT_ORDER'
  | 'CHARGED_TWICE'
  | 'MONEY_KEPT'
  | 'AUTHORIZATION_LEFT'
  | 'FULFILLED_UNPAID'
  | 'AMOUNT_DIFFERS'
  // Orders in the system of record
  | 'MISSING_IN_RECORD'
  | 'NOT_DELIVERED'
  | 'UNKNOWN_IN_RECORD'
  | 'OUTCOME_DIFFERS'
  | 'LINES_DIFFER'
  | 'DISCARDED_BUT_APPLIED'
  // Orders in the ledger
  | 'FULFILLED_NOT_COMMITTED'
  | 'COMMITTED_NOT_FULFILLED'
  | 'COUNTED_NOT_APPLIED'
  | 'HOLD_LEFT'
  | 'PROMISED_LINES_DIFFER'
  | 'PROMISE_WITHOUT_ORDER'
  // Products
  | 'INVENTORY_UNEXPLAINED'
  | 'STOCK_DIFFERS'
  | 'PROMISES_DIFFER';

export interface Difference {
  readonly code: DifferenceCode;
  /** What it is about: an order, a product, or both. */
  readonly orderId?: string;
  readonly sku?: string;
  /** What each book says, for people. Holds no personal data. */
  readonly figures: Readonly<Partial<Record<BookName, string>>>;
  /** What to do about it. */
  readonly advice: string;
}

export interface DriftReport {
  readonly startedAt: number;
  readonly finishedAt: number;
  /** Orders created before it (ms) were not compared one by one: they are forgotten here, or were not asked for. */
  readonly comparedFrom: number;
  /** What changed after it (ms) is in flight, and was left out. */
  readonly comparedUntil: number;
  readonly compared: {
    readonly orders: number;
    readonly inFlight: number;
    readonly payments: number;
    /** Payments that name no order: not Freehold's. */
    readonly foreignPayments: number;
    readonly booked: number;
    readonly products: number;
    /** Outcomes that somebody discarded: not expected in the system of record. */
    readonly discarded: number;
  };
  /** At most 1,000. */
  readonly differences: readonly Difference[];
  /** Orders that seemed to differ beyond those that were looked at twice: put the first ones right and ask again. */
  readonly unchecked: number;
  /** What could not be judged, and why; for people. */
  readonly notes: readonly string[];
}

export interface Drift {
  /**
   * Compares the books, on the node that leads the ledger. Rejects with ReconcilerError: NOT_LEADER elsewhere, BUSY
   * while another one is being made here, BOOK_UNAVAILABLE when a book cannot be read; with DeadlineExceeded when nobody
   * waits for it any more.
   */
  report(
    options: {
      /** Orders created before it (ms) are left out. */
      readonly since?: number;
    },
    deadline?: Deadline,
  ): Promise<DriftReport>;
}
