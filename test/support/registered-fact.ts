import type { OrderFact } from '../../node/orders/events.ts';

type Registered = Extract<OrderFact, { type: 'registered' }>;

/** The registration of an order of one mug, for tests to which it does not matter what was ordered. */
export function registeredFact(over: Partial<Registered['data']> = {}): Registered {
  return {
    type: 'registered',
    data: {
      customer: { id: 'c', email: 'a@b.c' },
      currency: 'EUR',
      total: 600,
      lines: [{ sku: 'MUG', quantity: 1, unitPrice: 600 }],
      method: 'pm_card_visa',
      capture: 'after-reserve',
      fingerprint: 'f',
      ...over,
    },
  };
}
