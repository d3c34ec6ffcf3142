import { describe, expect, it } from 'vitest';
import { orderIdOf } from '../../../node/orders/identity.ts';
import type { Order } from '../../../node/orders/order.ts';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { NodeName } from '../support/cluster.ts';
import { History } from '../support/history.ts';
import { statementsOf } from '../support/sandbox-books.ts';
import type { PaymentRow } from '../support/sandbox-books.ts';
import type { Books, SaleRow } from './books.ts';
import { checks, findingsOf, ordersIn } from './checks.ts';

/** A check that finds nothing proves nothing: each is shown books with the breach that it is there for. */

const products = [{ sku: 'MUG', unitPrice: 500, onHand: 10 }];
const id = orderIdOf('key-1');
const order: Order = {
  ...{ id, state: 'synced', outcome: 'fulfilled', createdAt: 0, updatedAt: 0, currency: 'EUR', total: 1_000 },
  customer: { id: 'c', email: 'c@example.com' },
  lines: [{ sku: 'MUG', quantity: 2, unitPrice: 500 }],
  capture: 'after-reserve',
  payment: { method: 'pm_card_visa', status: 'captured' },
  ...{ cancelRequested: false, home: 'n1', registration: 'n1:1', fingerprint: 'f' },
};
const level: StockLevel = {
  ...{ sku: 'MUG', name: 'Mug', onHand: 10, unitPrice: 500, currency: 'EUR', sold: 2, held: 0, available: 8 },
};
const payment: PaymentRow = {
  ...{ intent: 'pi_1', orderId: id, status: 'succeeded', amount: 1_000, currency: 'eur' },
  ...{ captured: 1_000, refunded: 0, refundPending: 0 },
};
const sale: SaleRow = {
  ...{ orderId: id, outcome: 'fulfilled', total: 1_000, currency: 'EUR', audited: 6 },
  lines: ['MUG x 2 @ 500'],
};

interface Story {
  readonly orders?: readonly Order[];
  /** As the third node tells them, if otherwise. */
  readonly ordersAtN3?: readonly Order[];
  readonly payments?: readonly PaymentRow[];
  readonly sales?: readonly SaleRow[];
  readonly stock?: readonly StockLevel[];
  /** What somebody was shown meanwhile. */
  readonly shown?: StockLevel;
}

/** What is not said is as it should be: one order of two mugs. */
function findings({
  orders = [order],
  ordersAtN3 = orders,
  payments = [payment],
  sales = [sale],
  stock = [level],
  shown = level,
}: Story) {
  const atAll = <Value>(value: Value, atN3 = value): ReadonlyMap<NodeName, Value> =>
    new Map<NodeName, Value>([
      ['n1', value],
      ['n2', value],
      ['n3', atN3],
    ]);
  const history = new History();
  history.purchases.push({
    orderId: id,
    wish: { lines: [{ sku: 'MUG', quantity: 2 }] },
    attempts: [{ node: 'n1', invokedAt: 100, answeredAt: 200, status: 201, order }],
    cancellations: [],
  });
  history.stockReads.push({
    ...{ node: 'n1', invokedAt: 300, answeredAt: 310, status: 200, linearizable: true, levels: [shown] },
  });
  const books: Books = {
    orders: atAll(orders, ordersAtN3),
    stock: atAll(stock),
    positions: atAll({ n1: 7 }),
    statements: statementsOf(payments),
    records: {
      orders: sales.map(({ orderId, outcome }) => ({ order_id: orderId, outcome })),
      inventory: [{ sku: 'MUG', on_hand: 8 }],
    },
    payments,
    sales,
  };
  return findingsOf({ ...checks.final, ...checks.lasting }, history, books, products);
}

function breachesOf(story: Story, check: string): readonly string[] {
  return findings(story).find((finding) => finding.check === check)?.breaches ?? [];
}

it('finds nothing wrong where nothing is', () => {
  expect(findings({}).filter(({ breaches }) => breaches.length > 0)).toEqual([]);
});

const { outcome: _outcome, ...unended } = order;
const refunded: Order = { ...order, outcome: 'refunded' };
const givenBack: PaymentRow = { ...payment, refunded: 1_000 };

describe.each<[check: string, stories: readonly [what: string, story: Story][]]>([
  [
    'no double charges',
    [
      ['two payments kept', { payments: [payment, { ...payment, intent: 'pi_2' }] }],
      ['one given back in part', { payments: [payment, { ...givenBack, intent: 'pi_2', refunded: 400 }] }],
    ],
  ],
  [
    'nothing paid without goods or refund',
    [
      ['a refund that never was', { orders: [refunded] }],
      ['an order without end', { orders: [{ ...unended, state: 'paid' }] }],
      ['a payment of no order', { payments: [payment, { ...payment, intent: 'pi_2', orderId: null }] }],
    ],
  ],
  [
    'no goods without their price',
    [
      ['no payment', { payments: [] }],
      ['a payment given back', { payments: [givenBack] }],
      ['another price', { payments: [{ ...payment, captured: 999 }] }],
    ],
  ],
  [
    'no money blocked or under way',
    (['requires_capture', 'requires_action', 'processing'] as const)
      .map((status): [string, Story] => [
        status,
        { payments: [payment, { ...payment, intent: 'pi_2', status, captured: 0 }] },
      ])
      .concat([['a refund under way', { payments: [{ ...givenBack, refundPending: 1_000 }] }]]),
  ],
  ['no acknowledged order lost', [['not at one node', { ordersAtN3: [] }]]],
  [
    'no order stuck',
    [
      ['open at one node', { ordersAtN3: [{ ...unended, state: 'reserved' }] }],
      ['not in the system of record', { orders: [{ ...order, state: 'fulfilled' }] }],
    ],
  ],
  ['no unit held for nobody', [['one unit', { stock: [{ ...level, held: 1, available: 7 }] }]]],
  [
    'every sale in the system of record, once, line by line',
    [
      ['not there', { sales: [] }],
      ['there twice', { sales: [sale, sale] }],
      ['another outcome', { sales: [{ ...sale, outcome: 'refunded' }] }],
      ['another total', { sales: [{ ...sale, total: 1_001 }] }],
      ['another line', { sales: [{ ...sale, lines: ['MUG x 3 @ 500'] }] }],
      ['only there', { sales: [sale, { ...sale, orderId: 'ord_other' }] }],
    ],
  ],
  ['every sale audited', [['no trail', { sales: [{ ...sale, audited: 0 }] }]]],
  [
    'nothing is sold twice',
    [
      [
        'more than there was',
        { orders: [{ ...order, lines: [{ sku: 'MUG', quantity: 11, unitPrice: 500 }] }] },
      ],
    ],
  ],
  ['stock adds up in every answer', [['fewer than none', { shown: { ...level, available: -1, held: 9 } }]]],
  ['all nodes tell the same', [['another outcome at one', { ordersAtN3: [refunded] }]]],
  [
    'stock and orders agree',
    [['a unit that nobody bought', { stock: [{ ...level, sold: 3, available: 7 }] }]],
  ],
  ['system of record and orders agree', [['goods that did not leave', { orders: [refunded] }]]],
])('%s', (check, stories) => {
  it.each(stories)('fails with %s', (_what, story) => {
    expect(breachesOf(story, check)).not.toEqual([]);
  });
});

it('names the orders that it complains of, each once', () => {
  const story = { payments: [payment, { ...payment, intent: 'pi_2' }], sales: [] };
  expect(ordersIn(findings(story))).toEqual([id]);
});
