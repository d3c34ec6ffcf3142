import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import type { Order } from '../../node/orders/order.ts';
import {
  expectAllEnded,
  expectAnswersKept,
  expectExactBooks,
  expectMoneyMatches,
  expectStockAddsUp,
} from './support/books.ts';
import { orderBody, startBuyers } from './support/buyers.ts';
import type { Buyers, Purchase, Wish } from './support/buyers.ts';
import { plenty } from './support/catalog.ts';
import type { Cluster, NodeName } from './support/cluster.ts';
import { eventually } from './support/eventually.ts';
import { fullScale } from './support/scale.ts';
import { useCluster } from './support/use-cluster.ts';

/** What happens when (§9 of the design): parts are killed and frozen while customers buy. */

/** The longest that customers of the surviving nodes may go without an answer. */
const serviceGapMsMax = 5_000;
const beforeFaultMs = 2_000;
const afterFaultMs = 7_000;
const databaseOutageMs = fullScale ? 120_000 : 10_000;
const wait = 10;

/** One product that runs out on the way, so that overselling would show. */
const scarce = { sku: 'SCARCE', unitPrice: 900, onHand: 60 };
const products = [...plenty, scarce];
const cluster = useCluster({ products });

/** All that was bought, for the audit after each fault. */
const bought: Purchase[] = [];
let running: Buyers | undefined;

afterEach(async () => {
  await running?.stop();
  running = undefined;
});

function startShopping(buyers = 12): Buyers {
  running = startBuyers({
    urls: cluster().urls,
    buyers,
    wish: (index) => ({
      lines: [
        { sku: plenty[index % plenty.length]?.sku ?? '', quantity: 1 + (index % 2) },
        ...(index % 5 === 0 ? [{ sku: scarce.sku, quantity: 1 }] : []),
      ],
    }),
    waitSeconds: wait,
    patienceMs: 45_000,
  });
  return running;
}

async function finish(buyers: Buyers): Promise<readonly Purchase[]> {
  const purchases = await buyers.stop();
  running = undefined;
  bought.push(...purchases);
  return purchases;
}

/** Nothing that was answered is lost or changed, everything ends, the books agree, at all three nodes. */
async function audit(of: Cluster): Promise<readonly Order[]> {
  const orders = await expectAllEnded(of, bought, 45_000);
  expectAnswersKept(bought, orders);
  await expectMoneyMatches(of, orders);
  await expectStockAddsUp(of, products, orders, 10_000);
  return orders;
}

/** The longest time from `from` to `to` in which no purchase was answered. */
function longestGapMs(purchases: readonly Purchase[], from: number, to: number): number {
  const answers = purchases
    .filter(({ order }) => order !== undefined)
    .map(({ answeredAt }) => answeredAt)
    .filter((at) => at >= from && at <= to)
    .toSorted((left, right) => left - right);
  const marks = [from, ...answers, to];
  return Math.max(...marks.slice(1).map((at, index) => at - (marks[index] ?? 0)));
}

async function nodeThat(leads: boolean): Promise<NodeName> {
  const leader = await eventually(10_000, () => cluster().leader());
  return leads ? leader : (cluster().nodeNames.find((name) => name !== leader) ?? 'n1');
}

it.each([
  ['the leader', true],
  ['a follower', false],
])('goes on when %s is killed, loses nothing, and takes it back', async (_who, leads) => {
  const victim = await nodeThat(leads);
  const buyers = startShopping();
  await delay(beforeFaultMs);
  expect(buyers.purchases.length, 'purchases before the fault').toBeGreaterThan(0);

  const killedAt = performance.now();
  await cluster().kill(victim);
  await delay(afterFaultMs);
  const gap = longestGapMs(buyers.purchases, killedAt, performance.now());

  await cluster().revive(victim);
  await eventually(20_000, async () => {
    await cluster().get(`${cluster().url(victim)}/readyz`);
  });
  const purchases = await finish(buyers);

  expect(gap, 'ms without an answer').toBeLessThan(serviceGapMsMax);
  expect(purchases.filter(({ order }) => order === undefined)).toEqual([]);
  await audit(cluster());
});

