import { describe, expect, test } from 'vitest';

import type { StripeProvider } from '../../node/payments/stripe-provider.ts';
import { eventually } from '../support/eventually.ts';
import { asked, BadDays, intentOf, openSandbox, openShop, openShopAt } from './harness.ts';

const always = { probability: 1 } as const;
const needsCustomer = { method: 'pm_card_authenticationRequired' } as const;

/** What the customer does on the bank's page. */
async function authenticate(url: string, intent: string, outcome: 'succeeded' | 'failed'): Promise<void> {
  const answer = await fetch(`${url}/sandbox/authenticate/${intent}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ outcome }),
    redirect: 'manual',
  });
  expect(answer.status).toBeLessThan(400);
}

describe('a payment that needs its customer', () => {
  test('says where to go when there is a page to come back to, and else what the shop’s own page needs', async () => {
    const { provider, payments } = await openShop();
    const sent = asked('o1', { ...needsCustomer, returnUrl: 'https://shop.example/thanks' });
    const waiting = await provider.pay(sent);
    expect(waiting).toMatchObject({
      kind: 'actionRequired',
      nextAction: { type: 'redirect', url: expect.stringContaining(intentOf(waiting)) as string },
    });
    expect(await provider.lookUp(intentOf(waiting))).toEqual(waiting);
    const onPage = await provider.pay(asked('o2', needsCustomer));
    expect(onPage).toMatchObject({
      kind: 'actionRequired',
      nextAction: { type: 'sdk', clientSecret: expect.stringContaining('secret') as string },
    });
    expect(await payments()).toMatchObject([{ status: 'requires_action' }, { status: 'requires_action' }]);
  });

  test.for([
    ['succeeded', { kind: 'authorized' }],
    ['failed', { kind: 'refused', code: 'payment_intent_authentication_failure' }],
  ] as const)('goes on when it is done: %s', async ([outcome, expected]) => {
    const url = await openSandbox();
    const { provider } = openShopAt(url);
    const intent = intentOf(await provider.pay(asked('o1', needsCustomer)));
    await authenticate(url, intent, outcome);
    expect(await provider.lookUp(intent)).toMatchObject({ ...expected, intent });
  });

  test('is cancelled, or is what the provider accepted before', async () => {
    const url = await openSandbox();
    const { provider } = openShopAt(url);
    const intent = intentOf(await provider.pay(asked('o1', needsCustomer)));
    const cancel = { ...asked('o1'), intent };
    expect(await provider.cancel(cancel)).toEqual({ kind: 'voided', intent });
    const charged = asked('o2', { ...needsCustomer, capture: 'immediate' });
    const other = intentOf(await provider.pay(charged));
    await authenticate(url, other, 'succeeded');
    const late = await provider.cancel({ ...charged, intent: other });
    expect(late).toEqual({ kind: 'captured', intent: other });
  });
});

describe('an attempt', () => {
  test('whose bank takes its time is known by name, and looked up', async () => {
    const days = new BadDays();
    const { provider } = await openShop({ days });
    days.begin({ fault: 'processing', ...always, settlesAfterMs: 200, to: 'succeeded' });
    const pending = await provider.pay(asked('o1'));
    expect(pending).toMatchObject({ kind: 'unknown', reason: 'STATE_PROCESSING' });
    const intent = intentOf(pending);
    await eventually(async () => (await provider.lookUp(intent)).kind === 'authorized', {
      withinMs: 5_000,
      what: 'it is settled',
    });
  });

  test('is spent when its key repeats an outage and nothing is found, and the next one pays (M3)', async () => {
    const days = new BadDays();
    const { provider, payments } = await openShop({ days });
    days.begin({ fault: 'serverError', ...always, route: 'create', done: false });
    expect(await provider.pay(asked('o1'))).toMatchObject({ kind: 'unknown' });
    days.end();
    expect(await provider.pay(asked('o1'))).toEqual({ kind: 'spent', reason: 'STATUS_500' });
    expect(await provider.find(asked('o1'))).toEqual({ kind: 'absent' });
    expect(await provider.pay(asked('o1', { attempt: 2 }))).toMatchObject({ kind: 'authorized' });
    expect(await provider.find(asked('o1'))).toEqual({ kind: 'absent' });
    expect(await payments()).toHaveLength(1);
  });

  test('is unknown, not spent, while the search does not answer', async () => {
    const days = new BadDays();
    const { provider } = await openShop({ days });
    days.begin({ fault: 'serverError', ...always, route: 'create', done: true });
    await provider.pay(asked('o1'));
    days.begin({ fault: 'serverErrorOnce', ...always, route: 'search', status: 503 });
    expect(await provider.pay(asked('o1'))).toMatchObject({ kind: 'unknown' });
    days.end();
    expect(await provider.pay(asked('o1'))).toMatchObject({ kind: 'authorized' });
  });

  test('is not sent again once its key may be forgotten (M3)', async () => {
    let skewMs = 0;
    const { provider, payments } = await openShop({ wallSkewMs: () => skewMs });
    const first = { ...asked('o1'), firstAskedAt: Date.now() };
    skewMs = 23.5 * 3_600_000;
    expect(await provider.pay(first)).toEqual({ kind: 'spent', reason: 'KEY_FORGOTTEN' });
    expect(await payments()).toHaveLength(0);
  });
});

describe('what happens once whatever its key (M4)', () => {
  const spoiled = { fault: 'serverError', ...always, times: 1 } as const;

  test.for([true, false])('a capture whose key repeats an outage, done: %s', async (done) => {
    const days = new BadDays();
    const { provider, payments } = await openShop({ days });
    const intent = intentOf(await provider.pay(asked('o1')));
    days.begin({ ...spoiled, route: 'capture', done });
    const capture = { ...asked('o1'), intent };
    expect(await provider.capture(capture)).toMatchObject({ kind: 'unknown' });
    expect(await provider.capture(capture)).toEqual({ kind: 'captured', intent });
    expect(await payments()).toMatchObject([{ captured: 1_250 }]);
  });

  test.for([true, false])('a refund whose key repeats an outage, done: %s', async (done) => {
    const days = new BadDays();
    const { provider, payments } = await openShop({ days });
    const intent = intentOf(await provider.pay(asked('o1', { capture: 'immediate' })));
    days.begin({ ...spoiled, route: 'refund', done });
    const reverse = { ...asked('o1'), intent };
    expect(await provider.reverse(reverse)).toMatchObject({ kind: 'unknown' });
    expect(await provider.reverse(reverse)).toMatchObject({ kind: 'refunded', intent });
    expect(await payments()).toMatchObject([{ captured: 1_250, refunded: 1_250 }]);
  });
});

describe('a refund', () => {
  async function charged(days: BadDays): Promise<{ provider: StripeProvider; intent: string }> {
    const { provider } = await openShop({ days });
    return { provider, intent: intentOf(await provider.pay(asked('o1', { capture: 'immediate' }))) };
  }

  test.for(['succeeded', 'failed'] as const)('that is pending is followed by its id: %s', async (then) => {
    const days = new BadDays();
    const { provider, intent } = await charged(days);
    days.begin({ fault: 'refundPending', ...always, settlesAfterMs: 200, then });
    const pending = await provider.reverse({ ...asked('o1'), intent });
    expect(pending).toMatchObject({ kind: 'refundPending', intent });
    const refund = 'refund' in pending ? pending.refund : '';
    const expected = then === 'succeeded' ? 'refunded' : 'refundFailed';
    await eventually(async () => (await provider.lookUpRefund({ intent, refund })).kind === expected, {
      withinMs: 5_000,
      what: expected,
    });
    expect(await provider.lookUp(intent)).toMatchObject({ kind: expected, refund });
  });

  test('that failed is tried again as another one, and then the money is back once', async () => {
    const days = new BadDays();
    const { provider, intent } = await charged(days);
    days.begin({ fault: 'refundFails', ...always, times: 2, afterMs: 0 });
    const reverse = { ...asked('o1'), intent };
    const failed = await provider.reverse(reverse);
    const again = await provider.reverse(reverse);
    expect([failed, again]).toMatchObject([{ kind: 'refundFailed' }, { kind: 'refundFailed' }]);
    expect(again).not.toEqual(failed);
    const refunded = await provider.reverse(reverse);
    expect(refunded).toMatchObject({ kind: 'refunded', intent });
    expect(await provider.reverse(reverse)).toEqual(refunded);
  });
});

describe('429 without a word for how long', () => {
  test('is waited for twice as long each time in a row (N2)', async () => {
    const days = new BadDays();
    const { provider } = await openShop({ days, provider: { maxWaitMs: 20_000 } });
    days.begin({ fault: 'rateLimit', ...always, times: 2 });
    expect(await provider.pay(asked('o1'))).toMatchObject({ kind: 'postponed', retryAfterMs: 1_000 });
    expect(await provider.pay(asked('o1'))).toMatchObject({ kind: 'postponed', retryAfterMs: 2_000 });
    expect(await provider.pay(asked('o1'))).toMatchObject({ kind: 'authorized' });
  });
});
