import Stripe from 'stripe';

import type { Clock } from '../../store/environment.ts';
import type { PaymentMessage, PaymentProvider } from '../ports/payments.ts';

/**
 * Webhooks of Stripe: whether one is Stripe's, and what it is about. The signature covers the bytes as they came, and
 * how old they may be. Of what is in it, only names are taken.
 */
const toleranceSeconds = 300;

/** Without a secret, nothing is Stripe's. */
export function createWebhookCheck(
  options: { readonly secret?: string },
  { clock }: { readonly clock: Clock },
): PaymentProvider['verifyWebhook'] {
  const { secret } = options;
  return (rawBody, signature) => {
    if (secret === undefined) return undefined;
    try {
      const event = Stripe.webhooks.constructEvent(
        rawBody,
        signature,
        secret,
        toleranceSeconds,
        undefined,
        clock.now(),
      );
      return messageOf(event);
    } catch {
      return undefined;
    }
  };
}

/** Events about a payment, its charge or a refund of it; the last two name the payment they belong to. */
function messageOf({ id: eventId, type, data }: Stripe.Event): PaymentMessage {
  const subject = data.object as {
    readonly object?: string;
    readonly id?: string;
    readonly payment_intent?: unknown;
    readonly metadata?: Readonly<Record<string, unknown>> | null;
  };
  const orderId = subject.metadata?.['order_id'];
  const attempt = Number(subject.metadata?.['attempt']);
  const intent = subject.object === 'payment_intent' ? subject.id : subject.payment_intent;
  return {
    eventId,
    type,
    ...(typeof orderId === 'string' ? { orderId } : {}),
    ...(typeof intent === 'string' ? { intent } : {}),
    ...(Number.isSafeInteger(attempt) && attempt > 0 ? { attempt } : {}),
  };
}
