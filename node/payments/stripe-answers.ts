import Stripe from 'stripe';

import type { NextAction } from '../orders/order.ts';
import type { PaymentAnswer } from '../ports/payments.ts';
import type { CallOutcome } from './breaker.ts';

/**
 * What Stripe says, in the words of the port. The line that matters runs between `refused` (it did not happen),
 * `unknown` (it may have happened) and `postponed` (nothing was done, ask again): on the wrong side of it a
 * customer is charged twice, or an order is lost.
 */

/** What an intent's state means. An intent that was read without its charge cannot tell what became of refunds. */
export function answerOf(intent: Stripe.PaymentIntent): PaymentAnswer {
  switch (intent.status) {
    case 'succeeded':
      return refundOf(intent) ?? capturedOf(intent);
    case 'requires_capture':
      return { kind: 'authorized', intent: intent.id };
    case 'canceled':
      return { kind: 'voided', intent: intent.id };
    case 'requires_action':
      return { kind: 'actionRequired', intent: intent.id, nextAction: nextActionOf(intent) };
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
      return { kind: 'unknown', reason: `STATE_${intent.status.toUpperCase()}`, intent: intent.id };
    default:
      return { kind: 'unknown', reason: 'STATE_NOT_KNOWN', intent: intent.id };
  }
}

function capturedOf({ id, amount, amount_received: received }: Stripe.PaymentIntent): PaymentAnswer {
  return received === amount
    ? { kind: 'captured', intent: id }
    : { kind: 'otherSum', intent: id, amount: received };
}

/** Without a page to go to, the shop's own page goes on with the provider's script. */
function nextActionOf({ next_action: action, client_secret: secret }: Stripe.PaymentIntent): NextAction {
  const url = action?.redirect_to_url?.url;
  return typeof url === 'string' ? { type: 'redirect', url } : { type: 'sdk', clientSecret: secret ?? '' };
}

/**
 * What became of the money of a charge that was given back, or was to be. A part that was given back by hand leaves the
 * rest captured.
 */
function refundOf(intent: Stripe.PaymentIntent): PaymentAnswer | undefined {
  const charge = intent.latest_charge;
  if (charge === null || typeof charge !== 'object') return undefined;
  const refunds = charge.refunds?.data ?? [];
  const pending = refunds.find(({ status }) => status === 'pending' || status === 'requires_action');
  if (pending !== undefined) return { kind: 'refundPending', intent: intent.id, refund: pending.id };
  const done = refunds.filter(({ status }) => status === 'succeeded');
  const returned = done.reduce((sum, { amount }) => sum + amount, 0);
  const isFull = returned > 0 && returned >= charge.amount_captured;
  if (isFull || (charge.refunded && refunds.length === 0)) {
    return { kind: 'refunded', intent: intent.id, refund: done[0]?.id ?? charge.id };
  }
  const [failed] = refunds.filter(({ status }) => status === 'failed' || status === 'canceled');
  return failed === undefined ? undefined : answerOfRefund(failed, intent.id);
}

export function answerOfRefund(refund: Stripe.Refund, intent: string): PaymentAnswer {
  switch (refund.status) {
    case 'failed':
    case 'canceled': {
      const code = refund.failure_reason ?? `refund_${refund.status}`;
      return { kind: 'refundFailed', intent, refund: refund.id, code };
    }
    case 'succeeded':
      return { kind: 'refunded', intent, refund: refund.id };
    default:
      return { kind: 'refundPending', intent, refund: refund.id };
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
  /** The idempotency key will give no other answer than this one, and this one settles nothing. */
  readonly isKeySpent: boolean;
  /** The provider asked for less; for how long, if it said so: how long to wait is then the line's to say. */
  readonly throttled?: { readonly retryAfterMs?: number };
  /** Something that an operator must put right: it does not pass by itself. */
  readonly complaint?: string;
}

const conflictRetryMs = 500;
const misconfiguredRetryMs = 30_000;

export function failedCallOf(error: unknown): FailedCall {
  const { StripeError } = Stripe.errors;
  if (!(error instanceof StripeError)) {
    return { ...unknown(error instanceof Error ? error.message : String(error)), complaint: 'UNEXPECTED' };
  }
  const failed = classify(error);
  const isReplayed = error.headers?.['idempotent-replayed'] === 'true';
  return {
    ...failed,
    isKeySpent: failed.isKeySpent || (isReplayed && failed.answer.kind === 'unknown'),
    ...(error.code === undefined ? {} : { code: error.code }),
    ...(error.payment_intent === undefined ? {} : { intent: error.payment_intent }),
  };
}

function classify(error: InstanceType<typeof Stripe.errors.StripeError>): FailedCall {
  const { StripeCardError, StripeRateLimitError, StripeIdempotencyError } = Stripe.errors;
  const { StripeInvalidRequestError, StripeAuthenticationError, StripePermissionError } = Stripe.errors;
  const retryAfterMs = retryAfterOf(error);

  // Another call with this key is under way, here or on another node: its answer will be ours.
  if (error.statusCode === 409) return { ...unknown('KEY_IN_USE', conflictRetryMs), outcome: 'ok' };
  // Also a lock time-out. Ahead of the idempotency layer: nothing was done.
  if (error instanceof StripeRateLimitError) {
    return {
      ...postponed('RATE_LIMITED', retryAfterMs ?? 0, 'neutral'),
      throttled: retryAfterMs === undefined ? {} : { retryAfterMs },
    };
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
      isKeySpent: true,
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
  return { answer, outcome: 'ok', isKeySpent: false };
}

function unknown(reason: string, retryAfterMs?: number): FailedCall {
  const answer = {
    kind: 'unknown',
    reason,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  } as const;
  return { answer, outcome: 'failed', isKeySpent: false };
}

function postponed(reason: string, retryAfterMs: number, outcome: CallOutcome): FailedCall {
  return { answer: { kind: 'postponed', reason, retryAfterMs }, outcome, isKeySpent: false };
}
