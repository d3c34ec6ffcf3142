import type { Order } from '../../../node/orders/order.ts';
import type { FaultReport } from '../../../node/payments/sandbox/index.ts';
import { percentile } from '../support/buyers.ts';
import type { History, OrderExchange } from '../support/history.ts';
import type { Finding } from './checks.ts';
import type { Phase } from './outage.ts';

/** The figures of a run, as lines. Pure. */

const nameWidth = 52;
const figureWidth = 9;

export function row(name: string, figure: number | string): string {
  return `  ${name.padEnd(nameWidth)}${String(figure).padStart(figureWidth)}`;
}

/** How orders ended, and why. */
export function outcomeRows(orders: readonly Order[]): readonly string[] {
  const kinds = Map.groupBy(orders, ({ outcome, state, reason }) =>
    [outcome ?? `open (${state})`, ...(reason === undefined ? [] : [reason])].join(' '),
  );
  return counted([...kinds].map(([kind, of]) => [kind, of.length]));
}

/** What customers were answered when they ordered. */
export function answerRows({ purchases }: Pick<History, 'purchases'>): readonly string[] {
  return rowsOfAnswers(purchases.flatMap((purchase) => purchase.attempts));
}

/** What they were answered in one part of a run, how fast, and how many orders that was a second. */
export function phaseRows({ seconds, attempts }: Phase): readonly string[] {
  const made = attempts.filter(({ status }) => status === 201);
  const times = made.map(({ invokedAt, answeredAt }) => answeredAt - invokedAt);
  return [
    ...rowsOfAnswers(attempts),
    row('orders a second', (made.length / seconds).toFixed(1)),
    row('ms until an order was answered, p50 / p99', halfAndMost(times)),
  ];
}

function rowsOfAnswers(attempts: readonly OrderExchange[]): readonly string[] {
  const kinds = Map.groupBy(attempts, ({ status, code }) =>
    status === 0 ? 'no answer' : [String(status), ...(code === undefined ? [] : [code])].join(' '),
  );
  return counted([...kinds].map(([kind, of]) => [kind, of.length]));
}

/** How often the provider did what, request by request. */
export function providerRows({ struck, plan }: FaultReport): readonly string[] {
  return [...new Set(plan.rules.map(({ fault }) => fault))]
    .toSorted()
    .map((fault) => row(fault, sum(Object.values(struck[fault] ?? {}))));
}

/** The faults of the plan that never struck: the run has not shown that they do no harm. */
export function neverStruck({ struck, plan }: FaultReport): readonly string[] {
  return [...new Set(plan.rules.map(({ fault }) => fault))].filter(
    (fault) => sum(Object.values(struck[fault] ?? {})) === 0,
  );
}

export function checkRows(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ check, breaches }) => row(check, breaches.length));
}

/** Until the first answer that was an order, from the first attempt. */
export function latencyRow({ purchases }: History): string {
  const times = purchases.flatMap(({ attempts }) => {
    const made = attempts.find(({ order }) => order !== undefined);
    const first = attempts[0];
    return made === undefined || first === undefined ? [] : [made.answeredAt - first.invokedAt];
  });
  return row('ms until an order was acknowledged, p50 / p99', halfAndMost(times));
}

function halfAndMost(times: readonly number[]): string {
  return [0.5, 0.99].map((share) => percentile(times, share).toFixed(0)).join(' / ');
}

function counted(kinds: readonly (readonly [kind: string, count: number])[]): readonly string[] {
  return kinds.toSorted(([, left], [, right]) => right - left).map(([kind, count]) => row(kind, count));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
