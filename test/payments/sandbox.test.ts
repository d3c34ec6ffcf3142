import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import Stripe from 'stripe';
import { describe, expect, onTestFinished, test } from 'vitest';

import { startSandbox } from '../../node/payments/sandbox/index.ts';
import type { SandboxSummary } from '../../node/payments/sandbox/index.ts';
import { openSandbox } from './harness.ts';

/** Stripe's own client, as it comes, is the judge of the sandbox's wire format. */
function clientOf(url: string): Stripe {
  const { hostname, port } = new URL(url);
  return new Stripe('sk_test_any', { protocol: 'http', host: hostname, port, maxNetworkRetries: 0 });
}

const card: Stripe.PaymentIntentCreateParams = {
  amount: 900,
  currency: 'eur',
  confirm: true,
  payment_method: 'pm_card_visa',
};

async function post(
  url: string,
  path: string,
  form: Record<string, string>,
  key?: string,
): Promise<{ status: number; headers: Headers; body: Record<string, unknown> }> {
  const response = await fetch(url + path, {
    method: 'POST',
    body: new URLSearchParams(form),
    headers: { authorization: 'Bearer sk', ...(key === undefined ? {} : { 'idempotency-key': key }) },
  });
  const body = (await response.json()) as Record<string, unknown>;
  return { status: response.status, headers: response.headers, body };
}

const form = { amount: '900', currency: 'eur', confirm: 'true', payment_method: 'pm_card_visa' };

