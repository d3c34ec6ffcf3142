import type Stripe from 'stripe';
import type { Clock } from '../../store/environment.ts';
import { BookUnavailable } from '../ports/books.ts';
import type { ListedPayment, ProviderBook } from '../ports/books.ts';

/**
 * Stripe's list of payments, as the drift report reads it. Owns how often an answer is asked for again; the way there,
 * with its budget and its circuit, is the provider's.
 *
 * Refunds come with their payments: Stripe expands them in lists too.
 */
export interface StripeBookDependencies {
  readonly clock: Pick<Clock, 'after'>;
  readonly intents: Pick<Stripe['paymentIntents'], 'list' | 'retrieve'>;
  /** One request, when circuit and budget let it through. Never rejects. */
  readonly call: <Value>(request: () => Promise<Value>) => Promise<BookAnswer<Value>>;
}

type BookAnswer<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly failed: { readonly answer: Failure } };

type Failure =
  | { readonly kind: 'refused'; readonly code: string }
  | {
      readonly kind: 'unknown' | 'postponed';
      readonly reason: string;
      readonly retryAfterMs?: number;
    };

const attemptsMax = 10;
const pauseMsMin = 250;
const pauseMsMax = 30_000;

export function createStripeBook({ clock, intents, call }: StripeBookDependencies): ProviderBook {
  /** Reading may be repeated as it likes. Undefined when Stripe says that there is no such thing. */
  async function read<Value>(request: () => Promise<Value>): Promise<Value | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      const answer = await call(request);
      if (answer.ok) return answer.value;
      const failure = answer.failed.answer;
      if (failure.kind === 'refused') {
        if (failure.code === 'resource_missing') return undefined;
        throw new BookUnavailable('provider', failure.code);
      }
      if (attempt === attemptsMax) throw new BookUnavailable('provider', failure.reason);
      const pauseMs = Math.min(pauseMsMax, pauseMsMin * 2 ** attempt);
      await new Promise<void>((resolve) =>
        clock.after(Math.max(pauseMs, failure.retryAfterMs ?? 0), resolve),
      );
    }
  }

  return {
    async page({ createdFrom, after, limit }) {
      const page = await read(() =>
        intents.list({
          created: { gte: Math.floor(createdFrom / 1_000) },
          limit: Math.min(100, limit),
          expand: ['data.latest_charge.refunds'],
          ...(after === undefined ? {} : { starting_after: after }),
        }),
      );
      if (page === undefined) throw new BookUnavailable('provider', 'the payment to go on from is gone');
      const last = page.data.at(-1);
      const rows = page.data.map(listed);
      return page.has_more && last !== undefined ? { rows, next: last.id } : { rows };
    },
    async byIntent(intent) {
      const found = await read(() => intents.retrieve(intent, { expand: ['latest_charge.refunds'] }));
      return found === undefined ? undefined : listed(found);
    },
  };
}

function listed(intent: Stripe.PaymentIntent): ListedPayment {
  const orderId = intent.metadata['order_id'];
  return {
    intent: intent.id,
    ...(orderId === undefined ? {} : { orderId }),
    createdAt: intent.created * 1_000,
    currency: intent.currency.toUpperCase(),
    authorized: intent.amount_capturable,
    captured: intent.amount_received,
    refunded: refundedOf(intent.latest_charge),
  };
}

/** What is under way counts as given back until it fails. */
function refundedOf(charge: Stripe.PaymentIntent['latest_charge']): number {
  if (charge === null || typeof charge === 'string') return 0;
  const { refunds } = charge;
  if (refunds === null || refunds === undefined || refunds.has_more) return charge.amount_refunded;
  return refunds.data
    .filter(({ status }) => status !== 'failed' && status !== 'canceled')
    .reduce((sum, { amount }) => sum + amount, 0);
}
