import type { Clock } from '../../store/environment.ts';
import type { Ledger, ReleaseReason } from '../../store/ledger/port.ts';
import type { OrderFact } from '../orders/events.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import type { Order } from '../orders/order.ts';
import { illegal, type OrderEffect } from '../orders/transitions.ts';
import type { PaymentAnswer, PaymentProvider } from '../ports/payments.ts';
import type { WorkflowObserver } from './ports.ts';

/**
 * Performs one effect on one order: asks whoever owns the decision, and gives back the facts that follow.
 *
 * P1  Nothing is decided here: each fact is the owner's answer (payment provider, ledger), so performing an
 *     effect again, here or on another node, gives the same facts.
 * P2  Before money goes back, the ledger has closed the order: it can not be fulfilled any more.
 * P3  An order ends without goods for the first reason that the ledger accepted, whoever gave it: an accepted
 *     cancellation ends `cancelled`, whatever happened meanwhile, and two homes never tell two endings.
 */
export type Performed =
  | { readonly kind: 'facts'; readonly facts: readonly OrderFact[] }
  /** Not known yet: ask again. */
  | { readonly kind: 'again'; readonly code: string; readonly afterMs?: number }
  /** This can not go on by itself: seen by an operator, tried again at long intervals. */
  | { readonly kind: 'park'; readonly code: string; readonly detail: string }
  /** It ended so long ago that the ledger knows it no more: whatever this node missed, nothing is left to do. */
  | { readonly kind: 'forgotten' };

export interface PerformDependencies {
  readonly clock: Clock;
  readonly ledger: Pick<Ledger, 'hold' | 'commit' | 'release'>;
  readonly payments: Pick<PaymentProvider, 'pay' | 'capture' | 'reverse' | 'lookUp'>;
  readonly observer: Pick<WorkflowObserver, 'held'>;
}

/** Rejects with LedgerError when the ledger does not answer: nothing is known, perform it again. */
export async function perform(
  folded: FoldedOrder,
  effect: OrderEffect,
  dependencies: PerformDependencies,
): Promise<Performed> {
  const refused = illegal(folded, effect);
  if (refused !== undefined) return park('ILLEGAL_TRANSITION', `${effect.type}: ${refused}`);
  const { ledger, payments, observer } = dependencies;
  const { order } = folded;
  const reference = { orderId: order.id, createdAt: order.createdAt };
  const payment = {
    orderId: order.id,
    attempt: 1,
    amount: order.total,
    currency: order.currency,
    // Never later than it was first asked for, and known to whatever node asks again.
    firstAskedAt: order.createdAt,
    ...(order.traceparent === undefined ? {} : { traceparent: order.traceparent }),
  };
  const intent = order.payment.intent ?? '';

  switch (effect.type) {
    case 'payment.authorize':
    case 'payment.charge':
      return paid(await payments.pay({ ...payment, method: order.payment.method, capture: order.capture }));
    case 'payment.capture':
      return captured(await payments.capture({ ...payment, intent }));
    case 'payment.reverse':
      return reverse();
    case 'stock.hold':
      return hold(effect.ttlMs);
    case 'order.fulfil':
      return fulfil();
    case 'order.refund':
      return end('refunded', { type: 'refunded', data: { code: effect.code } });
    case 'order.fail':
      return end('failed', { type: 'failed', data: { code: effect.code } });
    case 'order.cancel':
      return end('cancelled', { type: 'cancelled', data: {} });
  }

  async function hold(ttlMs: number): Promise<Performed> {
    const lines = order.lines.map(({ sku, quantity }) => ({ sku, quantity }));
    const answer = await ledger.hold({ ...reference, fingerprint: order.fingerprint, lines, ttlMs });
    observer.held(answer.kind === 'refused' ? answer.reason : answer.kind);
    switch (answer.kind) {
      case 'held':
        return fact({ type: 'reserved', data: { expiresAt: answer.expiresAt } });
      case 'committed':
        return fact({ type: 'reserved', data: { expiresAt: dependencies.clock.now() } });
      case 'refused':
        return fact({ type: 'outOfStock', data: { code: answer.reason, sku: answer.sku } });
      case 'expired':
        return fact({ type: 'holdLost', data: { code: 'HOLD_EXPIRED' } });
      case 'released':
        return fact({ type: 'holdLost', data: { code: codeOf(answer.reason) } });
      case 'conflict':
        return fact({ type: 'outOfStock', data: { code: 'HOLD_CONFLICT' } });
      case 'forgotten':
        return { kind: 'forgotten' };
    }
  }

  async function fulfil(): Promise<Performed> {
    const answer = await ledger.commit(reference);
    switch (answer.kind) {
      case 'committed':
        return fact({ type: 'fulfilled', data: {} });
      case 'expired':
        return fact({ type: 'holdLost', data: { code: 'HOLD_EXPIRED' } });
      case 'released':
        return fact({ type: 'holdLost', data: { code: codeOf(answer.reason) } });
      case 'absent':
        return fact({ type: 'holdLost', data: { code: 'HOLD_ABSENT' } });
      case 'forgotten':
        return { kind: 'forgotten' };
    }
  }

  /** P2. */
  async function reverse(): Promise<Performed> {
    const closed = await ledger.release({
      ...reference,
      reason: order.cancelRequested ? 'cancelled' : 'refunded',
    });
    if (closed.kind === 'forgotten') return { kind: 'forgotten' };
    if (closed.kind === 'committed') {
      // Another home got there first: the goods are sold, so the money stays.
      return order.payment.status === 'captured'
        ? fact({ type: 'fulfilled', data: {} })
        : captured(await payments.capture({ ...payment, intent }));
    }
    const answer = await payments.reverse({ ...payment, intent });
    switch (answer.kind) {
      case 'voided':
        return fact({ type: 'reversed', data: { how: 'voided' } });
      case 'refunded':
        return fact({ type: 'reversed', data: { how: 'refunded', refund: answer.refund } });
      default:
        return notYet(answer, 'reverse');
    }
  }

  function end(reason: ReleaseReason, ending: OrderFact): Promise<Performed> {
    return endWithout(order, reason, ending, ledger);
  }
}