describe('the state machine', () => {
  test('manual capture: authorized, captured in part, not twice, not cancelled, refunded to the end', async () => {
    const stripe = clientOf(await openSandbox());
    const intent = await stripe.paymentIntents.create({ ...card, capture_method: 'manual' });
    expect(intent).toMatchObject({ status: 'requires_capture', amount_capturable: 900, amount_received: 0 });
    const captured = await stripe.paymentIntents.capture(intent.id, { amount_to_capture: 800 });
    expect(captured).toMatchObject({ status: 'succeeded', amount_capturable: 0, amount_received: 800 });

    const unexpected = { type: 'StripeInvalidRequestError', code: 'payment_intent_unexpected_state' };
    await expect(stripe.paymentIntents.capture(intent.id)).rejects.toMatchObject({
      ...unexpected,
      payment_intent: { id: intent.id, status: 'succeeded' },
    });
    await expect(stripe.paymentIntents.cancel(intent.id)).rejects.toMatchObject(unexpected);
    await expect(stripe.paymentIntents.confirm(intent.id)).rejects.toMatchObject(unexpected);

    const first = await stripe.refunds.create({ payment_intent: intent.id, amount: 300 });
    await expect(stripe.refunds.create({ payment_intent: intent.id, amount: 501 })).rejects.toThrow(
      /greater/,
    );
    expect(await stripe.refunds.create({ payment_intent: intent.id })).toMatchObject({ amount: 500 });
    await expect(stripe.refunds.create({ payment_intent: intent.id })).rejects.toMatchObject({
      code: 'charge_already_refunded',
    });
    expect(await stripe.refunds.retrieve(first.id)).toMatchObject({ amount: 300, status: 'succeeded' });
    const full = await stripe.paymentIntents.retrieve(intent.id, { expand: ['latest_charge.refunds'] });
    expect(full.latest_charge).toMatchObject({ refunded: true, amount_refunded: 800, captured: true });
  });

  test('cancelled: neither captured, confirmed, refunded nor cancelled again', async () => {
    const stripe = clientOf(await openSandbox());
    const { id } = await stripe.paymentIntents.create({ ...card, capture_method: 'manual' });
    expect(await stripe.paymentIntents.cancel(id)).toMatchObject({ status: 'canceled' });
    await expect(stripe.paymentIntents.capture(id)).rejects.toMatchObject({ statusCode: 400 });
    await expect(stripe.paymentIntents.confirm(id)).rejects.toMatchObject({ statusCode: 400 });
    await expect(stripe.paymentIntents.cancel(id)).rejects.toMatchObject({ statusCode: 400 });
    await expect(stripe.refunds.create({ payment_intent: id })).rejects.toThrow(/successful charge/);
  });

  test('declined, then confirmed with a better card', async () => {
    const stripe = clientOf(await openSandbox());
    const declined = await stripe.paymentIntents
      .create({ ...card, payment_method: 'pm_card_chargeDeclined' })
      .catch((error: unknown) => error as InstanceType<typeof Stripe.errors.StripeCardError>);
    expect(declined).toMatchObject({
      type: 'StripeCardError',
      statusCode: 402,
      code: 'card_declined',
      decline_code: 'generic_decline',
      payment_intent: { status: 'requires_payment_method', payment_method: null },
    });
    const id = (declined as { payment_intent: { id: string } }).payment_intent.id;
    const confirmed = await stripe.paymentIntents.confirm(id, { payment_method: 'pm_card_visa' });
    expect(confirmed).toMatchObject({ status: 'succeeded', last_payment_error: null });
  });

  test('authentication is asked for when the customer is there', async () => {
    const stripe = clientOf(await openSandbox());
    const away = { ...card, payment_method: 'pm_card_authenticationRequired' };
    expect(await stripe.paymentIntents.create(away)).toMatchObject({ status: 'requires_action' });
    await expect(stripe.paymentIntents.create({ ...away, off_session: true })).rejects.toMatchObject({
      code: 'authentication_required',
    });
  });

  test('mistakes of the client are named', async () => {
    const url = await openSandbox();
    const mistakes: readonly (readonly [Record<string, string>, Record<string, string>])[] = [
      [{ currency: 'eur' }, { code: 'parameter_missing', param: 'amount' }],
      [
        { amount: '1.5', currency: 'eur' },
        { code: 'parameter_invalid', param: 'amount' },
      ],
      [
        { amount: '5', currency: 'EUR' },
        { code: 'parameter_invalid', param: 'currency' },
      ],
      [
        { amount: '5', currency: 'eur', colour: 'red' },
        { code: 'parameter_unknown', param: 'colour' },
      ],
      [
        { ...form, payment_method: 'pm_none' },
        { code: 'resource_missing', param: 'payment_method' },
      ],
    ];
    for (const [sent, error] of mistakes) {
      const answer = await post(url, '/v1/payment_intents', sent);
      expect(answer).toMatchObject({ status: 400, body: { error } });
    }
    expect((await post(url, '/v1/payment_intents/pi_none/capture', {})).status).toBe(404);
    expect((await fetch(`${url}/v1/payment_intents/pi_none`)).status).toBe(401);
    expect((await post(url, '/v1/nonsense', {})).status).toBe(404);
  });

  test('lists newest first in pages, and finds by order', async () => {
    const stripe = clientOf(await openSandbox());
    const ids: string[] = [];
    for (let order = 0; order < 5; order += 1) {
      const { id } = await stripe.paymentIntents.create({ ...card, metadata: { order_id: `o${order}` } });
      ids.unshift(id);
    }
    const listed: string[] = [];
    for await (const intent of stripe.paymentIntents.list({ limit: 2 })) listed.push(intent.id);
    expect(listed).toEqual(ids);
    const found = await stripe.paymentIntents.search({ query: "metadata['order_id']:'o3'" });
    expect(found.data.map(({ id }) => id)).toEqual([ids[1]]);
  });
});

