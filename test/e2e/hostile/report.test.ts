import { expect, it } from 'vitest';
import type { FaultReport } from '../../../node/payments/sandbox/index.ts';
import { neverStruck, providerRows } from './report.ts';

const report: FaultReport = {
  plan: {
    seed: 1,
    rules: [
      { fault: 'dropReply', probability: 0.5 },
      { fault: 'dropReply', probability: 0.1, route: 'capture' },
      { fault: 'dropRequest', probability: 0.5 },
    ],
  },
  struck: { dropReply: { create: 2, capture: 3 } },
  asked: { create: 10, capture: 10 },
};

it('counts what struck over all routes, and says what never did', () => {
  expect(providerRows(report).map((line) => line.trim().split(/\s+/))).toEqual([
    ['dropReply', '5'],
    ['dropRequest', '0'],
  ]);
  expect(neverStruck(report)).toEqual(['dropRequest']);
});