it('goes on when a node freezes, and takes it back when it thaws', async () => {
  const victim = await nodeThat(true);
  const buyers = startShopping();
  await delay(beforeFaultMs);

  const frozenAt = performance.now();
  await cluster().pause(victim);
  // A third of the buyers now waits for a node that accepts connections and never answers.
  await eventually(serviceGapMsMax, async () => {
    const answeredBy = new Set(
      buyers.purchases
        .filter(({ order, answeredAt }) => order !== undefined && answeredAt > frozenAt)
        .map(({ node }) => node),
    );
    answeredBy.delete(cluster().url(victim));
    expect(answeredBy.size).toBeGreaterThan(0);
  });
  await delay(2_000);
  await cluster().resume(victim);
  const purchases = await finish(buyers);

  expect(purchases.filter(({ order }) => order === undefined)).toEqual([]);
  await audit(cluster());
});

it('answers 503 without a majority, still reads, and goes on by itself when there is one again', async () => {
  const [survivor, ...others] = cluster().nodeNames;
  if (survivor === undefined) throw new Error('there are nodes');
  const known = bought.find(({ order }) => order !== undefined)?.order;
  for (const name of others) await cluster().kill(name);

  const wish: Wish = { lines: [{ sku: plenty[0]?.sku ?? '', quantity: 1 }] };
  const place = () =>
    cluster().http.ask('POST', `${cluster().url(survivor)}/orders`, {
      body: orderBody(wish),
      headers: { 'idempotency-key': 'without-a-majority', prefer: 'wait=10' },
      timeoutMs: 20_000,
    });
  const answer = await eventually(10_000, async () => {
    const refused = await place();
    expect(refused.status).toBe(503);
    return refused;
  });
  expect(answer.body).toMatchObject({
    code: expect.stringMatching(/QUORUM_UNAVAILABLE|LEDGER_UNAVAILABLE/) as string,
  });
  expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  const read = await cluster().get<Order>(`${cluster().url(survivor)}/orders/${known?.id ?? ''}`);
  expect(read.id).toBe(known?.id);

  for (const name of others) await cluster().revive(name);
  // The customer who was turned away asks again, and has one order.
  const settled = await eventually(20_000, async () => {
    const again = await place();
    expect([200, 201]).toContain(again.status);
    return again;
  });
  bought.push({
    key: '',
    wish,
    status: 200,
    order: settled.body as Order,
    ms: 0,
    answeredAt: 0,
    node: '',
    attempts: 2,
  });

  const buyers = startShopping(4);
  await eventually(20_000, () => {
    expect(buyers.purchases.filter(({ order }) => order?.outcome === 'fulfilled').length).toBeGreaterThan(8);
  });
  await finish(buyers);
  await audit(cluster());
});

it(`sells on while the system of record is away for ${String(databaseOutageMs / 1_000)} s, then settles exactly`, async () => {
  const buyers = startShopping();
  await delay(beforeFaultMs);
  await cluster().kill('sor', 'SIGKILL');
  const awaySince = performance.now();
  await delay(databaseOutageMs);
  const gap = longestGapMs(buyers.purchases, awaySince, performance.now());
  await cluster().revive('sor');
  const purchases = await finish(buyers);

  expect(gap, 'ms without an answer').toBeLessThan(serviceGapMsMax);
  const ended = purchases.filter(({ answeredAt }) => answeredAt > awaySince + 1_000);
  expect(
    ended.every(({ order }) => order?.outcome !== undefined),
    'every order ended while it was away',
  ).toBe(true);
  const orders = await audit(cluster());
  await expectExactBooks(cluster(), products, orders, 90_000);
});
