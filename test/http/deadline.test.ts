import { connect, type AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { RequestDeadline } from '../../node/http/deadline.ts';
import { DeadlineExceeded, timeFor, whileAwaited, type Deadline } from '../../node/ports/deadline.ts';
import { eventually } from '../support/eventually.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';
import { httpFixture, VALID } from './fixture.ts';

const soon = (condition: () => boolean) =>
  eventually(condition, { withinMs: 5_000, what: String(condition) });

describe('the deadline of a request', () => {
  it('is over once, for the reason that came first, and tells everyone once (K2)', async () => {
    const clock = new VirtualClock();
    const heard: string[] = [];
    const inTime = new RequestDeadline(1_000, { clock });
    inTime.onGivenUp(() => heard.push('first'));
    inTime.onGivenUp(() => heard.push('cancelled'))();
    await clock.advance(999);
    expect([inTime.givenUp, inTime.remainingMs(), heard]).toEqual([undefined, 1, []]);
    await clock.advance(1);
    inTime.clientGone();
    inTime.onGivenUp(() => heard.push('late'));
    expect([inTime.givenUp, inTime.remainingMs(), heard]).toEqual(['deadline', 0, ['first', 'late']]);

    const gone = new RequestDeadline(1_000, { clock });
    gone.clientGone();
    await clock.advance(2_000);
    expect(gone.givenUp).toBe('clientGone');
  });

  it('is over when its time is, however late its timer', () => {
    let now = 0;
    const clock = { now: () => now, monotonic: () => now, after: () => () => undefined };
    const deadline = new RequestDeadline(1_000, { clock });
    let told = 0;
    deadline.onGivenUp(() => (told += 1));
    now = 1_000;
    expect([deadline.givenUp, told]).toEqual(['deadline', 1]);
  });

  it('leaves neither timer nor listener once it is closed (K3)', async () => {
    const clock = new VirtualClock();
    const deadline = new RequestDeadline(1_000, { clock });
    deadline.onGivenUp(() => expect.unreachable());
    expect([clock.pending, deadline.listeners]).toEqual([1, 1]);
    deadline.close();
    deadline.onGivenUp(() => expect.unreachable());
    expect([clock.pending, deadline.listeners]).toEqual([0, 0]);
    await clock.advance(2_000);
  });

  it('leaves a step what is left, and a hung-up client does not shorten what has to be finished', () => {
    const clock = new VirtualClock();
    const deadline = new RequestDeadline(1_000, { clock });
    expect([timeFor(3_000, deadline), timeFor(300, deadline)]).toEqual([1_000, 300]);
    deadline.clientGone();
    expect(timeFor(3_000, deadline)).toBe(1_000);
  });

  it('ends the waiting for what goes on without it', async () => {
    const clock = new VirtualClock();
    const deadline = new RequestDeadline(1_000, { clock });
    await expect(whileAwaited(deadline, Promise.resolve(7))).resolves.toBe(7);
    const never = whileAwaited(deadline, new Promise(() => undefined));
    deadline.clientGone();
    await expect(never).rejects.toBeInstanceOf(DeadlineExceeded);
    expect(deadline.listeners).toBe(0);
  });
});

describe('a request', () => {
  /** Placing an order waits until the test says so. */
  function waitingFixture(timeoutMs: number) {
    const clock = new VirtualClock();
    const fixture = httpFixture({ requestTimeoutMs: timeoutMs }, clock);
    const deadlines: RequestDeadline[] = [];
    const answer = Promise.withResolvers<undefined>();
    const place = fixture.orders.place.bind(fixture.orders);
    fixture.orders.place = async (asked, deadline?: Deadline) => {
      deadlines.push(deadline as RequestDeadline);
      await answer.promise;
      return place(asked);
    };
    return { clock, fixture, deadlines, answer };
  }

  it('that is answered leaves nothing, and was not given up', async () => {
    const { clock, fixture, deadlines, answer } = waitingFixture(1_000);
    answer.resolve(undefined);
    await fixture.send({ url: '/stock/TEA' });
    const before = clock.pending;
    await fixture.send({ method: 'POST', url: '/orders', payload: VALID, headers: { prefer: 'wait=5' } });
    await fixture.send({ method: 'POST', url: '/orders', payload: { no: 'order' } });
    await fixture.send({ url: '/nowhere' });
    await settle();
    expect([clock.pending, deadlines[0]?.listeners, fixture.gaveUp]).toEqual([before, 0, []]);
  });

  it('has the time of the server, and the wait that it asked for on top (K1)', async () => {
    const { clock, fixture, deadlines, answer } = waitingFixture(1_000);
    const sent = [{}, { prefer: 'wait=5' }].map((headers) =>
      fixture.send({ method: 'POST', url: '/orders', payload: VALID, headers }),
    );
    await soon(() => deadlines.length === 2);
    expect(deadlines.map((deadline) => deadline.remainingMs()).toSorted()).toEqual([1_000, 6_000]);
    await clock.advance(1_000);
    expect(deadlines.map(({ givenUp }) => givenUp).toSorted()).toEqual(['deadline', undefined]);
    // K4: who does the work says what became of it.
    answer.resolve(undefined);
    expect((await Promise.all(sent)).map(({ statusCode }) => statusCode)).toEqual([201, 201]);
    expect(fixture.gaveUp).toEqual(['deadline']);
  });

  it('that only reads is answered when its time is over', async () => {
    const { clock, fixture } = waitingFixture(1_000);
    fixture.orders.find = () => new Promise(() => undefined);
    const sent = fixture.send({ url: `/orders/ord_${'a'.repeat(26)}` });
    const before = clock.pending;
    await soon(() => clock.pending > before);
    await clock.advance(1_000);
    const response = await sent;
    expect([response.statusCode, response.headers['retry-after']]).toEqual([503, '1']);
    expect(response.json()).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(fixture.gaveUp).toEqual(['deadline']);
  });

  it('whose client hangs up is given up within a moment, and leaves nothing', async () => {
    const { clock, fixture, deadlines, answer } = waitingFixture(1_000);
    await fixture.app.listen({ host: '127.0.0.1', port: 0 });
    onTestFinished(() => fixture.app.close());
    const { port } = fixture.app.server.address() as AddressInfo;
    const before = clock.pending;
    const heard: string[] = [];
    for (const hangUp of ['destroy', 'end'] as const) {
      const socket = connect(port, '127.0.0.1');
      const body = JSON.stringify(VALID);
      const count = deadlines.length;
      socket.write(
        `POST /orders HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\nContent-Type: application/json\r\n` +
          `Content-Length: ${body.length}\r\n\r\n${body}`,
      );
      await soon(() => deadlines.length > count);
      deadlines.at(-1)?.onGivenUp(() => heard.push(hangUp));
      expect([deadlines.at(-1)?.givenUp, clock.pending]).toEqual([undefined, before + 1]);
      socket[hangUp]();
      await soon(() => deadlines.at(-1)?.givenUp === 'clientGone');
      await soon(() => clock.pending === before);
      expect(deadlines.at(-1)?.listeners).toBe(0);
    }
    expect([heard, fixture.gaveUp]).toEqual([
      ['destroy', 'end'],
      ['clientGone', 'clientGone'],
    ]);
    answer.resolve(undefined);
    await settle();
    // Nobody was there to be told of a problem.
    expect(fixture.refused).toEqual([]);
  });
});
