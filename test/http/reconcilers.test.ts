import { describe, expect, it } from 'vitest';
import { ReconcilerError } from '../../node/ports/reconcilers.ts';
import { NotSupportedBySystemOfRecord } from '../../node/ports/system-of-record.ts';
import { driftReport, httpFixture, parkedNext, parkedOrder } from './fixture.ts';

describe('outcomes that the system of record refuses', () => {
  it('are listed page by page', async () => {
    const { app } = httpFixture();
    const first = await app.inject('/reconcilers/parked?limit=1');
    expect(first.json()).toEqual({ parked: [parkedOrder], next: parkedNext });
    expect((await app.inject(`/reconcilers/parked?after=${parkedNext}`)).json()).toEqual({ parked: [] });
    const damaged = await app.inject(`/reconcilers/parked?after=${parkedNext.slice(1)}`);
    expect(damaged.json()).toMatchObject({ status: 400, code: 'INVALID_REQUEST', field: 'after' });
    expect((await app.inject('/reconcilers/parked?limit=0')).statusCode).toBe(400);
  });

  it('are sent again on demand', async () => {
    const fixture = httpFixture();
    const retry = () => fixture.app.inject({ method: 'POST', url: '/reconcilers/parked/ord_9/retry' });
    expect((await retry()).json()).toEqual({ orderId: 'ord_9', delivered: true });
    const again = { orderId: 'ord_9', delivered: false, reason: 'UNKNOWN_SKU: TEA' };
    fixture.retryParked = async () => again;
    expect((await retry()).json()).toEqual(again);
    for (const [code, status] of [
      ['NOT_PARKED', 404],
      ['NOT_LEADER', 409],
      ['SYSTEM_OF_RECORD_UNAVAILABLE', 503],
    ] as const) {
      fixture.retryParked = async () => {
        throw new ReconcilerError(code, 'why not');
      };
      const response = await retry();
      expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([status, code]);
    }
  });

  it('are discarded by somebody, for a reason', async () => {
    const fixture = httpFixture();
    const decided: unknown[] = [];
    fixture.discardParked = async (...decision) => void decided.push(decision);
    const discard = (payload: object) =>
      fixture.app.inject({ method: 'POST', url: '/reconcilers/parked/ord_9/discard', payload });
    const decision = { reason: 'entered by hand', by: 'ada' };
    const response = await discard(decision);
    expect([response.statusCode, response.json()]).toEqual([200, decision]);
    expect(decided).toEqual([['ord_9', decision]]);
    expect((await discard({ reason: 'because' })).statusCode).toBe(400);
    fixture.discardParked = async () => {
      throw new ReconcilerError('QUORUM_UNAVAILABLE', 'no majority');
    };
    expect((await discard(decision)).headers['retry-after']).toBe('10');
  });
});

describe('the drift report over HTTP', () => {
  it('is answered as it was made', async () => {
    const { app } = httpFixture();
    expect((await app.inject('/reconcilers/report')).json()).toEqual(driftReport);
    expect((await app.inject('/reconcilers/report?since=1795000000000')).json()).toMatchObject({
      comparedFrom: 1_795_000_000_000,
    });
    expect((await app.inject('/reconcilers/report?since=yesterday')).statusCode).toBe(400);
  });

  it.each([
    ['NOT_LEADER', 409, 'NOT_LEADER'],
    ['BUSY', 409, 'REPORT_UNDER_WAY'],
    ['BOOK_UNAVAILABLE', 503, 'BOOK_UNAVAILABLE'],
  ] as const)('is refused with %s', async (code, status, told) => {
    const fixture = httpFixture();
    fixture.reportDrift = async () => {
      throw new ReconcilerError(code, 'provider: nobody answers');
    };
    const response = await fixture.app.inject('/reconcilers/report');
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([status, told]);
  });

  it('is not offered with a system of record that has no book to read', async () => {
    const fixture = httpFixture();
    fixture.reportDrift = async () => {
      throw new NotSupportedBySystemOfRecord('there is no book');
    };
    const response = await fixture.app.inject('/reconcilers/report');
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([501, 'NOT_SUPPORTED']);
  });
});
