import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import Stripe from 'stripe';
import { describe, expect, onTestFinished, test } from 'vitest';

import { hostilePlan, startSandbox } from '../../node/payments/sandbox/index.ts';
import type { FaultPlan, FaultReport, SandboxSummary } from '../../node/payments/sandbox/index.ts';
import { eventually } from '../support/eventually.ts';
import { openSandbox } from './harness.ts';

type Rules = FaultPlan['rules'];

function clientOf(url: string): Stripe {
  const { hostname, port } = new URL(url);
  return new Stripe('sk_test_any', { protocol: 'http', host: hostname, port, maxNetworkRetries: 0 });
}

async function hostile(...rules: Rules): Promise<{ readonly url: string; readonly stripe: Stripe }> {
  const url = await openSandbox({ plan: { seed: 1, rules } });
  return { url, stripe: clientOf(url) };
}

const card: Stripe.PaymentIntentCreateParams = {
  amount: 900,
  currency: 'eur',
  confirm: true,
  payment_method: 'pm_card_visa',
};
const held = { ...card, capture_method: 'manual' } as const;
const once1 = { probability: 1, times: 1 } as const;
const key = { idempotencyKey: 'k1' };

async function json(url: string, init?: RequestInit): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url, init);
  return { status: response.status, body: await response.json() };
}

function put(plan: unknown): RequestInit {
  return { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify(plan) };
}

describe('on the way', () => {
  test.for([
    ['dropRequest', 0],
    ['dropReply', 1],
  ] as const)('%s: the connection breaks, and %i payments were made', async ([fault, made]) => {
    const { url, stripe } = await hostile({ fault, ...once1 });
    // Without Stripe's client, which asks again by itself when a connection is reset.
    const asked = {
      method: 'POST',
      headers: { authorization: 'Bearer sk', 'idempotency-key': key.idempotencyKey },
      body: new URLSearchParams({ amount: '900', currency: 'eur' }),
    };
    await expect(fetch(`${url}/v1/payment_intents`, asked)).rejects.toThrow('fetch failed');
    expect((await stripe.paymentIntents.list()).data).toHaveLength(made);
    expect((await fetch(`${url}/v1/payment_intents`, asked)).ok).toBe(true);
    expect((await stripe.paymentIntents.list()).data).toHaveLength(1);
  });

  test('429 is said before the key is looked at, with and without a time to come back', async () => {
    const { stripe } = await hostile(
      { fault: 'rateLimit', ...once1, retryAfterSeconds: 7 },
      { fault: 'rateLimit', ...once1 },
    );
    const limited = { type: 'StripeRateLimitError', statusCode: 429 };
    await expect(stripe.paymentIntents.create(card, key)).rejects.toMatchObject({
      ...limited,
      headers: { 'retry-after': '7' },
    });
    const bare = await stripe.paymentIntents.create(card, key).catch((error: unknown) => error);
    expect(bare).toMatchObject(limited);
    expect((bare as { headers: object }).headers).not.toHaveProperty('retry-after');
    expect(await stripe.paymentIntents.create(card, key)).toMatchObject({ status: 'succeeded' });
  });

  test.for([true, false])('500 is repeated for the same key, done: %s', async (done) => {
    const { stripe } = await hostile({ fault: 'serverError', ...once1, done });
    const broken = { type: 'StripeAPIError', statusCode: 500 };
    await expect(stripe.paymentIntents.create(card, key)).rejects.toMatchObject(broken);
    await expect(stripe.paymentIntents.create(card, key)).rejects.toMatchObject({
      ...broken,
      headers: { 'idempotent-replayed': 'true' },
    });
    expect((await stripe.paymentIntents.list()).data).toHaveLength(done ? 1 : 0);
  });

  test('a passing 503 is forgotten', async () => {
    const { stripe } = await hostile({ fault: 'serverErrorOnce', ...once1, status: 503 });
    await expect(stripe.paymentIntents.create(card, key)).rejects.toMatchObject({ statusCode: 503 });
    expect(await stripe.paymentIntents.create(card, key)).toMatchObject({ status: 'succeeded' });
  });

  test('a late reply is late, and its key is in use until it has left', async () => {
    const { stripe } = await hostile({ fault: 'lateReply', ...once1, delayMs: 400 });
    const begun = performance.now();
    const late = stripe.paymentIntents.create(card, key);
    await eventually(async () => (await stripe.paymentIntents.list()).data.length === 1, {
      withinMs: 5_000,
      what: 'the payment is made',
    });
    const meanwhile = await stripe.paymentIntents.create(card, key).catch((error: unknown) => error);
    // Should the machine have been asleep in between, there is nothing to see.
    if (performance.now() - begun < 350) expect(meanwhile).toMatchObject({ statusCode: 409 });
    await late;
    expect(performance.now() - begun).toBeGreaterThan(395);
  });

  test('a search lags behind', async () => {
    const { stripe } = await hostile({ fault: 'searchLags', ...once1, lagMs: 60_000 });
    await stripe.paymentIntents.create({ ...card, metadata: { order_id: "o'1" } });
    const query = String.raw`metadata['order_id']:'o\'1'`;
    expect((await stripe.paymentIntents.search({ query })).data).toHaveLength(0);
    expect((await stripe.paymentIntents.search({ query })).data).toHaveLength(1);
  });
});

