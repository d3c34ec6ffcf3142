import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Order } from '../../node/orders/order.ts';
import type { ReconcilerStatus } from '../../node/ports/reconcilers.ts';
import type { StockLevel } from '../../store/ledger/port.ts';
import { expectAllEnded, expectExactBooks, expectMoneyMatches, expectStockAddsUp } from './support/books.ts';
import { buyAll, countAnswers, startBuyers } from './support/buyers.ts';
import type { Purchase } from './support/buyers.ts';
import { plenty } from './support/catalog.ts';
import { eventually } from './support/eventually.ts';
import { HttpShop } from './support/http-shop.ts';
import { useCluster } from './support/use-cluster.ts';

/**
 * Three nodes whose system of record is a service of the shop's own, over HTTP: what it has to sell, what it is told, and
 * what becomes of both when it is killed in the middle of a sale.
 */

const fragile = { sku: 'VASE', unitPrice: 900, onHand: 5 };
/** More than one page of the catalogue. */
const shelf = Array.from({ length: 1_200 }, (_, index) => ({
  sku: `S-${String(index).padStart(4, '0')}`,
  unitPrice: 100,
  onHand: 7,
}));
const sold = plenty;
const products = [...sold, ...shelf];

let shop: HttpShop;
beforeAll(async () => {
  shop = await HttpShop.start([...products, fragile]);
});
afterAll(() => shop.close());
const cluster = useCluster(() => ({
  systemOfRecordUrl: shop.url,
  systemOfRecordToken: shop.token,
  databaseUrl: shop.databaseUrl,
}));
/** All that was bought, but for what the shop breaks. */
const bought: Purchase[] = [];

async function readInventory(): Promise<void> {
  const url = `${cluster().url(await cluster().leader())}/reconcilers/inbound/run`;
  expect(await cluster().http.ask('POST', url)).toMatchObject({ status: 200 });
}

async function outbound(): Promise<ReconcilerStatus | undefined> {
  const url = `${cluster().url(await cluster().leader())}/reconcilers`;
  const { reconcilers } = await cluster().get<{ reconcilers: readonly ReconcilerStatus[] }>(url);
  return reconcilers.find(({ name }) => name === 'outbound');
}

/** As an operator types it, with all nodes named. */
function freehold(...args: readonly string[]): Promise<{ readonly code: number; readonly text: string }> {
  const main = join(import.meta.dirname, '../../node/main.ts');
  const urls = cluster().urls.flatMap((url) => ['--url', url]);
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args, ...urls], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, text: stdout + stderr });
    });
  });
}

it('reads the catalogue page by page, and then only what changed', async () => {
  expect(shop.pages.slice(0, 2)).toEqual([
    { isFirst: true, rows: 1_000 },
    { isFirst: false, rows: products.length + 1 - 1_000 },
  ]);
  await cluster().query(`UPDATE products SET price_minor = 199 WHERE sku = 'S-0007'`);
  await cluster().query(`DELETE FROM products WHERE sku = 'S-1199'`);
  const told = shop.pages.length;
  await readInventory();
  expect(shop.pages.slice(told)).toEqual([{ isFirst: false, rows: 2 }]);
  for (const url of cluster().urls)
    await eventually(2_000, async () => {
      const { unitPrice } = await cluster().get<StockLevel>(`${url}/stock/S-0007`);
      const delisted = await cluster().http.ask('GET', `${url}/stock/S-1199`);
      expect({ unitPrice, delisted: delisted.status }).toEqual({ unitPrice: 199, delisted: 404 });
    });
});

it('sells on while the service is dead, and then delivers each order exactly once', async () => {
  const buyers = startBuyers({
    urls: cluster().urls,
    buyers: 6,
    wish: (index) => ({ lines: [{ sku: sold[index % sold.length]?.sku ?? '', quantity: 1 + (index % 3) }] }),
    waitSeconds: 10,
  });
  await eventually(10_000, () => expect(buyers.purchases.length).toBeGreaterThan(30));
  await shop.kill();
  const before = buyers.purchases.length;
  await delay(3_000);
  await eventually(10_000, async () => {
    const status = await outbound();
    expect(status?.pending).toBeGreaterThan(20);
    expect(status?.lastError).toMatch(/^SYSTEM_OF_RECORD_UNAVAILABLE/);
    expect(buyers.purchases.length - before).toBeGreaterThan(20);
  });
  await shop.revive();
  await delay(500);
  bought.push(...(await buyers.stop()));
  expect(countAnswers(bought)).toEqual({ fulfilled: bought.length });

  const orders = await expectAllEnded(cluster(), bought, 10_000);
  const listed = products.filter(({ sku }) => sku !== 'S-1199');
  await expectExactBooks(cluster(), listed, orders, 20_000);
  await expectMoneyMatches(cluster(), orders);
  // It remembers no cursor any more: all is read anew.
  const told = shop.pages.length;
  await readInventory();
  expect(shop.pages.slice(told).some(({ isFirst }) => isFirst)).toBe(true);
  await expectStockAddsUp(cluster(), [...listed, fragile], orders, 5_000);
});

