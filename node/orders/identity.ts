import { createHash } from 'node:crypto';
import type { OrderRequest } from './order.ts';

/**
 * Names derived from what the client sent: the same request has the same order id and fingerprint on every
 * node, which is what makes a retry at another node find the order it made.
 */

/** `ord_` and 26 base-32 characters (130 bits) of SHA-256 over the idempotency key. */
export function orderIdOf(idempotencyKey: string): string {
  return `ord_${base32(createHash('sha256').update('order\0').update(idempotencyKey, 'utf8').digest()).slice(0, 26)}`;
}

/**
 * Hash of what was asked for, independent of property order and of the order of lines. Two requests with one
 * idempotency key and different fingerprints are a client's mistake.
 */
export function fingerprintOf(asked: OrderRequest): string {
  const { customer } = asked;
  const lines = asked.lines
    .map((line) => [line.sku, line.quantity] as const)
    .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const canonical = JSON.stringify([
    [customer.id, customer.email, customer.name ?? null, customer.address ?? null],
    asked.currency,
    lines,
    asked.payment.method,
    ...(asked.payment.returnUrl === undefined ? [] : [asked.payment.returnUrl]),
  ]);
  return base32(createHash('sha256').update(canonical, 'utf8').digest()).slice(0, 26);
}

/** RFC 4648 base 32 in lower case, without padding. */
function base32(bytes: Uint8Array): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let text = '';
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += alphabet.charAt((buffer >>> bits) & 31);
    }
    buffer &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + alphabet.charAt((buffer << (5 - bits)) & 31);
}
