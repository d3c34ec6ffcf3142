import { describe, expect, it } from 'vitest';
import { LoopDelay } from '../../node/http/loop-delay.ts';
import { refusal, SHEDDING_LIMITS } from '../../node/http/shedding.ts';
import { seededRandom } from '../support/random.ts';
import { httpFixture, signatureFor, VALID } from './fixture.ts';

/** A clock whose next timer fires this late, and no earlier. */
function lateClock() {
  let now = 0;
  const timers = new Set<{ readonly at: number; readonly callback: () => void }>();
  return {
    now: () => now,
    monotonic: () => now,
    after: (delayMs: number, callback: () => void) => {
      const timer = { at: now + delayMs, callback };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    /** The next timer, this much late. */
    fire(lateMs: number) {
      const [timer] = [...timers].toSorted((a, b) => a.at - b.at);
      if (timer === undefined) return;
      timers.delete(timer);
      now = timer.at + lateMs;
      timer.callback();
    },
  };
}

describe('a node with more to do than it can', () => {
  /** The share of a thousand requests that is refused while the loop is this late. */
  function refusedShare(kind: 'newOrder' | 'read', loopDelayMs: number): number {
    const random = seededRandom(7);
    const dependencies = { loopDelayMs: () => loopDelayMs, queues: () => [], random };
    const tries = Array.from({ length: 1_000 }, () => refusal(kind, SHEDDING_LIMITS, dependencies));
    return tries.filter((reason) => reason !== undefined).length / tries.length;
  }

  it('refuses nothing while it keeps up, and the more the later it is', () => {
    const shares = [0, 199, 220, 300, 399, 400, 5_000].map((late) => refusedShare('newOrder', late));
    expect(shares.slice(0, 2)).toEqual([0, 0]);
    expect(shares.slice(5)).toEqual([1, 1]);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(shares[3]).toBeCloseTo(0.5, 1);
  });

  it('refuses every new order before it refuses a read', () => {
    for (let late = 0; late < 4_000; late += 50)
      if (refusedShare('read', late) > 0) expect(refusedShare('newOrder', late)).toBe(1);
    expect(refusedShare('read', 2_000)).toBe(1);
  });

  it('lets newcomers into no queue that is for those who are here, and all others go on', async () => {
    const fixture = httpFixture();
    const place = () => fixture.send({ method: 'POST', url: '/orders', payload: VALID });
    const placed = (await place()).json<{ id: string }>();
    fixture.queues = [
      { name: 'functions', items: 10, limit: 100 },
      { name: 'payments', items: 100, limit: 100 },
    ];
    const refused = await place();
    expect([refused.statusCode, refused.json<{ code: string }>().code]).toEqual([503, 'OVERLOADED']);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(fixture.orders.placed).toHaveLength(1);

    const webhook = { 'content-type': 'application/json', 'stripe-signature': signatureFor('{}') };
    for (const request of [
      { url: `/orders/${placed.id}` },
      { url: '/stock/TEA' },
      { url: '/readyz' },
      { url: '/metrics' },
      { url: '/cluster' },
      { method: 'POST', url: `/orders/${placed.id}/cancel` },
      { method: 'POST', url: '/webhooks/stripe', headers: webhook, payload: '{}' },
      { method: 'POST', url: '/reconcilers/outbound/run' },
    ] as const)
      expect((await fixture.send(request)).statusCode, request.url).toBe(200);

    fixture.queues = [{ name: 'payments', items: 99, limit: 100 }];
    expect((await place()).statusCode).toBe(201);
  });
});

it('a server whose loop is late refuses orders, then reads, and takes them again when it has caught up', async () => {
  const clock = lateClock();
  const fixture = httpFixture({}, clock);
  await fixture.app.ready();
  const statuses = async () => [
    (await fixture.send({ method: 'POST', url: '/orders', payload: VALID })).statusCode,
    (await fixture.send({ url: '/stock/TEA' })).statusCode,
    (await fixture.send({ url: '/healthz' })).statusCode,
  ];
  const late = (ms: number) => {
    for (let time = 0; time < 100; time += 1) clock.fire(ms);
  };
  expect(await statuses()).toEqual([201, 200, 200]);
  late(500);
  expect(await statuses()).toEqual([503, 200, 200]);
  late(3_000);
  expect(await statuses()).toEqual([503, 503, 200]);
  late(0);
  expect(await statuses()).toEqual([201, 200, 200]);
  await fixture.app.close();
});

describe('how late the event loop is', () => {
  it('follows what lasts, within a second or so, and not a single pause', () => {
    const clock = lateClock();
    const delay = new LoopDelay({ clock });
    delay.start();
    clock.fire(500);
    expect(delay.ms).toBeLessThan(SHEDDING_LIMITS.newOrdersFromMs);
    for (let time = 0; time < 20; time += 1) clock.fire(500);
    expect(delay.ms).toBeGreaterThan(2 * SHEDDING_LIMITS.newOrdersFromMs);
    for (let time = 0; time < 20; time += 1) clock.fire(0);
    expect(delay.ms).toBeLessThan(SHEDDING_LIMITS.newOrdersFromMs);
  });
});
