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
test('the four books match after any history', async () => {
  const match = fc.asyncProperty(histories, async (history) => {
    expect(differencesOf(await live(history))).toEqual([]);
  });
  await fc.assert(match, { numRuns: 120 });
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

/** The history that a breach was shrunk to. Which seed meets it changes with the flow, so several are tried. */
async function shortestAgainst(
  breach: WorldOptions,
  change: (history: History) => History = (history) => history,
): Promise<History> {
  const holds = fc.asyncProperty(histories, async (history) => {
    expect(differencesOf(await live(change(history), breach))).toEqual([]);
  });
  for (let seed = 1; seed <= 4; seed += 1) {
    const { counterexample } = await fc.check(holds, { numRuns: 100, seed });
    if (counterexample !== null) return counterexample[0];
  }
  throw new Error('no history shows the breach');
}

/** Nobody hears from the provider but by asking. */
const silently = (history: History): History => ({
  ...history,
  faults: [...history.faults, { fault: 'dropped', probability: 1 }],
});

test('a flow that raises attempts while one is unknown is found out, by a short history', async () => {
  // Where the provider's messages come, they name the payment that was given up, and it goes back.
  const history = await shortestAgainst({ between: impatient }, silently);
  expect(history.orders).toHaveLength(1);
  expect(history.crashes).toEqual([]);
}, 120_000);

test('a flow that takes messages and forgets them is found out, by a short history', async () => {
  const deaf = async (): Promise<boolean> => true;
  const history = await shortestAgainst({ take: deaf });
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
