import { describe, expect, it } from 'vitest';
import { ReconcilerError } from '../../node/ports/reconcilers.ts';
import { SystemOfRecordUnavailable } from '../../node/ports/system-of-record.ts';
import type { InjectOptions } from 'fastify';
import { MembershipError, type MemberChange } from '../../store/membership/port.ts';
import { httpFixture, memberNamed, signatureFor, VALID } from './fixture.ts';

describe('stock', () => {
  it('tells how much there is and how sure that is', async () => {
    const response = await httpFixture().send({ url: '/stock/TEA' });
    expect(response.json()).toEqual({
      sku: 'TEA',
      name: 'Product TEA',
      available: 5,
      held: 2,
      sold: 3,
      onHand: 10,
      short: 0,
      unitPrice: 100,
      currency: 'EUR',
      asOf: 1_795_000_000_000,
      linearizable: false,
    });
  });

  it('lists every SKU once, in order, over as many pages as it takes', async () => {
    const fixture = httpFixture();
    const seen: string[] = [];
    for (let query = '?limit=2', pages = 0; pages < 5; pages += 1) {
      const page = (await fixture.send({ url: `/stock${query}` })).json<{
        stock: { sku: string }[];
        next?: string;
      }>();
      seen.push(...page.stock.map(({ sku }) => sku));
      if (page.next === undefined) break;
      query = `?limit=2&after=${page.next}`;
    }
    expect(seen).toEqual(['MUG', 'POT', 'SHORT', 'TEA']);
  });

  it('says how many units are promised beyond what there is', async () => {
    const response = await httpFixture().send({ url: '/stock/SHORT' });
    expect(response.json()).toMatchObject({ onHand: 3, held: 2, sold: 3, available: -2, short: 2 });
  });

  it('answers 404 for a SKU it does not know', async () => {
    const response = await httpFixture().send({ url: '/stock/NONE' });
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([404, 'SKU_NOT_FOUND']);
  });
});

describe('adjusting stock', () => {
  const ask = (
    fixture: ReturnType<typeof httpFixture>,
    over: object = {},
    key: string | undefined = 'count-7',
  ) =>
    fixture.send({
      method: 'POST',
      url: '/stock/TEA/adjustments',
      ...(key === '' ? {} : { headers: { 'idempotency-key': key } }),
      payload: { kind: 'correction', delta: -2, reason: 'broken', by: 'ada', ...over },
    });

  it('is answered with what was recorded, and with the same when it comes again', async () => {
    const fixture = httpFixture();
    const first = await ask(fixture);
    expect([first.statusCode, first.json()]).toEqual([
      201,
      {
        id: 'count-7',
        sku: 'TEA',
        kind: 'correction',
        delta: -2,
        reason: 'broken',
        by: 'ada',
        at: 1,
        onHand: 8,
      },
    ]);
    fixture.adjustStock = async (adjustment) => ({
      kind: 'adjusted',
      adjustment,
      at: 1,
      onHand: 8,
      replayed: true,
    });
    const again = await ask(fixture);
    expect([again.statusCode, again.headers['idempotency-replayed']]).toEqual([200, 'true']);
    expect(again.json()).toEqual(first.json());
  });

  it.each([
    ['SKU_NOT_FOUND', 404],
    ['ON_HAND_SHORT', 422],
    ['ADJUSTMENT_REFUSED', 422],
    ['IDEMPOTENCY_KEY_REUSED', 422],
  ] as const)('is refused with %s', async (code, status) => {
    const fixture = httpFixture();
    fixture.adjustStock = async () => ({ kind: 'refused', code, detail: 'why not' });
    const response = await ask(fixture);
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([status, code]);
  });

  it('is not known to be done while the system of record is away', async () => {
    const fixture = httpFixture();
    fixture.adjustStock = async () => {
      throw new SystemOfRecordUnavailable('down');
    };
    const response = await ask(fixture);
    expect(response.json()).toMatchObject({ status: 503, code: 'SYSTEM_OF_RECORD_UNAVAILABLE' });
    expect(response.headers['retry-after']).toBe('10');
  });

  it.each([{ delta: 0 }, { delta: 1.5 }, { kind: 'restock' }, { kind: 'theft' }, { reason: '' }, { by: 7 }])(
    'asks for what can be meant, not %j',
    async (over) => {
      const response = await ask(httpFixture(), over);
      expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([400, 'INVALID_REQUEST']);
    },
  );

  it('needs a key, so that it can be repeated', async () => {
    const response = await ask(httpFixture(), {}, '');
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([
      400,
      'INVALID_IDEMPOTENCY_KEY',
    ]);
  });
});

