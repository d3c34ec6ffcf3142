/**
 * Where a payment provider's bad days plug in. A plan looks at each request and may spoil it; it is asked once
 * per request, before anything else happens. No plan: a perfect provider.
 */
export type FaultPlan = (request: SandboxRequest) => Fault | undefined;

export interface SandboxRequest {
  /** Counts from 1 since the start. */
  readonly number: number;
  /** ms. */
  readonly at: number;
  readonly method: string;
  /** Without the query, such as `/v1/payment_intents`. */
  readonly path: string;
  /** From the metadata, where the request carries it. */
  readonly orderId: string | undefined;
}

export type Fault =
  /** Turned away ahead of the idempotency layer: nothing is done, nothing is remembered. */
  | { readonly kind: 'refuse'; readonly status: 429 | 500 | 502 | 503; readonly retryAfterSeconds?: number }
  /** Done at once, answered `ms` later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** The connection breaks without an answer: before (`done: false`) or after doing what was asked. */
  | { readonly kind: 'hangUp'; readonly done: boolean }
  /** Done, and then answered with 500; that answer is what the idempotency key remembers. */
  | { readonly kind: 'fail' };

export const noFaults: FaultPlan = () => undefined;
