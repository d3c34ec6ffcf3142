import { get, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { FastifyInstance } from 'fastify';
import { describe, expect, it } from 'vitest';
import type { Refusal } from '../../node/ports/order-service.ts';
import { httpFixture, VALID } from './fixture.ts';

const detail = 'what happened';

/** Over a connection, and byte for byte: clients that build URLs take the dots out. */
async function askRaw(app: FastifyInstance, path: string): Promise<readonly [status: number, code: string]> {
  await app.listen({ host: '127.0.0.1', port: 0 });
  try {
    const { port } = app.server.address() as AddressInfo;
    const answer = await new Promise<IncomingMessage>((resolve, reject) =>
      get({ host: '127.0.0.1', port, path, agent: false }, resolve).on('error', reject),
    );
    return [answer.statusCode ?? 0, ((await json(answer)) as { readonly code: string }).code];
  } finally {
    await app.close();
  }
}

/** Complete by type: a new refusal code does not compile until its status is stated here. */
const PLACING: Readonly<
  Record<
    Exclude<Refusal['code'], 'ORDER_NOT_FOUND' | 'ORDER_NOT_KEPT' | 'NOT_CANCELLABLE'>,
    readonly [Refusal, number, object]
  >
> = {
  UNKNOWN_SKU: [{ code: 'UNKNOWN_SKU', detail, field: 'lines[0].sku' }, 422, { field: 'lines[0].sku' }],
  WRONG_CURRENCY: [{ code: 'WRONG_CURRENCY', detail, field: 'currency' }, 422, { field: 'currency' }],
  INVALID_ORDER: [{ code: 'INVALID_ORDER', detail, field: '' }, 422, {}],
  TOTAL_TOO_SMALL: [{ code: 'TOTAL_TOO_SMALL', detail, field: 'lines' }, 422, { field: 'lines' }],
  REFUSED_BY_FUNCTION: [
    {
      code: 'REFUSED_BY_FUNCTION',
      status: 451,
      functionCode: 'NO_EXPORT',
      detail,
      field: 'customer.address',
    },
    451,
    { code: 'NO_EXPORT', type: 'urn:freehold:problem:NO_EXPORT', field: 'customer.address' },
  ],
  IDEMPOTENCY_KEY_REUSED: [{ code: 'IDEMPOTENCY_KEY_REUSED', detail }, 422, {}],
  DEADLINE_EXCEEDED: [{ code: 'DEADLINE_EXCEEDED', detail, retryAfterSeconds: 2 }, 503, {}],
  QUORUM_UNAVAILABLE: [{ code: 'QUORUM_UNAVAILABLE', detail, retryAfterSeconds: 2 }, 503, {}],
  PAYMENTS_UNAVAILABLE: [{ code: 'PAYMENTS_UNAVAILABLE', detail, retryAfterSeconds: 2 }, 503, {}],
  DISK_FULL: [{ code: 'DISK_FULL', detail, retryAfterSeconds: 2 }, 503, {}],
  CLOCK_BEHIND: [{ code: 'CLOCK_BEHIND', detail, retryAfterSeconds: 2 }, 503, {}],
  OVERLOADED: [{ code: 'OVERLOADED', detail, retryAfterSeconds: 2 }, 503, {}],
  DRAINING: [{ code: 'DRAINING', detail, retryAfterSeconds: 2 }, 503, {}],
  NOT_A_MEMBER: [{ code: 'NOT_A_MEMBER', detail, retryAfterSeconds: 2 }, 503, {}],
  LEDGER_UNAVAILABLE: [{ code: 'LEDGER_UNAVAILABLE', detail, retryAfterSeconds: 2 }, 503, {}],
  CATALOG_UNAVAILABLE: [{ code: 'CATALOG_UNAVAILABLE', detail, retryAfterSeconds: 2 }, 503, {}],
  FUNCTION_FAILED: [{ code: 'FUNCTION_FAILED', detail, retryAfterSeconds: 2 }, 503, {}],
};

describe('refusals of the order service', () => {
  it('says of an order that is not known whether it may be in the system of record', async () => {
    const fixture = httpFixture();
    const id = `ord_${'a'.repeat(26)}`;
    for (const code of ['ORDER_NOT_FOUND', 'ORDER_NOT_KEPT'] as const) {
      fixture.orders.absence = code;
      for (const url of [`/orders/${id}`, `/orders/${id}/events`]) {
        const response = await fixture.send({ method: 'GET', url });
        expect(response.statusCode).toBe(404);
        expect(response.json()).toMatchObject({ code });
      }
    }
  });

  it.each(Object.entries(PLACING))('%s becomes a problem document', async (code, [refusal, status, more]) => {
    const fixture = httpFixture();
    fixture.orders.refusal = refusal;
    const response = await fixture.send({ method: 'POST', url: '/orders?x=1', payload: VALID });
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toMatch('application/problem+json');
    expect(response.json()).toMatchObject({ status, code, detail, instance: '/orders', ...more });
    expect(fixture.refused).toEqual([code]);
    expect(response.headers['retry-after']).toBe(status === 503 ? '2' : undefined);
  });

  it('never asks a client to come back at once', async () => {
    const fixture = httpFixture();
    fixture.orders.refusal = { code: 'OVERLOADED', detail, retryAfterSeconds: 0.2 };
    const response = await fixture.send({ method: 'POST', url: '/orders', payload: VALID });
    expect(response.headers['retry-after']).toBe('1');
  });

  it('says in which state an order is that cannot be cancelled', async () => {
    const fixture = httpFixture();
    fixture.orders.refusal = { code: 'NOT_CANCELLABLE', detail, state: 'fulfilled' };
    const response = await fixture.send({ method: 'POST', url: '/orders/ord_1/cancel' });
    expect(response.statusCode).toBe(409);
    expect(response.json()).toMatchObject({ code: 'NOT_CANCELLABLE', state: 'fulfilled' });
  });

  it('answers 404 for the cancellation of an order it does not know', async () => {
    const response = await httpFixture().send({ method: 'POST', url: '/orders/ord_none/cancel' });
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([404, 'ORDER_NOT_FOUND']);
  });
});

describe('what Fastify or a plugin refuses', () => {
  it.each(['/docs/static/../../package.json', '/docs/static/%2e%2e/%2e%2e/package.json'])(
    'is answered with its status, and is no error of this node: %s',
    async (path) => {
      const fixture = httpFixture();
      const [status, code] = await askRaw(fixture.app, path);
      expect([status, code]).toEqual([403, 'REQUEST_REFUSED']);
      expect(fixture.environment.lines).toEqual([]);
    },
  );

  it('is answered 404 where there is nothing', async () => {
    const fixture = httpFixture();
    expect(await askRaw(fixture.app, '/docs/static/nothing.js')).toEqual([404, 'NOT_FOUND']);
    expect(fixture.environment.lines).toEqual([]);
  });
});

describe('what nobody foresaw', () => {
  it('is answered 500 without a word about the inside, and logged under the trace id that is told', async () => {
    const fixture = httpFixture();
    fixture.orders.bug = Object.assign(new Error('password=hunter2 at db.internal'), { statusCode: 418 });
    const response = await fixture.send({ method: 'POST', url: '/orders', payload: VALID });
    expect(response.statusCode).toBe(500);
    expect(response.body).not.toMatch(/hunter2|internal\b|stack|\.ts/);
    const { traceId, code } = response.json<{ traceId: string; code: string }>();
    expect(code).toBe('INTERNAL_ERROR');
    expect(response.headers['traceparent']).toContain(traceId);
    expect(fixture.environment.lines).toMatchObject([
      { level: 'error', fields: { traceId, route: '/orders' } },
    ]);
  });
});
