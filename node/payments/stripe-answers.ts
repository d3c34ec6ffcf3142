import Stripe from 'stripe';

import type { PaymentAnswer } from '../ports/payments.ts';
import type { CallOutcome } from './breaker.ts';

/**
 * What Stripe says, in the words of the port. The line that matters runs between `refused` (it did not happen),
 * `unknown` (it may have happened) and `postponed` (nothing was done, ask again): on the wrong side of it a
 * customer is charged twice, or an order is lost.
 */

/** What an intent's state means. An intent that was read without its charge cannot tell `refunded`. */
export function answerOf(intent: Stripe.PaymentIntent): PaymentAnswer {
  switch (intent.status) {
    case 'succeeded':
      return refundOf(intent) ?? { kind: 'captured', intent: intent.id };
    case 'requires_capture':
      return { kind: 'authorized', intent: intent.id };
    case 'canceled':
      return { kind: 'voided', intent: intent.id };
    case 'requires_action':
      // Strong customer authentication needs the customer, and an order cannot call the customer back yet.
      return { kind: 'refused', code: 'authentication_required', intent: intent.id };
    case 'requires_payment_method': {
      const { code = 'card_declined', decline_code: declineCode } = intent.last_payment_error ?? {};
      return {
        kind: 'refused',
        code,
        ...(declineCode === undefined ? {} : { declineCode }),
        intent: intent.id,
      };
    }
    case 'processing':
    case 'requires_confirmation':
      return { kind: 'unknown', reason: `STATE_${intent.status.toUpperCase()}` };
    default:
      return { kind: 'unknown', reason: 'STATE_NOT_KNOWN' };
  }
}

/** A charge whose money went back in full. A part that was given back by hand leaves the rest captured. */
function refundOf(intent: Stripe.PaymentIntent): PaymentAnswer | undefined {
  const charge = intent.latest_charge;
  if (charge === null || typeof charge !== 'object' || !charge.refunded) return undefined;
  const refund = charge.refunds?.data.find(({ status }) => status === 'succeeded' || status === 'pending');
  return { kind: 'refunded', intent: intent.id, refund: refund?.id ?? charge.id };
}

export function answerOfRefund(refund: Stripe.Refund, intent: string): PaymentAnswer {
  switch (refund.status) {
    case 'failed':
    case 'canceled':
      return { kind: 'refused', code: `refund_${refund.status}`, intent };
    default:
      // `pending` is on its way. Should it fail later, the provider tells by webhook.
      return { kind: 'refunded', intent, refund: refund.id };
  }
}

/** A call that ended with an error. */
export interface FailedCall {
  readonly answer: Extract<PaymentAnswer, { kind: 'refused' | 'unknown' | 'postponed' }>;
  /** What it says of the provider's health. */
  readonly outcome: CallOutcome;
  readonly code?: string;
  /** The intent as the provider showed it beside the error. */
  readonly intent?: Stripe.PaymentIntent;
  /** The provider only repeated its first answer to this idempotency key. */
  readonly replayed: boolean;
  /** The provider asked for less: nothing is sent for this long. */
  readonly pauseMs?: number;
  /** Something that an operator must put right: it does not pass by itself. */
  readonly complaint?: string;
}

const conflictRetryMs = 500;
const rateLimitRetryMs = 1_000;
const misconfiguredRetryMs = 30_000;

export function failedCallOf(error: unknown): FailedCall {
  const { StripeError } = Stripe.errors;
  if (!(error instanceof StripeError)) {
    return { ...unknown(error instanceof Error ? error.message : String(error)), complaint: 'UNEXPECTED' };
  }
  const base = {
    replayed: error.headers?.['idempotent-replayed'] === 'true',
    ...(error.code === undefined ? {} : { code: error.code }),
    ...(error.payment_intent === undefined ? {} : { intent: error.payment_intent }),
  };
  return { ...classify(error), ...base };
}

function classify(error: InstanceType<typeof Stripe.errors.StripeError>): FailedCall {
  const { StripeCardError, StripeRateLimitError, StripeIdempotencyError } = Stripe.errors;
  const { StripeInvalidRequestError, StripeAuthenticationError, StripePermissionError } = Stripe.errors;
  const retryAfterMs = retryAfterOf(error);

  // Another call with this key is under way, here or on another node: its answer will be ours.
  if (error.statusCode === 409) return { ...unknown('KEY_IN_USE', conflictRetryMs), outcome: 'ok' };
  // Also a lock time-out. Ahead of the idempotency layer: nothing was done.
  if (error instanceof StripeRateLimitError) {
    const pauseMs = retryAfterMs ?? rateLimitRetryMs;
    return { ...postponed('RATE_LIMITED', pauseMs, 'neutral'), pauseMs };
  }
  if (error instanceof StripeCardError) {
    const { code = 'card_declined', decline_code: declineCode, payment_intent: intent } = error;
    return refused(code, declineCode, intent?.id);
  }
  // The key was used for something else: there is a payment, and whether it is this one has to be looked up.
  if (error instanceof StripeIdempotencyError) {
    return {
      ...unknown('KEY_USED_OTHERWISE', misconfiguredRetryMs),
      outcome: 'ok',
      complaint: 'IDEMPOTENCY_KEY_REUSED',
    };
  }
  if (error instanceof StripeInvalidRequestError) {
    return refused(error.code ?? 'invalid_request', undefined, error.payment_intent?.id);
  }
  // A wrong or withdrawn key is the shop's fault, not the customer's: orders wait until it is put right.
  if (error instanceof StripeAuthenticationError || error instanceof StripePermissionError) {
    return { ...postponed('NOT_ALLOWED', misconfiguredRetryMs, 'failed'), complaint: 'API_KEY_REFUSED' };
  }
  return unknown(reasonOf(error), retryAfterMs);
}

function reasonOf(error: InstanceType<typeof Stripe.errors.StripeError>): string {
  if (error.statusCode !== undefined) return `STATUS_${error.statusCode}`;
  return error instanceof Stripe.errors.StripeConnectionError ? 'CONNECTION' : 'UNREADABLE_ANSWER';
}

/** In seconds, as Stripe sends it. */
function retryAfterOf(error: InstanceType<typeof Stripe.errors.StripeError>): number | undefined {
  const seconds = Number(error.headers?.['retry-after'] ?? NaN);
  return seconds >= 0 && seconds <= 3_600 ? seconds * 1_000 : undefined;
}

function refused(code: string, declineCode?: string, intent?: string): FailedCall {
  const answer = {
    kind: 'refused',
    code,
    ...(declineCode === undefined || declineCode === '' ? {} : { declineCode }),
    ...(intent === undefined ? {} : { intent }),
  } as const;
  return { answer, outcome: 'ok', replayed: false };
}

function unknown(reason: string, retryAfterMs?: number): FailedCall {
  const answer = {
    kind: 'unknown',
    reason,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  } as const;
  return { answer, outcome: 'failed', replayed: false };
}

function postponed(reason: string, retryAfterMs: number, outcome: CallOutcome): FailedCall {
  return { answer: { kind: 'postponed', reason, retryAfterMs }, outcome, replayed: false };
}
