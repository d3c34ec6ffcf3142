import type { CaptureMode } from '../orders/order.ts';

export type PaymentAnswer =
  | { readonly kind: 'authorized'; readonly intent: string }
  | { readonly kind: 'captured'; readonly intent: string }
  | { readonly kind: 'voided'; readonly intent: string }
  | { readonly kind: 'refunded'; readonly intent: string; readonly refund: string }
  /** The provider's last word on this attempt. */
  | {
      readonly kind: 'refused';
      readonly code: string;
      readonly declineCode?: string;
      readonly intent?: string;
    }
  /** Time-out, 5xx, connection lost, still processing: it may have happened. Ask again with the same key. */
  | { readonly kind: 'unknown'; readonly reason: string; readonly retryAfterMs?: number }
  /** Nothing was done: rate limit, open circuit, full queue. Send again later. */
  | { readonly kind: 'postponed'; readonly reason: string; readonly retryAfterMs: number };

export interface PaymentRequest {
  readonly orderId: string;
  /** From 1; raised only after a definite answer, never after `unknown`. */
  readonly attempt: number;
  readonly amount: number;
  readonly currency: string;
  readonly traceparent?: string;
  /**
   * When this was first asked for, ms. Providers forget idempotency keys after a day: a payment older than that is
   * looked up before it is sent again.
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
    request: PaymentRequest & { readonly method: string; readonly capture: CaptureMode },
  ): Promise<PaymentAnswer>;
  capture(request: PaymentRequest & { readonly intent: string }): Promise<PaymentAnswer>;
  /** Void an uncaptured intent or refund a captured one, by what the provider says its state is. */
  reverse(request: PaymentRequest & { readonly intent: string }): Promise<PaymentAnswer>;
  /** What the provider knows of this intent now. */
  lookUp(intent: string): Promise<PaymentAnswer>;
  /** Verifies the signature over the raw body. Undefined when it is not the provider's. */
  verifyWebhook(
    rawBody: Buffer,
    signature: string,
  ): { readonly eventId: string; readonly type: string; readonly orderId?: string } | undefined;
  close(): Promise<void>;
}
