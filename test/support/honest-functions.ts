import type { FoldedOrder } from '../../node/orders/fold.ts';
import type { OrderEffect } from '../../node/orders/transitions.ts';
import type { HttpInput, OrderInput } from '../../node/orders/effects.ts';
import type { Decision, FunctionHost } from '../../node/ports/functions.ts';

/** The order flow's part of a function host, without WebAssembly. */
export function honestFunctions(): Pick<FunctionHost, 'callHttp' | 'callOrder'> {
  const decided = (name: string, effect: Decision['effects'][number]): Decision => ({
    effects: [effect],
    function: name,
    version: '0'.repeat(64),
  });
  return {
    async callHttp(_route, input) {
      const { request, products } = input as HttpInput;
      const lines = request.body.lines.map((line) => ({
        ...line,
        unitPrice: products.find(({ sku }) => sku === line.sku)?.unitPrice ?? 0,
      }));
      const total = lines.reduce((sum, { unitPrice, quantity }) => sum + unitPrice * quantity, 0);
      return decided('register', { type: 'order.register', currency: request.body.currency, total, lines });
    },
    async callOrder(trigger, input) {
      const { order, code } = input as OrderInput;
      const payment = { status: order.paymentStatus };
      const effect = honestEffect({ trigger, code, order: { ...order, payment } });
      const ttlMs = holdTime(input as OrderInput);
      return decided(trigger, effect.type === 'stock.hold' ? { ...effect, ttlMs } : effect);
    },
  };
}

/** That of the most impatient product; the shop's for those that say nothing. */
function holdTime({ order, products, settings }: OrderInput): number {
  const own = new Map(products.map(({ sku, holdTtlMs }) => [sku, holdTtlMs]));
  return Math.min(...order.lines.map(({ sku }) => own.get(sku) ?? settings.holdTtlMs));
}

/** What `honestEffect` looks at. */
interface Looked {
  readonly trigger?: FoldedOrder['trigger'];
  readonly code: string;
  readonly order: Pick<FoldedOrder['order'], 'cancelRequested' | 'capture'> & {
    readonly payment: { readonly status: string };
  };
}

/**
 * What the shipped guests decide, for tests that drive thousands of orders in virtual time. The guests themselves
 * are held to their goldens; `test/functions` holds this against them.
 */
export function honestEffect({ trigger, code, order }: Looked): OrderEffect {
  const { cancelRequested, capture, payment } = order;
  switch (trigger) {
    case 'registered':
      if (cancelRequested && payment.status !== 'requested') return { type: 'order.cancel' };
      return capture === 'immediate' ? { type: 'payment.charge' } : { type: 'payment.authorize' };
    case 'paymentRefused':
      return cancelRequested ? { type: 'order.cancel' } : { type: 'order.fail', code };
    case 'paid':
      return cancelRequested ? { type: 'payment.reverse' } : { type: 'stock.hold', ttlMs: 1_000 };
    case 'reserved':
      if (cancelRequested) return { type: 'payment.reverse' };
      return payment.status === 'captured' ? { type: 'order.fulfil' } : { type: 'payment.capture' };
    case 'captured':
      return { type: 'order.fulfil' };
    case 'reversed':
      return cancelRequested ? { type: 'order.cancel' } : { type: 'order.refund', code };
    default:
      return { type: 'payment.reverse' };
  }
}
