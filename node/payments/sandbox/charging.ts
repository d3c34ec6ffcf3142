import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import type { Misfortunes } from './faults.ts';
import type { Charge, Intent, PaymentError, Settlement } from './intent.ts';
import { behaviourOf } from './test-methods.ts';

/** What comes of charging a card. Pure: gives the intent's next version and says when that changes by itself. */
export interface Charged {
  readonly intent: Intent;
  /** The client is told so; without it, of the intent. */
  readonly failure?: Failure;
  /** Processing ends, or the authorization expires. */
  readonly changesAfterMs?: number;
}

export interface Charging {
  /** Seconds. */
  readonly at: number;
  readonly drawChargeId: () => string;
  /** Whether the customer can be asked to authenticate, or just did. */
  readonly customer: 'present' | 'away' | 'authenticated';
  readonly route: 'create' | 'confirm';
  readonly misfortunes: Misfortunes;
}

/** Stripe's window for cards. */
const authorizedForMs = 7 * 24 * 3_600_000;
const authenticationNeeded: PaymentError = {
  code: 'authentication_required',
  declineCode: 'authentication_required',
};

export function chargeCard(intent: Intent, charging: Charging): Charged {
  const { customer, route, misfortunes } = charging;
  const behaviour = behaviourOf(intent.method ?? '');
  if (behaviour === undefined) return { intent, failure: failures.noSuchMethod(intent.method ?? '') };
  if (behaviour.kind === 'declines') return declined(intent, behaviour.decline, charging);
  if (customer !== 'authenticated') {
    const isWanted =
      behaviour.kind === 'needsAuthentication' || misfortunes.strike('requiresAction', route) !== undefined;
    if (isWanted && customer === 'away') return declined(intent, authenticationNeeded, charging);
    if (isWanted) return { intent: { ...intent, status: 'requires_action' } };
  }
  if (behaviour.kind === 'needsAuthentication' && behaviour.thenDeclines !== undefined) {
    return declined(intent, behaviour.thenDeclines, charging);
  }
  const processing = misfortunes.strike('processing', route);
  if (processing !== undefined) {
    const charge = newCharge('pending', charging);
    return {
      intent: { ...intent, status: 'processing', charge, settlesTo: processing.to, lastError: undefined },
      changesAfterMs: processing.settlesAfterMs,
    };
  }
  const expires =
    intent.captureMethod === 'manual' ? misfortunes.strike('authorizationExpires', route) : undefined;
  return paid(intent, newCharge('pending', charging), expires?.afterMs);
}

/** `processing` is over. */
export function settleCharge(intent: Intent, charge: Charge, to: Settlement): Charged {
  if (to === 'succeeded') return paid(intent, charge);
  return {
    intent: failedWith(
      intent,
      { ...charge, status: 'failed' },
      { code: 'processing_error', declineCode: undefined },
    ),
  };
}

/** The customer could not, or would not, prove who they are. No card was charged. */
export function failAuthentication(intent: Intent): Intent {
  const error = { code: 'payment_intent_authentication_failure', declineCode: undefined };
  return failedWith(intent, intent.charge, error);
}

function paid(intent: Intent, charge: Charge, authorizedMs = authorizedForMs): Charged {
  const done = { ...intent, lastError: undefined, settlesTo: undefined };
  if (intent.captureMethod === 'manual') {
    return {
      intent: { ...done, status: 'requires_capture', charge: { ...charge, status: 'succeeded' } },
      changesAfterMs: authorizedMs,
    };
  }
  const captured = { captured: true, amountCaptured: intent.amount };
  return {
    intent: { ...done, status: 'succeeded', charge: { ...charge, status: 'succeeded', ...captured } },
  };
}

function declined(intent: Intent, error: PaymentError, charging: Charging): Charged {
  const failed = failedWith(intent, newCharge('failed', charging), error);
  return { intent: failed, failure: failures.declined(failed, error) };
}

function failedWith(intent: Intent, charge: Charge | undefined, lastError: PaymentError): Intent {
  return {
    ...intent,
    status: 'requires_payment_method',
    // A declined method is detached: the next attempt must name one.
    method: undefined,
    charge,
    lastError,
    settlesTo: undefined,
  };
}

function newCharge(status: Charge['status'], { at, drawChargeId }: Charging): Charge {
  return { id: drawChargeId(), created: at, status, captured: false, amountCaptured: 0, refunds: [] };
}