describe('webhooks', () => {
  const body = '{ "id": "evt_1",\n "type": "payment_intent.succeeded" }';
  const deliver = (fixture: ReturnType<typeof httpFixture>, signature: string | undefined, payload = body) =>
    fixture.send({
      method: 'POST',
      url: '/webhooks/stripe',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        ...(signature === undefined ? {} : { 'stripe-signature': signature }),
      },
      payload,
    });

  it('looks the payment up again when the bytes are signed', async () => {
    const fixture = httpFixture();
    const response = await deliver(fixture, signatureFor(body));
    expect(response.json()).toEqual({ received: true });
    expect(fixture.orders.paymentChanges).toEqual(['ord_1']);
  });

  it('verifies before it parses: a signed body need not be JSON', async () => {
    const response = await deliver(httpFixture(), signatureFor('{'), '{');
    expect(response.statusCode).toBe(200);
  });

  it.each([undefined, '', 'length:1'])('refuses the signature %j', async (signature) => {
    const fixture = httpFixture();
    const response = await deliver(fixture, signature);
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([400, 'INVALID_SIGNATURE']);
    expect(fixture.orders.paymentChanges).toEqual([]);
  });

  it('does not answer 2xx for what could not be kept: it will be sent again', async () => {
    const fixture = httpFixture();
    fixture.orders.refusal = { code: 'QUORUM_UNAVAILABLE', detail: 'no majority', retryAfterSeconds: 1 };
    expect((await deliver(fixture, signatureFor(body))).statusCode).toBe(503);
  });

  it('refuses an event that is too large', async () => {
    expect((await deliver(httpFixture(), 'length:1', ' '.repeat(300_000))).statusCode).toBe(413);
  });
});

describe('reconcilers', () => {
  const run = (fixture: ReturnType<typeof httpFixture>, name: string) =>
    fixture.send({ method: 'POST', url: `/reconcilers/${name}/run` });

  it('shows status and lag, and runs on demand', async () => {
    const fixture = httpFixture();
    expect((await fixture.send({ url: '/reconcilers' })).json()).toMatchObject({
      leader: 'n2',
      reconcilers: [{ name: 'outbound', lagSeconds: null, pending: 1, parked: [{ orderId: 'ord_9' }] }],
    });
    expect((await run(fixture, 'outbound')).json()).toMatchObject({ name: 'outbound', processed: 3 });
  });

  it('knows no other names', async () => {
    const response = await run(httpFixture(), 'sideways');
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([
      404,
      'RECONCILER_NOT_FOUND',
    ]);
  });

  it('names the leader when it is not this node', async () => {
    const fixture = httpFixture();
    fixture.runReconciler = () => Promise.reject(new ReconcilerError('NOT_LEADER', 'not here'));
    const response = await run(fixture, 'outbound');
    expect(response.statusCode).toBe(409);
    expect(response.json()).toMatchObject({ code: 'NOT_LEADER', leader: 'n2' });
  });

  it.each([
    new ReconcilerError('SYSTEM_OF_RECORD_UNAVAILABLE', 'away'),
    new SystemOfRecordUnavailable('connect ECONNREFUSED 10.0.0.7'),
  ])('answers 503 while the system of record is away', async (error) => {
    const fixture = httpFixture();
    fixture.runReconciler = () => Promise.reject(error);
    const response = await run(fixture, 'outbound');
    expect(response.statusCode).toBe(503);
    expect(response.headers['retry-after']).toBe('10');
    expect(response.body).not.toContain('10.0.0.7');
  });
});

