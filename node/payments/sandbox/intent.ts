/** Payments as the sandbox keeps them. Immutable: a change makes a new version, and old answers keep theirs. */
export type IntentStatus =
  | 'requires_payment_method'
  | 'requires_confirmation'
  | 'requires_action'
  | 'requires_capture'
  | 'succeeded'
  | 'canceled';

export interface Intent {
  readonly id: string;
  /** Seconds. */
  readonly created: number;
  /** Minor units. */
  readonly amount: number;
  readonly currency: string;
  readonly captureMethod: 'automatic' | 'automatic_async' | 'manual';
  readonly status: IntentStatus;
  readonly method: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** The last attempt to charge. */
  readonly charge: Charge | undefined;
  readonly lastError: { readonly code: string; readonly declineCode: string } | undefined;
  readonly canceledAt: number | undefined;
}

export interface Charge {
  readonly id: string;
  readonly created: number;
  readonly status: 'succeeded' | 'failed';
  readonly captured: boolean;
  readonly amountCaptured: number;
  readonly refunds: readonly Refund[];
}

export interface Refund {
  readonly id: string;
  readonly created: number;
  readonly amount: number;
  readonly currency: string;
  readonly intentId: string;
  readonly chargeId: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export function amountRefunded(charge: Charge | undefined): number {
  return charge?.refunds.reduce((sum, refund) => sum + refund.amount, 0) ?? 0;
}
