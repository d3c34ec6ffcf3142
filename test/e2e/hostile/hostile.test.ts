import { afterAll, beforeAll, expect, it } from 'vitest';
import { PostgresServer } from '../../support/postgres-server.ts';
import { Cluster } from '../support/cluster.ts';
import { shortActs } from './acts.ts';
import { ordersIn } from './checks.ts';
import { checkRows, neverStruck } from './report.ts';
import { productsFor, runStorm, settings, stormPlan } from './storm.ts';
import { trailOf } from './trails.ts';

/** Money and stock, whatever happens outside, in short; `npm run hostile` is the long version. */

const orders = 300;
const seed = 7;
let database: PostgresServer;
let cluster: Cluster | undefined;
let failed = true;

beforeAll(async () => {
  database = await PostgresServer.start();
  cluster = await Cluster.start({
    products: productsFor(orders),
    set: settings,
    systemOfRecordUrl: database.url,
  });
});
afterAll(async () => {
  if (failed) console.error(cluster?.describe());
  await cluster?.stop({ keep: failed });
  await database.close();
});

it('charges nobody twice, sells nothing twice, loses nothing, and leaves nothing undone', async () => {
  const shop = cluster;
  if (shop === undefined) throw new Error('the shop is not open');
  const storm = await runStorm(
    {
      ...{ orders, seed, tills: 24, settleWithinMs: 90_000 },
      plan: stormPlan(seed, orders),
      acts: shortActs(database, 4_000),
    },
    { cluster: shop, log: () => undefined },
  );
  const broken = storm.findings.filter(({ breaches }) => breaches.length > 0);
  const trails = await Promise.all(
    ordersIn(broken)
      .slice(0, 3)
      .map((orderId) => trailOf(orderId, { cluster: shop, history: storm.history, books: storm.books })),
  );
  expect(broken, [...checkRows(storm.findings), ...trails.flat()].join('\n')).toEqual([]);

  // Otherwise little was tested.
  expect(storm.missed).toEqual([]);
  expect(neverStruck(storm.provider).length).toBeLessThan(6);
  const outcomes = new Set([...storm.books.orders.values()][0]?.map(({ outcome }) => outcome));
  expect(outcomes).toEqual(new Set(['fulfilled', 'refunded', 'failed', 'cancelled']));
  failed = false;
});
