import { describe, expect, it } from 'vitest';
import { Drain } from '../../node/drain.ts';
import { testEnvironment } from '../support/environment.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

type Step = 'refuseOrders' | 'handOver' | 'finishOrders' | 'stop';
const order: readonly Step[] = ['refuseOrders', 'handOver', 'finishOrders', 'stop'];

function draining(delayMs: number, work: (step: Step) => Promise<unknown> = async () => undefined) {
  const clock = new VirtualClock();
  const { log, lines } = testEnvironment({ clock, random: seededRandom(1) });
  const taken: { readonly step: Step; readonly at: number }[] = [];
  const take = (step: Step) => () => {
    taken.push({ step, at: clock.monotonic() });
    return work(step);
  };
  const drain = new Drain(
    { delayMs, stepTimeoutMs: 8_000 },
    {
      ...{ clock, log },
      refuseOrders: take('refuseOrders'),
      handOver: take('handOver'),
      finishOrders: take('finishOrders'),
      stop: take('stop'),
    },
  );
  return { clock, drain, taken, lines };
}

describe('a node that leaves', () => {
  it('says so at once, and serves as ever until others had time to notice', async () => {
    const { clock, drain, taken } = draining(5_000);
    expect(drain.isLeaving).toBe(false);
    const left = drain.leave();
    expect(drain.isLeaving).toBe(true);
    await clock.advance(4_999);
    expect(taken).toEqual([]);
    await clock.advance(1);
    await left;
    expect(taken).toEqual(order.map((step) => ({ step, at: 5_000 })));
  });

  it('registers the last orders before the driver comes to rest, and closes the door last', async () => {
    const registering = Promise.withResolvers<void>();
    const { clock, drain, taken } = draining(0, (step) =>
      step === 'refuseOrders' ? registering.promise : Promise.resolve(),
    );
    const left = drain.leave();
    await clock.advance(2_000);
    expect(taken.map(({ step }) => step)).toEqual(['refuseOrders']);
    registering.resolve();
    await left;
    expect(taken.map(({ step }) => step)).toEqual(order);
  });

  it.each([
    ['fails', () => Promise.reject(new Error('no'))],
    ['hangs', () => new Promise(() => undefined)],
  ])('takes every step once although one of them %s, and says which', async (_how, fault) => {
    for (const faulty of order.slice(0, 3)) {
      const { clock, drain, taken, lines } = draining(0, (step) =>
        step === faulty ? fault() : Promise.resolve(),
      );
      const left = drain.leave();
      expect(drain.leave()).toBe(left);
      await clock.advance(8_000);
      await left;
      expect(taken.map(({ step }) => step)).toEqual(order);
      expect(lines).toHaveLength(1);
    }
  });
});
