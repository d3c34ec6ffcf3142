import type { BookedOrder, InventoryBook, Page, PageQuery, SystemOfRecordBook } from '../ports/books.ts';
import { NotSupportedBySystemOfRecord, SystemOfRecordUnavailable } from '../ports/system-of-record.ts';
import type { HttpLine } from './http-line.ts';
import { healthAnswer, inventoryPage, ordersAnswer, ordersPage } from './http-wire.ts';
import type { Offer } from './http-wire.ts';

/**
 * The books of a service over HTTP, as the drift report reads them, where it offers them (DESIGN.md, "Over HTTP"). What is
 * not as agreed is an outage: the report says nothing rather than something wrong (D12).
 *
 *   K1  Orders come newest first, over all pages: an older one between newer ones would be taken for a missing one.
 *   K2  The inventory is one snapshot: pages that differ in `takenAt` are not put together.
 *   K3  Every read ends: a page that goes on has rows, and rows are bounded.
 */
const idsPerQuestion = 1_000;
const rowsMax = 1_000_000;

/** Rejects with NotSupportedBySystemOfRecord where the service does not say that it offers it. */
export async function needOffer(line: HttpLine, offer: Offer): Promise<void> {
  const { offers } = await line.ask('/health', healthAnswer);
  if (offers.includes(offer)) return;
  throw new NotSupportedBySystemOfRecord(
    `the system of record does not offer this: its /health does not list ${offer} among its offers`,
  );
}

export function createHttpBook(
  options: { readonly pageSize: number },
  { line }: { readonly line: HttpLine },
): SystemOfRecordBook {
  return {
    async page(query) {
      // Asked once for each reading of the book.
      if (query.after === undefined) await needOffer(line, 'books');
      return readPage(line, query);
    },
    byIds: (orderIds) => readByIds(line, orderIds),
    async inventory() {
      await needOffer(line, 'books');
      return readInventoryBook(line, options.pageSize);
    },
  };
}

/** Our cursor is theirs, behind the time of the row that it follows (K1). */
async function readPage(
  line: HttpLine,
  { createdFrom, after, limit }: PageQuery,
): Promise<Page<BookedOrder>> {
  const split = after?.indexOf('|') ?? -1;
  const theirs = after === undefined ? '' : `&after=${encodeURIComponent(after.slice(split + 1))}`;
  let newest = after === undefined ? Infinity : Number(after.slice(0, split));
  const path = `/orders?createdFrom=${createdFrom}&limit=${limit}${theirs}`;
  const { orders: rows, next } = await line.ask(path, ordersPage);
  for (const { createdAt } of rows) {
    if (createdAt > newest || createdAt < createdFrom)
      throw new SystemOfRecordUnavailable('its orders are not newest first');
    newest = createdAt;
  }
  if (next === undefined) return { rows };
  if (rows.length === 0)
    throw new SystemOfRecordUnavailable('a page of its orders is empty, and not the last');
  return { rows, next: `${newest}|${next}` };
}

async function readByIds(line: HttpLine, orderIds: readonly string[]): Promise<readonly BookedOrder[]> {
  const found: BookedOrder[] = [];
  for (let from = 0; from < orderIds.length; from += idsPerQuestion) {
    const asked = orderIds.slice(from, from + idsPerQuestion);
    const wanted = new Set(asked);
    const { orders } = await line.ask('/orders/lookup', ordersAnswer, { orderIds: asked });
    for (const order of orders) {
      if (!wanted.delete(order.orderId))
        throw new SystemOfRecordUnavailable('its orders are not those that were asked for');
      found.push(order);
    }
  }
  return found;
}

async function readInventoryBook(line: HttpLine, pageSize: number): Promise<readonly InventoryBook[]> {
  const rows: InventoryBook[] = [];
  let takenAt: number | undefined;
  let next: string | undefined;
  do {
    const after = next === undefined ? '' : `&after=${encodeURIComponent(next)}`;
    const page = await line.ask(`/inventory?limit=${pageSize}${after}`, inventoryPage);
    takenAt ??= page.takenAt;
    if (page.takenAt !== takenAt) throw new SystemOfRecordUnavailable('its pages are of two snapshots');
    for (const row of page.inventory) rows.push(row);
    ({ next } = page);
    if (next !== undefined && (page.inventory.length === 0 || rows.length > rowsMax))
      throw new SystemOfRecordUnavailable('the book of its inventory does not end');
  } while (next !== undefined);
  return rows;
}
