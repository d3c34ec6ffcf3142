import { describe, expect, test } from 'vitest';

import { eventually } from '../support/eventually.ts';
import { asked, BadDays, intentOf, openSandbox, openShop, openShopAt } from './harness.ts';

describe('a payment', () => {
  test('after reserve: authorized, then captured', async () => {
    const { provider, payments } = await openShop();
    const paid = await provider.pay(asked('o1'));
    expect(paid).toMatchObject({ kind: 'authorized' });
    expect(await payments()).toMatchObject([{ orderId: 'o1', status: 'requires_capture', captured: 0 }]);
    const intent = intentOf(paid);
    expect(await provider.capture({ ...asked('o1'), intent })).toEqual({ kind: 'captured', intent });
    expect(await payments()).toMatchObject([{ orderId: 'o1', status: 'succeeded', captured: 1_250 }]);
    expect(await provider.lookUp(intent)).toEqual({ kind: 'captured', intent });
  });

  test('immediate: captured at once', async () => {
    const { provider, payments } = await openShop();
    const paid = await provider.pay(asked('o1', { capture: 'immediate' }));
    expect(paid).toMatchObject({ kind: 'captured' });
    expect(await payments()).toMatchObject([
      { orderId: 'o1', status: 'succeeded', captured: 1_250, currency: 'eur' },
    ]);
  });

  test.for([
    ['pm_card_chargeDeclined', 'card_declined', 'generic_decline'],
    ['pm_card_chargeDeclinedInsufficientFunds', 'card_declined', 'insufficient_funds'],
    ['pm_card_chargeDeclinedExpiredCard', 'expired_card', 'expired_card'],
  ] as const)('%s is refused, for ever, and takes no money', async ([method, code, declineCode]) => {
    const { provider, payments } = await openShop();
    const refused = await provider.pay(asked('o1', { method }));
    expect(refused).toMatchObject({ kind: 'refused', code, declineCode });
    expect(await provider.pay(asked('o1', { method }))).toEqual(refused);
    expect(await payments()).toMatchObject([{ captured: 0, status: 'requires_payment_method' }]);
    expect(await provider.lookUp(intentOf(refused))).toMatchObject({ kind: 'refused', code });
  });

  test('a request that Stripe does not understand is refused with its code', async () => {
    const { provider } = await openShop();
    const refused = { kind: 'refused' };
    expect(await provider.pay(asked('o1', { amount: 0 }))).toEqual({ ...refused, code: 'amount_too_small' });
    expect(await provider.pay(asked('o2', { method: 'pm_none' }))).toEqual({
      ...refused,
      code: 'resource_missing',
    });
    expect(await provider.lookUp('pi_none')).toEqual({ ...refused, code: 'resource_missing' });
    expect(await provider.lookUp('')).toEqual({ ...refused, code: 'payment_not_found' });
  });

  test('the same key with another sum is no refusal, for there is money somewhere, and somebody is told', async () => {
    const { provider, environment, payments } = await openShop();
    await provider.pay(asked('o1'));
    const other = await provider.pay(asked('o1', { amount: 9_999 }));
    expect(other).toMatchObject({ kind: 'unknown', reason: 'KEY_USED_OTHERWISE' });
    expect(environment.lines).toMatchObject([{ level: 'error', fields: { code: 'IDEMPOTENCY_KEY_REUSED' } }]);
    expect(await payments()).toHaveLength(1);
  });

  test('the same key with other parameters for the same sum finds the payment that there is', async () => {
    const { provider, payments } = await openShop();
    const first = await provider.pay(asked('o1'));
    expect(await provider.pay(asked('o1', { method: 'pm_card_mastercard' }))).toEqual(first);
    expect(await payments()).toHaveLength(1);
  });

  test('an order id that fits no header still has one key', async () => {
    const { provider, payments } = await openShop();
    const orderId = `${'ö'.repeat(300)}'\\`;
    const paid = await provider.pay(asked(orderId));
    expect(paid).toMatchObject({ kind: 'authorized' });
    expect(await provider.pay(asked(orderId))).toEqual(paid);
    expect(await payments()).toHaveLength(1);
  });
});

