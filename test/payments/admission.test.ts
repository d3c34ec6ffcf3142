import fc from 'fast-check';
import { expect, test } from 'vitest';

import { Admission } from '../../node/payments/admission.ts';
import type { Admitted, AdmissionOptions } from '../../node/payments/admission.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

function door(options: Partial<AdmissionOptions> = {}) {
  const clock = new VirtualClock();
  const admission = new Admission(
    { maxConcurrent: 2, requestsPerSecond: 1_000_000, maxQueue: 10, maxWaitMs: 1_000, ...options },
    { clock },
  );
  const answers: string[] = [];
  const enter = (name: string, lane: 'begin' | 'finish' = 'begin'): void => {
    void admission.enter(lane).then((answer: Admitted) => {
      answers.push(answer.kind === 'admitted' ? name : `${name}: ${answer.reason}`);
    });
  };
  return { clock, admission, answers, enter };
}

test('who waits in vain is told after the longest wait, and not later (A2)', async () => {
  const { clock, answers, enter } = door();
  for (const name of ['a', 'b', 'c']) enter(name);
  await clock.advance(999);
  expect(answers).toEqual(['a', 'b']);
  await clock.advance(1);
  expect(answers).toEqual(['a', 'b', 'c: BUSY']);
});

test('a full queue turns away at once (A1)', async () => {
  const { clock, answers, enter } = door({ maxQueue: 1 });
  for (const name of ['a', 'b', 'c', 'd']) enter(name);
  await clock.advance(0);
  expect(answers).toEqual(['a', 'b', 'd: QUEUE_FULL']);
});

test('orders that are to end go before orders that begin (A3)', async () => {
  const { admission, answers, enter } = door({ maxConcurrent: 1 });
  enter('first');
  enter('begin 1');
  enter('begin 2');
  enter('finish', 'finish');
  for (let left = 0; left < 3; left += 1) {
    await settle();
    admission.leave();
  }
  await settle();
  expect(answers).toEqual(['first', 'finish', 'begin 1', 'begin 2']);
});

test('a pause that outlasts the longest wait turns away at once, and says for how long (A2)', async () => {
  const { clock, admission } = door();
  admission.pause(5_000);
  expect(await admission.enter('begin')).toEqual({
    kind: 'turnedAway',
    reason: 'RATE_BUDGET',
    retryAfterMs: 5_001,
  });
  await clock.advance(5_001);
  expect(await admission.enter('begin')).toEqual({ kind: 'admitted' });
});

test('closing turns away who waits or comes, and is done when the last one left', async () => {
  const { admission, answers, enter } = door({ maxConcurrent: 1 });
  enter('a');
  enter('b');
  let closed = false;
  void admission.close().then(() => (closed = true));
  enter('c');
  await settle();
  expect(answers).toEqual(['a', 'b: CLOSED', 'c: CLOSED']);
  expect(closed).toBe(false);
  admission.leave();
  await settle();
  expect(closed).toBe(true);
});

test('within any second no more start than the budget, and no more run than allowed (A1, A4)', async () => {
  const visit = fc.record({
    afterMs: fc.integer({ min: 0, max: 40 }),
    staysMs: fc.integer({ min: 0, max: 90 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(visit, { minLength: 1, maxLength: 150 }), async (visits) => {
      const { clock, admission } = door({ maxConcurrent: 5, requestsPerSecond: 40, maxQueue: 20 });
      const starts: number[] = [];
      let underWay = 0;
      let answered = 0;
      for (const { afterMs, staysMs } of visits) {
        await clock.advance(afterMs);
        expect(admission.waiting()).toBeLessThanOrEqual(20);
        void admission.enter('begin').then((answer) => {
          answered += 1;
          if (answer.kind !== 'admitted') return;
          starts.push(clock.monotonic());
          underWay += 1;
          expect(underWay).toBeLessThanOrEqual(5);
          clock.after(staysMs, () => {
            underWay -= 1;
            admission.leave();
          });
        });
      }
      await clock.advance(1_100);
      expect(answered).toBe(visits.length);
      for (const start of starts) {
        const within = starts.filter((other) => other >= start && other < start + 1_000);
        expect(within.length).toBeLessThanOrEqual(40);
      }
    }),
    { seed: 51, numRuns: 60 },
  );
});

test('members that come and go never make more of the budget than there is (A5)', async () => {
  const budget = 24;
  const heardWithinMs = 5_000;
  const step = fc.record({
    change: fc.constantFrom('join', 'leave'),
    afterMs: fc.integer({ min: 0, max: 8_000 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 1, maxLength: 6 }),
      fc.infiniteStream(fc.integer({ min: 0, max: heardWithinMs })),
      async (steps, hears) => {
        const clock = new VirtualClock();
        const starts: number[] = [];
        const members = new Set<Admission>();
        /** Of each, a part of a call may be left over. */
        let nodes = 0;
        const delayMs = (): number => Number(hears.next().value);
        /** As busy as can be, until it hears that it is no member. */
        const run = (requestsPerSecond: number): void => {
          const options = { maxConcurrent: 1_000, requestsPerSecond, maxQueue: 10, maxWaitMs: 60_000 };
          const admission = new Admission(options, { clock });
          const call = async (): Promise<void> => {
            while ((await admission.enter('begin')).kind === 'admitted') {
              starts.push(clock.monotonic());
              admission.leave();
            }
          };
          void call();
          members.add(admission);
          nodes += 1;
        };
        /** Each hears of the list as it is by then, in its own time. */
        let listed = 2;
        const tell = (): void => {
          for (const member of members)
            clock.after(delayMs(), () => {
              member.changeBudget(budget / listed);
            });
        };
        run(budget / 2);
        run(budget / 2);
        for (const { change, afterMs } of steps) {
          await clock.advance(afterMs);
          const [first] = members;
          if (change === 'leave' && members.size > 1 && first !== undefined) {
            members.delete(first);
            listed -= 1;
            clock.after(delayMs(), () => void first.close());
            tell();
          } else if (change === 'join') {
            listed += 1;
            tell();
            // It catches up with the others before it calls anybody.
            await clock.advance(heardWithinMs);
            run(budget / listed);
          }
        }
        await clock.advance(15_000);
        for (const member of members) void member.close();
        let from = 0;
        for (const [index, start] of starts.entries()) {
          while ((starts[from] ?? 0) <= start - 1_000) from += 1;
          expect(index - from + 1).toBeLessThanOrEqual(budget + nodes);
        }
      },
    ),
    { seed: 7, numRuns: 25 },
  );
});
