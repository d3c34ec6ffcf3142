import type { InventorySnapshot } from '../ports/system-of-record.ts';
import type { Session, Transactions } from './transactions.ts';

/**
 * Reads catalogue, inventory and applied sales in one database snapshot, so that every sale is either in
 * `onHand` and among `applied`, or in neither (DESIGN.md, R6 and R7).
 */
const idsPerStatement = 10_000;
/** Sales applied lately are told unasked: they may have been committed while the question was on its way. */
const recently = '10 minutes';
const recentMax = 50_000;

export function readInventory(
  transactions: Transactions,
  unappliedSales: readonly string[],
): Promise<InventorySnapshot> {
  return transactions.run('REPEATABLE READ', async (session) => {
    const takenAt = await numberRead(session);
    const rows = await session.query<ProductColumns>(
      `SELECT p.sku, p.name, p.price_minor AS "unitPrice", p.currency, coalesce(i.on_hand, 0) AS "onHand",
              p.hold_seconds AS "holdSeconds", p.max_per_order AS "maxPerOrder"
         FROM products p LEFT JOIN inventory i USING (sku)
        ORDER BY p.sku`,
    );
    const applied = new Set(await recentlyApplied(session));
    for (let from = 0; from < unappliedSales.length; from += idsPerStatement) {
      const asked = unappliedSales.slice(from, from + idsPerStatement);
      for (const orderId of await appliedAmong(session, asked)) applied.add(orderId);
    }
    return { takenAt, products: rows.map(productOf), applied: [...applied] };
  });
}

interface ProductColumns extends Omit<InventorySnapshot['products'][number], 'holdMs' | 'maxPerOrder'> {
  readonly holdSeconds: number | null;
  readonly maxPerOrder: number | null;
}

function productOf({
  holdSeconds,
  maxPerOrder,
  ...product
}: ProductColumns): InventorySnapshot['products'][number] {
  return {
    ...product,
    ...(holdSeconds === null ? {} : { holdMs: holdSeconds * 1_000 }),
    ...(maxPerOrder === null ? {} : { maxPerOrder }),
  };
}

/**
 * R7. LOCK TABLE takes no snapshot, the statement after it does: reads never overlap, and their numbers rise in
 * the order of their snapshots. The number is the database's clock, unless that was set back.
 */
async function numberRead(session: Session): Promise<number> {
  await session.query('LOCK TABLE freehold.inventory_reads IN EXCLUSIVE MODE');
  const [row] = await session.query<{ takenAt: number }>(
    `UPDATE freehold.inventory_reads
        SET taken_at_ms = greatest(taken_at_ms + 1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
     RETURNING taken_at_ms::float8 AS "takenAt"`,
  );
  if (row === undefined) throw new Error('freehold.inventory_reads has lost its row');
  return row.takenAt;
}

async function recentlyApplied(session: Session): Promise<readonly string[]> {
  const rows = await session.query<{ orderId: string }>(
    `SELECT order_id AS "orderId" FROM orders
      WHERE outcome = 'fulfilled' AND applied_at > clock_timestamp() - interval '${recently}'
      ORDER BY applied_at DESC LIMIT ${recentMax}`,
  );
  return rows.map((row) => row.orderId);
}

async function appliedAmong(session: Session, orderIds: readonly string[]): Promise<readonly string[]> {
  const rows = await session.query<{ orderId: string }>(
    `SELECT order_id AS "orderId" FROM orders WHERE outcome = 'fulfilled' AND order_id = ANY ($1::text[])`,
    [orderIds],
  );
  return rows.map((row) => row.orderId);
}
