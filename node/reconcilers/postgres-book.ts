import type { BookedOrder, InventoryBook, Page, PageQuery, SystemOfRecordBook } from '../ports/books.ts';
import type { OrderLine } from '../orders/order.ts';
import type { Session, Transactions } from './transactions.ts';

/** Reads the system of record for the drift report: orders by age, and how the figures of the inventory came to be. */
interface OrderRow {
  readonly orderId: string;
  readonly createdAt: number;
  readonly outcome: string;
  readonly currency: string;
  readonly total: number;
  readonly lines: readonly OrderLine[];
}

/** Of each order its latest revision, with its lines. Times are whole milliseconds, as they were sent. */
const orderColumns = `
  order_id AS "orderId", round(extract(epoch FROM created_at) * 1000)::float8 AS "createdAt", outcome, currency,
  total_minor::float8 AS total,
  (SELECT coalesce(json_agg(json_build_object('sku', sku, 'quantity', quantity, 'unitPrice', unit_price_minor)
                            ORDER BY line_number), '[]')
     FROM order_lines AS lines
    WHERE lines.order_id = orders.order_id AND lines.revision = orders.revision) AS lines`;
const isLatest = `NOT EXISTS (
  SELECT FROM orders AS later WHERE later.order_id = orders.order_id AND later.revision > orders.revision)`;

export function createPostgresBook(transactions: Transactions): SystemOfRecordBook {
  const read = <Result>(work: (session: Session) => Promise<Result>): Promise<Result> =>
    transactions.run('READ COMMITTED', work);
  return {
    page: (query) => read((session) => readPage(session, query)),
    byIds: (orderIds) =>
      read((session) =>
        session.query<BookedOrder>(
          `SELECT ${orderColumns} FROM orders WHERE order_id = ANY ($1::text[]) AND ${isLatest}`,
          [orderIds],
        ),
      ),
    inventory: () =>
      read((session) =>
        session.query<InventoryBook>(
          `SELECT sku, coalesce(on_hand, 0) AS "onHand", coalesce(opening, 0)::float8 AS opening,
                  coalesce(changed, 0)::float8 AS changed, coalesce(sold, 0)::float8 AS sold
             FROM inventory
             FULL JOIN (SELECT sku,
                               sum(delta) FILTER (WHERE kind = 'opening') AS opening,
                               sum(delta) FILTER (WHERE kind <> 'opening') AS changed
                          FROM inventory_adjustments GROUP BY sku) AS adjusted USING (sku)
             FULL JOIN (SELECT sku, sum(quantity) AS sold
                          FROM order_lines JOIN orders USING (order_id, revision)
                         WHERE outcome = 'fulfilled' GROUP BY sku) AS sales USING (sku)
            ORDER BY sku`,
        ),
      ),
  };
}

/** A cursor is the time and the id of the last row, in the database's own precision. */
async function readPage(
  session: Session,
  { createdFrom, after, limit }: PageQuery,
): Promise<Page<BookedOrder>> {
  const [time, id] = after === undefined ? ['infinity', ''] : splitCursor(after);
  const found = await session.query<OrderRow & { readonly cursor: string }>(
    `SELECT ${orderColumns}, created_at::text AS cursor
       FROM orders
      WHERE created_at >= to_timestamp($1::float8 / 1000) AND (created_at, order_id) < ($2::timestamptz, $3)
        AND ${isLatest}
      ORDER BY created_at DESC, order_id DESC LIMIT $4`,
    [createdFrom, time, id, limit],
  );
  const rows = found.map(({ cursor: _, ...row }) => row);
  const last = found.at(-1);
  return found.length < limit || last === undefined
    ? { rows }
    : { rows, next: `${last.cursor}|${last.orderId}` };
}

function splitCursor(cursor: string): readonly [string, string] {
  const at = cursor.indexOf('|');
  return [cursor.slice(0, at), cursor.slice(at + 1)];
}
