import type { CaptureMode, Customer, NextAction, OrderLine } from './order.ts';

/**
 * Facts about an order, as the journal keeps them. A fact is never changed or withdrawn by another arriving
 * earlier or later: the order is a fold over the *set* (see fold.ts).
 */
export type OrderFact =
  | {
      readonly type: 'registered';
      readonly data: {
        readonly customer: Customer;
        readonly currency: string;
        readonly total: number;
        readonly lines: readonly OrderLine[];
        readonly method: string;
        /** Where the customer comes back to after authenticating; part of what the provider is asked with. */
        readonly returnUrl?: string;
        readonly capture: CaptureMode;
        readonly fingerprint: string;
      };
    }
  /** Its client is about to be told that this registration is the order. Where later facts say so, it is left out. */
  | { readonly type: 'accepted'; readonly data: Record<string, never> }
  /** This registration lost its claim to another: as if it had never been. */
  | { readonly type: 'withdrawn'; readonly data: Record<string, never> }
  /** Its client was told 503, or nothing: it waits for a retry and is not driven until one comes. */
  | { readonly type: 'deferred'; readonly data: { readonly reason: string } }
  /** `node` drives it from here on: `from` is gone, or was restarted, or its client came back at `node`. */
  | { readonly type: 'takenOver'; readonly data: { readonly from: string } }
  /**
   * Kept before the provider is asked: from here on money may have moved, whatever is heard. A higher attempt says that
   * the one before it made no payment and can make none any more.
   */
  | { readonly type: 'paymentRequested'; readonly data: { readonly attempt: number } }
  /** Nothing new will come of this attempt's key: the provider repeats an outage under it, or has forgotten it. */
  | { readonly type: 'paymentSpent'; readonly data: { readonly attempt: number; readonly reason: string } }
  /** The provider is at work on it, and says the outcome later. */
  | { readonly type: 'paymentProcessing'; readonly data: PaymentName }
  /** It waits for its customer, until `expiresAt` (ms). */
  | {
      readonly type: 'paymentActionRequired';
      readonly data: PaymentName & { readonly nextAction: NextAction; readonly expiresAt: number };
    }
  /** The provider sent word about one of the order's payments: its state has to be asked for. */
  | {
      readonly type: 'paymentNotified';
      readonly data: {
        readonly eventId: string;
        readonly eventType: string;
        readonly intent?: string;
        readonly attempt?: number;
      };
    }
  | {
      readonly type: 'paid';
      readonly data: PaymentName & { readonly mode: 'authorized' | 'captured' };
    }
  | {
      readonly type: 'paymentRefused';
      readonly data: Partial<PaymentName> & { readonly code: string; readonly declineCode?: string };
    }
  | { readonly type: 'reserved'; readonly data: { readonly expiresAt: number } }
  | { readonly type: 'outOfStock'; readonly data: { readonly code: string; readonly sku?: string } }
  | { readonly type: 'captured'; readonly data: { readonly intent: string; readonly attempt?: number } }
  | { readonly type: 'captureRefused'; readonly data: Partial<PaymentName> & { readonly code: string } }
  /** The hold was gone when it was to be committed: expired, or released by a cancellation. */
  | { readonly type: 'holdLost'; readonly data: { readonly code: string } }
  | { readonly type: 'cancelRequested'; readonly data: Record<string, never> }
  /** The money is on its way back. */
  | { readonly type: 'refundPending'; readonly data: PaymentName & { readonly refund: string } }
  /** It did not arrive: the shop has it again, and owes it. */
  | {
      readonly type: 'refundFailed';
      readonly data: PaymentName & {
        readonly refund: string;
        readonly code: string;
        /** The provider's message that led to asking. */
        readonly eventId?: string;
      };
    }
  /** The money is back: an authorization voided, or a charge refunded. */
  | {
      readonly type: 'reversed';
      readonly data: Partial<PaymentName> & {
        readonly how: 'voided' | 'refunded';
        readonly refund?: string;
        /** The provider's message, doubting that, which it answers. */
        readonly eventId?: string;
      };
    }
  | { readonly type: 'fulfilled'; readonly data: Record<string, never> }
  | { readonly type: 'refunded'; readonly data: { readonly code: string } }
  | { readonly type: 'failed'; readonly data: { readonly code: string } }
  | { readonly type: 'cancelled'; readonly data: Record<string, never> }
  | { readonly type: 'synced'; readonly data: { readonly revision: number } }
  /** The system of record refuses its outcome: it waits there for somebody. Kept once for each reason in a row. */
  | { readonly type: 'deliveryRefused'; readonly data: { readonly code: string; readonly detail: string } }
  /** Somebody has seen to it that the system of record is as it should be: the outcome is not delivered any more. */
  | { readonly type: 'discarded'; readonly data: { readonly reason: string; readonly by: string } }
  /** A function failed on this order; it is tried again later. For the audit trail only. */
  | { readonly type: 'parked'; readonly data: { readonly code: string; readonly detail: string } };

/**
 * Which payment a fact is about. Facts without one, from before payments were told apart, are about the only one that
 * their order had.
 */
export interface PaymentName {
  /** The provider's own name for it. */
  readonly intent: string;
  /** The attempt that made it, from 1. */
  readonly attempt: number;
}

export type OrderFactType = OrderFact['type'];

export interface EventHeader {
  readonly orderId: string;
  /** ms, by the clock of `node`. */
  readonly at: number;
  readonly node: string;
  /** The function that decided it, and its module's SHA-256; absent when the host did. */
  readonly function?: string;
  readonly version?: string;
  /** The event this one follows from, as `n1:42`. */
  readonly cause?: string;
  readonly traceparent?: string;
  /** The registration this event builds on, as `n1:42`: what makes one of several the order's. */
  readonly registration?: string;
}

/** What is written to the journal. */
export type OrderEvent = EventHeader & OrderFact;

/** An event with its place in the journal, `n1:42`: unique, and the tie-breaker of the fold. */
export type RecordedEvent = OrderEvent & { readonly id: string };
