import { describe, expect, it } from 'vitest';
import { orderIdOf } from '../../node/orders/identity.ts';
import { FunctionError } from '../../node/ports/functions.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { honestFunctions } from '../support/honest-functions.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** What a node knows of its own registrations after it died: which of them it may have answered (F8, S7). */

const ids = ['n1', 'n2', 'n3'];
const orderId = orderIdOf('k');

/** Nothing is built on an order while `isIdle`: its functions do not answer. */
async function cluster(seed: number) {
  const honest = honestFunctions();
  const shop = { isIdle: true };
  const callOrder: typeof honest.callOrder = async (...asked) => {
    if (shop.isIdle) throw new FunctionError('FUNCTION_TIMEOUT', 'payment', 'not now');
    return honest.callOrder(...asked);
  };
  const world = await FlowCluster.start({
    ids,
    clock: new VirtualClock(),
    random: seededRandom(seed),
    onHand: 10,
    functions: { ...honest, callOrder },
  });
  const opened = Promise.all([...world.nodes.values()].map(({ journal }) => journal.opened()));
  await world.clock.resolve(opened, { withinMs: 10_000 });
  return { world, shop };
}

async function powerLossOfAll(world: FlowCluster): Promise<void> {
  for (const id of ids) world.kill(id, { power: true });
  for (const id of ids) await world.boot(id);
}

const told = async (world: FlowCluster, id = 'n1') =>
  (await world.node(id).views.events(orderId))?.map(({ type }) => type) ?? [];

describe('a node that lost its power', () => {
  it('goes on with an order that it answered, though nothing was built on it', async () => {
    const { world, shop } = await cluster(1);
    const placed = await world.clock.resolve(world.node('n1').service.place(world.order('k')), {
      withinMs: 5_000,
    });
    expect(placed).toMatchObject({ ok: true, value: { order: { state: 'registered' } } });
    await powerLossOfAll(world);
    shop.isIdle = false;
    await world.clock.advance(60_000);
    expect(await told(world)).not.toContain('deferred');
    expect((await world.node('n2').views.get(orderId))?.order.outcome).toBe('fulfilled');
  });

  it.each([
    ['and is driven when its client asks again, at any node', true, 'fulfilled', 'captured'],
    ['and is given up when its client does not', false, 'failed', 'none'],
  ])(
    'says that it told nobody of one that it had no answer for, %s',
    async (_, isRetried, outcome, money) => {
      const { world, shop } = await cluster(2);
      shop.isIdle = false;
      world.network.partition([['n1'], ['n2', 'n3']]);
      void world.node('n1').service.place(world.order('k'));
      await world.clock.advance(500);
      expect(await told(world)).toEqual(['registered']);
      world.network.heal();
      await powerLossOfAll(world);
      await world.clock.advance(10_000);
      expect(await told(world, 'n2')).toEqual(['registered', 'deferred']);
      if (isRetried) {
        const again = world.node('n3').service.place(world.order('k'));
        expect(await world.clock.resolve(again, { withinMs: 10_000 })).toMatchObject({ ok: true });
      }
      await world.clock.advance(1_200_000);
      expect((await world.node('n2').views.get(orderId))?.order.outcome).toBe(outcome);
      expect(world.payments.state(orderId)).toBe(money);
    },
  );
});
