import type { Effect } from './effects.ts';
import type { FoldedOrder } from './fold.ts';
import type { PaymentStatus } from './order.ts';

/**
 * Which effects the host performs on an order in its present state, whatever a function asks. A function may
 * choose a way; it can not skip the money, the stock or the end.
 *
 * T1  Goods leave (`order.fulfil`) only against captured money and held stock.
 * T2  Money is taken only once, and given back only if it was taken or set aside.
 * T3  Stock is held only against money that is at least authorized.
 * T4  An order ends without goods only when no money of its customer is with the shop: never asked for, refused
 *     or given back.
 * T5  An ended order only finds out about money and gives it back.
 * T6  While a customer has to act, or the provider is at work, the order asks how that went; it does not ask for money
 *     again. Cancelled meanwhile, it takes the payment back first, and what the provider says then counts.
 * T7  Money on its way back is followed until it is back: nothing else happens to the order before.
 */
export type OrderEffect = Exclude<
  Effect,
  { type: 'order.register' | 'reply.refuse' | 'inventory.pull' | 'orders.push' }
>;

/** Why `effect` may not be performed now, or undefined when it may. */
export function illegal(folded: FoldedOrder, effect: OrderEffect): string | undefined {
  const { order, trigger } = folded;
  const { status } = order.payment;
  if (order.outcome !== undefined && (!folded.open || !settlesMoney(effect))) {
    return `the order has ended: ${order.outcome}`;
  }
  switch (effect.type) {
    case 'payment.authorize':
      return unless(order.capture === 'after-reserve', 'this order is charged at once') ?? unasked();
    case 'payment.charge':
      return unless(order.capture === 'immediate', 'this order is authorized first') ?? unasked();
    case 'stock.hold':
      return (
        unless(status === 'authorized' || status === 'captured', `payment is ${status}`) ??
        unless(trigger === 'paid', `stock is decided: ${String(trigger)}`)
      );
    case 'payment.capture':
      return (
        unless(status === 'authorized', `payment is ${status}`) ??
        unless(trigger === 'reserved', 'no stock is held for this order')
      );
    case 'payment.reverse':
      return unless(isWithShop(status), `payment is ${status}`);
    case 'order.fulfil':
      return (
        unless(status === 'captured', `payment is ${status}`) ??
        unless(trigger === 'captured' || trigger === 'reserved', 'no stock is held for this order')
      );
    case 'order.refund':
      return unless(status === 'voided' || status === 'refunded', `payment is ${status}`);
    case 'order.fail':
      return unless(status === 'refused' || status === 'pending', `payment is ${status}`);
    case 'order.cancel':
      return (
        unless(order.cancelRequested, 'nobody asked to cancel it') ??
        unless(
          status === 'pending' ||
            status === 'action_required' ||
            status === 'refused' ||
            status === 'voided' ||
            status === 'refunded',
          `payment is ${status}`,
        )
      );
  }

  function unasked(): string | undefined {
    return unless(
      status === 'pending' || status === 'requested' || status === 'action_required',
      `payment is ${status}`,
    );
  }
}

function isWithShop(status: PaymentStatus): boolean {
  return (
    status === 'authorized' ||
    status === 'captured' ||
    status === 'refund_pending' ||
    status === 'refund_failed'
  );
}

function settlesMoney({ type }: OrderEffect): boolean {
  return type === 'payment.authorize' || type === 'payment.charge' || type === 'payment.reverse';
}

function unless(condition: boolean, why: string): string | undefined {
  return condition ? undefined : why;
}
