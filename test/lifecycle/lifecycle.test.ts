import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Clock, Log } from '../../store/environment.ts';
import { Lifecycle, LifecycleError } from '../../node/lifecycle.ts';

const silent: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Time passes only when told. */
function manualClock(): Clock & { pass(ms: number): void } {
  let now = 0;
  const timers = new Map<symbol, { at: number; callback: () => void }>();
  return {
    now: () => now,
    monotonic: () => now,
    after(delayMs, callback) {
      const id = Symbol('timer');
      timers.set(id, { at: now + delayMs, callback });
      return () => timers.delete(id);
    },
    pass(ms) {
      now += ms;
      for (const [id, timer] of timers)
        if (timer.at <= now) {
          timers.delete(id);
          timer.callback();
        }
    },
  };
}

function create(clock: Clock = manualClock()): Lifecycle {
  return new Lifecycle({ startTimeoutMs: 1_000, stopTimeoutMs: 1_000 }, { clock, log: silent });
}

it('stops what it started, last first, whatever fails to start or to stop', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('good', 'bad stop'), { maxLength: 8 }),
      fc.boolean(),
      async (kinds, lastFails) => {
        const lifecycle = create();
        const started: number[] = [];
        const stopped: number[] = [];
        for (const [index, kind] of kinds.entries())
          await lifecycle.start(
            `part ${String(index)}`,
            () => started.push(index),
            () => {
              stopped.push(index);
              if (kind === 'bad stop') throw new Error('stuck');
            },
          );
        if (lastFails)
          await expect(lifecycle.start('last', () => Promise.reject(new Error('no')))).rejects.toMatchObject({
            code: 'START_FAILED',
            part: 'last',
            message: 'last: no',
          });
        const failed = await lifecycle.stop();
        await lifecycle.stop();
        expect(stopped).toEqual(started.toReversed());
        expect(failed).toHaveLength(kinds.filter((kind) => kind === 'bad stop').length);
      },
    ),
  );
});

it('gives up on a part that does not get ready, and stops it when it does after all', async () => {
  const clock = manualClock();
  const lifecycle = create(clock);
  const ready = Promise.withResolvers<string>();
  const stopped = Promise.withResolvers<string>();
  const starting = lifecycle.start('slow', () => ready.promise, stopped.resolve);
  const outcome = expect(starting).rejects.toMatchObject({ code: 'START_TIMEOUT', part: 'slow' });
  await Promise.resolve();
  clock.pass(1_000);
  await outcome;
  ready.resolve('late');
  expect(await stopped.promise).toBe('late');
});

it('goes on to the next part when one takes too long to stop', async () => {
  const clock = manualClock();
  const lifecycle = create(clock);
  let firstStopped = false;
  await lifecycle.start(
    'first',
    () => {},
    () => {
      firstStopped = true;
    },
  );
  await lifecycle.start(
    'stuck',
    () => {},
    () => new Promise(() => {}),
  );
  const stopping = lifecycle.stop();
  await Promise.resolve();
  expect(firstStopped).toBe(false);
  clock.pass(1_000);
  expect(await stopping).toEqual(['stuck']);
  expect(firstStopped).toBe(true);
});

it('stops a part that was starting when the stop came, and starts none after it', async () => {
  const lifecycle = create();
  const ready = Promise.withResolvers<string>();
  const stopped: string[] = [];
  const starting = lifecycle.start(
    'slow',
    () => ready.promise,
    (part) => void stopped.push(part),
  );
  const outcome = expect(starting).rejects.toBeInstanceOf(LifecycleError);
  await lifecycle.stop();
  ready.resolve('slow');
  await outcome;
  expect(stopped).toEqual(['slow']);
  await expect(lifecycle.start('late', () => {})).rejects.toMatchObject({ code: 'STOPPING' });
});
