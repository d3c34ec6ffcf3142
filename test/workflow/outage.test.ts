import { describe, expect, it } from 'vitest';
import { orderIdOf } from '../../node/orders/identity.ts';
import { FunctionError } from '../../node/ports/functions.ts';
import { JournalError, type Journal } from '../../store/journal/port.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { honestFunctions } from '../support/honest-functions.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** What orders leave behind, and become, while no majority answers or a disk takes nothing (F2, F3, W4). */

const ids = ['n1', 'n2', 'n3'];
const orderId = orderIdOf('k');

async function cluster(functions = honestFunctions()): Promise<FlowCluster> {
  const clock = new VirtualClock();
  const world = await FlowCluster.start({ ids, clock, random: seededRandom(1), onHand: 10, functions });
  const opened = Promise.all([...world.nodes.values()].map(({ journal }) => journal.opened()));
  await clock.resolve(opened, { withinMs: 10_000 });
  return world;
}

const placed = (world: FlowCluster, id: string, order = world.order('k')) =>
  world.clock.resolve(world.node(id).service.place(order), { withinMs: 10_000 });

/** The queue to this node's disk is full while `isFull`. */
function stallable(journal: Journal): { isFull: boolean } {
  const queue = { isFull: false };
  const append = journal.append.bind(journal);
  journal.append = (...asked) => {
    if (queue.isFull) throw new JournalError('QUEUE_FULL', 'so many entries wait for the disk');
    return append(...asked);
  };
  return queue;
}

const told = async (world: FlowCluster, id = 'n1') =>
  (await world.node(id).views.events(orderId))?.map(({ type }) => type) ?? [];

describe('while no majority answers', () => {
  it('a key says nothing for good, whoever used it before: the other order may be the one (F2)', async () => {
    const world = await cluster();
    world.network.partition([['n1'], ['n2', 'n3']]);
    const two = world.order('k', { lines: [{ sku: 'MUG', quantity: 2 }] });
    expect(await placed(world, 'n1', two)).toMatchObject({ refusal: { code: 'QUORUM_UNAVAILABLE' } });
    expect(await placed(world, 'n3')).toMatchObject({ ok: true });
    expect(await placed(world, 'n1')).toMatchObject({ refusal: { code: 'QUORUM_UNAVAILABLE' } });
    world.network.heal();
    await world.clock.advance(2_000);
    expect(await placed(world, 'n1')).toMatchObject({ ok: true, value: { replayed: true } });
    expect(await placed(world, 'n1', two)).toMatchObject({ refusal: { code: 'IDEMPOTENCY_KEY_REUSED' } });
  });

  it('the intention to ask for money is written once, however long that is (W4)', async () => {
    const honest = honestFunctions();
    const shop = { isIdle: true };
    const world = await cluster({
      ...honest,
      callOrder: async (...asked) => {
        if (shop.isIdle) throw new FunctionError('FUNCTION_TIMEOUT', 'payment', 'not now');
        return honest.callOrder(...asked);
      },
    });
    expect(await placed(world, 'n1')).toMatchObject({ ok: true });
    world.network.partition([['n1'], ['n2', 'n3']]);
    shop.isIdle = false;
    await world.clock.advance(600_000);
    const intentions = (await world.node('n1').views.events(orderId))?.filter(
      ({ type, node }) => type === 'paymentRequested' && node === 'n1',
    );
    expect(intentions).toHaveLength(1);
    world.network.heal();
    await world.clock.advance(10_000);
    expect((await world.node('n1').views.get(orderId))?.order.outcome).toBe('fulfilled');
    expect(world.payments.state(orderId)).toBe('captured');
  });

  it('no more orders wait here for their clients than the door lets in, and they are given up a few at a time', async () => {
    const world = await cluster();
    const { clock } = world;
    const { service, views, journal } = world.node('n1');
    world.network.partition([['n1'], ['n2', 'n3']]);
    const codes = new Set<string>();
    for (let round = 0; round < 15; round += 1) {
      const keys = Array.from({ length: 100 }, (_, index) => `k${round}-${index}`);
      const answers = Promise.all(keys.map((key) => service.place(world.order(key))));
      for (const answer of await clock.resolve(answers, { withinMs: 10_000 }))
        codes.add(answer.ok ? 'ok' : answer.refusal.code);
    }
    expect([...codes]).toEqual(['QUORUM_UNAVAILABLE', 'OVERLOADED']);
    // Those that were let in together may be too many by one round.
    expect(views.open().size).toBeLessThanOrEqual(1_100);

    let asked = 0;
    let askedAtOnce = 0;
    const holders = journal.holders.bind(journal);
    journal.holders = async (...what) => {
      asked += 1;
      askedAtOnce = Math.max(askedAtOnce, asked);
      return holders(...what).finally(() => {
        asked -= 1;
      });
    };
    await clock.advance(600_000);
    world.network.heal();
    await clock.advance(60_000);
    expect(askedAtOnce).toBeGreaterThan(0);
    expect(askedAtOnce).toBeLessThanOrEqual(64);
    expect(views.open().size).toBe(0);
    expect(await placed(world, 'n1')).toMatchObject({ ok: true });
  }, 60_000);
});

describe('while the disk takes nothing', () => {
  it('an order that no majority took is deferred as soon as it does, and charged to nobody (F3)', async () => {
    const world = await cluster();
    const { clock } = world;
    const queue = stallable(world.node('n1').journal);
    queue.isFull = true;
    world.network.partition([['n1'], ['n2', 'n3']]);
    const answer = world.node('n1').service.place(world.order('k'));
    await clock.advance(6_000);
    expect(await told(world)).toEqual(['registered']);
    queue.isFull = false;
    expect(await clock.resolve(answer, { withinMs: 1_000 })).toMatchObject({
      refusal: { code: 'QUORUM_UNAVAILABLE' },
    });
    world.network.heal();
    await clock.advance(1_500_000);
    expect(world.payments.state(orderId)).toBe('none');
    expect((await world.node('n2').views.get(orderId))?.order.reason).toBe('ABANDONED');
  });

  it('an order that won is told as soon as it does (F8)', async () => {
    const world = await cluster();
    const queue = stallable(world.node('n1').journal);
    queue.isFull = true;
    const answer = world.node('n1').service.place(world.order('k'));
    await world.clock.advance(6_000);
    queue.isFull = false;
    expect(await world.clock.resolve(answer, { withinMs: 1_000 })).toMatchObject({ ok: true });
    await world.clock.advance(10_000);
    expect(await told(world)).toContain('accepted');
    expect(world.payments.state(orderId)).toBe('captured');
  });
});
