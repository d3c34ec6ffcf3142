import type { Clock } from '../../store/environment.ts';
import type { OrderFact, PaymentName } from '../orders/events.ts';
import type { Payment } from '../orders/money.ts';
import type { PaymentAnswer } from '../ports/payments.ts';
import type { PaymentPolicy } from './payment-policy.ts';
import { again, fact, park, type Performed } from './performed.ts';

/** What the payment provider's answers mean for an order: facts, or how long to wait before asking again. */
const SECOND_MS = 1_000;
/** Between two looks at a payment that waits for its customer or its bank; a message of the provider comes first. */
const LOOK_EVERY_MS_MAX = 30 * SECOND_MS;
const LOOK_AT_REFUND_EVERY_MS_MAX = 15 * 60 * SECOND_MS;

interface FactDependencies {
  readonly clock: Clock;
  readonly paymentPolicy: PaymentPolicy;
}

/** What the provider says of a payment, as facts. `known` is what is known of it already. */
export function learnt(
  answer: PaymentAnswer,
  known: PaymentName & Partial<Payment>,
  { clock, paymentPolicy }: FactDependencies,
): Performed {
  const { attempt } = known;
  const intent = 'intent' in answer && answer.intent !== undefined ? answer.intent : known.intent;
  const name: PaymentName = { intent, attempt };
  const isKnown = known.standing !== undefined;
  const paid: OrderFact = { type: 'paid', data: { mode: 'captured', ...name } };
  switch (answer.kind) {
    case 'authorized':
    case 'captured':
      return fact({ type: 'paid', data: { mode: answer.kind, ...name } });
    case 'refused': {
      const { code, declineCode } = answer;
      return refusedBy({ code, ...(declineCode === undefined ? {} : { declineCode }) }, name);
    }
    case 'voided': {
      const isOver = known.action !== undefined && clock.now() >= known.action.expiresAt;
      return refusedBy({ code: isOver ? 'AUTHENTICATION_EXPIRED' : 'payment_voided' }, name);
    }
    case 'refunded':
      return fact(paid, { type: 'reversed', data: { how: 'refunded', refund: answer.refund, ...name } });
    case 'refundPending':
      return fact(paid, { type: 'refundPending', data: { refund: answer.refund, ...name } });
    case 'refundFailed':
      return fact(paid, {
        type: 'refundFailed',
        data: { refund: answer.refund, code: answer.code, ...name },
      });
    case 'spent':
      return fact({ type: 'paymentSpent', data: { attempt, reason: answer.reason } });
    case 'actionRequired': {
      const now = clock.now();
      if (known.action !== undefined) {
        const leftMs = known.action.expiresAt - now;
        return again('PAYMENT_ACTION_REQUIRED', Math.min(Math.max(leftMs, 0), lookAgainMs(known, now)));
      }
      const { nextAction } = answer;
      const expiresAt = now + paymentPolicy.authenticateWithinMs;
      return fact({ type: 'paymentActionRequired', data: { ...name, nextAction, expiresAt } });
    }
    case 'unknown':
      if (answer.intent === undefined) return notYet(answer, 'pay');
      if (isKnown) return again('PAYMENT_PROCESSING', lookAgainMs(known, clock.now()));
      return fact({ type: 'paymentProcessing', data: name });
    default:
      return notYet(answer, 'pay');
  }
}

/** What the provider says of money on its way back, as facts. */
export function returned(answer: PaymentAnswer, payment: Payment, clock: Clock, eventId?: string): Performed {
  const { intent, attempt, refund, standing } = payment;
  const name: PaymentName = { intent, attempt };
  const answers = eventId === undefined ? {} : { eventId };
  switch (answer.kind) {
    case 'voided':
      return fact({ type: 'reversed', data: { how: 'voided', ...named(answer, name) } });
    case 'refunded':
      return fact({
        type: 'reversed',
        data: { how: 'refunded', refund: answer.refund, ...named(answer, name), ...answers },
      });
    case 'refundPending':
      if (standing === 'refundPending' && refund === answer.refund) {
        const waitedMs = clock.now() - payment.fact.at;
        return again('REFUND_PENDING', paced(waitedMs, LOOK_AT_REFUND_EVERY_MS_MAX));
      }
      return fact({ type: 'refundPending', data: { refund: answer.refund, ...named(answer, name) } });
    case 'refundFailed':
      return fact({
        type: 'refundFailed',
        data: { refund: answer.refund, code: answer.code, ...named(answer, name), ...answers },
      });
    case 'captured':
      return fact({ type: 'captured', data: name });
    default:
      return notYet(answer, 'reverse');
  }
}

/** The provider's own name, where the payment was found by its order only. */
function named({ intent }: { readonly intent: string }, name: PaymentName): PaymentName {
  return { ...name, intent: name.intent === '' ? intent : name.intent };
}

export function refusedBy(
  why: { readonly code: string; readonly declineCode?: string },
  { intent, attempt }: PaymentName,
): Performed {
  return fact({ type: 'paymentRefused', data: { ...why, intent, attempt } });
}

function lookAgainMs({ fact: known }: Partial<Payment>, now: number): number {
  return paced(now - (known?.at ?? now), LOOK_EVERY_MS_MAX);
}

/** An eighth of the time that it has taken so far: many looks at what is quick, few at what takes long. */
function paced(waitedMs: number, capMs: number): number {
  return Math.min(capMs, Math.max(SECOND_MS / 2, waitedMs / 8));
}

/** What is not there for good: something to wait for, or for somebody to look at. */
export function notYet(answer: PaymentAnswer, operation: string): Performed {
  switch (answer.kind) {
    case 'unknown':
      return again('PAYMENT_UNKNOWN', answer.retryAfterMs);
    case 'postponed':
      return again('PAYMENT_POSTPONED', answer.retryAfterMs);
    case 'refused':
      return park('PAYMENT_REFUSED', `${operation}: ${answer.code}`);
    case 'otherSum':
      return park('PAYMENT_OTHER_SUM', `${operation}: ${answer.intent} is captured for ${answer.amount}`);
    default:
      return park('PAYMENT_UNEXPECTED', `${operation}: the payment is ${answer.kind}`);
  }
}
