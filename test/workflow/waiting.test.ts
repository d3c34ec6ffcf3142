import { expect, it } from 'vitest';
import { RequestDeadline } from '../../node/http/deadline.ts';
import type { FoldedOrder } from '../../node/orders/fold.ts';
import { NO_DEADLINE } from '../../node/ports/deadline.ts';
import { eventId } from '../../node/views/codec.ts';
import { Waiting } from '../../node/workflow/waiting.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';
import { fact, orderId, registered, world } from '../views/world.ts';

it('who waits for an order hears when it has ended, or when the time is over, and leaves nothing (I1, I2)', async () => {
  const { views, journal, clock } = await world();
  const waiting = new Waiting({ clock, views });
  const [entry] = journal.keep('n1', registered('a', 1));
  const until = (name: string, timeoutMs: number) =>
    waiting.until(orderId(name), ({ order }) => order.outcome !== undefined, {
      timeoutMs,
      deadline: NO_DEADLINE,
    });
  const ended = until('a', 1_000);
  const never = until('zzz', 500);
  await clock.advance(10);
  expect(waiting.size).toBe(2);
  journal.keep('n1', fact('a', 2, eventId(entry!), { type: 'fulfilled', data: {} }));
  expect((await ended)?.order.outcome).toBe('fulfilled');
  expect(await clock.resolve(never, { withinMs: 600 })).toBeUndefined();
  expect(waiting.size).toBe(0);
});

/** An order that takes as long to be read as the test likes. */
function slowToRead() {
  const { promise, resolve } = Promise.withResolvers<FoldedOrder | undefined>();
  const clock = new VirtualClock();
  const views = { get: () => promise, peek: () => undefined, onChange: () => () => undefined };
  return { clock, resolve, waiting: new Waiting({ clock, views }) };
}

it.each(['its time is over', 'nobody waits for the answer', 'all are released'])(
  'who waits hears that %s, though the order is being read just then (I1)',
  async (why) => {
    const { clock, waiting } = slowToRead();
    const deadline = new RequestDeadline(60_000, { clock });
    const timeoutMs = why === 'its time is over' ? 1_000 : 30_000;
    const waits = waiting.until('x', () => true, { timeoutMs, deadline });
    await settle();
    if (why === 'nobody waits for the answer') deadline.clientGone();
    if (why === 'all are released') waiting.release();
    expect(await clock.resolve(waits, { withinMs: 1_500 })).toBeUndefined();
    expect([waiting.size, deadline.listeners]).toEqual([0, 0]);
  },
);

it('who has no time to wait hears what there is, once that is read', async () => {
  const { clock, waiting, resolve } = slowToRead();
  const waits = waiting.until('x', () => false, { timeoutMs: 0, deadline: NO_DEADLINE });
  await clock.advance(5_000);
  const read = {} as FoldedOrder;
  resolve(read);
  expect(await waits).toBe(read);
  expect(waiting.size).toBe(0);
});
