import { describe, expect, it } from 'vitest';
import { orderIdOf } from '../../node/orders/identity.ts';
import { JournalError } from '../../store/journal/port.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { integerBetween, seededRandom } from '../support/random.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

/** Started, and every journal open. */
async function cluster(seed: number, onHand = 1_000): Promise<FlowCluster> {
  const world = await FlowCluster.start({
    ids: ['n1', 'n2', 'n3'],
    clock: new VirtualClock(),
    random: seededRandom(seed),
    onHand,
  });
  const opened = Promise.all([...world.nodes.values()].map(({ journal }) => journal.opened()));
  await world.clock.resolve(opened, { withinMs: 10_000 });
  return world;
}

/** All nodes agree, every order has ended, money and stock match the outcomes. */
async function audit(world: FlowCluster, accepted: readonly string[], withinMs: number): Promise<void> {
  const nodes = [...world.nodes.values()];
  const vectors = (): Set<string> =>
    new Set(nodes.map(({ journal }) => JSON.stringify(Object.entries(journal.vector()).toSorted())));
  const settled = (): boolean => vectors().size === 1 && nodes.every(({ views }) => views.open().size === 0);
  await world.clock.until(settled, { withinMs, what: 'every order ends, everywhere' });
  await world.clock.advance(1_000);
  const [first, ...others] = nodes;
  const listed = async (views: typeof first): Promise<unknown[]> =>
    (await views!.views.list({ limit: 1_000 })).orders.map(({ id, state, outcome, registration }) => ({
      id,
      state,
      outcome,
      registration,
    }));
  const reference = await listed(first);
  for (const other of others) expect(await listed(other)).toEqual(reference);
  for (const orderId of accepted) {
    const order = (await first!.views.get(orderId))?.order;
    expect(order?.outcome, orderId).toBeDefined();
  }
  let sold = 0;
  for (const { id, outcome } of reference as { id: string; outcome: string }[]) {
    const money = world.payments.state(id);
    if (outcome === 'fulfilled') sold += 1;
    expect([id, outcome, money]).toEqual([
      id,
      outcome,
      outcome === 'fulfilled' ? 'captured' : expect.stringMatching(/none|refused|voided|refunded/),
    ]);
    expect(world.payments.timesTaken(id)).toBeLessThanOrEqual(1);
  }
  expect(world.ledger.stock('MUG')).toMatchObject({ sold, held: 0 });
  for (const { environment } of nodes) expect(environment.fatalErrors).toEqual([]);
}