describe('at the bank', () => {
  test('processing settles by itself', async () => {
    const { stripe } = await hostile(
      { fault: 'processing', ...once1, settlesAfterMs: 150, to: 'succeeded' },
      { fault: 'processing', ...once1, settlesAfterMs: 150, to: 'failed' },
    );
    const first = await stripe.paymentIntents.create(held);
    const second = await stripe.paymentIntents.create(held);
    expect([first.status, second.status]).toEqual(['processing', 'processing']);
    await expect(stripe.paymentIntents.cancel(first.id)).rejects.toMatchObject({
      code: 'payment_intent_unexpected_state',
    });
    const settled = async () => {
      const both = await Promise.all([first, second].map(({ id }) => stripe.paymentIntents.retrieve(id)));
      return both.map(({ status }) => status).join();
    };
    await eventually(async () => (await settled()) === 'requires_capture,requires_payment_method', {
      withinMs: 5_000,
      what: 'both settle',
    });
  });

  test('an authorization that ended can neither be captured nor refunded', async () => {
    const { stripe } = await hostile({ fault: 'captureFails', ...once1 });
    const { id } = await stripe.paymentIntents.create(held);
    await expect(stripe.paymentIntents.capture(id)).rejects.toMatchObject({
      code: 'capture_charge_authorization_expired',
      payment_intent: { status: 'canceled' },
    });
    await expect(stripe.paymentIntents.capture(id)).rejects.toMatchObject({
      code: 'payment_intent_unexpected_state',
    });
    await expect(stripe.refunds.create({ payment_intent: id })).rejects.toThrow(/successful charge/);
  });

  test('a refund that fails leaves the money with the shop, and may be asked for again', async () => {
    const { stripe } = await hostile(
      { fault: 'refundPending', ...once1, settlesAfterMs: 100, then: 'failed' },
      { fault: 'refundFails', ...once1, skip: 0, afterMs: 0 },
    );
    const { id } = await stripe.paymentIntents.create(card);
    const pending = await stripe.refunds.create({ payment_intent: id });
    expect(pending.status).toBe('pending');
    await expect(stripe.refunds.create({ payment_intent: id })).rejects.toMatchObject({
      code: 'charge_already_refunded',
    });
    await eventually(async () => (await stripe.refunds.retrieve(pending.id)).status === 'failed', {
      withinMs: 5_000,
      what: 'the refund fails',
    });
    expect(await stripe.refunds.create({ payment_intent: id })).toMatchObject({ status: 'failed' });
    expect(await stripe.refunds.create({ payment_intent: id })).toMatchObject({ status: 'succeeded' });
    const { latest_charge: charge } = await stripe.paymentIntents.retrieve(id, {
      expand: ['latest_charge.refunds'],
    });
    expect(charge).toMatchObject({ amount_refunded: 900, refunded: true });
    const statuses = (await stripe.refunds.list({ payment_intent: id })).data.map(({ status }) => status);
    expect(statuses).toEqual(['succeeded', 'failed', 'failed']);
  });

  test('Stripe’s test cards for refunds: one that pends, one that fails after it succeeded', async () => {
    let skewMs = 0;
    const stripe = clientOf(await openSandbox({ now: () => Date.now() + skewMs }));
    const refundOf = async (method: string) => {
      const { id } = await stripe.paymentIntents.create({ ...card, payment_method: method });
      return stripe.refunds.create({ payment_intent: id });
    };
    const pends = await refundOf('pm_card_pendingRefund');
    const fails = await refundOf('pm_card_refundFail');
    expect([pends.status, fails.status]).toEqual(['pending', 'succeeded']);
    skewMs = 60_000;
    expect((await stripe.refunds.retrieve(pends.id)).status).toBe('succeeded');
    expect(await stripe.refunds.retrieve(fails.id)).toMatchObject({
      status: 'failed',
      failure_reason: 'unknown',
    });
  });
});

