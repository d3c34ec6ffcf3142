import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Order } from '../../node/orders/order.ts';
import {
  expectAllEnded,
  expectAnswersKept,
  expectExactBooks,
  expectMoneyMatches,
  expectStockAddsUp,
} from './support/books.ts';
import { buyAll, countAnswers, orderBody } from './support/buyers.ts';
import type { Purchase, Wish } from './support/buyers.ts';
import { plenty } from './support/catalog.ts';
import { eventually } from './support/eventually.ts';
import { methods } from './support/sandbox-books.ts';
import { useCluster } from './support/use-cluster.ts';

/** The life of an order (§2 of the design), through the front door of three real nodes, with money and books. */

const purchasesCount = 300;
const soldOut = { sku: 'SOLD-OUT', unitPrice: 500, onHand: 0 };
const products = [...plenty, soldOut];

/** One to three different products, one to three of each; the same for the same number. */
function variedWish(index: number): Wish {
  return {
    lines: Array.from({ length: 1 + (index % 3) }, (_, line) => ({
      sku: plenty[(index * 7 + line) % plenty.length]?.sku ?? '',
      quantity: 1 + ((index + line) % 3),
    })),
  };
}

describe.each(['after-reserve', 'immediate'] as const)('with capture %s', (capture) => {
  const cluster = useCluster({ capture, products });
  /** All that was bought from this cluster, for the books. */
  const bought: Purchase[] = [];

  async function buyOne(wish: Wish, waitSeconds = 10): Promise<Order> {
    const [purchase] = await buyAll({
      urls: cluster().urls,
      buyers: 1,
      purchases: 1,
      wish: () => wish,
      waitSeconds,
    });
    if (purchase?.order === undefined) throw new Error(`refused: ${JSON.stringify(purchase)}`);
    bought.push(purchase);
    return purchase.order;
  }

  it(`fulfils ${String(purchasesCount)} orders placed at all nodes, and every node can show each`, async () => {
    const purchases = await buyAll({
      urls: cluster().urls,
      buyers: 16,
      purchases: purchasesCount,
      wish: variedWish,
      waitSeconds: 10,
    });
    bought.push(...purchases);
    expect(countAnswers(purchases)).toEqual({ fulfilled: purchasesCount });
    expect(new Set(purchases.map(({ order }) => order?.id)).size).toBe(purchasesCount);
    for (const { order } of purchases) {
      const due = order?.lines.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice, 0);
      expect(order).toMatchObject({ total: due, capture, payment: { status: 'captured' } });
    }
    await eventually(10_000, async () => {
      for (const url of cluster().urls) {
        const missing: string[] = [];
        for (const { order } of purchases) {
          const found = await cluster().http.ask('GET', `${url}/orders/${order?.id ?? ''}`);
          if ((found.body as Order | undefined)?.outcome !== 'fulfilled') missing.push(order?.id ?? '');
        }
        expect(missing, `orders that ${url} cannot show`).toEqual([]);
      }
    });
  });

  it('answers the same key with the same order, at any node, and refuses it for another order', async () => {
    const key = randomUUID();
    const place = (node: number, wish: Wish) =>
      cluster().http.ask('POST', `${cluster().urls[node] ?? ''}/orders`, {
        body: orderBody(wish),
        headers: { 'idempotency-key': key, prefer: 'wait=10' },
        timeoutMs: 15_000,
      });
    const first = await place(0, variedWish(1));
    expect(first.status).toBe(201);
    bought.push(asPurchase(first.body as Order, variedWish(1)));
    for (const node of [0, 1, 2]) {
      const again = await eventually(10_000, async () => {
        const answer = await place(node, variedWish(1));
        expect(answer.status).toBe(200);
        return answer;
      });
      expect(again.headers['idempotency-replayed']).toBe('true');
      expect((again.body as Order).id).toBe((first.body as Order).id);
      expect(await place(node, variedWish(2))).toMatchObject({
        status: 422,
        body: { code: 'IDEMPOTENCY_KEY_REUSED' },
      });
    }
  });

  it('makes one order of one key that is sent to all nodes at the same moment', async () => {
    const key = randomUUID();
    const answers = await Promise.all(
      [...cluster().urls, ...cluster().urls].map((url) =>
        cluster().http.ask('POST', `${url}/orders`, {
          body: orderBody(variedWish(3)),
          headers: { 'idempotency-key': key, prefer: 'wait=10' },
          timeoutMs: 15_000,
        }),
      ),
    );
    const orders = answers
      .filter(({ status }) => status === 200 || status === 201)
      .map(({ body }) => body as Order);
    expect(orders).not.toHaveLength(0);
    expect(new Set(orders.map(({ id }) => id)).size).toBe(1);
    for (const order of orders.slice(0, 1)) bought.push(asPurchase(order, variedWish(3)));
  });

  it('ends as failed when the card is declined, and holds no stock for it', async () => {
    const order = await buyOne({ ...variedWish(4), method: methods.declines });
    expect(order).toMatchObject({ outcome: 'failed', payment: { status: 'refused' } });
    expect(order.reason).toBeDefined();
  });

  it('fulfils an order whose payment is slow, and answers before it is', async () => {
    const order = await buyOne({ ...variedWish(5), method: methods.slow }, 0);
    expect(order.outcome).toBeUndefined();
    await eventually(30_000, async () => {
      const now = await cluster().get<Order>(`${cluster().urls[1] ?? ''}/orders/${order.id}`);
      expect(now.outcome).toBe('fulfilled');
    });
  });

  it('gives everything back when the customer cancels before the end', async () => {
    const order = await buyOne({ ...variedWish(6), method: methods.slow }, 0);
    const answer = await eventually(10_000, async () => {
      const cancelled = await cluster().http.ask(
        'POST',
        `${cluster().urls[2] ?? ''}/orders/${order.id}/cancel`,
      );
      expect(cancelled.status).toBe(200);
      return cancelled;
    });
    expect(answer.body).toMatchObject({ cancelRequested: true });
    const ended = await eventually(30_000, async () => {
      const now = await cluster().get<Order>(`${cluster().urls[0] ?? ''}/orders/${order.id}`);
      expect(now.outcome).toBeDefined();
      return now;
    });
    expect(ended.outcome).toBe('cancelled');
  });

  it('refuses to cancel what is fulfilled', async () => {
    const order = await buyOne(variedWish(7));
    const url = `${cluster().urls[0] ?? ''}/orders/${order.id}/cancel`;
    expect(await cluster().http.ask('POST', url)).toMatchObject({
      status: 409,
      body: { code: 'NOT_CANCELLABLE' },
    });
  });

  it('takes no money for what is out of stock', async () => {
    const order = await buyOne({ lines: [{ sku: soldOut.sku, quantity: 1 }] });
    expect(order).toMatchObject({
      outcome: 'refunded',
      reason: 'OUT_OF_STOCK',
      payment: { status: capture === 'immediate' ? 'refunded' : 'voided' },
    });
    const { events } = await cluster().get<{ events: readonly { type: string }[] }>(
      `${cluster().urls[0] ?? ''}/orders/${order.id}/events`,
    );
    // The provider's own messages come when they come.
    const types = events.map(({ type }) => type).filter((type) => type !== 'paymentNotified');
    expect(types.slice(0, 6)).toEqual([
      'registered',
      'paymentRequested',
      'paid',
      'outOfStock',
      'reversed',
      'refunded',
    ]);
  });

  it('leaves books that agree: customers, nodes, payment provider and system of record', async () => {
    const orders = await expectAllEnded(cluster(), bought, 30_000);
    expectAnswersKept(bought, orders);
    await expectMoneyMatches(cluster(), orders);
    await expectStockAddsUp(cluster(), products, orders, 5_000);
    await expectExactBooks(cluster(), products, orders, 60_000);
  });
});

function asPurchase(order: Order, wish: Wish): Purchase {
  return { key: '', wish, status: 201, order, ms: 0, answeredAt: 0, node: '', attempts: 1, unanswered: [] };
}
