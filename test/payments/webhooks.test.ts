import Stripe from 'stripe';
import { expect, test } from 'vitest';

import { openShopAt, webhookSecret } from './harness.ts';

const body = Buffer.from(
  JSON.stringify({
    id: 'evt_1',
    object: 'event',
    type: 'payment_intent.succeeded',
    data: { object: { id: 'pi_1', object: 'payment_intent', metadata: { order_id: 'o1', attempt: '2' } } },
  }),
);

function signed(options: { secret?: string; ageSeconds?: number } = {}): string {
  return Stripe.webhooks.generateTestHeaderString({
    payload: body.toString(),
    secret: options.secret ?? webhookSecret,
    timestamp: Math.floor(Date.now() / 1_000) - (options.ageSeconds ?? 0),
  });
}

test('an event is believed when its signature is good and young, and names its order', () => {
  const { provider } = openShopAt('http://127.0.0.1:9');
  const event = {
    eventId: 'evt_1',
    type: 'payment_intent.succeeded',
    orderId: 'o1',
    intent: 'pi_1',
    attempt: 2,
  };
  expect(provider.verifyWebhook(body, signed())).toEqual(event);
  expect(provider.verifyWebhook(body, signed({ ageSeconds: 290 }))).toEqual(event);
  expect(provider.verifyWebhook(body, signed({ ageSeconds: 310 }))).toBeUndefined();
  expect(provider.verifyWebhook(body, signed({ secret: 'whsec_other' }))).toBeUndefined();
  expect(provider.verifyWebhook(body, 'nonsense')).toBeUndefined();
  expect(provider.verifyWebhook(body, '')).toBeUndefined();
});

test('one changed byte makes it a forgery', () => {
  const { provider } = openShopAt('http://127.0.0.1:9');
  const forged = Buffer.from(body.toString().replace('"o1"', '"o2"'));
  expect(provider.verifyWebhook(forged, signed())).toBeUndefined();
});

test('what is signed but no event is nobody’s', () => {
  const { provider } = openShopAt('http://127.0.0.1:9');
  const payload = '{"id":"evt_1"}';
  const signature = Stripe.webhooks.generateTestHeaderString({ payload, secret: webhookSecret });
  expect(provider.verifyWebhook(Buffer.from(payload), signature)).toBeUndefined();
});

test('without a secret no event is believed', () => {
  const { provider } = openShopAt('http://127.0.0.1:9', { webhookSecret: '' });
  expect(provider.verifyWebhook(body, signed())).toBeUndefined();
});
