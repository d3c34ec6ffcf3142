import type { OrderState, Outcome } from '../orders/order.ts';
import type { RecordedEvent } from '../orders/events.ts';
import { encodeJson } from './codec.ts';
import type { Listing } from './live-order.ts';

/**
 * Keys of the views' table:
 *   order!<id>                      the order's events
 *   time!<createdAt>!<id>           all orders by age
 *   state!<state>!<createdAt>!<id>  orders in one state by age
 *   open!<createdAt>!<id>           orders that somebody has to drive
 *   parked!<createdAt>!<id>         outcomes that the system of record refuses
 *   orphan!<at>!<id>                facts whose registration is not known, by the latest of them
 *   checkpoint                      per origin, the last journal entry contained
 */

export type TableOperation =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: string };

export const CHECKPOINT_KEY = 'checkpoint';
export const OUTCOMES: readonly Outcome[] = ['fulfilled', 'refunded', 'failed', 'cancelled'];
/** An order in one of these needs nothing any more. */
export const CLOSED: readonly OrderState[] = ['synced', 'discarded'];
export const STATES: readonly OrderState[] = ['registered', 'paid', 'reserved', ...OUTCOMES, ...CLOSED];
const EMPTY = new Uint8Array();

export function orderKey(orderId: string): string {
  return `order!${orderId}`;
}

/** Sorts by creation, then id; also what a page's cursor is. */
export function ageKey(createdAt: number, orderId: string): string {
  return `${String(createdAt).padStart(15, '0')}!${orderId}`;
}

/** Undefined when `key` is none of an order's row. */
export function orderIdOfKey(key: string): string | undefined {
  return key.startsWith('order!') ? key.slice('order!'.length) : undefined;
}

export function createdAtOfAge(age: string): number {
  return Number(age.slice(0, age.indexOf('!')));
}

export function orderIdOfAge(age: string): string {
  return age.slice(age.indexOf('!') + 1);
}

export function timePrefix(): string {
  return 'time!';
}

export function statePrefix(state: OrderState): string {
  return `state!${state}!`;
}

export function orphanPrefix(): string {
  return 'orphan!';
}

/** Everything under `prefix`. */
export function within(prefix: string): { readonly from: string; readonly to: string } {
  return { from: prefix, to: `${prefix}\uffff` };
}

export function parkedPrefix(): string {
  return 'parked!';
}

export function openPrefix(): string {
  return 'open!';
}

/** What brings the table from listing an order under `before` to `after`. */
export function writesOf(
  orderId: string,
  events: readonly RecordedEvent[],
  before: Listing | undefined,
  after: Listing | undefined,
): TableOperation[] {
  const old = new Set(keysOf(orderId, before));
  const now = new Set(keysOf(orderId, after));
  return [
    { kind: 'put', key: orderKey(orderId), value: encodeJson(events) },
    ...[...old.difference(now)].map((key) => ({ kind: 'delete', key }) as const),
    ...[...now.difference(old)].map((key) => ({ kind: 'put', key, value: EMPTY }) as const),
  ];
}

/** What takes an order out of the table that is listed under `listing`. */
export function deletesOf(orderId: string, listing: Listing): TableOperation[] {
  return [orderKey(orderId), ...keysOf(orderId, listing)].map((key) => ({ kind: 'delete', key }));
}

/** What takes everything out that may be there of an order, created at one of `ages`: its row cannot be read. */
export function deletesOfAny(orderId: string, ages: Iterable<number>): TableOperation[] {
  return [{ kind: 'delete', key: orderKey(orderId) }, ...listingsOfAny(orderId, ages)];
}

/** The same, but for the row itself. */
export function listingsOfAny(orderId: string, ages: Iterable<number>): TableOperation[] {
  const keys = new Set<string>();
  for (const at of ages) {
    for (const key of keysOf(orderId, { kind: 'orphan', at })) keys.add(key);
    for (const state of STATES)
      for (const key of keysOf(orderId, { kind: 'order', state, createdAt: at, open: true, parked: true }))
        keys.add(key);
  }
  return [...keys].map((key) => ({ kind: 'delete', key }));
}

export function keysOf(orderId: string, listing: Listing | undefined): readonly string[] {
  if (listing === undefined) return [];
  if (listing.kind === 'orphan') return [orphanPrefix() + ageKey(listing.at, orderId)];
  const age = ageKey(listing.createdAt, orderId);
  const keys = [timePrefix() + age, statePrefix(listing.state) + age];
  if (listing.open) keys.push(openPrefix() + age);
  if (listing.parked) keys.push(parkedPrefix() + age);
  return keys;
}