/** Ends an order without goods, for the reason that the ledger accepted first (P3). */
export async function endWithout(
  order: Pick<Order, 'id' | 'createdAt'>,
  reason: ReleaseReason,
  ending: OrderFact,
  ledger: Pick<Ledger, 'release'>,
): Promise<Performed> {
  const closed = await ledger.release({ orderId: order.id, createdAt: order.createdAt, reason });
  if (closed.kind === 'forgotten') return { kind: 'forgotten' };
  if (closed.kind === 'committed') return park('LEDGER_DISAGREES', `${reason}, but its goods are sold`);
  if (closed.reason === reason) return fact(ending);
  return { kind: 'facts', facts: ENDINGS[closed.reason] };
}

/** How an order ends when the ledger had accepted another reason before this home came with its own. */
const ENDINGS: Readonly<Record<ReleaseReason, readonly OrderFact[]>> = {
  cancelled: [
    { type: 'cancelRequested', data: {} },
    { type: 'cancelled', data: {} },
  ],
  refunded: [{ type: 'refunded', data: { code: 'REFUNDED' } }],
  failed: [{ type: 'failed', data: { code: 'FAILED' } }],
  abandoned: [{ type: 'failed', data: { code: 'ABANDONED' } }],
};

function paid(answer: PaymentAnswer): Performed {
  switch (answer.kind) {
    case 'authorized':
    case 'captured':
      return fact({ type: 'paid', data: { mode: answer.kind, intent: answer.intent, attempt: 1 } });
    case 'refused': {
      const { code, declineCode, intent } = answer;
      return fact({
        type: 'paymentRefused',
        data: {
          code,
          ...(declineCode === undefined ? {} : { declineCode }),
          ...(intent === undefined ? {} : { intent }),
        },
      });
    }
    default:
      return notYet(answer, 'pay');
  }
}

function captured(answer: PaymentAnswer): Performed {
  switch (answer.kind) {
    case 'captured':
      return fact({ type: 'captured', data: { intent: answer.intent } });
    case 'refused':
      return fact({ type: 'captureRefused', data: { code: answer.code } });
    default:
      return notYet(answer, 'capture');
  }
}

function notYet(answer: PaymentAnswer, operation: string): Performed {
  switch (answer.kind) {
    case 'unknown':
      return again('PAYMENT_UNKNOWN', answer.retryAfterMs);
    case 'postponed':
      return again('PAYMENT_POSTPONED', answer.retryAfterMs);
    case 'refused':
      return park('PAYMENT_REFUSED', `${operation}: ${answer.code}`);
    default:
      return park('PAYMENT_UNEXPECTED', `${operation}: the payment is ${answer.kind}`);
  }
}

function codeOf(reason: ReleaseReason): string {
  return reason.toUpperCase();
}

function fact(one: OrderFact): Performed {
  return { kind: 'facts', facts: [one] };
}

function again(code: string, afterMs?: number): Performed {
  return afterMs === undefined ? { kind: 'again', code } : { kind: 'again', code, afterMs };
}

function park(code: string, detail: string): Performed {
  return { kind: 'park', code, detail };
}
