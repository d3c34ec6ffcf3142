/** The words of an order. Money is in integer minor units, time in ms since the epoch. */

export type OrderState =
  | 'registered'
  | 'paid'
  | 'reserved'
  | 'fulfilled'
  | 'refunded'
  | 'failed'
  | 'cancelled'
  /** The system of record has it. */
  | 'synced'
  /** The system of record refused it, and somebody has settled that by hand. */
  | 'discarded';

export type Outcome = 'fulfilled' | 'refunded' | 'failed' | 'cancelled';

/** `after-reserve`: authorize, hold stock, then capture. `immediate`: charge, hold stock, refund if there is none. */
export type CaptureMode = 'after-reserve' | 'immediate';

export interface OrderLine {
  readonly sku: string;
  readonly quantity: number;
  readonly unitPrice: number;
}

export interface Customer {
  readonly id: string;
  readonly email: string;
  readonly name?: string;
  readonly address?: string;
}

/** What a customer asks for, before it has prices. */
export interface OrderRequest {
  readonly customer: Customer;
  readonly currency: string;
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
  readonly payment: { readonly method: string; readonly returnUrl?: string };
}

/**
 * `requested`: the provider was or may have been asked, its answer is not known yet. `action_required`: its customer has
 * to authenticate. `refund_pending`: the money is on its way back; `refund_failed`: it came back to the shop, which will
 * send it again.
 */
export type PaymentStatus =
  | 'pending'
  | 'requested'
  | 'action_required'
  | 'authorized'
  | 'captured'
  | 'refused'
  | 'voided'
  | 'refund_pending'
  | 'refund_failed'
  | 'refunded';

/** What the customer has to do: go to a page of the bank, or let the provider's script show it on the shop's own. */
export type NextAction =
  | { readonly type: 'redirect'; readonly url: string }
  | { readonly type: 'sdk'; readonly clientSecret: string };

/** An order as its events tell it; what `GET /orders/{id}` answers. */
export interface Order {
  readonly id: string;
  readonly state: OrderState;
  readonly outcome?: Outcome;
  /** Why it did not end as fulfilled, as a stable code such as `OUT_OF_STOCK` or `card_declined`. */
  readonly reason?: string;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly customer: Customer;
  readonly currency: string;
  readonly total: number;
  readonly lines: readonly OrderLine[];
  readonly capture: CaptureMode;
  readonly payment: {
    readonly method: string;
    readonly returnUrl?: string;
    readonly status: PaymentStatus;
    readonly intent?: string;
    readonly declineCode?: string;
    /** While the customer has to do something. */
    readonly nextAction?: NextAction;
  };
  /** A cancellation was accepted: the order will end `cancelled`. */
  readonly cancelRequested: boolean;
  /** The node that drives it now. */
  readonly home: string;
  /** Where its registration stands, as `n1:42`. */
  readonly registration: string;
  /** Hash of what was asked for; the same idempotency key with another one is refused. */
  readonly fingerprint: string;
  readonly traceparent?: string;
}