describe('idempotency', () => {
  test('same key and parameters, in any order: the first answer, marked as such', async () => {
    const url = await openSandbox();
    const first = await post(url, '/v1/payment_intents', form, 'k1');
    expect(first.headers.get('idempotent-replayed')).toBeNull();
    const reordered = Object.fromEntries(Object.entries(form).reverse());
    const second = await post(url, '/v1/payment_intents', reordered, 'k1');
    expect(second.body).toEqual(first.body);
    expect(second.headers.get('idempotent-replayed')).toBe('true');
    expect(second.headers.get('original-request')).toBe(first.headers.get('request-id'));
  });

  test('the first answer stands, though the payment moved on', async () => {
    const url = await openSandbox();
    const authorized = await post(url, '/v1/payment_intents', { ...form, capture_method: 'manual' }, 'k1');
    await post(url, `/v1/payment_intents/${String(authorized.body['id'])}/capture`, {}, 'k2');
    const again = await post(url, '/v1/payment_intents', { ...form, capture_method: 'manual' }, 'k1');
    expect(again.body).toEqual(authorized.body);
  });

  test('same key, other parameters or other endpoint: an idempotency error', async () => {
    const url = await openSandbox();
    const { body } = await post(url, '/v1/payment_intents', form, 'k1');
    const error = { type: 'idempotency_error' };
    const other = { ...form, amount: '901' };
    expect(await post(url, '/v1/payment_intents', other, 'k1')).toMatchObject({
      status: 400,
      body: { error },
    });
    const elsewhere = await post(url, '/v1/refunds', { payment_intent: String(body['id']) }, 'k1');
    expect(elsewhere).toMatchObject({ status: 400, body: { error } });
  });

  test('same key while the first is under way: 409', async () => {
    const url = await openSandbox({ slowAnswerMs: 300 });
    const slow = { ...form, payment_method: 'pm_card_slow' };
    const answers = await Promise.all([1, 2, 3].map(() => post(url, '/v1/payment_intents', slow, 'k1')));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409]);
    expect((await post(url, '/v1/payment_intents', slow, 'k1')).status).toBe(200);
  });

  test('a refusal is remembered when it was acted upon, and not when it was turned away', async () => {
    const url = await openSandbox();
    const declined = { ...form, payment_method: 'pm_card_chargeDeclined' };
    expect((await post(url, '/v1/payment_intents', declined, 'k1')).status).toBe(402);
    const replayed = await post(url, '/v1/payment_intents', declined, 'k1');
    expect(replayed.headers.get('idempotent-replayed')).toBe('true');
    expect((await post(url, '/v1/payment_intents', { amount: '5' }, 'k2')).status).toBe(400);
    expect((await post(url, '/v1/payment_intents', form, 'k2')).status).toBe(200);
  });
});

describe('the summary', () => {
  test('counts and sums, and names every payment, in pages', async () => {
    const url = await openSandbox();
    const stripe = clientOf(url);
    const metadata = (order: string) => ({ metadata: { order_id: order } });
    await stripe.paymentIntents.create({ ...card, ...metadata('o1') });
    const second = await stripe.paymentIntents.create({ ...card, ...metadata('o2') });
    await stripe.refunds.create({ payment_intent: second.id });
    await stripe.paymentIntents.create({ ...card, ...metadata('o3'), capture_method: 'manual' });

    const page = async (query: string): Promise<SandboxSummary> =>
      (await (await fetch(`${url}/sandbox/summary?${query}`)).json()) as SandboxSummary;
    const first = await page('limit=2');
    expect(first).toMatchObject({
      intents: 3,
      intentsByStatus: { succeeded: 2, requires_capture: 1 },
      authorized: { eur: { count: 1, amount: 900 } },
      captured: { eur: { count: 2, amount: 1_800 } },
      refunded: { eur: { count: 1, amount: 900 } },
    });
    const rest = await page(`limit=2&after=${first.next}`);
    expect(rest.next).toBeUndefined();
    expect([...first.payments, ...rest.payments].map(({ orderId }) => orderId)).toEqual(['o1', 'o2', 'o3']);
  });
});

describe('a restart', () => {
  test('forgets neither payments nor keys, though the last line was torn', async () => {
    const dataDirectory = await mkdtemp(join(tmpdir(), 'sandbox-'));
    onTestFinished(() => rm(dataDirectory, { recursive: true }));
    const start = () => startSandbox({ host: '127.0.0.1', port: 0, dataDirectory });
    const summaryOf = async (url: string) => (await fetch(`${url}/sandbox/summary`)).json();

    const before = await start();
    const created = await post(before.url, '/v1/payment_intents', form, 'k1');
    await post(before.url, '/v1/refunds', { payment_intent: String(created.body['id']) }, 'k2');
    await post(
      before.url,
      '/v1/payment_intents',
      { ...form, payment_method: 'pm_card_chargeDeclined' },
      'k3',
    );
    const summary = await summaryOf(before.url);
    await before.close();
    await appendFile(join(dataDirectory, 'requests.jsonl'), '{"at":17000');

    for (let restart = 0; restart < 2; restart += 1) {
      const after = await start();
      expect(await summaryOf(after.url)).toEqual(summary);
      const replayed = await post(after.url, '/v1/payment_intents', form, 'k1');
      expect(replayed.body).toEqual(created.body);
      expect(replayed.headers.get('idempotent-replayed')).toBe('true');
      await after.close();
    }
  });
});
