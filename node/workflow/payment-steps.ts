import type { Clock } from '../../store/environment.ts';
import type { Errand, FoldedOrder } from '../orders/fold.ts';
import { isExpected, type Payment } from '../orders/money.ts';
import type { PaymentRequest, Payments } from '../ports/payments.ts';
import { learnt, refusedBy, returned } from './payment-facts.ts';
import type { PaymentPolicy } from './payment-policy.ts';
import { again, fact, park, type Performed } from './performed.ts';

/**
 * What is asked of the payment provider for an order, and when. Decides nothing (P1): what its answers mean is told in
 * payment-facts.ts.
 *
 * Q1  There is another attempt only when the one before is spent (its key gives no payment any more) and the provider's
 *     search, asked long enough afterwards, finds none: never after an answer that may still become money.
 * Q2  A payment that is known by name is looked up; it is not asked for again.
 * Q3  Money that came beside the order's own goes back: an authorization is only cancelled, and given up as a stray only
 *     if that succeeds (Y3 in node/orders/money.ts).
 * Q4  A refund is followed until the provider says how it ended. One that failed is tried again, at growing intervals
 *     and for ever: the money is the customer's.
 * Q5  Whoever was shown a payment to authenticate can not complete it once the order has gone on without it: it is
 *     cancelled first, and what the provider accepted before stands.
 */
export interface PaymentStepDependencies {
  readonly clock: Clock;
  readonly payments: Payments;
  readonly paymentPolicy: PaymentPolicy;
}

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
/** Each after a longer wait than the one before, up to eight times the first. */
const ATTEMPTS_MAX = 10;
const ATTEMPT_WAITS_MAX = 8;

/** Asks for the order's money, or how the payment stands that was asked for. */
export async function askForPayment(
  folded: FoldedOrder,
  dependencies: PaymentStepDependencies,
): Promise<Performed> {
  const { order, money } = folded;
  const { payments } = dependencies;
  if (money.own !== undefined && isExpected(money.own)) return follow(money.own, folded, dependencies);
  const { attempt } = money;
  const request = requestOf(folded, attempt);
  // The provider has named it: that is surer than to ask again, and quicker than to search.
  const named = money.unseen.find((payment) => payment.attempt === attempt);
  if (named !== undefined) {
    const seen = await payments.lookUp(named.intent);
    if ('intent' in seen && seen.intent === named.intent) return learnt(seen, named, dependencies);
  }
  if (money.spentAt !== undefined) return searchOrGiveUp(folded, money.spentAt, dependencies);
  const { method, returnUrl } = order.payment;
  const answer = await payments.pay({
    ...request,
    method,
    capture: order.capture,
    ...(returnUrl === undefined ? {} : { returnUrl }),
  });
  return learnt(answer, { attempt, intent: '' }, dependencies);
}

/** Q5. For an order that was cancelled while its customer was to act. */
export async function withdrawPayment(
  payment: Payment,
  folded: FoldedOrder,
  dependencies: PaymentStepDependencies,
): Promise<Performed> {
  const { intent, attempt } = payment;
  const answer = await dependencies.payments.cancel({ ...requestOf(folded, attempt), intent });
  return answer.kind === 'voided'
    ? fact({ type: 'reversed', data: { how: 'voided', intent, attempt } })
    : learnt(answer, payment, dependencies);
}

/** Gives back what the shop has of a payment, or follows it on its way back. */
export async function giveBack(
  payment: Payment,
  folded: FoldedOrder,
  { clock, payments }: PaymentStepDependencies,
): Promise<Performed> {
  const { intent, attempt, standing, refund = '' } = payment;
  const request = { ...requestOf(folded, attempt), intent };
  const isStray = payment !== folded.money.own;
  switch (standing) {
    case 'refundFailed': {
      const waitMs = payment.fact.at + refundWaitMs(payment.refundsFailed) - clock.now();
      if (waitMs > 0) return park('REFUND_FAILED', `refund ${refund} of ${intent} failed`, waitMs);
      return returned(await payments.reverse(request), payment, clock);
    }
    case 'refundPending':
      return returned(await payments.lookUpRefund({ intent, refund }), payment, clock);
    case 'authorized':
    case 'actionRequired':
    case 'processing':
      // Q3.
      return returned(await (isStray ? payments.cancel(request) : payments.reverse(request)), payment, clock);
    default:
      return returned(await payments.reverse(request), payment, clock);
  }
}

