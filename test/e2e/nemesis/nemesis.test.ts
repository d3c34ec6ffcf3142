import { expect, it } from 'vitest';
import type { Order } from '../../../node/orders/order.ts';
import { seededRandom } from '../../support/random.ts';
import { orderBody } from '../support/buyers.ts';
import { plenty } from '../support/catalog.ts';
import { eventually } from '../support/eventually.ts';
import { fullScale } from '../support/scale.ts';
import { useCluster } from '../support/use-cluster.ts';
import { faults, mixOf } from './faults.ts';
import { recoveriesOf, recoveryTable } from './recovery.ts';
import { products, runRound, settings } from './round.ts';
import { rounds, shuffled } from './schedule.ts';

/**
 * What happens when (§ "What is promised" of the README), with real processes and sockets: parts are killed, frozen,
 * cut off, emptied and restarted while customers buy. `npm run nemesis` does more of it, for longer.
 */

/** While a majority stays, some order ends at least this often, on a machine that has much else to do. */
const silenceMsMax = 10_000;
const settleWithinMs = 90_000;
const cluster = useCluster({ products, set: settings });

/** One of each way to fail. All of them, and mixes, in the long version. */
const schedule = fullScale
  ? [...shuffled(Object.values(faults), seededRandom(1)), ...rounds(seededRandom(2), 20).next().value]
  : [
      faults.killLeader,
      faults.wipeFollower,
      faults.cutLeader,
      faults.freezeLeader,
      faults.killingAll,
      mixOf([faults.losingDatabase, faults.muteLeader]),
      faults.restarting,
    ];

it(
  'keeps every promise while its parts fail',
  async () => {
    const log: string[] = [];
    const { history, strikes, violations } = await runRound(
      { seed: 20, faults: schedule, buyers: 12, settleWithinMs },
      { cluster: cluster(), log: (line) => void log.push(line) },
    );
    expect(violations, log.join('\n')).toEqual([]);

    // Otherwise little was tested.
    expect(history.purchases.length).toBeGreaterThan(100);
    expect(history.stockReads.filter(({ linearizable }) => linearizable).length).toBeGreaterThan(20);

    const servesOn = new Set(strikes.filter((strike) => strike.servesOn).map(({ fault }) => fault));
    const recoveries = recoveriesOf(history, strikes).filter(({ fault }) => servesOn.has(fault));
    const tooLong = recoveries.filter(({ silenceMs }) => silenceMs > silenceMsMax);
    expect(tooLong, recoveryTable(recoveries).join('\n')).toEqual([]);
  },
  fullScale ? 1_800_000 : 300_000,
);

it('a node that is cut off answers 503, still reads, says that it may be behind, and makes no second order', async () => {
  const lonely = await eventually(10_000, () => cluster().leader());
  const connected = cluster().nodeNames.find((name) => name !== lonely) ?? lonely;
  const url = cluster().url(lonely);
  const place = (node: typeof lonely) =>
    cluster().http.ask('POST', `${cluster().url(node)}/orders`, {
      body: orderBody({ lines: [{ sku: plenty[0]?.sku ?? '', quantity: 1 }] }),
      headers: { 'idempotency-key': 'cut-off', prefer: 'wait=10' },
      timeoutMs: 20_000,
    });
  const { orders } = await cluster().get<{ orders: readonly Order[] }>(`${url}/orders?limit=1`);

  await cluster().partition(lonely);
  const refused = await place(lonely);
  expect(refused).toMatchObject({ status: 503, body: { code: 'QUORUM_UNAVAILABLE' } });
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  expect((await cluster().get<Order>(`${url}/orders/${orders[0]?.id ?? ''}`)).id).toBe(orders[0]?.id);
  await eventually(10_000, async () => {
    expect(await cluster().get(`${url}/stock/${plenty[0]?.sku ?? ''}`)).toMatchObject({
      linearizable: false,
    });
  });

  // The customer goes to another node, and has one order, wherever they look.
  const made = await eventually(20_000, async () => {
    const answer = await place(connected);
    expect(answer.body).toMatchObject({ outcome: 'fulfilled' });
    return answer.body as Order;
  });
  await cluster().heal();
  await eventually(20_000, async () => {
    expect(await place(lonely)).toMatchObject({
      status: 200,
      headers: { 'idempotency-replayed': 'true' },
      body: { id: made.id, outcome: 'fulfilled' },
    });
  });
});
