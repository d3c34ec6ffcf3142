import { describe, expect, it } from 'vitest';
import { orderIdOf } from '../../../node/orders/identity.ts';
import type { Order } from '../../../node/orders/order.ts';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { NodeName } from './cluster.ts';
import { finalCheckers, lastingCheckers, violationsOf } from './checkers.ts';
import type { Evidence } from './checkers.ts';
import { History } from './history.ts';
import type { OrderExchange, StockRead } from './history.ts';

/** A checker that finds nothing proves nothing: each is shown a story with the breach it is there for. */

const products = [{ sku: 'MUG', unitPrice: 500, onHand: 10 }];
const nodes: readonly NodeName[] = ['n1', 'n2', 'n3'];
const key = 'key-1';
const id = orderIdOf(key);
const wish = { lines: [{ sku: 'MUG', quantity: 2 }] };

const order: Order = {
  id,
  state: 'synced',
  outcome: 'fulfilled',
  createdAt: 0,
  updatedAt: 0,
  customer: { id: 'c', email: 'c@example.com' },
  currency: 'EUR',
  total: 1_000,
  lines: [{ sku: 'MUG', quantity: 2, unitPrice: 500 }],
  capture: 'after-reserve',
  payment: { method: 'pm_card_visa', status: 'captured' },
  cancelRequested: false,
  home: 'n1',
  registration: 'n1:1',
  fingerprint: 'f',
};

function level(changes: Partial<StockLevel> = {}): StockLevel {
  const base = { sku: 'MUG', name: 'Mug', onHand: 10, unitPrice: 500, currency: 'EUR' };
  return { ...base, sold: 2, held: 0, available: 8, ...changes };
}

function exchange(changes: Partial<OrderExchange> = {}): OrderExchange {
  return { node: 'n1', invokedAt: 100, answeredAt: 200, status: 201, order, ...changes };
}

function stockRead(changes: Partial<StockRead> = {}): StockRead {
  return {
    node: 'n1',
    invokedAt: 300,
    answeredAt: 310,
    status: 200,
    linearizable: true,
    levels: [level()],
    ...changes,
  };
}

/** One mug order, fulfilled, everywhere alike: nothing to complain of. */
function goodStory(): { history: History; evidence: Evidence } {
  const history = new History();
  history.purchases.push({ orderId: id, wish, attempts: [exchange()], cancellations: [] });
  history.orderReads.push({ orderId: id, ...exchange({ status: 200, invokedAt: 250, answeredAt: 260 }) });
  history.stockReads.push(stockRead());
  return { history, evidence: evidence() };
}

function evidence(changes: Partial<Evidence> = {}): Evidence {
  const atAll = <Value>(value: Value): ReadonlyMap<NodeName, Value> =>
    new Map(nodes.map((node) => [node, value]));
  return {
    orders: atAll([order]),
    stock: atAll([level()]),
    positions: atAll({ n1: 7, n2: 3, n3: 0 }),
    statements: new Map([[id, { kept: 1_000, timesCaptured: 1, stillAuthorized: 0, unsettled: 0 }]]),
    records: {
      orders: [{ order_id: id, outcome: 'fulfilled' }],
      inventory: [{ sku: 'MUG', on_hand: 8 }],
    },
    ...changes,
  };
}

/** The same value at two nodes, another at the third. */
function butAtN3<Value>(value: Value, other: Value): ReadonlyMap<NodeName, Value> {
  return new Map(nodes.map((node) => [node, node === 'n3' ? other : value]));
}

function judge({ history, evidence: found }: { history: History; evidence: Evidence }): readonly string[] {
  return violationsOf({ ...lastingCheckers, ...finalCheckers }, history, found, products);
}

it('finds nothing wrong with a good story', () => {
  expect(judge(goodStory())).toEqual([]);
});

describe('in the end', () => {
  const { outcome: _open, ...unended } = order;
  const cancelled: Order = { ...order, outcome: 'cancelled' };
  it.each<[promise: string, found: Partial<Evidence>]>([
    ['every accepted order is at every node', { orders: butAtN3<readonly Order[]>([order], []) }],
    ['every accepted order is at every node', { orders: butAtN3([order], [{ ...unended, state: 'paid' }]) }],
    ['all nodes tell the same', { orders: butAtN3([order], [cancelled]) }],
    ['all nodes tell the same', { positions: butAtN3({ n1: 7 }, { n1: 6 }) }],
    ['all nodes tell the same', { stock: butAtN3([level()], [level({ sold: 3, available: 7 })]) }],
    ['an outcome never changes', { orders: butAtN3([order], [cancelled]) }],
    ['all is in the system of record', { orders: butAtN3([order], [{ ...order, state: 'fulfilled' }]) }],
    ['no order comes from nowhere', { orders: butAtN3([order], [order, { ...order, id: 'ord_other' }]) }],
    ['payment provider and orders agree', { statements: new Map() }],
    [
      'payment provider and orders agree',
      { statements: new Map([[id, { kept: 1_000, timesCaptured: 2, stillAuthorized: 0, unsettled: 0 }]]) },
    ],
    [
      'payment provider and orders agree',
      { statements: new Map([[id, { kept: 1_000, timesCaptured: 1, stillAuthorized: 1, unsettled: 0 }]]) },
    ],
    [
      'payment provider and orders agree',
      { statements: new Map([[id, { kept: 1_000, timesCaptured: 1, stillAuthorized: 0, unsettled: 1 }]]) },
    ],
    ['stock and orders agree', { stock: butAtN3([level()], [level({ held: 1, available: 7 })]) }],
    ['stock and orders agree', { stock: butAtN3([level()], []) }],
    [
      'system of record and orders agree',
      { records: { orders: [], inventory: [{ sku: 'MUG', on_hand: 8 }] } },
    ],
    [
      'system of record and orders agree',
      {
        records: {
          orders: [{ order_id: id, outcome: 'fulfilled' }],
          inventory: [{ sku: 'MUG', on_hand: 6 }],
        },
      },
    ],
    [
      'nothing is sold twice',
      { orders: butAtN3([{ ...order, lines: [{ sku: 'MUG', quantity: 11, unitPrice: 500 }] }], []) },
    ],
  ])('%s: a breach is found', (promise, found) => {
    const { history } = goodStory();
    expect(judge({ history, evidence: evidence(found) })).toContainEqual(expect.stringContaining(promise));
  });
});

