import { describe, expect, it } from 'vitest';
import { orderIdOf } from '../../node/orders/identity.ts';
import { LedgerError } from '../../store/ledger/port.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { integerBetween, seededRandom } from '../support/random.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';

const RETAIN_FOR_MS = 20_000;
const IDS = ['n1', 'n2', 'n3'];

/** Started, and every journal open. */
async function cluster(seed: number, onHand = 1_000, retainForMs = RETAIN_FOR_MS): Promise<FlowCluster> {
  const world = await FlowCluster.start({
    ids: IDS,
    clock: new VirtualClock(),
    random: seededRandom(seed),
    onHand,
    retainForMs,
  });
  const opened = Promise.all([...world.nodes.values()].map(({ journal }) => journal.opened()));
  await world.clock.resolve(opened, { withinMs: 10_000 });
  return world;
}

async function place(world: FlowCluster, id: string, key: string): Promise<boolean> {
  const placed = world.node(id).service.place(world.order(key, { waitMs: 5_000 }));
  return (await world.clock.resolve(placed, { withinMs: 15_000 })).ok;
}

const entriesHeld = (world: FlowCluster, id: string): number =>
  world.disks.get(id)?.keys('journal/entry/').length ?? 0;
const rowsHeld = (world: FlowCluster, id: string): number =>
  world.disks.get(id)?.keys('table/orders/order!').length ?? 0;

