import { createHash } from 'node:crypto';

import Stripe from 'stripe';

import type { Cancel, Environment } from '../../store/environment.ts';
import type { PaymentAnswer, PaymentProvider, PaymentRequest } from '../ports/payments.ts';
import type { ProviderBook } from '../ports/books.ts';
import { Admission } from './admission.ts';
import { Breaker } from './breaker.ts';
import type { BreakerOptions, BreakerState } from './breaker.ts';
import { answerOf, answerOfRefund } from './stripe-answers.ts';
import type { FailedCall } from './stripe-answers.ts';
import { createStripeBook } from './stripe-book.ts';
import { StripeHttpClient } from './stripe-http-client.ts';
import { StripeLine } from './stripe-line.ts';
import type { Called } from './stripe-line.ts';
import { createWebhookCheck } from './stripe-webhooks.ts';

/**
 * Payments by Stripe, through its own client. Owns the way there: keys, budget, queue, circuit, deadlines. Does
 * not own when to ask again: that is the order flow's, which knows what else became of the order.
 *
 *   M1  The idempotency key is a function of order, operation and attempt, and so are the parameters: all nodes
 *       send the same, at all times, and one charge comes of it.
 *   M2  `refused` only when Stripe said that it did not happen; `postponed` only when nothing can have been
 *       done; everything else is `unknown`.
 *   M3  A key is sent only while Stripe is sure to remember it: later it would charge anew. An attempt that is older, or
 *       whose key repeats an outage, is only looked for; where nothing is found it is `spent`, and the order flow
 *       decides whether there may be another.
 *   M4  Capture, cancellation and the refund of a whole charge happen once at Stripe whatever key they come with: where
 *       a key is spent they are sent without one.
 *   M5  A payment of another sum than the order's is nobody's success.
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
  /** How long after an attempt was first asked for its key may still be sent; 23 hours by default. */
  readonly keyWindowMs?: number;
}

export type PaymentOperation = Exclude<keyof PaymentProvider, 'verifyWebhook' | 'close'>;

export interface PaymentObserver {
  /** One answer of the provider port; `seconds` includes the queue and every call that it took. */
  called(operation: PaymentOperation, answer: PaymentAnswer['kind'], seconds: number): void;
}

export interface StripeProvider extends PaymentProvider {
  /** For the drift report. */
  readonly book: ProviderBook;
  readonly breakerState: BreakerState;
  /** Told each time the circuit has closed again: calls that were postponed may come now. */
  onAnsweringAgain(listener: () => void): Cancel;
  /** Calls that wait for their turn. */
  readonly queueDepth: number;
  /** This node's share of the budget, as members come and go. */
  changeBudget(requestsPerSecond: number): void;
}

const hourMs = 3_600_000;
/** The window ends short of the day after which Stripe may forget a key, by more than clocks disagree. */
const defaults = { maxQueue: 2_000, maxWaitMs: 2_000, keyWindowMs: 23 * hourMs };
const breakerDefaults: BreakerOptions = {
  window: 40,
  callsMin: 10,
  failureRatio: 0.5,
  openMs: 1_000,
  openMsMax: 30_000,
};
const closeTimeoutMs = 2_000;
const withRefunds = { expand: ['latest_charge.refunds'] };

