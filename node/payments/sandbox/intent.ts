/** Payments as the sandbox keeps them. Immutable: a change makes a new version, and old answers keep theirs. */
export type IntentStatus =
  | 'requires_payment_method'
  | 'requires_confirmation'
  | 'requires_action'
  | 'processing'
  | 'requires_capture'
  | 'succeeded'
  | 'canceled';

export interface Intent {
  readonly id: string;
  /** Its place among all intents, from 0. */
  readonly position: number;
  /** Seconds. */
  readonly created: number;
  /** Minor units. */
  readonly amount: number;
  readonly currency: string;
  readonly captureMethod: 'automatic' | 'automatic_async' | 'manual';
  readonly status: IntentStatus;
  readonly method: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** Where the customer's browser goes after authentication. */
  readonly returnUrl: string | undefined;
  /** The last attempt to charge. */
  readonly charge: Charge | undefined;
  readonly lastError: PaymentError | undefined;
  readonly canceledAt: number | undefined;
  readonly cancellationReason: string | undefined;
  /** How `processing` ends. */
  readonly settlesTo: Settlement | undefined;
}

export type Settlement = 'succeeded' | 'failed';

export interface PaymentError {
  readonly code: string;
  /** The reason that the card's bank gave. */
  readonly declineCode: string | undefined;
}

export interface Charge {
  readonly id: string;
  readonly created: number;
  readonly status: 'pending' | 'succeeded' | 'failed';
  readonly captured: boolean;
  readonly amountCaptured: number;
  /** Oldest first. */
  readonly refunds: readonly Refund[];
}

export interface Refund {
  readonly id: string;
  /** Its place among all refunds, from 0. */
  readonly position: number;
  readonly created: number;
  readonly amount: number;
  readonly currency: string;
  readonly status: 'pending' | Settlement;
  /** What becomes of it by itself. */
  readonly settlesTo?: Settlement | undefined;
  readonly intentId: string;
  readonly chargeId: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What went back or is on its way back. A refund that failed left its sum with the shop. */
export function amountRefunded(charge: Charge | undefined): number {
  return sumOf(charge, ({ status }) => status !== 'failed');
}

/** The part of it that may still fail. */
export function amountPending(charge: Charge | undefined): number {
  return sumOf(charge, ({ status }) => status === 'pending');
}

function sumOf(charge: Charge | undefined, counts: (refund: Refund) => boolean): number {
  return charge?.refunds.filter(counts).reduce((sum, { amount }) => sum + amount, 0) ?? 0;
}
