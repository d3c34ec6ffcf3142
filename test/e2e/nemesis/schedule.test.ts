import { expect, it } from 'vitest';
import { seededRandom } from '../../support/random.ts';
import { faults } from './faults.ts';
import type { Strike } from './faults.ts';
import { History } from '../support/history.ts';
import { recoveriesOf } from './recovery.ts';
import { rounds } from './schedule.ts';

const all = Object.values(faults);

it('deals every kind of fault equally often, in an order of the seed', () => {
  const take = (seed: number): readonly string[] => {
    const schedule = rounds(seededRandom(seed), 5);
    return Array.from({ length: all.length }, () => schedule.next().value.slice(0, -1))
      .flat()
      .map(({ name }) => name);
  };
  const counts = Map.groupBy(take(1), (name) => name);
  expect(counts.size).toBe(all.length);
  expect(new Set([...counts.values()].map((of) => of.length))).toEqual(new Set([5]));
  expect(take(1)).toEqual(take(1));
  expect(take(1)).not.toEqual(take(2));
});

it('never takes two disks at once: a majority is promised to survive the loss of one', () => {
  const schedule = rounds(seededRandom(3), 1);
  for (let number = 0; number < 500; number += 1) {
    const mix = schedule.next().value.at(-1)?.name ?? '';
    expect(mix.split(' + ')).toHaveLength(3);
    expect(mix.split('wipe').length - 1, mix).toBeLessThanOrEqual(1);
  }
});

it('tells how long customers went without, of faults that were alone', () => {
  const history = new History();
  const buy = (askedAt: number, endedAt: number): void => {
    const order = { id: '', state: 'fulfilled', outcome: 'fulfilled', total: 0, lines: [] } as const;
    const attempt = { node: 'n1', invokedAt: askedAt, answeredAt: endedAt, status: 201, order } as const;
    history.purchases.push({ orderId: '', wish: { lines: [] }, attempts: [attempt], cancellations: [] });
  };
  for (const [askedAt, endedAt] of [
    [0, 900],
    [800, 1_100],
    [1_200, 3_500],
    [3_600, 5_000],
  ] as const)
    buy(askedAt, endedAt);
  const strike = (fault: string, servesOn: boolean, times: readonly [number, number, number]): Strike => {
    const [struckAt, mendingAt, mendedAt] = times;
    return { fault, servesOn, victim: '', struckAt, mendingAt, mendedAt };
  };

  expect(recoveriesOf(history, [strike('cut', true, [1_000, 2_000, 2_100])])).toEqual([
    { fault: 'cut', firstEndedMs: 2_500, silenceMs: 2_400 },
  ]);
  expect(recoveriesOf(history, [strike('all', false, [1_000, 2_000, 2_100])])).toEqual([
    { fault: 'all *', firstEndedMs: 1_500, silenceMs: 2_400 },
  ]);
  expect(
    recoveriesOf(history, [
      strike('a', true, [1_000, 2_000, 2_100]),
      strike('b', true, [2_050, 3_000, 3_100]),
    ]),
  ).toEqual([]);
});
