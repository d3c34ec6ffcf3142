import type { Bank } from './bank.ts';
import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import { intentObject, listObject, refundObject } from './wire.ts';
import type { View } from './wire.ts';

/**
 * Stripe's lists: newest first, in pages, from an object on, between two times. A page costs what is in it, however
 * many payments there are: both kinds stand in the order in which they were made.
 */
export type Query = Readonly<Record<string, string | undefined>>;

interface Listed {
  readonly position: number;
  /** Seconds. */
  readonly created: number;
}

const pageSizeUsual = 10;
const pageSizeMax = 100;

export type Listing =
  { readonly kind: 'list'; readonly list: unknown } | { readonly kind: 'failed'; readonly failure: Failure };

export function listIntents(bank: Bank, query: Query, view: View): Listing {
  const page = pageOf(query, {
    count: bank.intentCount,
    at: (position) => bank.intentAt(position),
    find: (id) => bank.intent(id),
  });
  if (page === undefined) return missing(failures.noSuchIntent, query);
  const data = page.items.map((intent) => intentObject(intent, view));
  return { kind: 'list', list: listObject(data, '/v1/payment_intents', page.hasMore) };
}

export function listRefunds(bank: Bank, query: Query): Listing {
  const url = '/v1/refunds';
  const intentId = query['payment_intent'];
  if (intentId !== undefined) {
    const refunds = bank.intent(intentId)?.charge?.refunds ?? [];
    return { kind: 'list', list: listObject(refunds.map(refundObject).reverse(), url) };
  }
  const page = pageOf(query, {
    count: bank.refundCount,
    at: (position) => bank.refundAt(position),
    find: (id) => bank.refund(id),
  });
  if (page === undefined) return missing(failures.noSuchRefund, query);
  return { kind: 'list', list: listObject(page.items.map(refundObject), url, page.hasMore) };
}

function missing(failure: (id: string) => Failure, query: Query): Listing {
  return { kind: 'failed', failure: failure(query['starting_after'] ?? '') };
}

/** Undefined when there is no such object to start after. */
function pageOf<Item extends Listed>(
  query: Query,
  all: {
    readonly count: number;
    readonly at: (position: number) => Item;
    readonly find: (id: string) => Item | undefined;
  },
): { readonly items: readonly Item[]; readonly hasMore: boolean } | undefined {
  const after = query['starting_after'];
  let position = all.count - 1;
  if (after !== undefined) {
    const last = all.find(after);
    if (last === undefined) return undefined;
    position = last.position - 1;
  }
  const before = secondsIn(query, 'created[lt]') ?? (secondsIn(query, 'created[lte]') ?? Infinity) + 1;
  const from = secondsIn(query, 'created[gte]') ?? (secondsIn(query, 'created[gt]') ?? -Infinity) + 1;
  position = Math.min(position, firstNotBefore(before, all) - 1);

  const size = pageSize(query['limit'], pageSizeUsual, pageSizeMax);
  const items: Item[] = [];
  for (; position >= 0 && all.at(position).created >= from; position -= 1) {
    if (items.length === size) return { items, hasMore: true };
    items.push(all.at(position));
  }
  return { items, hasMore: false };
}

/** The lowest position that was created at `seconds` or later. */
function firstNotBefore(
  seconds: number,
  all: { readonly count: number; readonly at: (position: number) => Listed },
): number {
  let low = 0;
  let high = all.count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (all.at(middle).created < seconds) low = middle + 1;
    else high = middle;
  }
  return low;
}

function secondsIn(query: Query, name: string): number | undefined {
  const text = query[name];
  return text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) : undefined;
}

export function pageSize(asked: string | undefined, usual: number, most: number): number {
  const size = Number(asked ?? usual);
  return Number.isInteger(size) && size >= 1 ? Math.min(size, most) : usual;
}