describe('closed orders', () => {
  it('leave views, journal and ledger of every node, one after the other', async () => {
    const world = await cluster(1);
    for (let index = 0; index < 60; index += 1) {
      expect(await place(world, IDS[index % 3] ?? '', `key-${index}`)).toBe(true);
      await world.clock.advance(1_000);
    }
    await world.clock.advance(5_000);
    for (const id of IDS) {
      // Not many more than were placed within the time that they are kept.
      expect(rowsHeld(world, id)).toBeLessThan(35);
      expect(entriesHeld(world, id)).toBeLessThan(35 * 12);
      expect(world.disks.get(id)?.keys('journal/claim/').length).toBeLessThan(35);
      const { views, service } = world.node(id);
      expect(await world.clock.resolve(views.get(orderIdOf('key-0')), { withinMs: 100 })).toBeUndefined();
      expect(service.absent(orderIdOf('key-0')).code).toBe('ORDER_NOT_KEPT');
      expect(
        (await world.clock.resolve(views.get(orderIdOf('key-59')), { withinMs: 100 }))?.order.state,
      ).toBe('synced');
      const cancelled = await world.clock.resolve(service.cancel(orderIdOf('key-0')), { withinMs: 3_000 });
      expect(cancelled).toMatchObject({ refusal: { code: 'ORDER_NOT_KEPT' } });
    }
    expect(world.delivered.size).toBe(60);
    expect(world.ledger.stock('MUG')).toMatchObject({ sold: 60, held: 0 });
  });

  it('are what their clients were told, when an earlier registration turns up before anything is done (W8, F1)', async () => {
    const world = await cluster(3);
    const orderId = orderIdOf('twice');
    // Nobody knows what is forgotten, so nobody drives anything.
    const forget = world.ledger.forget.bind(world.ledger);
    world.ledger.forget = async () => Promise.reject(new LedgerError('NO_LEADER', 'nobody answers'));
    await world.clock.advance(RETAIN_FOR_MS);
    world.network.partition([['n1', 'n2'], ['n3']]);
    void world.node('n3').service.place(world.order('twice'));
    await world.clock.advance(500);
    world.kill('n3');
    const placed = world.node('n1').service.place(world.order('twice', { waitMs: 8_000 }));
    await world.clock.advance(1_000);
    world.network.heal();
    await world.boot('n3');
    await world.clock.advance(3_000);
    expect((await world.node('n1').views.events(orderId))?.map(({ id }) => id)).toContain('n3:1');
    world.kill('n2');
    const answer = await world.clock.resolve(placed, { withinMs: 10_000 });
    const told = answer.ok ? answer.value.order : undefined;
    expect(told?.registration).toBe('n1:1');
    world.ledger.forget = forget;
    await world.clock.advance(5_000);
    for (const id of ['n1', 'n3']) {
      expect((await world.node(id).views.get(orderId))?.order).toMatchObject({
        createdAt: told?.createdAt,
        registration: 'n1:1',
        state: 'synced',
      });
    }
  });

  it('leave their keys free at every node, though some still have the claim of the old one (F4)', async () => {
    const world = await cluster(1);
    const { clock } = world;
    expect(await place(world, 'n1', 'again')).toBe(true);
    await clock.advance(2_000);
    // They trim at different times from here on.
    for (const id of ['n2', 'n3']) {
      world.kill(id);
      await clock.advance(300);
      await world.boot(id);
    }
    let others = 0;
    const sellOn = (): void => {
      clock.after(200, () => {
        for (const id of IDS) void world.node(id).service.place(world.order(`other-${(others += 1)}`));
        sellOn();
      });
    };
    sellOn();
    const orderId = orderIdOf('again');
    const standings = async () => {
      const asked = world.node('n1').journal.holders(orderId, { timeoutMs: 1_000 });
      const answers = await clock.resolve(asked, { withinMs: 2_000 });
      return IDS.map((id) => answers.get(id)?.kind);
    };
    const isUneven = ([first, second, third]: readonly unknown[]) =>
      first === 'held' && second === 'free' && third === 'held';
    for (let turns = 0; turns < 5_000 && !isUneven(await standings()); turns += 1) await clock.advance(10);
    expect(isUneven(await standings())).toBe(true);
    const isPlaced = async (id: string) => {
      const placed = world.node(id).service.place(world.order('again'));
      return (await clock.resolve(placed, { withinMs: 15_000 })).ok;
    };
    // The votes of the others go to the old order until they have trimmed it as well: within seconds here.
    expect(await isPlaced('n2')).toBe(false);
    const answers: boolean[] = [];
    for (let round = 0; round < 9; round += 1) {
      await clock.advance(500);
      answers.push(await isPlaced(IDS[round % 3] ?? ''));
    }
    expect(answers.slice(-3)).toEqual([true, true, true]);
  }, 60_000);

  it('are kept as long as an older one is open, which is named', async () => {
    const world = await cluster(2);
    const { pay } = world.payments;
    const stuck = orderIdOf('stuck');
    world.payments.pay = async (asked) =>
      asked.orderId === stuck ? { kind: 'unknown', reason: 'TIMEOUT' } : pay(asked);
    await world.clock.resolve(world.node('n1').service.place(world.order('stuck')), { withinMs: 5_000 });
    for (let index = 0; index < 10; index += 1) await place(world, 'n2', `key-${index}`);
    await world.clock.advance(3 * RETAIN_FOR_MS);
    for (const id of IDS) {
      expect(rowsHeld(world, id)).toBe(11);
      expect(world.node(id).retention?.status()).toMatchObject({ heldUpBy: { orderId: stuck } });
      expect(world.node(id).retention?.status().behindMs).toBeGreaterThan(RETAIN_FOR_MS);
    }
    world.payments.pay = pay;
    await world.clock.advance(70_000);
    for (const id of IDS) {
      expect(rowsHeld(world, id)).toBe(0);
      expect(world.node(id).retention?.status().heldUpBy).toBeUndefined();
    }
  });
});

