import type { Deadline } from './deadline.ts';

/** A change of what is on hand that no order made: counted, broken, found, delivered. */
export interface StockAdjustment {
  /** Names the change: the same id is the same change, however often it is asked for. */
  readonly id: string;
  readonly sku: string;
  /** `restock` adds units that came in; `correction` puts the figure right, up or down. */
  readonly kind: 'restock' | 'correction';
  /** Units, not 0. */
  readonly delta: number;
  readonly reason: string;
  /** Who answers for it. */
  readonly by: string;
}

export type AdjustmentAnswer =
  | {
      readonly kind: 'adjusted';
      readonly adjustment: StockAdjustment;
      /** ms, by the system of record's clock. */
      readonly at: number;
      /** In the system of record, after this change and whatever came since. */
      readonly onHand: number;
      /** It was made by an earlier request with this id. */
      readonly replayed: boolean;
    }
  | {
      readonly kind: 'refused';
      /** ADJUSTMENT_REFUSED: by a rule or bound of the system of record's own, which the words name; nothing was recorded. */
      readonly code: 'SKU_NOT_FOUND' | 'ON_HAND_SHORT' | 'IDEMPOTENCY_KEY_REUSED' | 'ADJUSTMENT_REFUSED';
      readonly detail: string;
    };

/**
 * Rejects with SystemOfRecordUnavailable: the change may have been made; the same id again makes it once. Or with
 * NotSupportedBySystemOfRecord or DeadlineExceeded: it was not made.
 */
export interface StockAdjustments {
  adjust(adjustment: StockAdjustment, deadline?: Deadline): Promise<AdjustmentAnswer>;
}