describe('the order flow on three nodes', () => {
  it('ends an order as fulfilled, and shows it everywhere', async () => {
    const world = await cluster(1);
    const placed = await world.clock.resolve(
      world.node('n2').service.place(world.order('k', { waitMs: 5_000 })),
      { withinMs: 6_000 },
    );
    expect(placed).toMatchObject({
      ok: true,
      value: { replayed: false, order: { outcome: 'fulfilled', home: 'n2' } },
    });
    await audit(world, [orderIdOf('k')], 5_000);
  });

  it('makes one order of one key, asked for at all nodes at once', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const world = await cluster(seed);
      world.network.setFaults({ latencyMsMax: 20 });
      const asked = world.ids.map((id) =>
        world.node(id).service.place(world.order('same', { waitMs: 8_000 })),
      );
      const answers = await world.clock.resolve(Promise.all(asked), { withinMs: 20_000 });
      const accepted = answers.flatMap((answer) => (answer.ok ? [answer.value.order.registration] : []));
      expect(accepted.length).toBeGreaterThan(0);
      expect(new Set(accepted).size).toBe(1);
      await audit(world, [orderIdOf('same')], 30_000);
      expect(world.ledger.stock('MUG')?.sold).toBe(1);
    }
  });

  it('takes a cancellation at a node that the order has not reached yet', async () => {
    const world = await cluster(5);
    world.network.setFaults({ latencyMsMin: 50, latencyMsMax: 60 });
    const placed = await world.clock.resolve(world.node('n1').service.place(world.order('k')), {
      withinMs: 2_000,
    });
    expect(placed).toMatchObject({ ok: true });
    const late = ['n2', 'n3'].find((id) => world.node(id).views.peek(orderIdOf('k')) === undefined) ?? 'n3';
    const answer = await world.clock.resolve(world.node(late).service.cancel(orderIdOf('k')), {
      withinMs: 8_000,
    });
    expect(answer.ok ? answer.value.outcome : answer.refusal.code).toMatch(/^(cancelled|NOT_CANCELLABLE)$/);
    const unknown = world.node('n2').service.cancel(orderIdOf('nobody'));
    expect(await world.clock.resolve(unknown, { withinMs: 2_000 })).toMatchObject({
      refusal: { code: 'ORDER_NOT_FOUND' },
    });
  });

  it('gives a key to one of two different requests, and refuses the other', async () => {
    for (let seed = 1; seed <= 20; seed += 1) {
      const world = await cluster(seed);
      world.network.setFaults({ latencyMsMax: 20 });
      const two = { lines: [{ sku: 'MUG', quantity: 2 }] };
      const answers = await world.clock.resolve(
        Promise.all([
          world.node('n1').service.place(world.order('same', { waitMs: 8_000 })),
          world.node('n3').service.place(world.order('same', { ...two, waitMs: 8_000 })),
        ]),
        { withinMs: 20_000 },
      );
      const ok = answers.filter((answer) => answer.ok);
      const refused = answers.flatMap((answer) => (answer.ok ? [] : [answer.refusal.code]));
      expect(ok.length).toBeLessThanOrEqual(1);
      for (const code of refused) expect(['IDEMPOTENCY_KEY_REUSED', 'QUORUM_UNAVAILABLE']).toContain(code);
      await world.clock.advance(30_000);
      const order = (await world.node('n2').views.get(orderIdOf('same')))?.order;
      if (ok.length === 1 && ok[0]?.ok === true)
        expect(order?.fingerprint).toBe(ok[0].value.order.fingerprint);
    }
  });

  it('loses no accepted order and ends every one when nodes die and come back (seeds)', async () => {
    for (let seed = 1; seed <= 25; seed += 1) {
      const random = seededRandom(seed * 7919);
      const world = await cluster(seed, 25);
      const accepted: string[] = [];
      let down: string | undefined;
      for (let index = 0; index < 40; index += 1) {
        const running = [...world.nodes.keys()];
        const id = running[integerBetween(random, 0, running.length - 1)] ?? 'n1';
        const key = `key-${seed}-${integerBetween(random, 0, 30)}`;
        const method = random() < 0.2 ? 'pm_card_chargeDeclined' : 'pm_card_visa';
        void world
          .node(id)
          .service.place(world.order(key, { payment: { method } }))
          .then((answer) => {
            if (answer.ok) accepted.push(orderIdOf(key));
          });
        if (random() < 0.2) {
          const orderId = orderIdOf(`key-${seed}-${integerBetween(random, 0, 30)}`);
          void world.node(id).service.cancel(orderId);
        }
        await world.clock.advance(integerBetween(random, 0, 15));
        if (down === undefined && random() < 0.15) {
          down = running[integerBetween(random, 0, running.length - 1)];
          if (down !== undefined) world.kill(down, { power: random() < 0.5 });
        } else if (down !== undefined && random() < 0.2) {
          await world.clock.advance(integerBetween(random, 0, 3_000));
          await world.boot(down);
          down = undefined;
        }
      }
      if (down !== undefined) await world.boot(down);
      await settle();
      await audit(world, accepted, 120_000);
    }
  });

  it('answers 503 without a majority, charges nobody for it, and takes the order up when its client retries', async () => {
    const world = await cluster(3);
    world.network.partition([['n1'], ['n2', 'n3']]);
    const refused = await world.clock.resolve(world.node('n1').service.place(world.order('k')), {
      withinMs: 10_000,
    });
    expect(refused).toMatchObject({ ok: false, refusal: { code: 'QUORUM_UNAVAILABLE' } });
    world.network.heal();
    await world.clock.advance(8_000);
    expect(world.payments.state(orderIdOf('k'))).toBe('none');
    const retried = await world.clock.resolve(
      world.node('n2').service.place(world.order('k', { waitMs: 5_000 })),
      { withinMs: 10_000 },
    );
    expect(retried).toMatchObject({ ok: true, value: { replayed: true, order: { outcome: 'fulfilled' } } });
    await audit(world, [orderIdOf('k')], 10_000);
  });

  it('closes a deferred order whose client never comes back', async () => {
    const world = await cluster(4);
    world.network.partition([['n1'], ['n2', 'n3']]);
    await world.clock.resolve(world.node('n1').service.place(world.order('k')), { withinMs: 10_000 });
    world.network.heal();
    await audit(world, [orderIdOf('k')], 60_000);
    expect((await world.node('n3').views.get(orderIdOf('k')))?.order).toMatchObject({
      outcome: 'failed',
      reason: 'ABANDONED',
    });
  });

  it('hands an order on, whatever the clocks of its homes say', async () => {
    const world = await cluster(5);
    const { pay } = world.payments;
    world.payments.pay = async () => ({ kind: 'unknown', reason: 'TIMEOUT' });
    const orderId = orderIdOf('k');
    await world.clock.resolve(world.node('n1').service.place(world.order('k')), { withinMs: 5_000 });
    for (const id of ['n2', 'n3']) world.node(id).clock.jumpWall(600_000);
    await world.clock.advance(2_000);
    world.kill('n1');
    await world.clock.advance(5_000);
    const ahead = (await world.node('n2').views.get(orderId))?.order.home ?? '';
    const behind = ahead === 'n2' ? 'n3' : 'n2';
    await world.boot('n1');
    world.node(behind).clock.jumpWall(-600_000);
    await world.clock.advance(5_000);
    world.kill(ahead);
    await world.clock.advance(5_000);
    world.payments.pay = pay;
    await world.clock.advance(10_000);
    expect((await world.node(behind).views.get(orderId))?.order).toMatchObject({ outcome: 'fulfilled' });
    // Each home says once that it takes over, and once that it asks for money.
    expect((await world.node(behind).views.events(orderId))?.length).toBeLessThan(12);
    await world.boot(ahead);
    await audit(world, [orderId], 30_000);
  });

  it('tells the provider how old a payment is, so that a forgotten key charges nobody twice', async () => {
    const world = await cluster(6);
    const asked: { readonly at: number; readonly firstAskedAt: number | undefined }[] = [];
    world.payments.pay = async ({ firstAskedAt }) => {
      asked.push({ at: world.clock.now(), firstAskedAt });
      return { kind: 'unknown', reason: 'TIMEOUT', retryAfterMs: 3_600_000 };
    };
    await world.clock.resolve(world.node('n1').service.place(world.order('k')), { withinMs: 5_000 });
    await world.clock.advance(1_000);
    world.kill('n1');
    await world.clock.advance(10_000);
    expect(asked.length).toBeGreaterThan(1);
    for (const { firstAskedAt } of asked) expect(firstAskedAt).toBeLessThanOrEqual(asked[0]?.at ?? 0);
  });

  it('keeps an accepted order whose home died, though another node had deferred the same key', async () => {
    const world = await cluster(7);
    const { pay } = world.payments;
    world.payments.pay = async () => ({ kind: 'unknown', reason: 'TIMEOUT' });
    world.network.partition([['n1'], ['n2', 'n3']]);
    const two = { lines: [{ sku: 'MUG', quantity: 2 }] };
    await world.clock.resolve(world.node('n1').service.place(world.order('k', two)), { withinMs: 5_000 });
    const placed = await world.clock.resolve(world.node('n2').service.place(world.order('k')), {
      withinMs: 5_000,
    });
    expect(placed.ok).toBe(true);
    world.kill('n2', { power: true });
    world.network.heal();
    world.payments.pay = pay;
    await world.clock.advance(40_000);
    await world.boot('n2');
    await audit(world, [orderIdOf('k')], 30_000);
    expect((await world.node('n1').views.get(orderIdOf('k')))?.order).toMatchObject({
      outcome: 'fulfilled',
      fingerprint: world.fingerprint(),
    });
  });

  it('abandons nothing that was accepted elsewhere while the node was cut off', async () => {
    for (let afterMs = 450; afterMs < 470; afterMs += 4) {
      const world = await cluster(8);
      world.network.setFaults({ latencyMsMax: 20 });
      const { pay } = world.payments;
      world.payments.pay = async () => ({ kind: 'unknown', reason: 'TIMEOUT' });
      world.network.partition([['n1'], ['n2', 'n3']]);
      await world.clock.resolve(world.node('n1').service.place(world.order('k')), { withinMs: 5_000 });
      const placed = await world.clock.resolve(world.node('n2').service.place(world.order('k')), {
        withinMs: 5_000,
      });
      expect(placed.ok).toBe(true);
      await world.clock.until(() => world.clock.monotonic() % 500 === 0 && world.clock.monotonic() > 45_000, {
        withinMs: 60_000,
      });
      await world.clock.advance(afterMs);
      world.network.heal();
      await world.clock.advance(3_000);
      world.payments.pay = pay;
      await audit(world, [orderIdOf('k')], 30_000);
      expect((await world.node('n1').views.get(orderIdOf('k')))?.order.outcome).toBe('fulfilled');
    }
  });

  it('answers 503 when the journal takes no more, to all who asked', async () => {
    const world = await cluster(9);
    const { journal, service } = world.node('n1');
    journal.register = () => Promise.reject(new JournalError('QUEUE_FULL', 'too much waits'));
    const asked = [service.place(world.order('k')), service.place(world.order('k'))];
    const answers = await world.clock.resolve(Promise.all(asked), { withinMs: 5_000 });
    for (const answer of answers) {
      expect(answer).toMatchObject({ ok: false, refusal: { code: 'OVERLOADED', retryAfterSeconds: 2 } });
    }
  });

  it('takes no new order where the disk runs out of room, and brings those it has to their end', async () => {
    const world = await cluster(12);
    const { service } = world.node('n1');
    const placed = service.place(world.order('before'));
    await world.clock.resolve(placed, { withinMs: 5_000 });
    world.low.add('n1');
    const refused = await world.clock.resolve(service.place(world.order('after')), { withinMs: 5_000 });
    expect(refused).toMatchObject({ ok: false, refusal: { code: 'DISK_FULL', retryAfterSeconds: 10 } });
    // A known key is answered, and another node takes what this one refused.
    const again = await world.clock.resolve(service.place(world.order('before')), { withinMs: 5_000 });
    expect(again).toMatchObject({ ok: true, value: { replayed: true } });
    const elsewhere = world.node('n2').service.place(world.order('after'));
    expect(await world.clock.resolve(elsewhere, { withinMs: 5_000 })).toMatchObject({ ok: true });
    await audit(world, [orderIdOf('before'), orderIdOf('after')], 30_000);
    expect((await world.node('n1').views.get(orderIdOf('before')))?.order.outcome).toBe('fulfilled');
  });

  it('refuses nobody for what another request with the same key asked for', async () => {
    const world = await cluster(10);
    const { service } = world.node('n1');
    const unknown = world.order('k', { lines: [{ sku: 'NONE', quantity: 1 }] });
    const [first, second] = await world.clock.resolve(
      Promise.all([service.place(unknown), service.place(world.order('k'))]),
      { withinMs: 5_000 },
    );
    expect(first.ok).toBe(false);
    expect(second).toMatchObject({ ok: true, value: { replayed: false } });
    await audit(world, [orderIdOf('k')], 5_000);
  });

  it('tells those who wait for an end that their order is accepted, when the node is about to stop', async () => {
    const world = await cluster(11);
    world.payments.pay = async () => ({ kind: 'unknown', reason: 'TIMEOUT' });
    const { service } = world.node('n1');
    const placed = service.place(world.order('k', { waitMs: 60_000 }));
    await world.clock.advance(1_000);
    void service.drain();
    expect(await world.clock.resolve(placed, { withinMs: 100 })).toMatchObject({
      ok: true,
      value: { order: { id: orderIdOf('k'), state: 'registered' } },
    });
  });
});
