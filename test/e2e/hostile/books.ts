import type { Evidence } from '../support/checkers.ts';
import type { Cluster } from '../support/cluster.ts';
import { collectEvidence } from '../support/evidence.ts';
import type { PaymentRow } from '../support/sandbox-books.ts';

/** Everything that is written down anywhere about what was bought, down to the cent and the unit. */
export interface Books extends Evidence {
  readonly payments: readonly PaymentRow[];
  readonly sales: readonly SaleRow[];
}

/** An order in the shop's database. */
export interface SaleRow {
  readonly orderId: string;
  readonly outcome: string;
  readonly total: number;
  readonly currency: string;
  /** `P-01 x 2 @ 200`, in the order of the lines. */
  readonly lines: readonly string[];
  /** Rows of the audit trail. */
  readonly audited: number;
}

const salesQuery = `
  SELECT order_id, outcome, total_minor::float8 AS total, currency,
         (SELECT coalesce(json_agg(sku || ' x ' || quantity || ' @ ' || unit_price_minor ORDER BY line_number), '[]')
            FROM order_lines AS lines
           WHERE (lines.order_id, lines.revision) = (orders.order_id, orders.revision)) AS lines,
         (SELECT count(*)::int FROM audit_events AS audit
           WHERE (audit.order_id, audit.revision) = (orders.order_id, orders.revision)) AS audited
    FROM orders`;

export async function readBooks(cluster: Cluster): Promise<Books> {
  const evidence = await collectEvidence(cluster);
  const payments = await cluster.sandbox.payments();
  const rows = await cluster.query<Omit<SaleRow, 'orderId'> & { order_id: string }>(salesQuery);
  return {
    ...evidence,
    payments,
    sales: rows.map(({ order_id: orderId, ...sale }) => ({ orderId, ...sale })),
  };
}
