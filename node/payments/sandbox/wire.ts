import type { Outcome } from './bank.ts';
import type { Failure } from './failures.ts';
import { amountRefunded } from './intent.ts';
import type { Charge, Intent, Refund } from './intent.ts';

/** Stripe's JSON for what the bank keeps: the fields that clients of payments read, under their names. */

/** What the client asked to have in full, such as `latest_charge`. */
export type Expand = ReadonlySet<string>;

export interface View {
  readonly expand: Expand;
  /** Where the customer's browser finds the sandbox, such as `http://127.0.0.1:9085`. */
  readonly origin: string;
}

/** Where a customer authenticates a payment. */
export function authenticationPath(intentId: string): string {
  return `/sandbox/authenticate/${intentId}`;
}

export function statusOf(outcome: Outcome): number {
  return outcome.kind === 'failed' ? outcome.failure.status : 200;
}

export function bodyOf(outcome: Outcome, view: View): unknown {
  switch (outcome.kind) {
    case 'intent':
      return intentObject(outcome.intent, view);
    case 'refund':
      return refundObject(outcome.refund);
    case 'failed':
      return errorObject(outcome.failure, view);
  }
}

export function intentObject(intent: Intent, { expand, origin }: View): unknown {
  const { charge, lastError } = intent;
  const received = charge?.amountCaptured ?? 0;
  return {
    id: intent.id,
    object: 'payment_intent',
    amount: intent.amount,
    amount_capturable: intent.status === 'requires_capture' ? intent.amount : 0,
    amount_received: received,
    canceled_at: intent.canceledAt ?? null,
    cancellation_reason: intent.cancellationReason ?? null,
    capture_method: intent.captureMethod,
    client_secret: clientSecretOf(intent),
    confirmation_method: 'automatic',
    created: intent.created,
    currency: intent.currency,
    customer: null,
    description: null,
    last_payment_error:
      lastError === undefined
        ? null
        : {
            type:
              lastError.code === 'payment_intent_authentication_failure'
                ? 'invalid_request_error'
                : 'card_error',
            code: lastError.code,
            ...(lastError.declineCode === undefined ? {} : { decline_code: lastError.declineCode }),
            message: '',
          },
    latest_charge:
      charge === undefined
        ? null
        : expand.has('latest_charge')
          ? chargeObject(charge, intent, expand.has('latest_charge.refunds'))
          : charge.id,
    livemode: false,
    metadata: intent.metadata,
    next_action: intent.status === 'requires_action' ? nextActionOf(intent, origin) : null,
    payment_method: intent.method ?? null,
    payment_method_types: ['card'],
    status: intent.status,
  };
}

export function clientSecretOf(intent: Intent): string {
  return `${intent.id}_secret_sandbox`;
}

/** Who gave a `return_url` is sent to a page; who did not brings Stripe's script along. */
function nextActionOf({ id, returnUrl }: Intent, origin: string): unknown {
  if (returnUrl === undefined) return { type: 'use_stripe_sdk', use_stripe_sdk: {} };
  const url = `${origin}${authenticationPath(id)}`;
  return { type: 'redirect_to_url', redirect_to_url: { return_url: returnUrl, url } };
}

export function chargeObject(charge: Charge, intent: Intent, withRefunds: boolean): unknown {
  const refunded = amountRefunded(charge);
  return {
    id: charge.id,
    object: 'charge',
    amount: intent.amount,
    amount_captured: charge.amountCaptured,
    amount_refunded: refunded,
    captured: charge.captured,
    created: charge.created,
    currency: intent.currency,
    livemode: false,
    metadata: intent.metadata,
    paid: charge.status === 'succeeded',
    payment_intent: intent.id,
    refunded: charge.captured && refunded === charge.amountCaptured,
    // Newest first, and only on request: both as Stripe does.
    ...(withRefunds
      ? {
          refunds: listObject(charge.refunds.map(refundObject).reverse(), `/v1/charges/${charge.id}/refunds`),
        }
      : {}),
    status: charge.status,
  };
}

export function refundObject(refund: Refund): unknown {
  return {
    id: refund.id,
    object: 'refund',
    amount: refund.amount,
    charge: refund.chargeId,
    created: refund.created,
    currency: refund.currency,
    metadata: refund.metadata,
    payment_intent: refund.intentId,
    reason: null,
    status: refund.status,
    ...(refund.status === 'pending' ? { pending_reason: 'processing' } : {}),
    ...(refund.status === 'failed' ? { failure_reason: 'unknown' } : {}),
  };
}

export function listObject(data: readonly unknown[], url: string, hasMore = false): unknown {
  return { object: 'list', data, has_more: hasMore, url };
}

export function errorObject(failure: Failure, view: View): unknown {
  const { type, message, code, declineCode, param, intent } = failure;
  return {
    error: {
      type,
      message,
      ...(code === undefined ? {} : { code }),
      ...(declineCode === undefined ? {} : { decline_code: declineCode }),
      ...(param === undefined ? {} : { param }),
      ...(type === 'card_error' && intent?.charge !== undefined ? { charge: intent.charge.id } : {}),
      ...(intent === undefined
        ? {}
        : { payment_intent: intentObject(intent, { ...view, expand: new Set() }) }),
    },
  };
}
