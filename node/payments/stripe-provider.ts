import { createHash } from 'node:crypto';

import Stripe from 'stripe';

import type { Environment } from '../../store/environment.ts';
import type { PaymentAnswer, PaymentProvider, PaymentRequest } from '../ports/payments.ts';
import { Admission } from './admission.ts';
import type { Lane } from './admission.ts';
import { Breaker } from './breaker.ts';
import type { BreakerOptions, BreakerState } from './breaker.ts';
import { answerOf, answerOfRefund, failedCallOf } from './stripe-answers.ts';
import type { FailedCall } from './stripe-answers.ts';
import { StripeHttpClient } from './stripe-http-client.ts';

/**
 * Payments by Stripe, through its own client. Owns the way there: keys, budget, queue, circuit, deadlines. Does
 * not own when to ask again: that is the order flow's, which knows what else became of the order.
 *
 *   M1  The idempotency key is a function of order, operation and attempt, and so are the parameters: all nodes
 *       send the same, at all times, and one charge comes of it.
 *   M2  `refused` only when Stripe said that it did not happen; `postponed` only when nothing can have been
 *       done; everything else is `unknown`.
 *   M3  Stripe forgets keys after a day. A payment that was first asked for longer ago is looked up by its order
 *       before anything is sent, because the old key would charge anew.
 */
export interface StripeProviderOptions {
  readonly apiKey: string;
  readonly protocol: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  /** Without it, every webhook is refused. */
  readonly webhookSecret?: string;
  /** For one call, from the first byte sent to the last one read. Waiting in the queue comes on top. */
  readonly timeoutMs: number;
  readonly maxConcurrent: number;
  /** This node's share of the cluster's budget. */
  readonly requestsPerSecond: number;
  readonly maxQueue?: number;
  /** Longer than this a call does not wait for its turn. */
  readonly maxWaitMs?: number;
  readonly breaker?: Partial<BreakerOptions>;
}

export type PaymentOperation = 'pay' | 'capture' | 'reverse' | 'lookUp';

export interface PaymentObserver {
  /** One answer of the provider port; `seconds` includes the queue and every call that it took. */
  called(operation: PaymentOperation, answer: PaymentAnswer['kind'], seconds: number): void;
}

export interface StripeProvider extends PaymentProvider {
  readonly breakerState: BreakerState;
  /** Calls that wait for their turn. */
  readonly queueDepth: number;
  /** This node's share of the budget, as members come and go. */
  changeBudget(requestsPerSecond: number): void;
}

const defaults = { maxQueue: 2_000, maxWaitMs: 2_000 };
const breakerDefaults: BreakerOptions = {
  window: 40,
  callsMin: 10,
  failureRatio: 0.5,
  openMs: 1_000,
  openMsMax: 30_000,
};
/** Short of the day after which Stripe may forget a key, by more than clocks disagree. */
const keysHoldMs = 23 * 3_600_000;
const webhookToleranceSeconds = 300;
const closeTimeoutMs = 2_000;
const withRefunds = { expand: ['latest_charge.refunds'] };

type Called<Value> =
  { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly failed: FailedCall };