export function createStripeProvider(
  options: StripeProviderOptions,
  dependencies: {
    readonly environment: Environment;
    readonly observer?: PaymentObserver;
    /** Another way there than the network of this machine. */
    readonly httpClient?: Stripe.HttpClient & { close(): void };
  },
): StripeProvider {
  const { environment, observer } = dependencies;
  const { clock, log } = environment;
  const { apiKey, protocol, host, port, timeoutMs, maxConcurrent, requestsPerSecond, webhookSecret } =
    options;
  const { maxQueue, maxWaitMs, keyWindowMs } = { ...defaults, ...options };

  const admission = new Admission({ maxConcurrent, requestsPerSecond, maxQueue, maxWaitMs }, { clock });
  const breaker = new Breaker({ ...breakerDefaults, ...options.breaker }, environment);
  const httpClient =
    dependencies.httpClient ?? new StripeHttpClient({ protocol, maxSockets: maxConcurrent }, { clock });
  const stripe = new Stripe(apiKey, {
    protocol,
    host,
    port,
    httpClient,
    timeout: timeoutMs,
    maxNetworkRetries: 0,
    telemetry: false,
  });

  const line = new StripeLine({ admission, breaker, log });

  async function pay(request: Parameters<PaymentProvider['pay']>[0]): Promise<PaymentAnswer> {
    const { orderId, attempt, amount, currency, method, capture, firstAskedAt, returnUrl } = request;
    if (firstAskedAt !== undefined && clock.now() - firstAskedAt > keyWindowMs) {
      return findOrSpent(request, 'KEY_FORGOTTEN');
    }
    const created = await line.call('begin', () =>
      stripe.paymentIntents.create(
        {
          amount,
          currency: currency.toLowerCase(),
          confirm: true,
          capture_method: capture === 'immediate' ? 'automatic' : 'manual',
          payment_method: method,
          // Without a page to come back to, only what the shop's own page can show.
          automatic_payment_methods: {
            enabled: true,
            allow_redirects: returnUrl === undefined ? 'never' : 'always',
          },
          ...(returnUrl === undefined ? {} : { return_url: returnUrl }),
          metadata: { order_id: orderId, attempt: String(attempt) },
        },
        { idempotencyKey: keyOf(request, 'pay') },
      ),
    );
    if (created.ok) return answerOf(created.value);
    const { answer, isKeySpent } = created.failed;
    return isKeySpent && answer.kind === 'unknown' ? findOrSpent(request, answer.reason) : answer;
  }

  async function findOrSpent(request: PaymentRequest, reason: string): Promise<PaymentAnswer> {
    const found = await find(request);
    return found.kind === 'absent' ? { kind: 'spent', reason } : found;
  }

  async function find(request: PaymentRequest): Promise<PaymentAnswer> {
    const { orderId, attempt, amount, currency } = request;
    const query = `metadata['order_id']:'${orderId.replaceAll(/['\\]/g, '\\$&')}'`;
    const found = await line.call('finish', () =>
      stripe.paymentIntents.search({ query, limit: 100, expand: ['data.latest_charge.refunds'] }),
    );
    // A search that is not allowed says nothing of the payment.
    if (!found.ok) {
      const { answer } = found.failed;
      return answer.kind === 'refused' ? { kind: 'unknown', reason: 'SEARCH_REFUSED' } : answer;
    }
    const made = found.value.data.filter((intent) => intent.metadata['attempt'] === String(attempt));
    if (made.length === 0) return { kind: 'absent' };
    // Where a key was forgotten too early there may be several: what has money comes first.
    const [intent] = made
      .filter((one) => one.amount === amount && one.currency === currency.toLowerCase())
      .toSorted((a, b) => Number(holdsMoney(b)) - Number(holdsMoney(a)));
    return intent === undefined ? { kind: 'unknown', reason: 'KEY_USED_OTHERWISE' } : answerOf(intent);
  }

  async function capture(request: Parameters<PaymentProvider['capture']>[0]): Promise<PaymentAnswer> {
    const { intent } = request;
    if (intent === '') return noPayment();
    const captured = await once(keyOf(request, 'capture'), (keyed) =>
      stripe.paymentIntents.capture(intent, {}, keyed),
    );
    if (captured.ok) return answerOf(captured.value);
    const { answer, code, intent: shown } = captured.failed;
    if (code !== 'payment_intent_unexpected_state' || shown === undefined) return answer;
    // Captured already, by an attempt whose key is forgotten: that is what was asked for. Voided: it is not.
    if (shown.status === 'succeeded') return answerOf(shown);
    return shown.status === 'canceled' ? { kind: 'refused', code: 'payment_voided', intent } : answer;
  }

  async function lookUp(intent: string): Promise<PaymentAnswer> {
    if (intent === '') return noPayment();
    const found = await line.call('finish', () => stripe.paymentIntents.retrieve(intent, withRefunds));
    return found.ok ? answerOf(found.value) : found.failed.answer;
  }

  async function lookUpRefund({ intent, refund }: { readonly intent: string; readonly refund: string }) {
    const found = await line.call('finish', () => stripe.refunds.retrieve(refund));
    return found.ok ? answerOfRefund(found.value, intent) : found.failed.answer;
  }

  async function reverse(request: Parameters<PaymentProvider['reverse']>[0]): Promise<PaymentAnswer> {
    const state = request.intent === '' ? await find(request) : await lookUp(request.intent);
    switch (state.kind) {
      case 'authorized':
      case 'actionRequired':
        return unlessCaptured(await voided(request, state.intent));
      case 'captured':
      case 'otherSum':
        return refunded(request, state.intent);
      case 'refundFailed':
        return refunded(request, state.intent, state.refund);
      // A declined payment holds no money. Cancelled, it cannot be confirmed by anybody later.
      case 'refused':
        return state.intent === undefined ? state : unlessCaptured(await voided(request, state.intent));
      case 'absent':
        return noPayment();
      default:
        return state;
    }
  }

  async function voided(request: PaymentRequest, intent: string): Promise<PaymentAnswer> {
    const cancelled = await once(keyOf(request, 'cancel'), (keyed) =>
      stripe.paymentIntents.cancel(intent, {}, keyed),
    );
    if (cancelled.ok) return answerOf(cancelled.value);
    return settledOtherwise(cancelled.failed, 'payment_intent_unexpected_state', intent);
  }

  /** All that is left of the charge. Each refund that failed calls for another one, with a key of its own. */
  async function refunded(request: PaymentRequest, intent: string, after = ''): Promise<PaymentAnswer> {
    const metadata = { order_id: request.orderId, attempt: String(request.attempt) };
    const made = await once(`${keyOf(request, 'refund')}${after && `:${after}`}`, (keyed) =>
      stripe.refunds.create({ payment_intent: intent, metadata }, keyed),
    );
    if (made.ok) return answerOfRefund(made.value, intent);
    return unlessCaptured(await settledOtherwise(made.failed, 'charge_already_refunded', intent));
  }

  /** M4. */
  async function once<Value>(
    idempotencyKey: string,
    send: (keyed: Stripe.RequestOptions) => Promise<Value>,
  ): Promise<Called<Value>> {
    const first = await line.call('finish', () => send({ idempotencyKey }));
    return first.ok || !first.failed.isKeySpent ? first : line.call('finish', () => send({}));
  }

  /** Somebody else changed the payment between our look and our call: look again rather than guess. */
  async function settledOtherwise(failed: FailedCall, code: string, intent: string): Promise<PaymentAnswer> {
    if (failed.code !== code) return failed.answer;
    const now = await lookUp(intent);
    return now.kind === 'authorized' || now.kind === 'actionRequired' ? changed() : now;
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
    cancel: (request) => observed('cancel', () => voided(request, request.intent)),
    lookUp: (intent) => observed('lookUp', () => lookUp(intent)),
    lookUpRefund: (payment) => observed('lookUpRefund', () => lookUpRefund(payment)),
    find: (request) => observed('find', () => find(request)),

    verifyWebhook: createWebhookCheck(
      { ...(webhookSecret === undefined ? {} : { secret: webhookSecret }) },
      { clock },
    ),

    book: createStripeBook({
      clock,
      intents: stripe.paymentIntents,
      call: (request) => line.call('begin', request),
    }),

    get breakerState() {
      return breaker.state();
    },
    onAnsweringAgain: (listener) => breaker.onClosed(listener),
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

function holdsMoney({ status }: Stripe.PaymentIntent): boolean {
  return status === 'succeeded' || status === 'requires_capture' || status === 'processing';
}

/** Who wants to give money back has to come again when it was captured meanwhile. */
function unlessCaptured(answer: PaymentAnswer): PaymentAnswer {
  return answer.kind === 'captured' ? changed() : answer;
}

function changed(): PaymentAnswer {
  return { kind: 'unknown', reason: 'PAYMENT_CHANGED', retryAfterMs: 100 };
}
