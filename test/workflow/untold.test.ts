import { describe, expect, it } from 'vitest';
import { RequestDeadline } from '../../node/http/deadline.ts';
import type { HttpInput } from '../../node/orders/effects.ts';
import { orderIdOf } from '../../node/orders/identity.ts';
import { FunctionError } from '../../node/ports/functions.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { honestFunctions } from '../support/honest-functions.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** What is known of registrations on which nothing is built: which of them may have been answered (F1, F8, S7). */

const ids = ['n1', 'n2', 'n3'];
const orderId = orderIdOf('k');

/** Nothing is built on an order while `isIdle`: its functions do not answer. Who asks for two waits for `register`. */
async function cluster(seed: number, register: Promise<unknown> = Promise.resolve()) {
  const honest = honestFunctions();
  const callHttp: typeof honest.callHttp = async (route, input) => {
    const decision = await honest.callHttp(route, input);
    if ((input as HttpInput).request.body.lines[0]?.quantity === 2) await register;
    return decision;
  };
  const shop = { isIdle: true };
  const callOrder: typeof honest.callOrder = async (...asked) => {
    if (shop.isIdle) throw new FunctionError('FUNCTION_TIMEOUT', 'payment', 'not now');
    return honest.callOrder(...asked);
  };
  const world = await started(seed, { ...honest, callHttp, callOrder });
  return { world, shop };
}

async function started(
  seed: number,
  functions: ReturnType<typeof honestFunctions>,
  { members, voters }: { readonly members: readonly string[]; readonly voters: readonly string[] } = {
    members: ids,
    voters: ids,
  },
): Promise<FlowCluster> {
  const clock = new VirtualClock();
  const random = seededRandom(seed);
  const world = await FlowCluster.start({ ids: members, voters, clock, random, onHand: 10, functions });
  const opened = Promise.all([...world.nodes.values()].map(({ journal }) => journal.opened()));
  await clock.resolve(opened, { withinMs: 10_000 });
  return world;
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

it.each([1, 3, 6])(
  'an order that ended at once is told when that is on the disk (F8), seed %i',
  async (seed) => {
    const honest = honestFunctions();
    const callOrder: typeof honest.callOrder = async (...asked) => ({
      ...(await honest.callOrder(...asked)),
      effects: [{ type: 'order.fail', code: 'CUSTOMER_BARRED' }],
    });
    const world = await started(seed, { ...honest, callOrder });
    const answered = world.node('n1').service.place(world.order('k', { waitMs: 5_000 }));
    const ended = answered.then((answer) => {
      world.kill('n1', { power: true });
      return answer;
    });
    expect(await world.clock.resolve(ended, { withinMs: 5_000 })).toMatchObject({
      ok: true,
      value: { order: { reason: 'CUSTOMER_BARRED' } },
    });
    await world.boot('n1');
    await world.clock.advance(1_200_000);
    expect(await told(world)).not.toContain('deferred');
    expect((await world.node('n2').views.get(orderId))?.order.reason).toBe('CUSTOMER_BARRED');
  },
);

it('a member without a vote that died before it answered drives what it had registered', async () => {
  const members = [...ids, 'n4'];
  const world = await started(1, honestFunctions(), { members, voters: ids });
  world.network.partition([['n4'], ids]);
  void world.node('n4').service.place(world.order('k'));
  await world.clock.advance(500);
  expect(await told(world, 'n4')).toEqual(['registered']);
  world.network.heal();
  world.kill('n4', { power: true });
  await world.boot('n4');
  await world.clock.advance(60_000);
  expect((await world.node('n1').views.get(orderId))?.order.outcome).toBe('fulfilled');
  const again = world.node('n2').service.place(world.order('k'));
  expect(await world.clock.resolve(again, { withinMs: 10_000 })).toMatchObject({ ok: true });
});

it('a registration that nothing is built on is told to nobody because a rival of it yielded', async () => {
  const turn = Promise.withResolvers<undefined>();
  const { world } = await cluster(3, turn.promise);
  const { clock } = world;
  const two = world.order('k', { lines: [{ sku: 'MUG', quantity: 2 }] });
  // Two customers use one key at one node, and the one who waits for the other asked for what a third node registers.
  const yields = world.node('n1').service.place(two);
  await clock.advance(10);
  const shares = world.node('n1').service.place(world.order('k'));
  const gone = new RequestDeadline(10_000, { clock });
  const registers = world.node('n3').service.place(world.order('k'), gone);
  await clock.until(() => world.node('n3').journal.vector()['n3'] === 1, { withinMs: 100 });
  gone.clientGone();
  await clock.resolve(registers, { withinMs: 100 });
  await clock.until(() => world.node('n1').views.peek(orderId) !== undefined, { withinMs: 100 });
  turn.resolve(undefined);
  const [yielded, shared] = await clock.resolve(Promise.all([yields, shares]), { withinMs: 10_000 });
  expect(await told(world)).toEqual(['registered']);
  expect(yielded).toMatchObject({ refusal: { code: 'QUORUM_UNAVAILABLE' } });
  expect(shared).toMatchObject({ refusal: { code: 'QUORUM_UNAVAILABLE' } });
});