export function createStripeProvider(
  options: StripeProviderOptions,
  dependencies: { readonly environment: Environment; readonly observer?: PaymentObserver },
): StripeProvider {
  const { environment, observer } = dependencies;
  const { clock, log } = environment;
  const { apiKey, protocol, host, port, timeoutMs, maxConcurrent, requestsPerSecond, webhookSecret } =
    options;
  const { maxQueue = defaults.maxQueue, maxWaitMs = defaults.maxWaitMs } = options;

  const admission = new Admission({ maxConcurrent, requestsPerSecond, maxQueue, maxWaitMs }, { clock });
  const breaker = new Breaker({ ...breakerDefaults, ...options.breaker }, environment);
  const httpClient = new StripeHttpClient({ protocol, maxSockets: maxConcurrent }, { clock });
  const stripe = new Stripe(apiKey, {
    protocol,
    host,
    port,
    httpClient,
    timeout: timeoutMs,
    maxNetworkRetries: 0,
    telemetry: false,
  });

  /** One request to Stripe, when the circuit and the budget let it through. Never rejects. */
  async function call<Value>(lane: Lane, request: () => Promise<Value>): Promise<Called<Value>> {
    // Before the queue, so that nobody waits in line for a closed door; and again behind it.
    const blockedForMs = breaker.blockedForMs();
    if (blockedForMs > 0) return notNow('CIRCUIT_OPEN', blockedForMs);
    const admitted = await admission.enter(lane);
    if (admitted.kind === 'turnedAway') return notNow(admitted.reason, admitted.retryAfterMs);
    try {
      if (!breaker.begin()) return notNow('CIRCUIT_OPEN', breaker.blockedForMs());
      try {
        const value = await request();
        breaker.report('ok');
        return { ok: true, value };
      } catch (error) {
        const failed = failedCallOf(error);
        breaker.report(failed.outcome);
        if (failed.pauseMs !== undefined) admission.pause(failed.pauseMs);
        if (failed.complaint !== undefined) {
          log.error({ code: failed.complaint, reason: reasonOf(failed.answer) }, 'payment provider');
        }
        return { ok: false, failed };
      }
    } finally {
      admission.leave();
    }
  }

  async function pay(request: Parameters<PaymentProvider['pay']>[0]): Promise<PaymentAnswer> {
    const { orderId, attempt, amount, currency, method, capture, firstAskedAt } = request;
    if (firstAskedAt !== undefined && clock.now() - firstAskedAt > keysHoldMs) {
      const found = await findPayment(request);
      if (found !== undefined) return found;
    }
    const created = await call('begin', () =>
      stripe.paymentIntents.create(
        {
          amount,
          currency: currency.toLowerCase(),
          confirm: true,
          capture_method: capture === 'immediate' ? 'automatic' : 'manual',
          payment_method: method,
          // Nobody is there to be redirected or to authenticate: decline instead of waiting for it.
          off_session: true,
          automatic_payment_methods: { enabled: true, allow_redirects: 'never' },
          metadata: { order_id: orderId, attempt: String(attempt) },
        },
        { idempotencyKey: keyOf(request, 'pay') },
      ),
    );
    if (created.ok) return answerOf(created.value);
    const { answer, replayed, complaint } = created.failed;
    // The key remembers an outage and will repeat it all day, or belongs to another request. What came of the
    // payment, its order tells.
    const isKeySpent = answer.kind === 'unknown' && (replayed || complaint !== undefined);
    return isKeySpent ? ((await findPayment(request)) ?? answer) : answer;
  }

  /** This attempt's payment, by the order it is for; undefined when there is none of this sum. */
  async function findPayment(request: PaymentRequest): Promise<PaymentAnswer | undefined> {
    const { orderId, attempt, amount, currency } = request;
    const query = `metadata['order_id']:'${orderId.replaceAll(/['\\]/g, '\\$&')}'`;
    const found = await call('finish', () =>
      stripe.paymentIntents.search({ query, expand: ['data.latest_charge.refunds'] }),
    );
    // A search that is not allowed says nothing of the payment.
    if (!found.ok) {
      const { answer } = found.failed;
      return answer.kind === 'refused' ? { kind: 'unknown', reason: 'SEARCH_REFUSED' } : answer;
    }
    const intent = found.value.data.find(
      (candidate) =>
        candidate.metadata['attempt'] === String(attempt) &&
        candidate.amount === amount &&
        candidate.currency === currency.toLowerCase(),
    );
    return intent && answerOf(intent);
  }

  async function capture(request: Parameters<PaymentProvider['capture']>[0]): Promise<PaymentAnswer> {
    const { intent } = request;
    if (intent === '') return noPayment();
    const captured = await call('finish', () =>
      stripe.paymentIntents.capture(intent, {}, { idempotencyKey: keyOf(request, 'capture') }),
    );
    if (captured.ok) return answerOf(captured.value);
    const { answer, code, intent: shown } = captured.failed;
    if (code !== 'payment_intent_unexpected_state' || shown === undefined) return answer;
    // Captured already, by an attempt whose key is forgotten: that is what was asked for. Voided: it is not.
    if (shown.status === 'succeeded') return { kind: 'captured', intent };
    return shown.status === 'canceled' ? { kind: 'refused', code: 'payment_voided', intent } : answer;
  }

  async function lookUp(intent: string): Promise<PaymentAnswer> {
    if (intent === '') return noPayment();
    const found = await call('finish', () => stripe.paymentIntents.retrieve(intent, withRefunds));
    return found.ok ? answerOf(found.value) : found.failed.answer;
  }

  async function reverse(request: Parameters<PaymentProvider['reverse']>[0]): Promise<PaymentAnswer> {
    const state = request.intent === '' ? await findPayment(request) : await lookUp(request.intent);
    if (state === undefined) return noPayment();
    switch (state.kind) {
      case 'authorized':
        return cancel(request, state.intent);
      case 'captured':
        return refund(request, state.intent);
      // A declined payment holds no money. Cancelled, it cannot be confirmed by anybody later.
      case 'refused':
        return state.intent === undefined ? state : cancel(request, state.intent);
      case 'voided':
      case 'refunded':
      case 'unknown':
      case 'postponed':
        return state;
    }
  }

  async function cancel(request: PaymentRequest, intent: string): Promise<PaymentAnswer> {
    const cancelled = await call('finish', () =>
      stripe.paymentIntents.cancel(intent, {}, { idempotencyKey: keyOf(request, 'cancel') }),
    );
    if (cancelled.ok) return answerOf(cancelled.value);
    return settledOtherwise(cancelled.failed, 'payment_intent_unexpected_state', intent);
  }

  async function refund(request: PaymentRequest, intent: string): Promise<PaymentAnswer> {
    const metadata = { order_id: request.orderId };
    const refunded = await call('finish', () =>
      stripe.refunds.create(
        { payment_intent: intent, metadata },
        { idempotencyKey: keyOf(request, 'refund') },
      ),
    );
    if (refunded.ok) return answerOfRefund(refunded.value, intent);
    return settledOtherwise(refunded.failed, 'charge_already_refunded', intent);
  }

  /** Somebody else changed the payment between our look and our call: look again rather than guess. */
  async function settledOtherwise(failed: FailedCall, code: string, intent: string): Promise<PaymentAnswer> {
    if (failed.code !== code) return failed.answer;
    const now = await lookUp(intent);
    if (now.kind !== 'authorized' && now.kind !== 'captured') return now;
    return { kind: 'unknown', reason: 'PAYMENT_CHANGED', retryAfterMs: 100 };
  }

  async function observed(
    operation: PaymentOperation,
    answering: () => Promise<PaymentAnswer>,
  ): Promise<PaymentAnswer> {
    const begun = clock.monotonic();
    const answer = await answering();
    observer?.called(operation, answer.kind, (clock.monotonic() - begun) / 1_000);
    return answer;
  }

  return {
    pay: (request) => observed('pay', () => pay(request)),
    capture: (request) => observed('capture', () => capture(request)),
    reverse: (request) => observed('reverse', () => reverse(request)),
    lookUp: (intent) => observed('lookUp', () => lookUp(intent)),

    verifyWebhook(rawBody, signature) {
      if (webhookSecret === undefined) return undefined;
      try {
        const event = Stripe.webhooks.constructEvent(
          rawBody,
          signature,
          webhookSecret,
          webhookToleranceSeconds,
          undefined,
          clock.now(),
        );
        const { metadata } = event.data.object as { metadata?: Record<string, unknown> | null };
        const orderId = metadata?.['order_id'];
        return { eventId: event.id, type: event.type, ...(typeof orderId === 'string' ? { orderId } : {}) };
      } catch {
        return undefined;
      }
    },

    get breakerState() {
      return breaker.state();
    },
    changeBudget: (perSecond) => {
      admission.changeBudget(perSecond);
    },
    get queueDepth() {
      return admission.waiting();
    },

    async close() {
      // What is under way may be moving money: hear its answer rather than ask for it again after the restart.
      const tooLong = Promise.withResolvers<void>();
      const cancel = clock.after(closeTimeoutMs, tooLong.resolve);
      await Promise.race([admission.close(), tooLong.promise]);
      cancel();
      httpClient.close();
    },
  };
}

/** M1. Stripe takes up to 255 characters, which travel in a header: others are hashed. */
function keyOf(
  { orderId, attempt }: Pick<PaymentRequest, 'orderId' | 'attempt'>,
  operation: 'pay' | 'capture' | 'cancel' | 'refund',
): string {
  const order = /^[\x21-\x7e]{1,200}$/.test(orderId)
    ? orderId
    : createHash('sha256').update(orderId).digest('hex');
  return `freehold:${order}:${operation}:${attempt}`;
}

function noPayment(): PaymentAnswer {
  return { kind: 'refused', code: 'payment_not_found' };
}

function notNow(reason: string, retryAfterMs: number): { readonly ok: false; readonly failed: FailedCall } {
  const answer = { kind: 'postponed', reason, retryAfterMs } as const;
  return { ok: false, failed: { answer, outcome: 'neutral', replayed: false } };
}

function reasonOf(answer: FailedCall['answer']): string {
  return answer.kind === 'refused' ? answer.code : answer.reason;
}