describe('operations', () => {
  it('is alive whether or not it is ready, and says why it is not', async () => {
    const fixture = httpFixture();
    expect((await fixture.send({ url: '/readyz' })).json()).toEqual({ ready: true, reasons: [] });
    fixture.readiness = { ready: false, reasons: ['no leader'] };
    const response = await fixture.send({ url: '/readyz' });
    expect([response.statusCode, response.json()]).toEqual([503, { ready: false, reasons: ['no leader'] }]);
    expect((await fixture.send({ url: '/healthz' })).statusCode).toBe(200);
  });

  it('shows the cluster', async () => {
    const response = await httpFixture().send({ url: '/cluster' });
    expect(response.json()).toMatchObject({
      self: 'n1',
      leader: 'n2',
      term: 7,
      members: [{ id: 'n2', lag: 0 }],
    });
  });

  it('serves metrics in their own media type', async () => {
    const response = await httpFixture().send({ url: '/metrics' });
    expect(response.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(response.body).toBe('up 1\n');
  });

  it('has an index whose links all lead somewhere', async () => {
    const fixture = httpFixture();
    const { links } = (await fixture.send({ url: '/' })).json<{ links: Record<string, string> }>();
    for (const url of Object.values(links)) expect((await fixture.send({ url })).statusCode, url).toBe(200);
  });

  it('answers HEAD as GET, without a body', async () => {
    const fixture = httpFixture();
    const [head, get] = [
      await fixture.send({ method: 'HEAD', url: '/stock/TEA' }),
      await fixture.send({ url: '/stock/TEA' }),
    ];
    expect(head.statusCode).toBe(200);
    expect(head.body).toBe('');
    expect(head.headers['content-length']).toBe(get.headers['content-length']);
  });

  it('lets go of connections while draining, and still answers', async () => {
    const fixture = httpFixture();
    expect((await fixture.send({ url: '/stock/TEA' })).headers['connection']).not.toBe('close');
    fixture.draining = true;
    fixture.orders.refusal = { code: 'DRAINING', detail: 'ask another node', retryAfterSeconds: 1 };
    expect((await fixture.send({ url: '/stock/TEA' })).headers['connection']).toBe('close');
    const response = await fixture.send({ method: 'POST', url: '/orders', payload: VALID });
    expect([response.statusCode, response.headers['connection']]).toEqual([503, 'close']);
  });

  it('observes every request under its pattern, never under its path', async () => {
    const fixture = httpFixture();
    for (const [method, url, route, status] of [
      ['GET', '/orders/ord_123', '/orders/:id', 404],
      ['GET', '/nothing/at/all', 'unmatched', 404],
      ['DELETE', '/orders', 'unmatched', 405],
    ] as const) {
      await fixture.send({ method, url });
      expect(fixture.answered).toMatchObject([{ method, route, status }]);
    }
  });
});

describe('members', () => {
  const newcomer = { id: 'n4', peerId: '12D3KooWA', zone: 'main', address: '[::1]:9084' };

  it('asks the store for what an operator asks for, and shows the list that follows', async () => {
    const fixture = httpFixture();
    const asked: MemberChange[] = [];
    fixture.changeMembers = async (change) => {
      asked.push(change);
      return { members: [memberNamed('n1'), { ...memberNamed('n4'), voter: false }], epochs: {} };
    };
    const bodies = [
      await fixture.send({ method: 'POST', url: '/cluster/members', payload: newcomer }),
      await fixture.send({ method: 'POST', url: '/cluster/members/n4/promote' }),
      await fixture.send({ method: 'PUT', url: '/cluster/members/n4/address', payload: { address: 'h:1' } }),
      await fixture.send({ method: 'DELETE', url: '/cluster/members/n4' }),
    ];
    const address = { host: '::1', port: 9_084 };
    expect(asked).toEqual([
      { kind: 'add', member: { ...newcomer, address } },
      { kind: 'promote', id: 'n4' },
      { kind: 'move', id: 'n4', address: { host: 'h', port: 1 } },
      { kind: 'remove', id: 'n4' },
    ]);
    for (const response of bodies) {
      expect(response.statusCode).toBe(200);
      expect(response.json()).toMatchObject({
        members: [
          { id: 'n1', address: '[::1]:9080' },
          { id: 'n4', voter: false },
        ],
      });
    }
    expect((await fixture.send({ url: '/cluster/members' })).json()).toMatchObject({
      members: [{ id: 'n2' }],
    });
  });

  it.each([
    ['INVALID_MEMBER', 422, 'INVALID_MEMBER'],
    ['ALREADY_MEMBER', 409, 'ALREADY_MEMBER'],
    ['UNKNOWN_MEMBER', 404, 'UNKNOWN_MEMBER'],
    ['LAST_VOTER', 409, 'LAST_VOTER'],
    ['CHANGE_UNDER_WAY', 409, 'CHANGE_UNDER_WAY'],
    ['NOT_CAUGHT_UP', 409, 'NOT_CAUGHT_UP'],
    ['JOURNAL_BEHIND', 409, 'JOURNAL_BEHIND'],
    ['QUORUM_AT_RISK', 409, 'QUORUM_AT_RISK'],
    ['NO_LEADER', 503, 'LEDGER_UNAVAILABLE'],
    ['TIMEOUT', 503, 'CHANGE_UNDECIDED'],
  ] as const)('tells the refusal %s with status %i', async (refusal, status, code) => {
    const fixture = httpFixture();
    fixture.changeMembers = () => Promise.reject(new MembershipError(refusal, 'why not', 'n4'));
    const requests: InjectOptions[] =
      refusal === 'INVALID_MEMBER' || refusal === 'ALREADY_MEMBER'
        ? [{ method: 'POST', url: '/cluster/members', payload: newcomer }]
        : refusal === 'LAST_VOTER'
          ? [{ method: 'DELETE', url: '/cluster/members/n4' }]
          : [{ method: 'POST', url: '/cluster/members/n4/promote' }];
    for (const request of requests) {
      const response = await fixture.send(request);
      expect(response.statusCode).toBe(status);
      expect(response.json()).toMatchObject({ code, member: 'n4', detail: 'why not.' });
    }
  });

  it.each([
    { ...newcomer, address: 'nowhere' },
    { ...newcomer, address: 'a/b:1' },
    { ...newcomer, id: 'N4' },
    { ...newcomer, peerId: 'not base58: 0OIl' },
    { ...newcomer, voter: true },
    {},
  ])('refuses a newcomer such as %j before anybody is asked', async (payload) => {
    const fixture = httpFixture();
    fixture.changeMembers = () => Promise.reject(new Error('asked'));
    const response = await fixture.send({ method: 'POST', url: '/cluster/members', payload });
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([400, 'INVALID_REQUEST']);
  });
});
