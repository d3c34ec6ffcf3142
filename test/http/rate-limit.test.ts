import { describe, expect, it } from 'vitest';
import { httpFixture, signatureFor, VALID } from './fixture.ts';

const limited = { rateLimit: { perClient: 3, windowMs: 60_000 } };

describe('a rate limit per client', () => {
  it('refuses what is beyond it with a problem that says when to come back', async () => {
    const fixture = httpFixture(limited);
    for (let left = 2; left >= 0; left -= 1) {
      const { statusCode, headers } = await fixture.send({ url: '/stock/TEA' });
      expect([statusCode, headers['ratelimit-limit'], headers['ratelimit-remaining']]).toEqual([
        200,
        '3',
        String(left),
      ]);
    }
    const refused = await fixture.send({ method: 'POST', url: '/orders', payload: VALID });
    expect([refused.statusCode, refused.json<{ code: string }>().code]).toEqual([429, 'RATE_LIMITED']);
    expect(refused.headers['ratelimit-remaining']).toBe('0');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(fixture.refused).toEqual(['RATE_LIMITED']);
    expect(fixture.orders.placed).toEqual([]);
  });

  it('counts each address by itself, and an IPv6 network as one', async () => {
    const fixture = httpFixture(limited);
    const statusOf = async (remoteAddress: string) =>
      (await fixture.send({ url: '/stock/TEA', remoteAddress })).statusCode;
    for (const host of ['1', '2', '3']) expect(await statusOf(`2001:db8::${host}`)).toBe(200);
    expect(await statusOf('2001:db8::4')).toBe(429);
    expect(await statusOf('2001:db8:0:1::1')).toBe(200);
    expect(await statusOf('10.0.0.7')).toBe(200);
  });

  it('believes a proxy that it was told of about who is asking, and nobody else', async () => {
    const fixture = httpFixture({
      rateLimit: { perClient: 1, windowMs: 60_000 },
      trustProxy: ['10.0.0.0/8'],
    });
    const statusOf = async (remoteAddress: string, client: string) => {
      const headers = { 'x-forwarded-for': client };
      return (await fixture.send({ url: '/stock/TEA', remoteAddress, headers })).statusCode;
    };
    expect(await statusOf('10.0.0.7', '203.0.113.1')).toBe(200);
    expect(await statusOf('10.0.0.7', '203.0.113.2')).toBe(200);
    expect(await statusOf('10.0.0.7', '203.0.113.1')).toBe(429);
    expect(await statusOf('198.51.100.1', '203.0.113.3')).toBe(200);
    expect(await statusOf('198.51.100.1', '203.0.113.4')).toBe(429);
  });

  it('does not count who asks how the node is, nor the payment provider', async () => {
    const fixture = httpFixture(limited);
    const webhook = {
      method: 'POST',
      url: '/webhooks/stripe',
      headers: { 'content-type': 'application/json', 'stripe-signature': signatureFor('{}') },
      payload: '{}',
    } as const;
    for (let time = 0; time < 5; time += 1) {
      for (const request of [{ url: '/healthz' }, { url: '/readyz' }, { url: '/metrics' }, webhook]) {
        const { statusCode, headers } = await fixture.send(request);
        expect(statusCode).toBe(200);
        expect(headers).not.toHaveProperty('ratelimit-limit');
      }
    }
  });

  it('is off unless it is asked for', async () => {
    const fixture = httpFixture();
    for (let time = 0; time < 200; time += 1) {
      const response = await fixture.app.inject({ url: '/stock/TEA' });
      expect(response.statusCode).toBe(200);
    }
  });
});
