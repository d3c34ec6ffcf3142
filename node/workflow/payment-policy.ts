/** How patient the order flow is with customers and with the payment provider. */
export interface PaymentPolicy {
  /** How long a customer has to authenticate. */
  readonly authenticateWithinMs: number;
  /** After this the provider's search finds what was made before it. */
  readonly searchLagMs: number;
}

export const PAYMENT_POLICY: PaymentPolicy = { authenticateWithinMs: 15 * 60_000, searchLagMs: 2 * 60_000 };
