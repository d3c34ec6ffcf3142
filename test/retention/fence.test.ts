import { expect, it } from 'vitest';
import { Fence } from '../../node/retention/fence.ts';
import { proposeHorizon } from '../../node/retention/horizon.ts';
import { LedgerError } from '../../store/ledger/port.ts';
import { testEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { seededRandom } from '../support/random.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';
import { HandJournal } from '../views/hand-journal.ts';
import { registered, world } from '../views/world.ts';

function fenced(retainForMs: number) {
  const clock = new VirtualClock();
  const environment = testEnvironment({ clock, random: seededRandom(1) });
  const heard: number[] = [];
  const asked: number[] = [];
  const state = { reachable: false };
  const ledger = {
    forget: async (before: number) => {
      asked.push(before);
      if (!state.reachable) throw new LedgerError('TIMEOUT', 'nobody answers');
      return { horizon: 1_000 };
    },
  };
  const views = { forget: (horizon: number) => void heard.push(horizon) };
  const fence = new Fence({ retainForMs }, { environment, ledger, views });
  return { clock, environment, fence, heard, asked, state };
}

it.each([0, 60_000])(
  'nothing is driven before it is known what was forgotten, also by who keeps orders for %i ms (Q1)',
  async (retainForMs) => {
    const { clock, environment, fence, heard, asked, state } = fenced(retainForMs);
    fence.start();
    await settle();
    expect(fence.isCurrent()).toBe(false);
    state.reachable = true;
    await clock.advance(1_000);
    expect(fence.isCurrent()).toBe(true);
    expect(heard).toEqual([1_000]);
    // The ledger has told that something is amiss.
    fence.doubt();
    expect(fence.isCurrent()).toBe(false);
    await settle();
    expect(fence.isCurrent()).toBe(true);
    // Asking raises nothing.
    expect(new Set(asked)).toEqual(new Set([0]));
    fence.stop();
    expect(environment.fatalErrors).toEqual([]);
  },
);

it('who loses touch drives nothing any more; who forgets nothing from now on has nothing to miss (Q1)', async () => {
  for (const [retainForMs, isCurrent] of [
    [60_000, false],
    [0, true],
  ] as const) {
    const { clock, fence, state } = fenced(retainForMs);
    state.reachable = true;
    fence.start();
    await settle();
    state.reachable = false;
    await clock.advance(16_000);
    expect(fence.isCurrent()).toBe(isCurrent);
    fence.stop();
  }
});

it('no horizon is proposed from views that miss a row: the order behind it may be the oldest that is open (R2)', async () => {
  const here = await world(new MemoryDisk(), new HandJournal());
  const { journal, views, disk, environment, clock } = here;
  await clock.advance(1_000);
  const [old, young] = [clock.now() - 500, clock.now() - 400];
  journal.keep('n1', registered('old', old), registered('young', young));
  await views.flush();
  let horizon = 0;
  const ledger = {
    horizon: () => horizon,
    forget: async (before: number) => ({ horizon: (horizon = Math.max(horizon, before)) }),
    freshness: () => ({ asOf: clock.now(), linearizable: true }),
  };
  const propose = () =>
    proposeHorizon(
      { retainForMs: 100, stepMs: 1, coversTimeoutMs: 100 },
      { environment, journal: { covers: () => Promise.resolve(true) }, ledger, views },
    );
  for (const key of disk.keys('table/orders/'))
    if (key.includes(`!${String(old).padStart(15, '0')}!`)) disk.flipBit(key, 9);
  expect(await propose()).toBeUndefined();
  expect(horizon).toBe(0);
  for (let rounds = 0; rounds < 200; rounds += 1) await settle();
  await propose();
  expect(horizon).toBe(old);
});
