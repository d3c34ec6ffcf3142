import { expect, it } from 'vitest';
import { orderIdOf } from '../../node/orders/identity.ts';
import { Awakening } from '../../node/workflow/awakening.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

it('wakes one after another, passes over who waits no more, and stops (E1, E2)', async () => {
  const clock = new VirtualClock();
  const woken: [id: string, at: number][] = [];
  const awakening = new Awakening(
    { everyMs: 100 },
    {
      clock,
      random: seededRandom(3),
      wake: (id) => id !== 'gone' && woken.push([id, clock.monotonic()]) > 0,
    },
  );
  awakening.start(['a', 'gone', 'gone', 'b', 'c']);
  await clock.advance(1_000);
  expect(woken.map(([id]) => id)).toEqual(['a', 'b', 'c']);
  for (const [index, [, at]] of woken.entries()) {
    const pauseMs = at - (woken[index - 1]?.[1] ?? 0);
    expect(pauseMs).toBeGreaterThanOrEqual(50);
    expect(pauseMs).toBeLessThanOrEqual(150);
  }
  awakening.start(['d', 'e']);
  awakening.start(['f', 'g']);
  await clock.advance(160);
  awakening.stop();
  await clock.advance(1_000);
  expect(woken.slice(3).map(([id]) => id)).toEqual(['f']);
  expect(clock.pending).toBe(0);
});

it('orders do not sit out the pauses of an outage that is over (W9)', async () => {
  const clock = new VirtualClock();
  const world = await FlowCluster.start({ ids: ['n1'], clock, random: seededRandom(1), onHand: 100 });
  const { service, driver, journal, views } = world.node('n1');
  await clock.resolve(journal.opened(), { withinMs: 10_000 });
  const { pay } = world.payments;
  world.payments.pay = async () => ({ kind: 'postponed', reason: 'CIRCUIT_OPEN', retryAfterMs: 30_000 });
  const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
  for (const key of keys) await clock.resolve(service.place(world.order(key)), { withinMs: 1_000 });
  await clock.until(() => driver.waitingForProvider === keys.length, { withinMs: 1_000 });

  const askedAt: number[] = [];
  world.payments.pay = (request) => {
    askedAt.push(clock.monotonic());
    return pay(request);
  };
  driver.providerAnswersAgain();
  await clock.advance(keys.length * 150);
  for (const key of keys) expect(views.peek(orderIdOf(key))?.order.outcome).toBe('fulfilled');
  const gaps = askedAt.slice(1).map((at, index) => at - (askedAt[index] ?? 0));
  expect([askedAt.length, Math.min(...gaps) >= 50]).toEqual([keys.length, true]);
});
