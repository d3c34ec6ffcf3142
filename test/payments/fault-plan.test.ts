import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { FaultPlanError, parseFaultPlan, routes, routesOf } from '../../node/payments/sandbox/fault-plan.ts';
import type { FaultName, FaultPlan, Route } from '../../node/payments/sandbox/fault-plan.ts';
import { Faults } from '../../node/payments/sandbox/faults.ts';
import { hostilePlan } from '../../node/payments/sandbox/hostile-plan.ts';

function mistakesIn(value: unknown): readonly string[] {
  try {
    parseFaultPlan(value);
    return [];
  } catch (error) {
    if (error instanceof FaultPlanError) return error.mistakes;
    throw error;
  }
}

type Question = readonly [FaultName, Route];

const questions: fc.Arbitrary<readonly Question[]> = fc.array(
  fc
    .constantFrom(...(Object.keys(routesOf) as FaultName[]))
    .chain((fault) => fc.tuple(fc.constant(fault), fc.constantFrom<Route>(...routesOf[fault]))),
  { maxLength: 400 },
);

function answers(plan: FaultPlan, asked: readonly Question[]): readonly unknown[] {
  const faults = new Faults();
  faults.put(0, plan);
  return asked.map(([fault, route], index) => faults.at(index).strike(fault, route));
}

test('the same plan and the same questions give the same faults; another seed gives others (F1)', () => {
  fc.assert(
    fc.property(fc.nat(), questions, (seed, asked) => {
      expect(answers(hostilePlan(seed), asked)).toEqual(answers(hostilePlan(seed), asked));
    }),
    { numRuns: 50 },
  );
  const many = Array.from({ length: 300 }, (): Question => ['dropReply', 'create']);
  expect(answers(hostilePlan(1), many)).not.toEqual(answers(hostilePlan(2), many));
});

test('a rule that is added at the end changes no other (F1, F2)', () => {
  fc.assert(
    fc.property(fc.nat(), questions, (seed, asked) => {
      const plan = hostilePlan(seed);
      const longer: FaultPlan = { seed, rules: [...plan.rules, { fault: 'dropReply', probability: 0.5 }] };
      const before = answers(plan, asked);
      answers(longer, asked).forEach((answer, index) => {
        if (before[index] !== undefined) expect(answer).toEqual(before[index]);
      });
    }),
    { numRuns: 50 },
  );
});

test('what is counted is what struck, and it strikes about as often as the plan says', () => {
  const faults = new Faults();
  faults.put(0, { seed: 3, rules: [{ fault: 'dropReply', route: 'create', probability: 0.1 }] });
  let struck = 0;
  for (let request = 0; request < 20_000; request += 1) {
    if (faults.at(request).strike('dropReply', 'create') !== undefined) struck += 1;
    expect(faults.at(request).strike('dropReply', 'refund')).toBeUndefined();
  }
  expect(faults.report().struck).toEqual({ dropReply: { create: struck } });
  expect(struck).toBeGreaterThan(1_800);
  expect(struck).toBeLessThan(2_200);
});

test('a rule lets some pass first, strikes so many, and only in its time', () => {
  const strikes = (rule: object, times: readonly number[]): readonly boolean[] => {
    const faults = new Faults();
    faults.put(1_000, parseFaultPlan({ seed: 1, rules: [{ fault: 'dropReply', probability: 1, ...rule }] }));
    return times.map((at) => faults.at(at).strike('dropReply', 'create') !== undefined);
  };
  expect(strikes({ skip: 2, times: 1 }, [1_000, 1_000, 1_000, 1_000])).toEqual([false, false, true, false]);
  expect(strikes({ fromMs: 10, untilMs: 20 }, [1_009, 1_010, 1_019, 1_020])).toEqual([
    false,
    true,
    true,
    false,
  ]);
});

test('a rule that does not apply is neither counted nor drawn', () => {
  const faults = new Faults();
  faults.put(0, { seed: 1, rules: [{ fault: 'forgetKeys', probability: 1, keyWindowMs: 50, times: 1 }] });
  const young = faults.at(0).strike('forgetKeys', 'create', ({ keyWindowMs }) => keyWindowMs < 10);
  expect(young).toBeUndefined();
  expect(faults.report().struck).toEqual({});
  expect(faults.at(0).strike('forgetKeys', 'create', () => true)).toMatchObject({ keyWindowMs: 50 });
});

describe('a plan that cannot be meant', () => {
  test.for([
    [{}, ['seed: ', 'rules: ']],
    [{ seed: 1, rules: [{ fault: 'dropReplies', probability: 1 }] }, ['rules[0].fault: ']],
    [{ seed: 1, rules: [{ fault: 'dropReply', probability: 2 }] }, ['rules[0].probability: ']],
    [{ seed: 1, rules: [{ fault: 'lateReply', probability: 1 }] }, ['rules[0].delayMs: ']],
    [{ seed: 1, rules: [{ fault: 'dropReply', probability: 1, delay: 5 }] }, ['rules[0]: ']],
    [
      { seed: 1, rules: [{ fault: 'captureFails', route: 'refund', probability: 1 }] },
      ['rules[0].route: captureFails cannot strike refund, only capture'],
    ],
    [
      { seed: 1, rules: [{ fault: 'dropReply', probability: 1, fromMs: 5, untilMs: 5 }] },
      ['rules[0].untilMs: must be later than fromMs'],
    ],
    ['a plan', ['plan: ']],
  ] as const)('%j', ([plan, expected]) => {
    const mistakes = mistakesIn(plan);
    expect(mistakes).toHaveLength(expected.length);
    expected.forEach((start, index) => expect(mistakes[index]?.startsWith(start)).toBe(true));
  });
});

test('the hostile plan has every fault, and every fault has somewhere to strike', () => {
  const { rules } = hostilePlan(1);
  expect(new Set(rules.map(({ fault }) => fault))).toEqual(new Set(Object.keys(routesOf)));
  expect(new Set(Object.values(routesOf).flat())).toEqual(new Set(routes));
});
