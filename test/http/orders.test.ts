import { afterEach, describe, expect, it } from 'vitest';
import { orderIdOf } from '../../node/orders/identity.ts';
import { ageKey } from '../../node/views/table-layout.ts';
import { httpFixture, VALID } from './fixture.ts';

describe('placing an order', () => {
  const fixture = httpFixture();
  const place = (headers: Record<string, string> = {}, payload: object = VALID) =>
    fixture.send({ method: 'POST', url: '/orders', headers, payload });
  afterEach(() => void (fixture.orders.placed.length = 0));

  it('answers 201 with the order and where it is', async () => {
    const response = await place();
    expect(response.statusCode).toBe(201);
    const { id } = response.json<{ id: string }>();
    expect(response.headers['location']).toBe(`/orders/${id}`);
    expect((await fixture.send({ url: `/orders/${id}` })).json()).toEqual(response.json());
    expect(response.headers).not.toHaveProperty('idempotency-replayed');
    expect(response.headers).not.toHaveProperty('preference-applied');
  });

  it('hands the service exactly what was asked for, and nothing about waiting unless asked', async () => {
    const whole = { ...VALID, customer: { ...VALID.customer, name: 'Zoë 🦊', address: '1 Way\nTown' } };
    await place({ 'idempotency-key': 'k-0' }, whole);
    expect(fixture.orders.placed).toEqual([
      { ...whole, idempotencyKey: 'k-0', waitMs: 0, traceparent: expect.stringMatching(/^00-/) as string },
    ]);
  });

  it('answers 200 and says so when the key has made its order before', async () => {
    const first = await place({ 'idempotency-key': 'k-1' });
    const again = await place({ 'idempotency-key': 'k-1' });
    expect([first.statusCode, again.statusCode]).toEqual([201, 200]);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(again.json()).toEqual(first.json());
  });

  it.each([
    ['wait=5', 5],
    ['WAIT = 5', 5],
    ['wait="7"', 7],
    ['respond-async, wait=10', 10],
    ['handling=lenient; foo="a,wait=3", wait=4', 4],
    ['wait=3; for=me', 3],
    ['wait=2, wait=9', 2],
    ['wait=600', 60],
    ['wait=999999999', 60],
  ])('honours Prefer: %s', async (prefer, seconds) => {
    const response = await place({ prefer });
    expect(fixture.orders.placed[0]?.waitMs).toBe(seconds * 1_000);
    expect(response.headers['preference-applied']).toBe(`wait=${seconds}`);
  });

  it.each([
    'wait',
    'wait=',
    'wait=-1',
    'wait=1.5',
    'wait=soon',
    'wait=99999999999999999999',
    'await=5',
    'wait=5x',
    '"wait=5',
    ',;=,',
    'return=minimal',
    `x="${'\\"'.repeat(8)}, wait=5`,
    'wait=5"',
  ])('ignores Prefer: %s', async (prefer) => {
    const response = await place({ prefer });
    expect(response.statusCode).toBe(201);
    expect(fixture.orders.placed[0]?.waitMs).toBe(0);
    expect(response.headers).not.toHaveProperty('preference-applied');
  });

  const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
  it.each([
    [`00-${trace}-00f067aa0ba902b7-01`, `00-${trace}-00f067aa0ba902b7-01`],
    [`00-${trace}-00f067aa0ba902b7-00`, `00-${trace}-00f067aa0ba902b7-00`],
    [`cc-${trace}-00f067aa0ba902b7-01-later`, `00-${trace}-00f067aa0ba902b7-01`],
  ])('takes part in the trace %s', async (traceparent, expected) => {
    const response = await place({ traceparent });
    expect(response.headers['traceparent']).toBe(expected);
    expect(fixture.orders.placed[0]?.traceparent).toBe(expected);
  });

  it.each([
    'nonsense',
    `ff-${trace}-00f067aa0ba902b7-01`,
    `00-${trace}-00f067aa0ba902b7-01-more`,
    `00-${trace.toUpperCase()}-00f067aa0ba902b7-01`,
    `00-${'0'.repeat(32)}-00f067aa0ba902b7-01`,
    `00-${trace}-${'0'.repeat(16)}-01`,
    `00-${trace}-00f067aa0ba902b7-01, 00-${trace}-00f067aa0ba902b7-01`,
  ])('begins a trace of its own for traceparent %s', async (traceparent) => {
    const response = await place({ traceparent });
    expect(response.headers['traceparent']).toMatch(/^00-[1-9a-f][0-9a-f]{31}-[1-9a-f][0-9a-f]{15}-01$/);
    expect(response.headers['traceparent']).not.toContain(trace);
    expect(fixture.orders.placed[0]?.traceparent).toBe(response.headers['traceparent']);
  });
});

describe('reading and cancelling orders', () => {
  it('pages through the list', async () => {
    const fixture = httpFixture();
    for (let made = 0; made < 3; made += 1)
      await fixture.send({ method: 'POST', url: '/orders', payload: VALID });
    const page = await fixture.send({ url: '/orders?limit=2&state=registered' });
    expect(page.json<{ orders: unknown[] }>().orders).toHaveLength(2);
    expect(page.json()).toHaveProperty('next');
    expect((await fixture.send({ url: '/orders' })).json()).not.toHaveProperty('next');
  });

  it.each([
    'limit=0',
    'limit=201',
    'limit=-1',
    'limit=1.5',
    'limit=x',
    'limit=1&limit=2',
    'state=open',
    'after=',
    'after=zzz',
    'after=001795000000000',
    'after=1795000000000!ord_1',
    'after=001795000000000!',
    'page=2',
  ])('refuses GET /orders?%s and names the parameter', async (query) => {
    const response = await httpFixture().send({ url: `/orders?${query}` });
    expect(response.statusCode).toBe(400);
    expect(response.json()).toMatchObject({ code: 'INVALID_REQUEST', field: query.split('=')[0] });
  });

  it('takes what the views give as `next`', async () => {
    const after = encodeURIComponent(ageKey(1_795_000_000_000, orderIdOf('k')));
    expect((await httpFixture().send({ url: `/orders?after=${after}` })).statusCode).toBe(200);
  });

  it('shows the audit trail', async () => {
    const fixture = httpFixture();
    await fixture.send({ method: 'POST', url: '/orders', payload: VALID });
    const response = await fixture.send({ url: '/orders/ord_1/events' });
    expect(response.json()).toMatchObject({
      events: [{ id: 'n1:2', type: 'paid', data: { intent: 'pi_1' } }],
    });
  });

  it('answers 404 for orders it does not know', async () => {
    const fixture = httpFixture();
    for (const url of ['/orders/ord_none', '/orders/ord_none/events']) {
      const response = await fixture.send({ url });
      expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([404, 'ORDER_NOT_FOUND']);
    }
  });

  it('cancels, with or without an empty JSON body', async () => {
    const fixture = httpFixture();
    await fixture.send({ method: 'POST', url: '/orders', payload: VALID });
    for (const headers of [{}, { 'content-type': 'application/json' }]) {
      const response = await fixture.send({ method: 'POST', url: '/orders/ord_1/cancel', headers });
      expect(response.statusCode).toBe(200);
      expect(response.json()).toMatchObject({ id: 'ord_1', cancelRequested: true });
    }
  });
});
