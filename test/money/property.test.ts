import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Payments } from '../../node/ports/payments.ts';
import { differencesOf } from './books.ts';
import { histories, type History } from './histories.ts';
import { live, type WorldOptions } from './small-world.ts';

/**
 * Whatever customers do and whatever fails, afterwards charges, outcomes, ledger and system of record match one to one:
 * nobody is charged twice, nobody pays for nothing, nothing is sold that is not there, no order is lost or stuck.
 */
const property = (options: WorldOptions = {}) =>
  fc.asyncProperty(histories, async (history) => {
    expect(differencesOf(await live(history, options))).toEqual([]);
  });

test('the four books match after any history', async () => {
  await fc.assert(property(), { numRuns: 120 });
}, 60_000);

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
  const found = await fc.check(property({ between: impatient }), { numRuns: 100, seed: 2 });
  expect(found.failed).toBe(true);
  const [history] = found.counterexample as [History];
  expect(history.orders).toHaveLength(1);
  expect(history.crashes).toEqual([]);
}, 60_000);
