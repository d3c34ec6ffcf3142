import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Order } from '../../node/orders/order.ts';
import { orderBody, percentile } from './support/buyers.ts';
import { plenty } from './support/catalog.ts';
import { eventually } from './support/eventually.ts';
import { JsonClient } from './support/http.ts';
import { fullScale } from './support/scale.ts';
import { SingleNode } from './support/single-node.ts';

/**
 * Four times as many orders as there is capacity for, at a pace that nobody slows down: what is accepted comes to its
 * end in the time that `orders.maxOpen` promises, and what is not accepted hears so at once.
 */

const maxOpen = fullScale ? 150 : 75;
/** Each order takes two calls to the payment provider. */
const ordersPerSecond = 50;
const floodSeconds = fullScale ? 30 : 2;
const refusedWithinMs = 1_000;
/** Twice what the orders take that may be open, for a machine that has much else to do. */
const endsWithinMs = 2 * (maxOpen / ordersPerSecond) * 1_000 + 4_000;
const products = plenty.map((product) => ({ ...product, onHand: 1_000_000 }));
const client = new JsonClient({ connectionsMax: 256 });
let node: SingleNode | undefined;

beforeAll(async () => {
  node = await SingleNode.start({
    products,
    retainFor: 0,
    maxOpen,
    paymentRequestsPerSecond: 2 * ordersPerSecond,
  });
});
afterAll(async () => {
  client.close();
  await node?.stop();
});

interface Placed {
  readonly status: number;
  readonly code?: string;
  readonly id?: string;
  readonly retryAfter?: string;
  readonly ms: number;
}

async function place(url: string, index: number): Promise<Placed> {
  const sku = products[index % products.length]?.sku ?? '';
  const sent = performance.now();
  const { status, body, headers } = await client.ask('POST', `${url}/orders`, {
    body: orderBody({ lines: [{ sku, quantity: 1 }] }),
    timeoutMs: 30_000,
  });
  const ms = performance.now() - sent;
  const { code, id } = body as { readonly code?: string; readonly id?: string };
  const retryAfter = headers['retry-after'];
  return {
    ...{ status, ms },
    ...(code === undefined ? {} : { code }),
    ...(id === undefined ? {} : { id }),
    ...(typeof retryAfter === 'string' ? { retryAfter } : {}),
  };
}

it('brings what it accepted to its end, and refuses the rest at once', async () => {
  const url = node?.url ?? '';
  await eventually(30_000, async () => {
    expect((await client.ask('GET', `${url}/readyz`)).status).toBe(200);
  });

  const sending: Promise<Placed>[] = [];
  const begun = performance.now();
  while (performance.now() - begun < floodSeconds * 1_000) {
    const due = ((performance.now() - begun) / 1_000) * 4 * ordersPerSecond;
    while (sending.length < due) sending.push(place(url, sending.length));
    await delay(5);
  }
  const answers = await Promise.all(sending);
  const accepted = answers.filter(({ status }) => status === 201);
  const refused = answers.filter(({ status }) => status === 503);
  expect(accepted.length + refused.length).toBe(answers.length);
  expect(accepted.length).toBeGreaterThanOrEqual(maxOpen);
  expect(refused.length).toBeGreaterThan(maxOpen);
  for (const { code, retryAfter } of refused)
    expect([code, Number(retryAfter) > 0]).toEqual(['OVERLOADED', true]);

  const times: number[] = [];
  for (const { id = '' } of accepted) {
    const order = await eventually(endsWithinMs, async () => {
      const { body } = await client.ask('GET', `${url}/orders/${id}`);
      expect(body).toMatchObject({ outcome: 'fulfilled' });
      return body as Order;
    });
    times.push(order.updatedAt - order.createdAt);
  }
  const p99 = (of: readonly Placed[]): number =>
    percentile(
      of.map(({ ms }) => ms),
      0.99,
    );
  console.info(
    `${String(answers.length)} orders in ${String(floodSeconds)} s, capacity ${String(ordersPerSecond)}/s: ` +
      `${String(accepted.length)} accepted (answered p99 ${p99(accepted).toFixed(0)} ms, ended p99 ` +
      `${percentile(times, 0.99).toFixed(0)} ms), ${String(refused.length)} refused (p99 ${p99(refused).toFixed(0)} ms)`,
  );
  expect(p99(refused)).toBeLessThan(refusedWithinMs);
  expect(Math.max(...times)).toBeLessThan(endsWithinMs);
});
