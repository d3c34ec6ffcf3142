import type { Ledger, ReleaseReason } from '../../store/ledger/port.ts';
import type { OrderFact, PaymentName } from '../orders/events.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import type { Order } from '../orders/order.ts';
import { illegal, type OrderEffect } from '../orders/transitions.ts';
import type { PaymentAnswer } from '../ports/payments.ts';
import { notYet } from './payment-facts.ts';
import {
  askForPayment,
  giveBack,
  requestOf,
  withdrawPayment,
  type PaymentStepDependencies,
} from './payment-steps.ts';
import { fact, park, type Performed } from './performed.ts';
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
export interface PerformDependencies extends PaymentStepDependencies {
  readonly ledger: Pick<Ledger, 'hold' | 'commit' | 'release'>;
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
  const { own } = folded.money;

  switch (effect.type) {
    case 'payment.authorize':
    case 'payment.charge':
      return askForPayment(folded, dependencies);
    case 'payment.capture':
      return capture();
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
      // T6. The ledger has closed the order already: it accepted the cancellation.
      return own !== undefined && order.payment.status === 'action_required'
        ? withdrawPayment(own, folded, dependencies)
        : end('cancelled', { type: 'cancelled', data: {} });
  }

  async function capture(): Promise<Performed> {
    const { intent = '', attempt = 1 } = own ?? {};
    const answer = await payments.capture({ ...requestOf(folded, attempt), intent });
    return captured(answer, { intent, attempt });
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
    if (own === undefined) return park('PAYMENT_UNEXPECTED', 'reverse: there is no payment');
    // Once money is on its way back, the ledger has long closed the order.
    if (own.standing === 'authorized' || own.standing === 'captured') {
      const closed = await ledger.release({
        ...reference,
        reason: order.cancelRequested ? 'cancelled' : 'refunded',
      });
      if (closed.kind === 'forgotten') return { kind: 'forgotten' };
      // Another home got there first: the goods are sold, so the money stays.
      if (closed.kind === 'committed') {
        return own.standing === 'captured' ? fact({ type: 'fulfilled', data: {} }) : capture();
      }
    }
    return giveBack(own, folded, dependencies);
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
  return fact(...ENDINGS[closed.reason]);
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

function captured(answer: PaymentAnswer, payment: PaymentName): Performed {
  switch (answer.kind) {
    case 'captured':
      return fact({ type: 'captured', data: payment });
    case 'refused':
      return fact({ type: 'captureRefused', data: { code: answer.code, ...payment } });
    default:
      return notYet(answer, 'capture');
  }
}

function codeOf(reason: ReleaseReason): string {
  return reason.toUpperCase();
}
