import type { OrderState } from '../orders/order.ts';
import type { RecordedEvent } from '../orders/events.ts';
import { encodeJson } from './codec.ts';
import type { Listing } from './live-orders.ts';

/**
 * Keys of the views' table:
 *   order!<id>                      the order's events
 *   time!<createdAt>!<id>           all orders by age
 *   state!<state>!<createdAt>!<id>  orders in one state by age
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

export const AGE_PATTERN = /^\d{15}!ord_[a-z2-7]{26}$/;

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

/** What brings the table from listing an order under `before` to `after`. */
export function writesOf(
  orderId: string,
  events: readonly RecordedEvent[],
  before: Listing | undefined,
  after: Listing | undefined,
): TableOperation[] {
  const operations: TableOperation[] = [{ kind: 'put', key: orderKey(orderId), value: encodeJson(events) }];
  if (before !== undefined && (before.state !== after?.state || before.createdAt !== after.createdAt)) {
    const age = ageKey(before.createdAt, orderId);
    operations.push({ kind: 'delete', key: statePrefix(before.state) + age });
    if (before.createdAt !== after?.createdAt) operations.push({ kind: 'delete', key: timePrefix() + age });
  }
  if (after !== undefined && (before?.state !== after.state || before.createdAt !== after.createdAt)) {
    const age = ageKey(after.createdAt, orderId);
    operations.push({ kind: 'put', key: statePrefix(after.state) + age, value: EMPTY });
    if (before?.createdAt !== after.createdAt) {
      operations.push({ kind: 'put', key: timePrefix() + age, value: EMPTY });
    }
  }
  return operations;
}
