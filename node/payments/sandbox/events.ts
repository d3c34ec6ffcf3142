import { createHash } from 'node:crypto';

import type { Change } from './bank.ts';
import { chargeObject, intentObject, refundObject } from './wire.ts';

/** What Stripe tells a shop when a payment changes. */
export interface SandboxEvent {
  readonly id: string;
  readonly type: string;
  /** The payment that it is about. */
  readonly intentId: string;
  /** ms. */
  readonly at: number;
  /** JSON as it is sent; the signature covers these bytes. */
  readonly body: string;
}

/** One change may be several events. `number` counts changes; with `seed` it makes the ids. */
export function eventsOf(
  change: Change,
  options: { readonly seed: string; readonly number: number; readonly origin: string },
): readonly SandboxEvent[] {
  const { at, intent } = change;
  return aboutOf(change, options.origin).map(({ type, object }) => {
    const digest = createHash('sha1').update(`${options.seed}:event:${options.number}:${type}`).digest('hex');
    const id = `evt_${digest.slice(0, 24)}`;
    const body = JSON.stringify({
      id,
      object: 'event',
      created: Math.floor(at / 1_000),
      data: { object },
      livemode: false,
      pending_webhooks: 1,
      request: { id: null, idempotency_key: null },
      type,
    });
    return { id, type, intentId: intent.id, at, body };
  });
}

function aboutOf(
  { what, intent, refund }: Change,
  origin: string,
): readonly { readonly type: string; readonly object: unknown }[] {
  if (refund === undefined) {
    const type = what === 'created' ? 'created' : typeOfStatus[intent.status];
    const object = intentObject(intent, { expand: new Set(), origin });
    return type === undefined ? [] : [{ type: `payment_intent.${type}`, object }];
  }
  const object = refundObject(refund);
  const failed = refund.status === 'failed' ? [{ type: 'refund.failed', object }] : [];
  if (what === 'refundChanged') return [{ type: 'refund.updated', object }, ...failed];
  const charges =
    intent.charge === undefined
      ? []
      : [{ type: 'charge.refunded', object: chargeObject(intent.charge, intent, false) }];
  return [...charges, { type: 'refund.created', object }, ...failed];
}

const typeOfStatus = {
  requires_payment_method: 'payment_failed',
  requires_confirmation: undefined,
  requires_action: 'requires_action',
  processing: 'processing',
  requires_capture: 'amount_capturable_updated',
  succeeded: 'succeeded',
  canceled: 'canceled',
} as const;
