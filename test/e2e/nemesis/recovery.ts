import type { Strike } from './faults.ts';
import type { History } from '../support/history.ts';
import { percentile } from '../support/buyers.ts';

/** How long customers went without, fault by fault. Pure. */

export interface Recovery {
  readonly fault: string;
  /**
   * From the strike to the end of the first order that was asked for after it. Where nobody could be served
   * before, from when mending began to the next end of any order.
   */
  readonly firstEndedMs: number;
  /** The longest time in which no order ended, from the strike until a moment after it was mended. */
  readonly silenceMs: number;
}

const afterwardsMs = 2_000;

/** Of each strike that was alone; overlapping ones cannot be told apart. */
export function recoveriesOf(history: History, strikes: readonly Strike[]): readonly Recovery[] {
  const ended = history.purchases
    .flatMap(({ attempts }) => {
      const last = attempts.find(({ order }) => order?.outcome !== undefined);
      return last === undefined ? [] : [{ askedAt: attempts[0]?.invokedAt ?? 0, at: last.answeredAt }];
    })
    .toSorted((left, right) => left.at - right.at);
  return strikes
    .filter((strike) => !strikes.some((other) => other !== strike && overlap(strike, other)))
    .map(({ fault, servesOn, struckAt, mendingAt, mendedAt }) => {
      const from = servesOn ? struckAt : mendingAt;
      const first = ended.find(({ askedAt, at }) => (servesOn ? askedAt : at) >= from);
      const end = mendedAt + afterwardsMs;
      const marks = [struckAt, ...ended.map(({ at }) => at).filter((at) => at > struckAt && at < end), end];
      return {
        fault: servesOn ? fault : `${fault} *`,
        firstEndedMs: (first?.at ?? Infinity) - from,
        silenceMs: Math.max(...marks.slice(1).map((at, index) => at - (marks[index] ?? at))),
      };
    });
}

function overlap(one: Strike, other: Strike): boolean {
  return one.struckAt < other.mendedAt && other.struckAt < one.mendedAt;
}

const faultWidth = 48;

/** One line per kind of fault. */
export function recoveryTable(recoveries: readonly Recovery[]): readonly string[] {
  const kinds = Map.groupBy(recoveries, ({ fault }) => fault);
  const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`.padStart(9);
  return [
    `${'fault'.padEnd(faultWidth)}${'times'.padStart(5)}   first order ended: median, max   longest silence`,
    ...[...kinds].map(([fault, of]) => {
      const first = of.map(({ firstEndedMs }) => firstEndedMs);
      return [
        fault.padEnd(faultWidth),
        String(of.length).padStart(5),
        '          ',
        seconds(percentile(first, 0.5)),
        seconds(Math.max(...first)),
        '        ',
        seconds(Math.max(...of.map(({ silenceMs }) => silenceMs))),
      ].join('');
    }),
    '* from when mending began, as nobody can be served before',
  ];
}
