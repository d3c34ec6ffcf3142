import { createHash } from 'node:crypto';

/**
 * Form-encoded parameters, the way Stripe takes them: nested names stay flat, as `metadata[order_id]`.
 * Names appear once each; of a repeated one the last wins.
 */
export type Form = ReadonlyMap<string, string>;

export function parseForm(encoded: string): Form {
  return new Map(new URLSearchParams(encoded));
}

/** `metadata[a]=1&metadata[b]=2` → `{a: '1', b: '2'}`. */
export function nested(form: Form, name: string): Readonly<Record<string, string>> {
  const members: [string, string][] = [];
  const prefix = `${name}[`;
  for (const [key, value] of form) {
    if (key.startsWith(prefix) && key.endsWith(']')) members.push([key.slice(prefix.length, -1), value]);
  }
  return Object.fromEntries(members);
}

/**
 * What two requests must agree on to be the same request. The order of parameters is not part of it. A digest:
 * one is kept for every key.
 */
export function fingerprintOf(path: string, form: Form): string {
  const sorted = JSON.stringify([...form].sort(([left], [right]) => (left < right ? -1 : 1)));
  return createHash('sha256').update(path).update(sorted).digest('base64url');
}
