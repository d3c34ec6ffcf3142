import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { orderIdOf } from '../../node/orders/identity.ts';
import type { Payments } from '../../node/ports/payments.ts';
import { differencesOf } from './books.ts';
import { keyOf } from './customers.ts';
import { histories, type History } from './histories.ts';
import { live, type WorldOptions } from './small-world.ts';

/**
 * Whatever customers do and whatever fails, afterwards charges, outcomes, ledger and system of record match one to one:
 * nobody is charged twice, nobody pays for nothing, nothing is sold that is not there, no order is lost or stuck. The
 * drift report says so too, and names the one thing that nobody could know: a refund that the provider took back, when
 * its word of it was lost.
 */
const property = (options: WorldOptions = {}) =>
  fc.asyncProperty(histories, async (history) => {
    expect(differencesOf(await live(history, options))).toEqual([]);
  });

test('the four books match after any history', async () => {
  await fc.assert(property(), { numRuns: 120 });
}, 120_000);

/** A flow that takes no answer for a no, and asks for the money under another key. */
const impatient = (payments: Payments): Payments => ({
  ...payments,
  pay: async (request) => {
    const answer = await payments.pay(request);
    return answer.kind === 'unknown' ? { kind: 'spent', reason: 'IMPATIENT' } : answer;
  },
  find: async () => ({ kind: 'absent' }),
});

test('a flow that raises attempts while one is unknown is found out, by a short history', async () => {
  const found = await fc.check(property({ between: impatient }), { numRuns: 100, seed: 1 });
  expect(found.failed).toBe(true);
  const [history] = found.counterexample as [History];
  expect(history.orders).toHaveLength(1);
  expect(history.crashes).toEqual([]);
}, 120_000);

test('a flow that takes messages and forgets them is found out, by a short history', async () => {
  const deaf = async (): Promise<boolean> => true;
  const found = await fc.check(property({ take: deaf }), { numRuns: 100, seed: 1 });
  expect(found.failed).toBe(true);
  const [history] = found.counterexample as [History];
  // Who finds no units any more, and perhaps who had them.
  expect(history.orders.length).toBeLessThanOrEqual(2);
  expect(history.faults).toMatchObject([{ fault: 'refundFails' }]);
  expect(history.crashes).toEqual([]);
}, 120_000);

/** One order that finds too few units, is charged first, and given back: the refund succeeds, and fails a second later. */
const takenBack: History = {
  ...{ chance: 1, nodes: 3, capture: 'immediate', providerOutages: [], shopOutages: [], crashes: [] },
  orders: [{ sku: 'LAMP', quantity: 3, method: 'pm_card_visa', place: 0, atMs: 3_000, isWilling: true }],
  faults: [{ fault: 'refundFails', probability: 1, times: 1, afterMs: 1_000 }],
};
const id = orderIdOf(keyOf(0));

test('a refund that fails after it had succeeded is made again when the provider says so', async () => {
  const books = await live(takenBack);
  expect(differencesOf(books)).toEqual([]);
  expect(books.reported).toEqual([]);
  const refunds = books.intentsOf(id).flatMap(({ charge }) => charge?.refunds ?? []);
  expect(refunds.map(({ status }) => status)).toEqual(['failed', 'succeeded']);
});

test('a refund that fails after it had succeeded, with its webhook lost, is named by the drift report', async () => {
  const lost = { fault: 'dropped', probability: 1 } as const;
  const books = await live({ ...takenBack, faults: [...takenBack.faults, lost] });
  const [order] = books.orders.get('n1') ?? [];
  expect(order).toMatchObject({ id, state: 'synced', outcome: 'refunded', payment: { status: 'refunded' } });
  const refunds = books.intentsOf(id).flatMap(({ charge }) => charge?.refunds ?? []);
  expect(refunds.map(({ status }) => status)).toEqual(['failed']);
  expect(books.reported).toEqual([`MONEY_KEPT ${id}`]);
  // The one difference that is known not to be the flow's.
  expect(differencesOf(books)).toEqual([]);
});
