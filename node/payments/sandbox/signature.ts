import { createHmac } from 'node:crypto';

/** Stripe's `Stripe-Signature`: HMAC-SHA256 over the time of sending, in seconds, and the body as it is sent. */
export function signatureOf(body: string, options: { readonly secret: string; readonly at: number }): string {
  const seconds = Math.floor(options.at / 1_000);
  const digest = createHmac('sha256', options.secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${digest}`;
}