describe('a node that was away longer than orders are kept', () => {
  it.each([1, 2, 5, 6])(
    'drives nothing that it missed the end of, and asks nobody for money (seed %i)',
    async (seed) => {
      const world = await cluster(seed);
      const { pay } = world.payments;
      world.payments.pay = async () => ({ kind: 'unknown', reason: 'TIMEOUT', retryAfterMs: 100 });
      const orderId = orderIdOf('k');
      await world.clock.resolve(world.node('n1').service.place(world.order('k')), { withinMs: 5_000 });
      await world.clock.advance(500);
      world.kill('n1', { power: seed % 2 === 0 });
      world.payments.pay = pay;
      // Half of the time it ends without money: a provider that forgot as well would take it anew.
      if (seed > 4) await world.clock.resolve(world.node('n2').service.cancel(orderId), { withinMs: 9_000 });
      for (let index = 0; index < 5; index += 1) await place(world, 'n2', `key-${index}`);
      await world.clock.advance(4 * RETAIN_FOR_MS);
      const ended = world.delivered.get(orderId);
      expect(ended).toBe(seed > 4 ? 'cancelled' : 'fulfilled');
      expect(await world.node('n2').views.get(orderId)).toBeUndefined();

      const asked: string[] = [];
      world.payments.pay = async (about) => {
        asked.push(about.orderId);
        return { kind: 'authorized', intent: `pi_anew_${about.orderId}` };
      };
      world.network.setFaults({ latencyMsMax: 300 });
      await world.boot('n1');
      await world.clock.advance(3 * RETAIN_FOR_MS);
      expect(asked).toEqual([]);
      for (const id of IDS) {
        expect(world.node(id).views.open().size).toBe(0);
        expect(await world.node(id).views.get(orderId)).toBeUndefined();
        expect(rowsHeld(world, id)).toBe(0);
      }
      expect(world.delivered.get(orderId)).toBe(ended);
      expect(world.contradictions).toEqual([]);
    },
  );

  it('registers nothing with a clock behind what is forgotten', async () => {
    const world = await cluster(3);
    await place(world, 'n1', 'first');
    await world.clock.advance(3 * RETAIN_FOR_MS);
    const { clock, service, environment } = world.node('n2');
    clock.jumpWall(-3 * RETAIN_FOR_MS);
    const refused = await world.clock.resolve(service.place(world.order('late')), { withinMs: 5_000 });
    expect(refused).toMatchObject({ ok: false, refusal: { code: 'CLOCK_BEHIND', retryAfterSeconds: 10 } });
    expect(environment.lines.map(({ message }) => message)).toContain(
      'the clock of this node is behind what is forgotten',
    );
    clock.jumpWall(3 * RETAIN_FOR_MS);
    expect(await place(world, 'n2', 'late')).toBe(true);
  });
});

it('a cancellation waits until it is known which registration is the order (F5)', async () => {
  const world = await cluster(1, 1_000, 600_000);
  const orderId = orderIdOf('k');
  world.network.partition([['n1'], ['n2'], ['n3']]);
  await world.clock.resolve(world.node('n1').service.place(world.order('k')), { withinMs: 10_000 });
  world.network.heal();
  await world.clock.advance(3_000);
  const cancel = async (): Promise<unknown> =>
    world.clock.resolve(world.node('n2').service.cancel(orderId), { withinMs: 10_000 });
  expect(await cancel()).toMatchObject({ ok: false, refusal: { code: 'QUORUM_UNAVAILABLE' } });
  // Nothing came of it: the order goes its way when its client comes back.
  expect(await place(world, 'n2', 'k')).toBe(true);
  await world.clock.advance(2_000);
  expect(world.delivered.get(orderId)).toBe('fulfilled');
  expect(await cancel()).toMatchObject({ ok: false, refusal: { code: 'NOT_CANCELLABLE' } });
});

it('an order that was deferred is taken up or abandoned, never both, by a node that returns late', async () => {
  for (let seed = 1; seed <= 10; seed += 1) {
    const world = await cluster(seed, 1_000, 600_000);
    const orderId = orderIdOf('k');
    world.network.partition([['n1'], ['n2'], ['n3']]);
    await world.clock.resolve(world.node('n1').service.place(world.order('k')), { withinMs: 10_000 });
    // n3 hears of it, and then n1 is away until it would abandon it.
    world.network.partition([['n1', 'n3'], ['n2']]);
    await world.clock.advance(2_000);
    world.network.partition([['n1'], ['n2', 'n3']]);
    const waited = world.clock.now() - ((await world.node('n1').views.get(orderId))?.order.createdAt ?? 0);
    await world.clock.advance(29_400 - waited);
    // Its client comes back at n3, while n1 is coming back too, whose news is slow.
    world.network.setFaults({ latencyMsMin: 100, latencyMsMax: 900 });
    const retried = world.node('n3').service.place(world.order('k', { waitMs: 8_000 }));
    await world.clock.advance(seed * 60);
    world.network.heal();
    const answer = await world.clock.resolve(retried, { withinMs: 40_000 });
    await world.clock.advance(40_000);
    const outcome = world.delivered.get(orderId);
    if (answer.ok && answer.value.order.outcome !== undefined) {
      expect(outcome).toBe(answer.value.order.outcome);
    }
    // Abandoned before anything was asked of the provider, or driven to its end.
    const money = world.payments.state(orderId);
    expect([outcome, money]).toEqual(
      outcome === 'fulfilled' ? ['fulfilled', 'captured'] : ['failed', 'none'],
    );
    expect(world.contradictions).toEqual([]);
  }
});

