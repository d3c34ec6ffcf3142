import { expect, it } from 'vitest';
import { expectAllEnded, expectExactBooks, expectMoneyMatches, expectStockAddsUp } from './support/books.ts';
import { buyAll, countAnswers } from './support/buyers.ts';
import { eventually } from './support/eventually.ts';
import { fullScale } from './support/scale.ts';
import { useCluster } from './support/use-cluster.ts';

/** Everybody wants the same thing at once: exactly as many get it as there are. */

const units = fullScale ? 500 : 100;
const attempts = fullScale ? 5_000 : 1_000;
const rare = { sku: 'RARE', unitPrice: 4_900, onHand: units };
const cluster = useCluster({ products: [rare] });

it(`sells ${String(units)} units to exactly ${String(units)} of ${String(attempts)} customers`, async () => {
  const purchases = await buyAll({
    urls: cluster().urls,
    buyers: 64,
    purchases: attempts,
    wish: () => ({ lines: [{ sku: rare.sku, quantity: 1 }] }),
    waitSeconds: 30,
    patienceMs: 60_000,
  });
  // Some may be answered while they still wait for their end, but none without an order.
  expect(purchases.filter(({ order }) => order === undefined)).toEqual([]);

  const orders = await expectAllEnded(cluster(), purchases, 30_000);
  const ended = orders.map((order) => ({ ...purchases[0], status: 201, order })) as typeof purchases;
  expect(countAnswers(ended)).toEqual({
    fulfilled: units,
    'refunded OUT_OF_STOCK': attempts - units,
  });
  await expectMoneyMatches(cluster(), orders);
  await expectStockAddsUp(cluster(), [rare], orders, 5_000);
  await expectExactBooks(cluster(), [rare], orders, 60_000);
  expect(await cluster().query('SELECT on_hand FROM inventory')).toEqual([{ on_hand: 0 }]);
});

it('tells the next customer at once, at every node', async () => {
  for (const url of cluster().urls)
    await eventually(10_000, async () => {
      expect(await cluster().get(`${url}/stock/${rare.sku}`)).toMatchObject({ available: 0, held: 0 });
    });
});