/** What the host does about money by itself, once the order has ended. */
export async function runErrand(
  errand: Errand,
  folded: FoldedOrder,
  dependencies: PaymentStepDependencies,
): Promise<Performed> {
  const { clock, payments, paymentPolicy } = dependencies;
  switch (errand.kind) {
    case 'giveBack':
      return giveBack(errand.payment, folded, dependencies);
    case 'lookAt':
      return learnt(await payments.lookUp(errand.payment.intent), errand.payment, dependencies);
    case 'lookAgain': {
      const { payment, eventId } = errand;
      return returned(await payments.lookUp(payment.intent), payment, clock, eventId);
    }
    case 'search': {
      const { attempt } = errand;
      const waitedMs = clock.now() - (folded.money.askedAt ?? clock.now());
      const found = await payments.find(requestOf(folded, attempt));
      if (found.kind !== 'absent') return learnt(found, { attempt, intent: '' }, dependencies);
      return waitedMs < paymentPolicy.searchLagMs
        ? again('PAYMENT_SEARCHED', paymentPolicy.searchLagMs - waitedMs)
        : fact({ type: 'paymentSpent', data: { attempt, reason: 'NOT_FOUND' } });
    }
  }
}

/** What the provider is asked with for one attempt: the same on every node. */
export function requestOf({ order, money }: FoldedOrder, attempt: number): PaymentRequest {
  const askedAt = attempt > 1 && attempt === money.attempt ? money.askedAt : undefined;
  return {
    orderId: order.id,
    attempt,
    amount: order.total,
    currency: order.currency,
    // Never later than it was first asked for, and known to whatever node asks again.
    firstAskedAt: askedAt ?? order.createdAt,
    ...(order.traceparent === undefined ? {} : { traceparent: order.traceparent }),
  };
}

/** Q2: it waits for its customer, or its bank. */
async function follow(
  payment: Payment,
  folded: FoldedOrder,
  dependencies: PaymentStepDependencies,
): Promise<Performed> {
  const { clock, payments } = dependencies;
  const { intent, attempt, action } = payment;
  const answer = await payments.lookUp(intent);
  const isOver = folded.order.cancelRequested || (action !== undefined && clock.now() >= action.expiresAt);
  const isGivenUp = answer.kind === 'actionRequired' && isOver;
  if (!isGivenUp && (answer.kind !== 'refused' || action === undefined)) {
    return learnt(answer, payment, dependencies);
  }
  // Q5. Its customer might still complete it, or try another card on the page that is open.
  const taken = await payments.cancel({ ...requestOf(folded, attempt), intent });
  if (taken.kind !== 'voided') return learnt(taken, payment, dependencies);
  if (answer.kind !== 'refused') return refusedBy({ code: 'AUTHENTICATION_EXPIRED' }, payment);
  const { code, declineCode } = answer;
  return refusedBy({ code, ...(declineCode === undefined ? {} : { declineCode }) }, payment);
}

/** Q1. */
async function searchOrGiveUp(
  folded: FoldedOrder,
  spentAt: number,
  dependencies: PaymentStepDependencies,
): Promise<Performed> {
  const { clock, payments, paymentPolicy } = dependencies;
  const { order, money } = folded;
  const { attempt } = money;
  const lagMs = paymentPolicy.searchLagMs * Math.min(2 ** (attempt - 1), ATTEMPT_WAITS_MAX);
  const leftMs = spentAt + lagMs - clock.now();
  const found = await payments.find(requestOf(folded, attempt));
  if (found.kind !== 'absent') return learnt(found, { attempt, intent: '' }, dependencies);
  if (leftMs > 0) return again('PAYMENT_SPENT', leftMs);
  const isWanted = !order.cancelRequested && order.outcome === undefined && attempt < ATTEMPTS_MAX;
  return isWanted
    ? { kind: 'nextAttempt', attempt: attempt + 1 }
    : refusedBy({ code: 'PAYMENT_NOT_MADE' }, { attempt, intent: '' });
}

function refundWaitMs(failed: number): number {
  return Math.min(HOUR_MS, SECOND_MS * 2 ** Math.min(failed, 20));
}
