import type { SaleRules } from '../../store/ledger/port.ts';
import type { Order, Outcome } from '../orders/order.ts';

export interface InventorySnapshot {
  /** The system of record's clock at the snapshot, ms. */
  readonly takenAt: number;
  readonly products: readonly (SaleRules & {
    readonly sku: string;
    readonly name: string;
    readonly unitPrice: number;
    readonly currency: string;
    readonly onHand: number;
  })[];
  /** Orders applied there, among those asked about and those applied recently. */
  readonly applied: readonly string[];
}

export interface OutcomeRecord {
  readonly order: Order;
  readonly outcome: Outcome;
  /** 1 for the outcome of an order. */
  readonly revision: number;
  /** The order's audit trail, oldest first. */
  readonly events: readonly {
    readonly id: string;
    readonly type: string;
    readonly at: number;
    readonly node: string;
  }[];
}

/** Thrown by a SystemOfRecord that cannot be reached or is failing: try again later, nothing is known. */
export class SystemOfRecordUnavailable extends Error {
  override readonly name = 'SystemOfRecordUnavailable';
}

/** Thrown where this kind of system of record does not offer what is asked: trying again is no use. */
export class NotSupportedBySystemOfRecord extends Error {
  override readonly name = 'NotSupportedBySystemOfRecord';
}

/**
 * The shop's own database, or what stands before it. Every method rejects with SystemOfRecordUnavailable when it is
 * away.
 */
export interface SystemOfRecord {
  /** Creates or upgrades the schema. Safe to run on every node at once. */
  migrate(): Promise<void>;
  productCount(): Promise<number>;
  /** Inventory, catalogue and applied orders in one database snapshot. */
  readInventory(unappliedSales: readonly string[]): Promise<InventorySnapshot>;
  /**
   * Applies outcomes: order, lines, inventory and audit trail in one transaction, each (order, revision)
   * once however often it is sent. `parked` are those the database refuses, with the reason; the others are
   * applied all the same.
   */
  applyOutcomes(outcomes: readonly OutcomeRecord[]): Promise<{
    readonly applied: readonly { readonly orderId: string; readonly revision: number }[];
    readonly parked: readonly { readonly orderId: string; readonly reason: string }[];
  }>;
  close(): Promise<void>;
}
