import type { CaptureMode, NextAction } from '../orders/order.ts';

export type PaymentAnswer =
  | { readonly kind: 'authorized'; readonly intent: string }
  | { readonly kind: 'captured'; readonly intent: string }
  /** Captured, but not the sum that was asked for: somebody has to look. */
  | { readonly kind: 'otherSum'; readonly intent: string; readonly amount: number }
  /** It waits for its customer. */
  | { readonly kind: 'actionRequired'; readonly intent: string; readonly nextAction: NextAction }
  | { readonly kind: 'voided'; readonly intent: string }
  | { readonly kind: 'refunded'; readonly intent: string; readonly refund: string }
  /** On its way back to the customer. */
  | { readonly kind: 'refundPending'; readonly intent: string; readonly refund: string }
  /** It did not arrive: the shop has the money again. */
  | {
      readonly kind: 'refundFailed';
      readonly intent: string;
      readonly refund: string;
      readonly code: string;
    }
  /** The provider's last word on this attempt. */
  | {
      readonly kind: 'refused';
      readonly code: string;
      readonly declineCode?: string;
      readonly intent?: string;
    }
  /** Nothing new will come of this attempt's key. What came of it before, `find` tells once search has caught up. */
  | { readonly kind: 'spent'; readonly reason: string }
  /** Search finds no payment of this attempt. It lags behind by a minute or so. */
  | { readonly kind: 'absent' }
  /**
   * Time-out, 5xx, connection lost: it may have happened. Ask again with the same key; where the payment is known by
   * name, because it is still processing, look it up.
   */
  | {
      readonly kind: 'unknown';
      readonly reason: string;
      readonly intent?: string;
      readonly retryAfterMs?: number;
    }
  /** Nothing was done: rate limit, open circuit, full queue. Send again later. */
  | { readonly kind: 'postponed'; readonly reason: string; readonly retryAfterMs: number };

export interface PaymentRequest {
  readonly orderId: string;
  /** From 1; raised only when the one before made no payment and can make none any more, never after `unknown`. */
  readonly attempt: number;
  readonly amount: number;
  readonly currency: string;
  readonly traceparent?: string;
  /**
   * When this attempt was first asked for at the earliest, ms. Providers forget idempotency keys after a day: what is
   * older than that is only looked for.
   */
  readonly firstAskedAt?: number;
}

/**
 * Where money is decided. The idempotency key is derived from order id, operation and attempt, so every node
 * sends the same one: asking again returns the first answer. Methods never reject for what the provider or
 * the network does; that is an answer.
 */
export interface PaymentProvider {
  /** Create and confirm. `after-reserve` authorizes only, `immediate` captures at once. */
  pay(
    request: PaymentRequest & {
      readonly method: string;
      readonly capture: CaptureMode;
      /** Where the customer comes back to, should the bank want to see them. */
      readonly returnUrl?: string;
    },
  ): Promise<PaymentAnswer>;
  capture(request: PaymentRequest & { readonly intent: string }): Promise<PaymentAnswer>;
  /** Void an uncaptured intent or refund a captured one, by what the provider says its state is. */
  reverse(request: PaymentRequest & { readonly intent: string }): Promise<PaymentAnswer>;
  /** Void an intent that is not captured; answers how it stands when it is. */
  cancel(request: PaymentRequest & { readonly intent: string }): Promise<PaymentAnswer>;
  /** What the provider knows of this intent now. */
  lookUp(intent: string): Promise<PaymentAnswer>;
  /** How this refund stands now. */
  lookUpRefund(payment: { readonly intent: string; readonly refund: string }): Promise<PaymentAnswer>;
  /** This attempt's payment, by the order it is for. */
  find(request: PaymentRequest): Promise<PaymentAnswer>;
  /** Verifies the signature over the raw body. Undefined when it is not the provider's. */
  verifyWebhook(rawBody: Buffer, signature: string): PaymentMessage | undefined;
  close(): Promise<void>;
}

/** The part of a provider that the order flow uses. */
export type Payments = Omit<PaymentProvider, 'verifyWebhook' | 'close'>;

/** Word from the provider that something changed. It says what to ask about, and is not believed for more. */
export interface PaymentMessage {
  readonly eventId: string;
  readonly type: string;
  readonly orderId?: string;
  readonly intent?: string;
  readonly attempt?: number;
}