describe('exactly one charge', () => {
  test('of ten identical calls at once, from two nodes', async () => {
    const url = await openSandbox({ slowAnswerMs: 500 });
    const one = openShopAt(url, { breaker: { callsMin: 2 } });
    const other = openShopAt(url);
    const request = asked('o1', { capture: 'immediate', method: 'pm_card_slow' });
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, call) => (call % 2 === 0 ? one : other).provider.pay(request)),
    );
    for (const answer of answers) {
      // Who came while another was under way does not know yet, and must not think that it failed.
      expect('reason' in answer ? answer.reason : answer.kind).toMatch(/^(captured|KEY_IN_USE)$/);
    }
    expect(answers.map(({ kind }) => kind)).toContain('unknown');
    // That is no sign of a provider in trouble.
    expect(one.provider.breakerState).toBe('closed');
    const first = await one.provider.pay(request);
    expect(first).toMatchObject({ kind: 'captured' });
    expect(await other.provider.pay(request)).toEqual(first);
    expect(await one.payments()).toMatchObject([{ orderId: 'o1', captured: 1_250 }]);
  });

  test('of a call that timed out: unknown, and asked again it is the first one', async () => {
    const { provider, payments } = await openShop({
      sandbox: { slowAnswerMs: 1_500 },
      provider: { timeoutMs: 400 },
    });
    const slow = asked('o1', { method: 'pm_card_slow', capture: 'immediate' });
    expect(await provider.pay(slow)).toEqual({ kind: 'unknown', reason: 'CONNECTION' });
    const [first] = await payments();
    let answer = await provider.pay(slow);
    expect(answer).toMatchObject({ kind: 'unknown' });
    await eventually(async () => (answer = await provider.pay(slow)).kind === 'captured', {
      withinMs: 15_000,
      what: 'the slow answer',
    });
    expect(answer).toEqual({ kind: 'captured', intent: first?.intent });
    expect(await payments()).toHaveLength(1);
  });

  test.for([
    ['the connection broke before', { fault: 'dropRequest', probability: 1 }],
    ['the connection broke after', { fault: 'dropReply', probability: 1 }],
    ['503', { fault: 'serverErrorOnce', probability: 1, status: 503 }],
    ['500, remembered', { fault: 'serverError', probability: 1, done: true }],
  ] as const)('after an unclear end: %s', async ([, fault]) => {
    const days = new BadDays();
    const { provider, payments } = await openShop({ days });
    days.begin(fault);
    expect(await provider.pay(asked('o1', { capture: 'immediate' }))).toMatchObject({ kind: 'unknown' });
    days.end();
    const paid = await provider.pay(asked('o1', { capture: 'immediate' }));
    expect(paid).toMatchObject({ kind: 'captured' });
    expect(await payments()).toMatchObject([{ intent: intentOf(paid), captured: 1_250 }]);
  });

  test('a broken connection is not asked twice behind our back', async () => {
    const days = new BadDays();
    const { provider } = await openShop({ days });
    days.begin({ fault: 'dropReply', probability: 1 });
    await provider.pay(asked('o1'));
    expect(days.requests).toBe(1);
  });

  test('a kept connection that had gone stale costs nothing: the call is sent on another', async () => {
    const days = new BadDays();
    days.begin({ fault: 'dropRequest', probability: 1, skip: 1, times: 1 });
    const { provider, payments } = await openShop({ days });
    await provider.pay(asked('o1'));
    expect(await provider.pay(asked('o2'))).toMatchObject({ kind: 'authorized' });
    expect(days.requests).toBe(3);
    expect(await payments()).toHaveLength(2);
  });

  test('though the key was forgotten: what is older than a day is looked up first (M3)', async () => {
    let skewMs = 0;
    const { provider, payments } = await openShop({
      sandbox: { keysKeptForMs: 24 * 3_600_000, now: () => Date.now() + skewMs },
      wallSkewMs: () => skewMs,
    });
    const request = { ...asked('o1', { capture: 'immediate' }), firstAskedAt: Date.now() };
    const first = await provider.pay(request);
    skewMs = 25 * 3_600_000;
    expect(await provider.pay(request)).toEqual(first);
    expect(await payments()).toHaveLength(1);
  });
});