it('lists on every node what the service refuses, and sends it again or gives it up as told', async () => {
  await shop.kill();
  const purchases = await buyAll({
    urls: cluster().urls,
    buyers: 2,
    purchases: 2,
    wish: () => ({ lines: [{ sku: fragile.sku, quantity: 1 }] }),
    waitSeconds: 10,
  });
  const [first = '', second = ''] = purchases.map(({ order }) => order?.id);
  expect(countAnswers(purchases)).toEqual({ fulfilled: 2 });
  await cluster().query(`UPDATE inventory SET on_hand = 0 WHERE sku = 'VASE'`);
  await shop.revive();

  for (const url of cluster().urls)
    await eventually(10_000, async () => {
      const { parked } = await cluster().get<{ parked: { orderId: string; reason: string }[] }>(
        `${url}/reconcilers/parked`,
      );
      expect(parked.map(({ orderId }) => orderId).toSorted()).toEqual([first, second].toSorted());
      for (const { reason } of parked) expect(reason).toMatch(/^ON_HAND_SHORT: /);
    });
  expect(await freehold('reconcile', 'parked', 'retry', first)).toMatchObject({
    code: 1,
    text: expect.stringContaining('ON_HAND_SHORT') as string,
  });
  const adjust = () =>
    cluster().http.ask('POST', `${cluster().urls[1] ?? ''}/stock/VASE/adjustments`, {
      headers: { 'idempotency-key': 'found-1' },
      body: { kind: 'correction', delta: 1, reason: 'one was whole', by: 'ada' },
    });
  expect(await adjust()).toMatchObject({ status: 201, body: { onHand: 1 } });
  expect(await adjust()).toMatchObject({ status: 200, body: { onHand: 1 } });
  expect(await freehold('reconcile', 'parked', 'retry', first)).toMatchObject({ code: 0 });
  const discarded = await freehold(
    ...['reconcile', 'parked', 'discard', second, '--reason', 'entered by hand', '--by', 'ada'],
  );
  expect(discarded).toMatchObject({ code: 0 });
  await readInventory();

  for (const url of cluster().urls)
    await eventually(5_000, async () => {
      const states = await Promise.all(
        [first, second].map(async (id) => (await cluster().get<Order>(`${url}/orders/${id}`)).state),
      );
      expect(states).toEqual(['synced', 'discarded']);
      expect(await cluster().get(`${url}/stock/VASE`)).toMatchObject({ onHand: 0, sold: 0, available: 0 });
      expect(await cluster().get(`${url}/reconcilers/parked`)).toEqual({ parked: [] });
    });
  const there = await cluster().query<{ order_id: string }>(
    'SELECT order_id FROM orders WHERE order_id = ANY ($1::text[])',
    [[first, second]],
  );
  expect(there).toEqual([{ order_id: first }]);
});

it('compares all books over HTTP, and names what the shop changed without a word', async () => {
  const clean = await freehold('reconcile', 'report', '--json');
  expect(clean).toMatchObject({ code: 0 });
  expect(JSON.parse(clean.text)).toMatchObject({
    differences: [],
    compared: { products: products.length, payments: bought.length + 2, booked: bought.length + 1 },
  });
  await cluster().query(
    `ALTER TABLE inventory DISABLE TRIGGER USER; UPDATE inventory SET on_hand = on_hand - 1 WHERE sku = 'S-0042';
     ALTER TABLE inventory ENABLE TRIGGER USER`,
  );
  const stolen = await freehold('reconcile', 'report');
  expect(stolen).toMatchObject({ code: 1 });
  expect(stolen.text).toMatch(/^INVENTORY_UNEXPLAINED {2}S-0042\n[^]*\n1 differences;/);
});