describe('a customer who has to authenticate', () => {
  const withCustomer = { ...held, payment_method: 'pm_card_authenticationRequired' };
  const returnUrl = 'http://shop.example/thanks?order=7';

  test('is sent to a page, and from there back to the shop', async () => {
    const url = await openSandbox();
    const stripe = clientOf(url);
    const intent = await stripe.paymentIntents.create({ ...withCustomer, return_url: returnUrl });
    const page = intent.next_action?.redirect_to_url?.url ?? '';
    expect(intent.next_action).toEqual({
      type: 'redirect_to_url',
      redirect_to_url: { url: `${url}/sandbox/authenticate/${intent.id}`, return_url: returnUrl },
    });
    const html = await (await fetch(page)).text();
    expect(html).toContain('9.00 EUR');
    expect(html.match(/<button /g)).toHaveLength(2);
    const body = new URLSearchParams({ outcome: 'succeeded' });
    const back = await fetch(page, { method: 'POST', body, redirect: 'manual' });
    expect(back.status).toBe(303);
    const location = new URL(back.headers.get('location') ?? '');
    expect(Object.fromEntries(location.searchParams)).toEqual({
      order: '7',
      payment_intent: intent.id,
      payment_intent_client_secret: intent.client_secret,
      redirect_status: 'succeeded',
    });
    expect(await stripe.paymentIntents.capture(intent.id)).toMatchObject({ status: 'succeeded' });
    expect(await (await fetch(page)).text()).toContain('waits for nobody');
  });

  const authenticate = (url: string, intent: string, outcome: string) =>
    json(`${url}/sandbox/authenticate/${intent}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ outcome }),
    });

  test('who fails is not charged, and may try another card', async () => {
    const url = await openSandbox();
    const stripe = clientOf(url);
    const { id, next_action: action } = await stripe.paymentIntents.create(withCustomer);
    expect(action).toMatchObject({ type: 'use_stripe_sdk' });
    expect(await authenticate(url, id, 'maybe')).toMatchObject({ status: 400 });
    const page = `${url}/sandbox/authenticate/${id}`;
    const clicked = await fetch(page, { method: 'POST', body: new URLSearchParams({ outcome: 'maybe' }) });
    expect([clicked.url, clicked.status]).toEqual([page, 200]);
    expect(await authenticate(url, id, 'failed')).toMatchObject({
      status: 200,
      body: {
        status: 'requires_payment_method',
        next_action: null,
        last_payment_error: { code: 'payment_intent_authentication_failure' },
        latest_charge: null,
      },
    });
    expect(await authenticate(url, id, 'succeeded')).toMatchObject({ status: 400 });
    expect(await authenticate(url, 'pi_none', 'succeeded')).toMatchObject({ status: 404 });
    const paid = await stripe.paymentIntents.confirm(id, { payment_method: 'pm_card_visa' });
    expect(paid.status).toBe('requires_capture');
  });

  test('may be declined all the same, and cannot pay what was cancelled meanwhile', async () => {
    const url = await openSandbox();
    const stripe = clientOf(url);
    const poor = 'pm_card_authenticationRequiredChargeDeclinedInsufficientFunds';
    const declined = await stripe.paymentIntents.create({ ...withCustomer, payment_method: poor });
    expect(await authenticate(url, declined.id, 'succeeded')).toMatchObject({
      status: 402,
      body: { error: { decline_code: 'insufficient_funds' } },
    });
    const cancelled = await stripe.paymentIntents.create(withCustomer);
    await stripe.paymentIntents.cancel(cancelled.id);
    expect(await authenticate(url, cancelled.id, 'succeeded')).toMatchObject({ status: 400 });
    expect((await stripe.paymentIntents.retrieve(cancelled.id)).status).toBe('canceled');
  });

  test('who is away is declined, by a fault as by a card', async () => {
    const { stripe } = await hostile({ fault: 'requiresAction', probability: 1 });
    expect((await stripe.paymentIntents.create(held)).status).toBe('requires_action');
    await expect(stripe.paymentIntents.create({ ...held, off_session: true })).rejects.toMatchObject({
      code: 'authentication_required',
    });
  });
});

test('lists are cut by time and read on in pages, payments and refunds', async () => {
  let at = 1_700_000_000_000;
  const stripe = clientOf(await openSandbox({ now: () => at }));
  const intents: string[] = [];
  const refunds: string[] = [];
  for (let number = 0; number < 7; number += 1) {
    const { id } = await stripe.paymentIntents.create(card);
    intents.unshift(id);
    refunds.unshift((await stripe.refunds.create({ payment_intent: id })).id);
    at += 10_000;
  }
  const since = { gte: 1_700_000_020, lt: 1_700_000_050 };
  const listed: string[] = [];
  for await (const { id } of stripe.paymentIntents.list({ created: since, limit: 2 })) listed.push(id);
  expect(listed).toEqual(intents.slice(2, 5));
  const back: string[] = [];
  for await (const { id } of stripe.refunds.list({ created: { gt: 1_700_000_020 }, limit: 3 })) back.push(id);
  expect(back).toEqual(refunds.slice(0, 4));
  await expect(stripe.paymentIntents.list({ starting_after: 'pi_none' })).rejects.toMatchObject({
    statusCode: 404,
  });
});

describe('the plan', () => {
  test('is changed while it runs, and says what struck', async () => {
    const url = await openSandbox();
    const stripe = clientOf(url);
    const plan = { seed: 5, rules: [{ fault: 'rateLimit', route: 'create', probability: 1 }] };
    expect(await json(`${url}/sandbox/faults`, put(plan))).toMatchObject({ status: 200, body: { plan } });
    await expect(stripe.paymentIntents.create(card)).rejects.toMatchObject({ statusCode: 429 });
    await json(`${url}/sandbox/faults`, { method: 'DELETE' });
    await stripe.paymentIntents.create(card);
    const report = (await json(`${url}/sandbox/faults`)).body as FaultReport;
    expect(report).toEqual({
      plan: { seed: 0, rules: [] },
      struck: { rateLimit: { create: 1 } },
      asked: { create: 2 },
    });
    const summary = (await json(`${url}/sandbox/summary`)).body as SandboxSummary;
    expect(summary.faults).toEqual(report.struck);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toContain('freehold_sandbox_faults_total{fault="rateLimit",route="create"} 1\n');
  });

  test('that is wrong changes nothing, and the mistakes are named', async () => {
    const url = await openSandbox({ plan: hostilePlan(1) });
    const wrong = { seed: 1, rules: [{ fault: 'captureFails', route: 'create', probability: 1 }] };
    expect(await json(`${url}/sandbox/faults`, put(wrong))).toMatchObject({
      status: 400,
      body: {
        error: {
          code: 'FAULT_PLAN_INVALID',
          mistakes: ['rules[0].route: captureFails cannot strike create, only capture'],
        },
      },
    });
    const { body } = await json(`${url}/sandbox/faults`);
    expect((body as FaultReport).plan).toEqual(hostilePlan(1));
  });

  test('and what it did survive a restart', async () => {
    const dataDirectory = await mkdtemp(join(tmpdir(), 'sandbox-'));
    onTestFinished(() => rm(dataDirectory, { recursive: true }));
    const rules: Rules = [
      { fault: 'requiresAction', ...once1 },
      { fault: 'serverError', ...once1, skip: 1, done: false },
      { fault: 'refundFails', ...once1, afterMs: 0 },
    ];
    const start = () => startSandbox({ host: '127.0.0.1', port: 0, dataDirectory });
    const before = await start();
    await json(`${before.url}/sandbox/faults`, put({ seed: 1, rules }));
    const stripe = clientOf(before.url);
    expect((await stripe.paymentIntents.create(card)).status).toBe('requires_action');
    await expect(stripe.paymentIntents.create(card, key)).rejects.toMatchObject({ statusCode: 500 });
    const { id } = await stripe.paymentIntents.create(card);
    expect((await stripe.refunds.create({ payment_intent: id })).status).toBe('failed');
    const books = ({ intents, payments }: SandboxSummary) => ({ intents, payments });
    const summary = (await json(`${before.url}/sandbox/summary`)).body as SandboxSummary;
    await before.close();

    const after = await start();
    onTestFinished(() => after.close());
    const again = (await json(`${after.url}/sandbox/summary`)).body as SandboxSummary;
    expect(books(again)).toEqual(books(summary));
    await expect(clientOf(after.url).paymentIntents.create(card, key)).rejects.toMatchObject({
      headers: { 'idempotent-replayed': 'true' },
    });
    const report = (await json(`${after.url}/sandbox/faults`)).body as FaultReport;
    expect(report.plan.rules).toHaveLength(3);
  });
});

test('the shop hears of outcomes, at whichever of its addresses answers, believably', async () => {
  const secret = 'whsec_shop';
  const heard: string[] = [];
  const shop = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const signature = String(request.headers['stripe-signature']);
      const event = Stripe.webhooks.constructEvent(Buffer.concat(chunks), signature, secret);
      heard.push(`${event.type} ${(event.data.object as Stripe.PaymentIntent).metadata['order_id'] ?? ''}`);
      response.end();
    });
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void shop.close());
  await once(shop, 'listening');
  const urls = [
    'http://127.0.0.1:9/webhooks',
    `http://127.0.0.1:${(shop.address() as AddressInfo).port}/webhooks`,
  ];
  const url = await openSandbox({ webhooks: { urls, secret } });
  const stripe = clientOf(url);
  const metadata = { order_id: 'o1' };
  const { id } = await stripe.paymentIntents.create({ ...held, metadata });
  await stripe.paymentIntents.capture(id);
  const refund = { payment_intent: id, metadata };
  expect((await stripe.refunds.create(refund)).status).toBe('succeeded');
  await eventually(() => heard.length === 2, { withinMs: 8_000, what: 'both events arrive' });
  expect(heard.toSorted()).toEqual([
    'payment_intent.amount_capturable_updated o1',
    'payment_intent.succeeded o1',
  ]);
  const summary = (await json(`${url}/sandbox/summary`)).body as SandboxSummary;
  expect(summary.webhooks).toEqual({ waiting: 0, accepted: 2, givenUp: 0 });
});