describe('a reversal', () => {
  test('voids what is authorized, once', async () => {
    const { provider, payments } = await openShop();
    const intent = intentOf(await provider.pay(asked('o1')));
    const reverse = { ...asked('o1'), intent };
    expect(await provider.reverse(reverse)).toEqual({ kind: 'voided', intent });
    expect(await provider.reverse(reverse)).toEqual({ kind: 'voided', intent });
    expect(await provider.capture(reverse)).toEqual({ kind: 'refused', code: 'payment_voided', intent });
    expect(await payments()).toMatchObject([{ status: 'canceled', captured: 0, refunded: 0 }]);
  });

  test('refunds what is captured, once, whoever asks and with whatever key', async () => {
    const { provider, payments } = await openShop();
    const intent = intentOf(await provider.pay(asked('o1', { capture: 'immediate' })));
    const refunded = await provider.reverse({ ...asked('o1'), intent });
    expect(refunded).toMatchObject({ kind: 'refunded', intent });
    expect(await provider.reverse({ ...asked('o1'), intent })).toEqual(refunded);
    expect(await provider.reverse({ ...asked('o1', { attempt: 2 }), intent })).toEqual(refunded);
    expect(await provider.lookUp(intent)).toEqual(refunded);
    expect(await payments()).toMatchObject([{ captured: 1_250, refunded: 1_250 }]);
  });

  test('of ten at once gives the money back once', async () => {
    const { provider, payments } = await openShop();
    const intent = intentOf(await provider.pay(asked('o1', { capture: 'immediate' })));
    const reverse = (): Promise<unknown> => provider.reverse({ ...asked('o1'), intent });
    await Promise.all(Array.from({ length: 10 }, reverse));
    expect(await reverse()).toMatchObject({ kind: 'refunded' });
    expect(await payments()).toMatchObject([{ captured: 1_250, refunded: 1_250 }]);
  });

  test('finds the payment by its order when nobody knows its intent', async () => {
    const { provider } = await openShop();
    const intent = intentOf(await provider.pay(asked('o1')));
    expect(await provider.reverse({ ...asked('o1'), intent: '' })).toEqual({ kind: 'voided', intent });
    const nothing = await provider.reverse({ ...asked('o2'), intent: '' });
    expect(nothing).toEqual({ kind: 'refused', code: 'payment_not_found' });
  });

  test('a capture that is asked for again with a new key is still that capture', async () => {
    const { provider } = await openShop();
    const intent = intentOf(await provider.pay(asked('o1')));
    await provider.capture({ ...asked('o1'), intent });
    const again = await provider.capture({ ...asked('o1', { attempt: 2 }), intent });
    expect(again).toEqual({ kind: 'captured', intent });
  });
});

