import { expect, it } from 'vitest';
import { orderBody } from './support/buyers.ts';
import { plenty } from './support/catalog.ts';
import { useCluster } from './support/use-cluster.ts';

/** Bad input through the real stack: refused with a code and the field, and nothing of it is kept anywhere. */

const cluster = useCluster();
const good = orderBody({ lines: [{ sku: plenty[0]?.sku ?? '', quantity: 1 }] });

it.each([
  ['no lines', { ...good, lines: [] }, 400, 'INVALID_REQUEST'],
  [
    'a quantity that is not whole',
    { ...good, lines: [{ sku: 'P-00', quantity: 1.5 }] },
    400,
    'INVALID_REQUEST',
  ],
  ['a negative quantity', { ...good, lines: [{ sku: 'P-00', quantity: -1 }] }, 400, 'INVALID_REQUEST'],
  ['no customer', { ...good, customer: undefined }, 400, 'INVALID_REQUEST'],
  ['a price of their own', { ...good, total: 1 }, 400, 'INVALID_REQUEST'],
  ['a product nobody sells', { ...good, lines: [{ sku: 'NOPE', quantity: 1 }] }, 422, 'UNKNOWN_SKU'],
  ['another currency', { ...good, currency: 'USD' }, 422, 'WRONG_CURRENCY'],
  ['nothing but text', 'buy', 400, undefined],
])('%s is refused', async (_what, body, status, code) => {
  for (const url of cluster().urls) {
    const answer = await cluster().http.ask('POST', `${url}/orders`, {
      body,
      headers: { 'idempotency-key': `bad-${String(status)}` },
    });
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    if (code !== undefined) expect(answer.body).toMatchObject({ code });
  }
});

it('a body that is too large, or not JSON, is refused', async () => {
  const post = (body: string) =>
    fetch(`${cluster().urls[0] ?? ''}/orders`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
  expect((await post('{"customer":')).status).toBe(400);
  expect((await post(`"${'x'.repeat(4_000_000)}"`)).status).toBe(413);
});

it('leaves no trace of any of them', async () => {
  for (const url of cluster().urls) {
    expect(await cluster().get(`${url}/orders`)).toEqual({ orders: [] });
    const { stock } = await cluster().get<{ stock: readonly { held: number; sold: number }[] }>(
      `${url}/stock`,
    );
    expect(stock.every(({ held, sold }) => held === 0 && sold === 0)).toBe(true);
  }
  expect((await cluster().sandbox.summary()).intents).toBe(0);
  expect(await cluster().query('SELECT order_id FROM orders')).toEqual([]);
});
