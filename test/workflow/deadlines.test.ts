import { connect, type AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { RequestDeadline } from '../../node/http/deadline.ts';
import { orderIdOf } from '../../node/orders/identity.ts';
import type { Decision } from '../../node/ports/functions.ts';
import { FunctionError } from '../../node/ports/functions.ts';
import { httpFixture, VALID } from '../http/fixture.ts';
import { eventually } from '../support/eventually.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { honestFunctions } from '../support/honest-functions.ts';
import { seededRandom } from '../support/random.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

/** What becomes of orders whose clients wait no longer (F6, F7 in order-service.ts; I1, I2 in waiting.ts). */

async function cluster(functions = honestFunctions()): Promise<FlowCluster> {
  const clock = new VirtualClock();
  const world = await FlowCluster.start({
    ids: ['n1', 'n2', 'n3'],
    clock,
    random: seededRandom(1),
    onHand: 10,
    functions,
  });
  const opened = Promise.all([...world.nodes.values()].map(({ journal }) => journal.opened()));
  await clock.resolve(opened, { withinMs: 10_000 });
  return world;
}

/** Functions whose register function is asked, and answers when the test says so. */
function heldFunctions() {
  const honest = honestFunctions();
  const held: (() => void)[] = [];
  const callHttp: typeof honest.callHttp = async (route, input, deadline) => {
    const turn = Promise.withResolvers<undefined>();
    const stop = deadline?.onGivenUp(() => {
      turn.reject(new FunctionError('DEADLINE_EXCEEDED', 'register', 'nobody waits for it any more'));
    });
    held.push(() => {
      turn.resolve(undefined);
    });
    await turn.promise;
    stop?.();
    return honest.callHttp(route, input);
  };
  return { functions: { ...honest, callHttp }, held };
}

const key = orderIdOf('k');
const events = async (world: FlowCluster, id = 'n1') =>
  (await world.node(id).views.events(key))?.map(({ type }) => type) ?? [];

it('a request that nobody waits for any more is dropped before it is registered, and leaves nothing', async () => {
  const { functions, held } = heldFunctions();
  const world = await cluster(functions);
  const { clock } = world;
  const { service } = world.node('n1');
  for (const giveUp of [
    (deadline: RequestDeadline) => deadline.clientGone(),
    () => clock.advance(1_000),
  ] as const) {
    const deadline = new RequestDeadline(1_000, { clock });
    const placed = service.place(world.order('k', { waitMs: 500 }), deadline);
    const count = held.length;
    await clock.until(() => held.length > count, { withinMs: 100 });
    await giveUp(deadline);
    expect(await clock.resolve(placed, { withinMs: 1 })).toMatchObject({
      ok: false,
      refusal: { code: 'DEADLINE_EXCEEDED' },
    });
    expect([deadline.listeners, service.registering, service.waiting]).toEqual([0, 0, 0]);
  }
  const late = new RequestDeadline(0, { clock });
  expect(await service.place(world.order('k'), late)).toMatchObject({
    refusal: { code: 'DEADLINE_EXCEEDED' },
  });
  expect([held.length, await events(world), world.node('n1').journal.vector()]).toEqual([2, [], {}]);
});

it('an answer of the function that comes after the client has gone registers nothing', async () => {
  const { held, functions } = heldFunctions();
  const deaf = {
    ...functions,
    callHttp: (route: string, input: never): Promise<Decision> => functions.callHttp(route, input),
  };
  const world = await cluster(deaf);
  const deadline = new RequestDeadline(1_000, { clock: world.clock });
  const placed = world.node('n1').service.place(world.order('k'), deadline);
  await world.clock.until(() => held.length > 0, { withinMs: 100 });
  deadline.clientGone();
  held[0]?.();
  expect(await world.clock.resolve(placed, { withinMs: 10 })).toMatchObject({
    refusal: { code: 'DEADLINE_EXCEEDED' },
  });
  expect(await events(world)).toEqual([]);
});

it('who shares a registration that is given up goes on with one of its own (F7)', async () => {
  const { functions, held } = heldFunctions();
  const world = await cluster(functions);
  const { clock } = world;
  const { service } = world.node('n1');
  const first = new RequestDeadline(1_000, { clock });
  const second = new RequestDeadline(5_000, { clock });
  const placed = [first, second].map((deadline) => service.place(world.order('k'), deadline));
  await clock.until(() => held.length > 0, { withinMs: 100 });
  first.clientGone();
  await clock.until(() => held.length > 1, { withinMs: 100 });
  held[1]?.();
  const [gone, stayed] = await clock.resolve(Promise.all(placed), { withinMs: 1_000 });
  expect(gone).toMatchObject({ refusal: { code: 'DEADLINE_EXCEEDED' } });
  expect(stayed).toMatchObject({ ok: true, value: { replayed: false } });
});

it.each(['has little time', 'hangs up'])(
  'who shares a registration is not refused because the first one %s (F7)',
  async (why) => {
    const world = await cluster();
    const { clock, network } = world;
    const { service, views } = world.node('n1');
    const first = new RequestDeadline(why === 'hangs up' ? 10_000 : 100, { clock });
    if (why === 'has little time') network.partition([['n1'], ['n2', 'n3']]);
    else {
      // It replays what another node registers, and nobody knows yet whether that won.
      void world.node('n2').service.place(world.order('k'));
      await clock.until(() => views.peek(key) !== undefined, { withinMs: 100 });
    }
    const placed = [first, new RequestDeadline(10_000, { clock })].map((deadline) =>
      service.place(world.order('k'), deadline),
    );
    await settle();
    if (why === 'hangs up') first.clientGone();
    else await clock.advance(500);
    network.heal();
    const [, stayed] = await clock.resolve(Promise.all(placed), { withinMs: 15_000 });
    expect(stayed).toMatchObject({ ok: true });
  },
);

it('a registration is never cut short by a client that hangs up: the order is driven to its end', async () => {
  const world = await cluster();
  const { clock, network } = world;
  network.setFaults({ latencyMsMin: 50, latencyMsMax: 60 });
  const { service, journal } = world.node('n1');
  const deadline = new RequestDeadline(30_000, { clock });
  const placed = service.place(world.order('k', { waitMs: 20_000 }), deadline);
  await clock.until(() => journal.vector()['n1'] === 1, { withinMs: 1_000 });
  deadline.clientGone();
  const answer = await clock.resolve(placed, { withinMs: 200 });
  expect(answer).toMatchObject({ ok: true, value: { replayed: false, order: { state: 'registered' } } });
  expect(service.waiting).toBe(0);
  await clock.advance(5_000);
  for (const id of world.ids) expect((await world.node(id).views.get(key))?.order.outcome).toBe('fulfilled');
});

it.each(['comes back', 'never comes back'])(
  'a registration that was durable too late for its client, who %s',
  async (then) => {
    const world = await cluster();
    const { clock, network } = world;
    network.setFaults({ latencyMsMin: 300, latencyMsMax: 310 });
    const deadline = new RequestDeadline(200, { clock });
    const placed = world.node('n1').service.place(world.order('k'), deadline);
    const answer = await clock.resolve(placed, { withinMs: 400 });
    expect(answer).toMatchObject({ ok: false, refusal: { code: 'QUORUM_UNAVAILABLE' } });
    await clock.advance(2_000);
    for (const id of world.ids) expect(await events(world, id)).toEqual(['registered', 'deferred']);
    expect(world.payments.timesTaken(key)).toBe(0);
    if (then === 'comes back') {
      const again = await clock.resolve(world.node('n2').service.place(world.order('k', { waitMs: 9_000 })), {
        withinMs: 20_000,
      });
      expect(again).toMatchObject({ ok: true, value: { replayed: true, order: { outcome: 'fulfilled' } } });
    }
    await clock.advance(60_000);
    const outcome = then === 'comes back' ? 'fulfilled' : 'failed';
    for (const id of world.ids) expect((await world.node(id).views.get(key))?.order.outcome).toBe(outcome);
    expect([world.payments.timesTaken(key), world.ledger.stock('MUG')?.available]).toEqual(
      then === 'comes back' ? [1, 9] : [0, 10],
    );
  },
);

it('the wait that a client asked for counts from when it asked', async () => {
  const world = await cluster();
  const { clock } = world;
  world.payments.pay = async () => ({ kind: 'unknown', reason: 'TIMEOUT' });
  world.network.setFaults({ latencyMsMin: 200, latencyMsMax: 210 });
  const startedAt = clock.monotonic();
  const placed = world.node('n1').service.place(world.order('k', { waitMs: 3_000 }));
  expect(await clock.resolve(placed, { withinMs: 9_000 })).toMatchObject({
    ok: true,
    value: { waited: true },
  });
  // And then the acceptance is written down.
  expect(clock.monotonic() - startedAt - 3_000).toBeLessThan(5);
});

it('a cancellation that the ledger has taken is written down, whoever still waits for it', async () => {
  const world = await cluster();
  const { clock } = world;
  world.payments.pay = async () => ({ kind: 'unknown', reason: 'TIMEOUT' });
  const { service } = world.node('n1');
  await clock.resolve(service.place(world.order('k')), { withinMs: 1_000 });
  const deadline = new RequestDeadline(30_000, { clock });
  const release = Promise.withResolvers<undefined>();
  const closeOrder = world.ledger.release.bind(world.ledger);
  world.ledger.release = async (order) => {
    const closed = await closeOrder(order);
    deadline.clientGone();
    release.resolve(undefined);
    return closed;
  };
  const cancelled = service.cancel(key, deadline);
  await clock.resolve(release.promise, { withinMs: 1_000 });
  expect(await clock.resolve(cancelled, { withinMs: 1_000 })).toMatchObject({ ok: true });
  expect(await events(world)).toContain('cancelRequested');
  expect(service.waiting).toBe(0);
  const late = new RequestDeadline(0, { clock });
  expect(await service.cancel(key, late)).toMatchObject({ refusal: { code: 'DEADLINE_EXCEEDED' } });
});

it('a client that hangs up while it waits takes its waiter along, and not its order', async () => {
  const world = await cluster();
  const { clock } = world;
  const { pay } = world.payments;
  world.payments.pay = async () => ({ kind: 'unknown', reason: 'TIMEOUT' });
  const { service } = world.node('n1');
  const fixture = httpFixture({}, world.node('n1').clock);
  fixture.orders.place = (asked, deadline) => service.place(asked, deadline);
  await fixture.app.listen({ host: '127.0.0.1', port: 0 });
  onTestFinished(() => fixture.app.close());
  const { port } = fixture.app.server.address() as AddressInfo;
  const body = JSON.stringify({ ...VALID, lines: [{ sku: 'MUG', quantity: 1 }] });
  const sockets = Array.from({ length: 5 }, () => connect(port, '127.0.0.1'));
  for (const [index, socket] of sockets.entries())
    socket.write(
      `POST /orders HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\nIdempotency-Key: ${index < 3 ? 'k' : `k${index}`}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
  const soon = (condition: () => boolean) =>
    eventually(condition, { withinMs: 5_000, what: String(condition) });
  await eventually(
    async () => {
      await clock.advance(5);
      return service.waiting === 5;
    },
    { withinMs: 5_000, what: 'all wait' },
  );
  const timers = clock.pending;
  for (const socket of sockets) socket.destroy();
  await soon(() => service.waiting === 0);
  // Each waiter had a timer of its own, and each request one for its deadline.
  await soon(() => clock.pending === timers - 10);
  expect(fixture.gaveUp).toEqual(Array(5).fill('clientGone'));
  world.payments.pay = pay;
  await clock.advance(20_000);
  for (const id of [key, orderIdOf('k3'), orderIdOf('k4')])
    expect((await world.node('n3').views.get(id))?.order.outcome).toBe('fulfilled');
});