describe('a provider in trouble', () => {
  test('says 429: postponed for as long as it says, and nothing is sent meanwhile', async () => {
    const days = new BadDays();
    const { provider } = await openShop({ days });
    days.begin({ fault: 'rateLimit', probability: 1, retryAfterSeconds: 30 });
    const postponed = { kind: 'postponed', reason: 'RATE_LIMITED', retryAfterMs: 30_000 };
    expect(await provider.pay(asked('o1'))).toEqual(postponed);
    days.end();
    expect(await provider.pay(asked('o2'))).toMatchObject({ kind: 'postponed', reason: 'RATE_BUDGET' });
    expect(days.requests).toBe(1);
    expect(provider.breakerState).toBe('closed');
  });

  test('fails again and again: the circuit opens, and closes when it is well', async () => {
    const days = new BadDays();
    const { provider } = await openShop({
      days,
      provider: { breaker: { callsMin: 5, openMs: 1_000 } },
    });
    days.begin({ fault: 'serverErrorOnce', probability: 1, status: 500 });
    for (let call = 0; call < 5; call += 1) {
      expect(await provider.pay(asked(`o${call}`))).toMatchObject({ kind: 'unknown', reason: 'STATUS_500' });
    }
    expect(provider.breakerState).toBe('open');
    expect(await provider.pay(asked('o9'))).toMatchObject({ kind: 'postponed', reason: 'CIRCUIT_OPEN' });
    expect(days.requests).toBe(5);
    days.end();
    await eventually(async () => (await provider.pay(asked('o9'))).kind === 'authorized', {
      withinMs: 15_000,
      what: 'the circuit closes',
    });
    expect(provider.breakerState).toBe('closed');
  });

  test('declines do not open the circuit', async () => {
    const { provider } = await openShop({ provider: { breaker: { callsMin: 5 } } });
    for (let call = 0; call < 10; call += 1) {
      await provider.pay(asked(`o${call}`, { method: 'pm_card_chargeDeclined' }));
    }
    expect(provider.breakerState).toBe('closed');
  });

  test('cannot be reached: unknown, and no worse', async () => {
    const { provider } = openShopAt('http://127.0.0.1:9', { timeoutMs: 1_000 });
    expect(await provider.pay(asked('o1'))).toEqual({ kind: 'unknown', reason: 'CONNECTION' });
  });

  test('a withdrawn API key postpones orders instead of refusing them', async () => {
    // The sandbox takes any key but an empty one.
    const { provider, environment } = await openShop({ provider: { apiKey: ' ' } });
    expect(await provider.pay(asked('o1'))).toMatchObject({ kind: 'postponed', reason: 'NOT_ALLOWED' });
    expect(environment.lines).toMatchObject([{ fields: { code: 'API_KEY_REFUSED' } }]);
  });
});

describe('the door', () => {
  test('a rate budget is kept, whatever is asked', async () => {
    const times: number[] = [];
    const { provider } = await openShop({
      sandbox: { onRequest: () => times.push(performance.now()) },
      provider: { requestsPerSecond: 100, maxWaitMs: 15_000 },
    });
    await Promise.all(Array.from({ length: 70 }, (_, order) => provider.pay(asked(`o${order}`))));
    const elapsedMs = (times.at(-1) ?? 0) - (times[0] ?? 0);
    // 25 may go at once; the other 45 take 10 ms each.
    expect(elapsedMs).toBeGreaterThan(400);
    expect(times).toHaveLength(70);
  });

  test('a full queue answers at once', async () => {
    const { provider } = await openShop({
      sandbox: { slowAnswerMs: 300 },
      provider: { maxConcurrent: 2, maxQueue: 3, maxWaitMs: 15_000 },
    });
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, order) => provider.pay(asked(`o${order}`, { method: 'pm_card_slow' }))),
    );
    const kinds = answers.map((answer) => ('reason' in answer ? answer.reason : answer.kind));
    expect(kinds.filter((kind) => kind === 'authorized')).toHaveLength(5);
    expect(kinds.filter((kind) => kind === 'QUEUE_FULL')).toHaveLength(3);
  });

  test('closing waits for what is under way and turns the rest away', async () => {
    const { provider } = await openShop({
      sandbox: { slowAnswerMs: 200 },
      provider: { maxConcurrent: 1, maxWaitMs: 15_000 },
    });
    const underWay = provider.pay(asked('o1', { method: 'pm_card_slow' }));
    const waiting = provider.pay(asked('o2'));
    await eventually(() => provider.queueDepth === 1, { withinMs: 15_000, what: 'one waits' });
    await provider.close();
    expect(await underWay).toMatchObject({ kind: 'authorized' });
    expect(await waiting).toMatchObject({ kind: 'postponed', reason: 'CLOSED' });
    expect(await provider.pay(asked('o3'))).toMatchObject({ kind: 'postponed', reason: 'CLOSED' });
  });
});
