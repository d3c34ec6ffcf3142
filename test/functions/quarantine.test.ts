import { expect, it } from 'vitest';
import { Quarantine } from '../../node/functions/quarantine.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const options = { timeoutsMax: 3, pauseMs: 5_000 };

it('refuses after three time-outs in a row, then lets one call through per pause, until one ends', async () => {
  const clock = new VirtualClock();
  const quarantine = new Quarantine(options, clock);
  const admitted = () => quarantine.refusal() === undefined;

  quarantine.timedOut();
  quarantine.timedOut();
  expect([admitted(), admitted()]).toEqual([true, true]);
  quarantine.timedOut();
  expect([admitted(), admitted()]).toEqual([false, false]);

  await clock.advance(options.pauseMs);
  expect([admitted(), admitted()]).toEqual([true, false]);
  quarantine.timedOut();
  await clock.advance(options.pauseMs - 1);
  expect(admitted()).toBe(false);
  await clock.advance(1);
  expect(admitted()).toBe(true);

  quarantine.finished();
  expect([admitted(), admitted()]).toEqual([true, true]);
});

it('counts only time-outs in a row', () => {
  const quarantine = new Quarantine(options, new VirtualClock());
  for (let i = 0; i < 10; i++) {
    quarantine.timedOut();
    quarantine.timedOut();
    quarantine.finished();
  }
  expect(quarantine.active).toBe(false);
});
