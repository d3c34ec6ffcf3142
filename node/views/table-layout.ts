import type { OrderState } from '../orders/order.ts';
import type { RecordedEvent } from '../orders/events.ts';
import { encodeJson } from './codec.ts';
import type { Listing } from './live-orders.ts';

/**
 * Keys of the views' table:
 *   order!<id>                      the order's events
 *   time!<createdAt>!<id>           all orders by age
 *   state!<state>!<createdAt>!<id>  orders in one state by age
 *   open!<createdAt>!<id>           orders that somebody has to drive
 *   checkpoint                      per origin, the last journal entry contained
 */

export type TableOperation =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: string };

export const CHECKPOINT_KEY = 'checkpoint';
const EMPTY = new Uint8Array();

export function orderKey(orderId: string): string {
  return `order!${orderId}`;
}

/** Sorts by creation, then id; also what a page's cursor is. */
export function ageKey(createdAt: number, orderId: string): string {
  return `${String(createdAt).padStart(15, '0')}!${orderId}`;
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

/** Everything under `prefix`. */
export function within(prefix: string): { readonly from: string; readonly to: string } {
  return { from: prefix, to: `${prefix}\uffff` };
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

function keysOf(orderId: string, listing: Listing | undefined): readonly string[] {
  if (listing === undefined) return [];
  const age = ageKey(listing.createdAt, orderId);
  const keys = [timePrefix() + age, statePrefix(listing.state) + age];
  return listing.open ? [...keys, openPrefix() + age] : keys;
}
