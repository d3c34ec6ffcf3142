import { expect, it } from 'vitest';
import { NO_DEADLINE } from '../../node/ports/deadline.ts';
import { eventId } from '../../node/views/codec.ts';
import { Waiting } from '../../node/workflow/waiting.ts';
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
