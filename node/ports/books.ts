import type { OrderStock, StockLevel } from '../../store/ledger/port.ts';
import type { OrderLine, Outcome } from '../orders/order.ts';

/**
 * The four books in which an order leaves its mark, as the drift report reads them: the journal, the ledger, the payment
 * provider and the system of record. Pages go from the newest to the oldest, by creation; every page is bounded.
 */
export type BookName = 'journal' | 'ledger' | 'provider' | 'systemOfRecord';

/** A book that cannot be read now: nothing can be said of it. */
export class BookUnavailable extends Error {
  readonly code = 'BOOK_UNAVAILABLE';
  readonly book: BookName;
  constructor(book: BookName, detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.name = 'BookUnavailable';
    this.book = book;
  }
}

export interface Page<Row> {
  readonly rows: readonly Row[];
  /** Give it as `after` for the next page; absent on the last. */
  readonly next?: string;
}

export interface PageQuery {
  /** Rows created before it (ms) are not wanted. */
  readonly createdFrom: number;
  readonly after?: string;
  readonly limit: number;
}

/** An order as the journal tells it. */
export interface JournalOrder {
  readonly orderId: string;
  readonly createdAt: number;
  /** Of its last event, ms. */
  readonly changedAt: number;
  readonly outcome?: Outcome;
  /** It has ended, and nothing is left to do about its money. */
  readonly settled: boolean;
  readonly currency: string;
  readonly total: number;
  readonly lines: readonly OrderLine[];
  /** The payment that the order takes for its own. */
  readonly intent?: string;
  /** How far its outcome is on its way to the system of record. */
  readonly delivery: 'waiting' | 'parked' | 'delivered' | 'discarded';
}

export interface JournalBook {
  page(query: PageQuery): Promise<Page<JournalOrder>>;
  byIds(orderIds: readonly string[]): Promise<readonly JournalOrder[]>;
  /** Orders created before it (ms) are forgotten. */
  horizon(): number;
  /** Resolves with true once everything is known here that a majority holds. */
  catchUp(): Promise<boolean>;
}

/** Read on the node that leads, from its own copy. */
export interface LedgerBook {
  order(orderId: string): OrderStock | undefined;
  promises(): readonly OrderStock[];
  stocks(): readonly StockLevel[];
  unappliedSales(): readonly string[];
  freshness(): { readonly linearizable: boolean; readonly asOf: number };
}

/** A payment as the provider lists it, in minor units. */
export interface ListedPayment {
  readonly intent: string;
  /** The order that it was made for; absent for payments that are not Freehold's. */
  readonly orderId?: string;
  readonly createdAt: number;
  /** ISO 4217, upper case. */
  readonly currency: string;
  /** Set aside on the customer's account, and not taken. */
  readonly authorized: number;
  readonly captured: number;
  /** Given back, or on its way there. */
  readonly refunded: number;
}

/** Both reject with BookUnavailable. */
export interface ProviderBook {
  page(query: PageQuery): Promise<Page<ListedPayment>>;
  byIntent(intent: string): Promise<ListedPayment | undefined>;
}

/** An order as the system of record has it, in its latest revision. */
export interface BookedOrder {
  readonly orderId: string;
  readonly createdAt: number;
  readonly outcome: string;
  readonly currency: string;
  readonly total: number;
  readonly lines: readonly OrderLine[];
}

/** What the system of record says of how a figure came to be. */
export interface InventoryBook {
  readonly sku: string;
  readonly onHand: number;
  /** Units that were there when counting began. */
  readonly opening: number;
  /** All that was put in and taken out by others since: restocked and adjusted. */
  readonly changed: number;
  /** Units of fulfilled orders, by their lines. */
  readonly sold: number;
}

/** All reject with BookUnavailable, SystemOfRecordUnavailable, or NotSupportedBySystemOfRecord. */
export interface SystemOfRecordBook {
  page(query: PageQuery): Promise<Page<BookedOrder>>;
  byIds(orderIds: readonly string[]): Promise<readonly BookedOrder[]>;
  /** In one snapshot. */
  inventory(): Promise<readonly InventoryBook[]>;
}
