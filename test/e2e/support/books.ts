import { expect } from 'vitest';
import type { Order } from '../../../node/orders/order.ts';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { Purchase } from './buyers.ts';
import type { TestProduct } from './catalog.ts';
import type { Cluster } from './cluster.ts';
import { moneyDiscrepancies, recordDiscrepancies, stockDiscrepancies } from './discrepancies.ts';
import { eventually } from './eventually.ts';

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
  await eventually(
    withinMs,
    async () => {
      expect(recordDiscrepancies(products, orders, await cluster.shopRecords())).toEqual([]);
    },
    500,
  );
}

/** Every node's ledger adds up, promises nothing it does not have, and holds nothing for orders that ended. */
export async function expectStockAddsUp(
  cluster: Cluster,
  products: readonly TestProduct[],
  orders: readonly Order[],
  withinMs: number,
): Promise<void> {
  for (const url of cluster.urls)
    await eventually(withinMs, async () => {
      const stock = await wholeStock(cluster, url);
      expect(stockDiscrepancies(products, orders, stock), `stock at ${url}`).toEqual([]);
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
  await eventually(withinMs, async () => {
    expect(moneyDiscrepancies(orders, await cluster.sandbox.byOrder())).toEqual([]);
  });
}

async function wholeStock(cluster: Cluster, url: string): Promise<readonly StockLevel[]> {
  const all: StockLevel[] = [];
  for (let query = ''; ;) {
    const page = await cluster.get<{ stock: readonly StockLevel[]; next?: string }>(`${url}/stock${query}`);
    all.push(...page.stock);
    if (page.next === undefined) return all;
    query = `?after=${page.next}`;
  }
}

function acceptedIds(purchases: readonly Purchase[]): readonly string[] {
  return purchases.flatMap(({ order }) => (order === undefined ? [] : [order.id]));
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
