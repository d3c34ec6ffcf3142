import { expect } from 'vitest';
import type { Order } from '../../../node/orders/order.ts';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { Purchase } from './buyers.ts';
import type { TestProduct } from './catalog.ts';
import type { Cluster } from './cluster.ts';
import { eventually } from './eventually.ts';
import { nothing } from './sandbox-books.ts';

/**
 * The auditor: what customers were told, what each node holds, what the payment provider took and what the
 * shop's own database says must be one story. Every check waits until the cluster had time to tell it.
 */

/** Waits until every order that was accepted has ended, at every node alike; gives them as the nodes hold them. */
export async function expectAllEnded(
  cluster: Cluster,
  purchases: readonly Purchase[],
  withinMs: number,
): Promise<readonly Order[]> {
  const ids = acceptedIds(purchases);
  const deadline = performance.now() + withinMs;
  return inBatches(ids, 16, async (id) => {
    const left = Math.max(0, deadline - performance.now());
    return eventually(left, async () => {
      const copies = await Promise.all(cluster.urls.map((url) => cluster.get<Order>(`${url}/orders/${id}`)));
      const outcomes = copies.map((order) => order.outcome);
      expect(outcomes[0], `outcome of ${id}`).toBeDefined();
      expect(new Set(outcomes).size, `outcomes of ${id}: ${outcomes.join(', ')}`).toBe(1);
      return copies[0] as Order;
    });
  });
}

/** What a customer was told to be final stayed so. */
export function expectAnswersKept(purchases: readonly Purchase[], orders: readonly Order[]): void {
  const byId = new Map(orders.map((order) => [order.id, order]));
  for (const { order } of purchases)
    if (order?.outcome !== undefined) expect(byId.get(order.id)?.outcome, order.id).toBe(order.outcome);
}

/** The system of record holds exactly `orders`, each once, and its inventory fell by exactly what was fulfilled. */
export async function expectExactBooks(
  cluster: Cluster,
  products: readonly TestProduct[],
  orders: readonly Order[],
  withinMs: number,
): Promise<void> {
  const outcomes = new Map(orders.map((order) => [order.id, order.outcome]));
  const sold = unitsSold(orders);

  await eventually(
    withinMs,
    async () => {
      const rows = await cluster.query<{ order_id: string; outcome: string }>(
        'SELECT order_id, outcome FROM orders',
      );
      expect(rows.length, 'orders in the system of record').toBe(outcomes.size);
      const different = rows.filter((row) => outcomes.get(row.order_id) !== row.outcome);
      expect(different).toEqual([]);
    },
    500,
  );

  const inventory = await cluster.query<{ sku: string; on_hand: number }>(
    'SELECT sku, on_hand FROM inventory',
  );
  expect(Object.fromEntries(inventory.map((row) => [row.sku, row.on_hand]))).toEqual(
    Object.fromEntries(products.map(({ sku, onHand }) => [sku, onHand - (sold.get(sku) ?? 0)])),
  );
}

/** Every node's ledger adds up, promises nothing it does not have, and holds nothing for orders that ended. */
export async function expectStockAddsUp(
  cluster: Cluster,
  products: readonly TestProduct[],
  orders: readonly Order[],
  withinMs: number,
): Promise<void> {
  const sold = unitsSold(orders);
  for (const url of cluster.urls)
    await eventually(withinMs, async () => {
      const { stock } = await cluster.get<{ stock: readonly StockLevel[] }>(`${url}/stock`);
      expect(stock).toHaveLength(products.length);
      for (const level of stock) {
        expect(level.available + level.held + level.sold, `${level.sku} at ${url}`).toBe(level.onHand);
        expect(level.held, `held ${level.sku} at ${url}`).toBe(0);
        expect(level.available, `available ${level.sku} at ${url}`).toBe(
          (products.find(({ sku }) => sku === level.sku)?.onHand ?? 0) - (sold.get(level.sku) ?? 0),
        );
      }
    });
}

/**
 * The provider kept the total of each fulfilled order, in one payment, and nothing of any other; no customer's
 * money stays blocked. Orders that were taken over may have their last payment settled after their end.
 */
export async function expectMoneyMatches(
  cluster: Cluster,
  orders: readonly Order[],
  withinMs = 20_000,
): Promise<void> {
  const known = new Set(orders.map(({ id }) => id));
  const totals = new Map(orders.map(({ id, outcome, total }) => [id, outcome === 'fulfilled' ? total : 0]));
  await eventually(withinMs, async () => {
    const statements = await cluster.sandbox.byOrder();
    const wrong = orders
      .map((order) => ({ order: order.id, outcome: order.outcome, ...(statements.get(order.id) ?? nothing) }))
      .filter(({ order, kept, timesCaptured, stillAuthorized }) => {
        const due = totals.get(order) ?? 0;
        return kept !== due || stillAuthorized > 0 || (due > 0 && timesCaptured !== 1);
      });
    expect(wrong).toEqual([]);
    expect([...statements.keys()].filter((name) => !known.has(name))).toEqual([]);
  });
}

function acceptedIds(purchases: readonly Purchase[]): readonly string[] {
  return purchases.flatMap(({ order }) => (order === undefined ? [] : [order.id]));
}

function unitsSold(orders: readonly Order[]): ReadonlyMap<string, number> {
  const sold = new Map<string, number>();
  for (const order of orders)
    if (order.outcome === 'fulfilled')
      for (const { sku, quantity } of order.lines) sold.set(sku, (sold.get(sku) ?? 0) + quantity);
  return sold;
}

async function inBatches<Item, Result>(
  items: readonly Item[],
  size: number,
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (let from = 0; from < items.length; from += size)
    results.push(...(await Promise.all(items.slice(from, from + size).map(work))));
  return results;
}