describe('meanwhile', () => {
  const unanswered = exchange({ status: 0 });
  const { order: _none, ...noAnswer } = unanswered;
  it.each<[promise: string, what: string, tell: (history: History) => void]>([
    [
      'every purchase was answered',
      'somebody never got an order',
      ({ purchases }) =>
        purchases.push({ orderId: 'ord_lost', wish, attempts: [noAnswer], cancellations: [] }),
    ],
    [
      'answers are those of the API',
      'a node failed',
      ({ purchases }) => purchases[0]?.attempts.push({ ...noAnswer, status: 500, code: 'INTERNAL' }),
    ],
    [
      'answers are those of the API',
      'a refusal without a code',
      ({ purchases }) => purchases[0]?.attempts.push({ ...noAnswer, status: 503 }),
    ],
    [
      'one key is one order',
      'it was made again',
      ({ purchases }) =>
        purchases[0]?.attempts.push(exchange({ invokedAt: 210, answeredAt: 220, node: 'n2' })),
    ],
    [
      'one key is one order',
      'another order was given',
      ({ purchases }) =>
        purchases[0]?.attempts.push(
          exchange({ status: 200, replayed: true, order: { ...order, id: 'ord_other' } }),
        ),
    ],
    [
      'one key is one order',
      'it holds something else',
      ({ purchases }) =>
        purchases[0]?.attempts.push(
          exchange({
            status: 200,
            replayed: true,
            order: { ...order, lines: [{ sku: 'MUG', quantity: 3 }] },
          }),
        ),
    ],
    [
      'an outcome never changes',
      'somebody read another one',
      ({ orderReads }) =>
        orderReads.push({
          orderId: id,
          ...exchange({ status: 200, order: { ...order, outcome: 'failed' } }),
        }),
    ],
    [
      'stock adds up in every answer',
      'a unit is missing',
      ({ stockReads }) =>
        stockReads.push(stockRead({ linearizable: false, levels: [level({ available: 7 })] })),
    ],
    [
      'stock adds up in every answer',
      'there is less than nothing',
      ({ stockReads }) =>
        stockReads.push(stockRead({ linearizable: false, levels: [level({ available: -1, sold: 11 })] })),
    ],
    [
      'linearizable reads are',
      'a sale that was told of is missing',
      ({ stockReads }) => stockReads.push(stockRead({ levels: [level({ sold: 0, available: 10 })] })),
    ],
    [
      'linearizable reads are',
      'an answer falls behind an earlier one',
      ({ stockReads, purchases, orderReads }) => {
        // Nobody was told of the sale; but one reader has seen it.
        orderReads.length = 0;
        purchases[0]?.attempts.splice(0, 1, exchange({ answeredAt: 5_000 }));
        stockReads.push(
          stockRead({ invokedAt: 400, answeredAt: 410, levels: [level({ sold: 0, available: 10 })] }),
        );
      },
    ],
    [
      'linearizable reads are',
      'a sale is seen before anybody bought',
      ({ stockReads }) => stockReads.push(stockRead({ invokedAt: 10, answeredAt: 20 })),
    ],
  ])('%s: %s', (promise, _what, tell) => {
    const story = goodStory();
    tell(story.history);
    expect(judge(story)).toContainEqual(expect.stringContaining(promise));
  });

  it('an old answer is no breach when it says that it may be old, or when the question overlapped with the sale', () => {
    const story = goodStory();
    const before = [level({ sold: 0, available: 10 })];
    story.history.stockReads.push(
      stockRead({ linearizable: false, levels: before }),
      stockRead({ invokedAt: 150, answeredAt: 400, levels: before }),
    );
    expect(judge(story)).toEqual([]);
  });

  it('a reading that the system of record has counted is the same number of units sold', () => {
    const story = goodStory();
    story.history.stockReads.push(
      stockRead({ invokedAt: 400, answeredAt: 410, levels: [level({ onHand: 8, sold: 0, available: 8 })] }),
    );
    expect(judge(story)).toEqual([]);
  });
});