it('a registration that nobody heard of before it was forgotten keeps no order open', async () => {
  for (const isRetried of [false, true]) {
    const world = await cluster(1);
    const orderId = orderIdOf('k');
    // n3 registers it and dies before anybody hears of it, or itself knows that it did not win.
    world.network.partition([['n1'], ['n2'], ['n3']]);
    void world.node('n3').service.place(world.order('k'));
    await world.clock.advance(100);
    world.kill('n3');
    // Its client comes back at n2, which is alone.
    await world.clock.advance(1_000);
    await world.clock.resolve(world.node('n2').service.place(world.order('k')), { withinMs: 10_000 });
    world.network.heal();
    const registeredAt = (await world.node('n2').views.get(orderId))?.order.createdAt;
    // The horizon comes up to the one that is known, when the other one comes to light.
    await world.clock.advance(RETAIN_FOR_MS);
    expect(world.ledger.horizon()).toBe(registeredAt);
    await world.boot('n3');
    await world.clock.advance(2_000);
    for (const id of IDS) {
      const known = await world.node(id).views.events(orderId);
      expect(known?.filter(({ type }) => type === 'registered')).toHaveLength(1);
      expect(world.node(id).views.open()).toContain(orderId);
    }
    const holders = await world.clock.resolve(
      world.node('n2').journal.holders(orderId, { timeoutMs: 1_000 }),
      {
        withinMs: 2_000,
      },
    );
    expect(
      new Set([...holders.values()].map((one) => (one.kind === 'held' ? one.holder.origin : one.kind))).size,
    ).toBe(2);

    if (isRetried) expect(await place(world, 'n1', 'k')).toBe(true);
    await world.clock.advance(15_000);
    expect(world.delivered.get(orderId)).toBe(isRetried ? 'fulfilled' : 'failed');
    expect(world.payments.state(orderId)).toBe(isRetried ? 'captured' : 'none');
    await world.clock.advance(2 * RETAIN_FOR_MS);
    for (const id of IDS) expect(rowsHeld(world, id)).toBe(0);
  }
});

it('a node whose deferred registration lost says so once it hears which one won (H5)', async () => {
  const world = await cluster(1);
  const orderId = orderIdOf('k');
  world.network.partition([['n1', 'n3'], ['n2']]);
  const lost = world.node('n2').service.place(world.order('k'));
  expect(await place(world, 'n1', 'k')).toBe(true);
  expect(await world.clock.resolve(lost, { withinMs: 10_000 })).toMatchObject({ ok: false });
  const facts = async (id: string) =>
    (await world.node(id).views.events(orderId))?.filter(({ id, registration }) =>
      [id, registration].includes('n2:1'),
    );
  expect((await facts('n2'))?.map(({ type }) => type)).toEqual(['registered', 'deferred']);
  world.network.heal();
  await world.clock.advance(1_000);
  for (const id of IDS)
    expect((await facts(id))?.map(({ type }) => type)).toEqual(['registered', 'deferred', 'withdrawn']);
});

