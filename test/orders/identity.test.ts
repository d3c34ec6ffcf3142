import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fingerprintOf, orderIdOf } from '../../node/orders/identity.ts';

const asked = {
  customer: { id: 'c1', email: 'ada@example.org' },
  currency: 'EUR',
  lines: [
    { sku: 'A', quantity: 1 },
    { sku: 'B', quantity: 2 },
  ],
  payment: { method: 'pm_card_visa' },
};

describe('order ids and fingerprints', () => {
  it('names an order by its key alone', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (one, other) => {
        expect(orderIdOf(one)).toMatch(/^ord_[a-z2-7]{26}$/);
        expect(orderIdOf(one) === orderIdOf(other)).toBe(one === other);
      }),
    );
  });

  it('tells requests apart by everything that was asked for, not by the order of lines', () => {
    const base = fingerprintOf(asked);
    expect(fingerprintOf({ ...asked, lines: asked.lines.toReversed() })).toBe(base);
    const others = [
      { ...asked, currency: 'USD' },
      { ...asked, payment: { method: 'pm_card_slow' } },
      { ...asked, customer: { ...asked.customer, name: 'Ada' } },
      {
        ...asked,
        lines: [
          { sku: 'A', quantity: 2 },
          { sku: 'B', quantity: 1 },
        ],
      },
      { ...asked, lines: asked.lines.slice(1) },
    ].map(fingerprintOf);
    expect(new Set([base, ...others]).size).toBe(others.length + 1);
  });
});
