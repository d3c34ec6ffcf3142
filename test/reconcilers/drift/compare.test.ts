import { describe, expect, it } from 'vitest';
import type { JournalOrder } from '../../../node/ports/books.ts';
import { compareOrder } from '../../../node/reconcilers/drift/compare-order.ts';
import type { OrderInBooks } from '../../../node/reconcilers/drift/compare-order.ts';
import { compareInventory, compareStocks } from '../../../node/reconcilers/drift/compare-products.ts';
import type { OrderStock, StockLevel } from '../../../store/ledger/port.ts';

const lines = [{ sku: 'A', quantity: 2, unitPrice: 500 }];
const journal: JournalOrder = {
  orderId: 'o',
  createdAt: 1,
  changedAt: 2,
  outcome: 'fulfilled',
  settled: true,
  currency: 'EUR',
  total: 1_000,
  lines,
  intent: 'pi',
  delivery: 'delivered',
};
const agreed: OrderInBooks = {
  orderId: 'o',
  journal,
  payments: [
    {
      intent: 'pi',
      orderId: 'o',
      createdAt: 1,
      currency: 'EUR',
      authorized: 0,
      captured: 1_000,
      refunded: 0,
    },
  ],
  booked: { orderId: 'o', createdAt: 1, outcome: 'fulfilled', currency: 'EUR', total: 1_000, lines },
  ledger: { orderId: 'o', kind: 'committed', counted: true, lines: [] },
  ledgerAsOf: 10,
};

function codes(change: Partial<OrderInBooks>): readonly string[] {
  return compareOrder({ ...agreed, ...change }).map(({ code }) => code);
}

describe('one order in four books', () => {
  it('does not differ when they agree, whatever the order and the split of its lines', () => {
    expect(codes({})).toEqual([]);
    const split = [1, 1].map((quantity) => ({ sku: 'A', quantity, unitPrice: 500 }));
    const ledger = { orderId: 'o', kind: 'committed', counted: false, lines: split } as const;
    expect(codes({ ledger })).toEqual([]);
  });

  it('that nobody has to pay for needs no payment', () => {
    const booked = agreed.booked && { ...agreed.booked, total: 0 };
    expect(codes({ journal: { ...journal, total: 0 }, payments: [], booked })).toEqual([]);
  });

  it('differs when it was paid in another currency', () => {
    const payments = agreed.payments.map((payment) => ({ ...payment, currency: 'USD' }));
    expect(codes({ payments })).toEqual(['AMOUNT_DIFFERS']);
  });

  it('whose hold is due is not said to hold anything', () => {
    const failed = { ...journal, outcome: 'failed' } as const;
    const booked = agreed.booked && { ...agreed.booked, outcome: 'failed' };
    const hold = (expiresAt: number) =>
      codes({
        journal: failed,
        payments: [],
        booked,
        ledger: { orderId: 'o', kind: 'held', expiresAt, lines },
      });
    expect(hold(10)).toEqual([]);
    expect(hold(11)).toEqual(['HOLD_LEFT']);
  });

  it('differs when the ledger promised other units', () => {
    const ledger: OrderStock = {
      orderId: 'o',
      kind: 'committed',
      counted: false,
      lines: [{ sku: 'A', quantity: 1 }],
    };
    expect(codes({ ledger })).toEqual(['PROMISED_LINES_DIFFER']);
  });

  it('differs when its units count as gone before the system of record has it', () => {
    expect(codes({ journal: { ...journal, delivery: 'parked' }, booked: undefined })).toEqual([
      'NOT_DELIVERED',
      'COUNTED_NOT_APPLIED',
    ]);
    // Somebody took them out by hand and said so.
    expect(codes({ journal: { ...journal, delivery: 'discarded' }, booked: undefined })).toEqual([]);
  });
});

describe('the figures of products', () => {
  const stock: StockLevel = {
    sku: 'A',
    name: 'A',
    unitPrice: 500,
    currency: 'EUR',
    onHand: 10,
    sold: 2,
    held: 1,
    available: 7,
  };
  const promises: readonly OrderStock[] = [
    { orderId: 's', kind: 'committed', counted: false, lines: [{ sku: 'A', quantity: 2 }] },
    { orderId: 'h', kind: 'held', expiresAt: 1, lines: [{ sku: 'A', quantity: 1 }] },
  ];
  const record = { products: [{ sku: 'A', onHand: 10 }], applied: new Set<string>() };
  const found = (changes: { stock?: Partial<StockLevel>; onHand?: number; applied?: readonly string[] }) =>
    compareStocks(
      { stocks: [{ ...stock, ...changes.stock }], promises },
      { products: [{ sku: 'A', onHand: changes.onHand ?? 10 }], applied: new Set(changes.applied) },
    ).map(({ code }) => code);

  it('do not differ when a sale was applied since the ledger read them', () => {
    expect(compareStocks({ stocks: [stock], promises }, record)).toEqual([]);
    expect(found({ onHand: 8, applied: ['s', 'unknown here'] })).toEqual([]);
    expect(found({ onHand: 8 })).toEqual(['STOCK_DIFFERS']);
  });

  it('differ when the counters are not what the orders add up to', () => {
    expect(found({ stock: { sold: 1 } })).toEqual(['PROMISES_DIFFER']);
    expect(found({ stock: { held: 0 } })).toEqual(['PROMISES_DIFFER']);
  });

  it('differ when one side does not know the product', () => {
    expect(compareStocks({ stocks: [], promises: [] }, record).map(({ code }) => code)).toEqual([
      'STOCK_DIFFERS',
    ]);
  });

  it('are explained by the opening, what came and went, and what was sold', () => {
    const book = { sku: 'A', onHand: 12, opening: 10, changed: 5, sold: 3 };
    expect(compareInventory([book])).toEqual([]);
    expect(compareInventory([{ ...book, sold: 4 }]).map(({ code }) => code)).toEqual([
      'INVENTORY_UNEXPLAINED',
    ]);
  });
});