it('an order that is given up is given up, though its key has sold goods before (S3)', async () => {
  const world = await cluster(1);
  const orderId = orderIdOf('k');
  // The key was used again at a node that heard nothing of the first order, before the ledger forgets that one.
  world.network.partition([['n1'], ['n2'], ['n3']]);
  await world.clock.resolve(world.node('n3').service.place(world.order('k')), { withinMs: 10_000 });
  const { createdAt } = (await world.node('n3').views.get(orderId))?.order ?? { createdAt: 0 };
  const lines = [{ sku: 'MUG', quantity: 1 }];
  const older = { orderId, createdAt: createdAt - 1 };
  await world.ledger.hold({ ...older, fingerprint: 'f', lines, ttlMs: 60_000 });
  await world.ledger.commit(older);
  world.network.heal();
  const { views } = world.node('n1');
  await world.clock.until(() => views.peek(orderId)?.order.reason === 'ABANDONED', { withinMs: 40_000 });
  expect(views.open().size).toBe(0);
  expect(world.payments.state(orderId)).toBe('none');
});

describe('under deaths, partitions and absences longer than orders are kept', () => {
  it.each(Array.from({ length: 5 }, (_, index) => index + 1))(
    'no order is driven twice, nothing open is forgotten, all nodes end equal and empty (seed %i)',
    async (seed) => {
      const random = seededRandom(seed * 104_729);
      const world = await cluster(seed, 25);
      const accepted = new Set<string>();
      let down: string | undefined;
      for (let index = 0; index < 60; index += 1) {
        const running = [...world.nodes.keys()];
        const id = running[integerBetween(random, 0, running.length - 1)] ?? 'n1';
        const key = `key-${seed}-${index}`;
        const method = random() < 0.2 ? 'pm_card_chargeDeclined' : 'pm_card_visa';
        void world
          .node(id)
          .service.place(world.order(key, { payment: { method } }))
          .then((answer) => {
            if (answer.ok) accepted.add(orderIdOf(key));
          });
        if (random() < 0.2) void world.node(id).service.cancel(orderIdOf(`key-${seed}-${index - 1}`));
        await world.clock.advance(integerBetween(random, 0, 1_500));
        const dice = random();
        if (down === undefined && dice < 0.1) {
          down = running[integerBetween(random, 0, running.length - 1)] ?? 'n1';
          world.kill(down, { power: random() < 0.5 });
        } else if (down !== undefined && dice < 0.15) {
          if (random() < 0.5) await world.clock.advance(2 * RETAIN_FOR_MS);
          await world.boot(down);
          down = undefined;
        } else if (down === undefined && dice > 0.9) {
          const away = running[integerBetween(random, 0, 2)] ?? 'n1';
          world.network.partition([[away], IDS.filter((other) => other !== away)]);
          await world.clock.advance(random() < 0.5 ? 2_000 : 2 * RETAIN_FOR_MS);
          world.network.heal();
        }
      }
      if (down !== undefined) await world.boot(down);
      await settle();
      const nodes = [...world.nodes.values()];
      const empty = (): boolean => nodes.every(({ id }) => rowsHeld(world, id) === 0);
      await world.clock.until(empty, { withinMs: 300_000, what: 'every order has closed and is forgotten' });
      await world.clock.advance(5_000);

      expect(accepted.size).toBeGreaterThan(20);
      let sold = 0;
      for (const orderId of accepted) {
        const outcome = world.delivered.get(orderId);
        expect(outcome, orderId).toBeDefined();
        const money = world.payments.state(orderId);
        expect([orderId, outcome, money]).toEqual([
          orderId,
          outcome,
          outcome === 'fulfilled' ? 'captured' : expect.stringMatching(/none|refused|voided|refunded/),
        ]);
        expect(world.payments.timesTaken(orderId)).toBeLessThanOrEqual(1);
      }
      for (const outcome of world.delivered.values()) if (outcome === 'fulfilled') sold += 1;
      expect(world.ledger.stock('MUG')).toMatchObject({ sold, held: 0 });
      expect(world.contradictions).toEqual([]);
      for (const { id, views, environment, journal } of nodes) {
        expect(environment.fatalErrors).toEqual([]);
        expect(views.open().size).toBe(0);
        expect([...views.counts().values()].every((count) => count === 0)).toBe(true);
        // What is left of a journal: the last entry of each origin, and what follows one that stays.
        expect(entriesHeld(world, id)).toBeLessThan(60);
        expect(journal.vector()).toEqual(nodes[0]?.journal.vector());
      }
    },
  );
});
