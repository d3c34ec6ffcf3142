import type { OutcomeRecord } from '../ports/system-of-record.ts';
import { RefusedByDatabase } from './transactions.ts';
import type { Session, Transactions } from './transactions.ts';

/**
 * Applies outcomes: order, lines, inventory and audit trail in one transaction, a handful of statements however
 * large the batch (DESIGN.md, R1 to R5, R14). What the database refuses is found by halving the batch.
 */
export interface Applied {
  readonly applied: { readonly orderId: string; readonly revision: number }[];
  readonly parked: { readonly orderId: string; readonly reason: string }[];
}

/**
 * Each half is its own transaction, the older one first: when units run short, the older sale gets them. Rejects
 * with SystemOfRecordUnavailable at any point; what was committed before is found done when it is sent again.
 */
export async function applyOutcomes(
  transactions: Transactions,
  outcomes: readonly OutcomeRecord[],
): Promise<Applied> {
  const result: Applied = { applied: [], parked: [] };
  const waiting: (readonly OutcomeRecord[])[] = [outcomes];
  for (let batch = waiting.pop(); batch !== undefined; batch = waiting.pop()) {
    if (batch.length === 0) continue;
    try {
      await applyTogether(transactions, batch);
      for (const { order, revision } of batch) result.applied.push({ orderId: order.id, revision });
    } catch (error) {
      if (!(error instanceof RefusedByDatabase)) throw error;
      const [only, ...others] = batch;
      if (only !== undefined && others.length === 0) {
        result.parked.push({ orderId: only.order.id, reason: error.message });
      } else {
        const middle = Math.ceil(batch.length / 2);
        waiting.push(batch.slice(middle), batch.slice(0, middle));
      }
    }
  }
  return result;
}

async function applyTogether(transactions: Transactions, batch: readonly OutcomeRecord[]): Promise<void> {
  await transactions.run('READ COMMITTED', async (session) => {
    const inserted = await insertOrders(session, batch);
    if (inserted.length < batch.length) await refuseNamesakes(session, batch);
    if (inserted.length === 0) return;
    await takeFromInventory(session, inserted);
    await insertLines(session, inserted);
    await insertAuditTrail(session, inserted);
  });
}

/** R1. Gives those that were not there before, each once; the others were applied by an earlier sending. */
async function insertOrders(
  session: Session,
  batch: readonly OutcomeRecord[],
): Promise<readonly OutcomeRecord[]> {
  const orders = batch.map(({ order }) => order);
  const rows = await session.query<{ orderId: string; revision: number }>(
    `INSERT INTO orders (order_id, revision, outcome, state, reason, customer_id, customer_email, customer_name,
                         customer_address, currency, total_minor, created_at, ended_at)
     SELECT order_id, revision, outcome, state, reason, customer_id, customer_email, customer_name,
            customer_address, currency, total_minor, to_timestamp(created / 1000), to_timestamp(ended / 1000)
       FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                   $8::text[], $9::text[], $10::text[], $11::bigint[], $12::float8[], $13::float8[])
         AS sent (order_id, revision, outcome, state, reason, customer_id, customer_email, customer_name,
                  customer_address, currency, total_minor, created, ended)
     ON CONFLICT (order_id, revision) DO NOTHING
     RETURNING order_id AS "orderId", revision`,
    [
      orders.map((order) => order.id),
      batch.map(({ revision }) => revision),
      batch.map(({ outcome }) => outcome),
      orders.map((order) => order.state),
      orders.map((order) => order.reason ?? null),
      orders.map((order) => order.customer.id),
      orders.map((order) => order.customer.email),
      orders.map((order) => order.customer.name ?? null),
      orders.map((order) => order.customer.address ?? null),
      orders.map((order) => order.currency),
      orders.map((order) => order.total),
      orders.map((order) => order.createdAt),
      orders.map((order) => order.updatedAt),
    ],
  );
  const sent = new Map(batch.map((record) => [keyOf(record.order.id, record.revision), record]));
  return rows.flatMap(({ orderId, revision }) => sent.get(keyOf(orderId, revision)) ?? []);
}

/**
 * R14. An idempotency key that comes again after its order was forgotten makes a second order of the same id: what is
 * there is not this one, and must not be taken for it.
 */
async function refuseNamesakes(session: Session, batch: readonly OutcomeRecord[]): Promise<void> {
  const [namesake] = await session.query<{ orderId: string; createdAt: Date }>(
    `SELECT there.order_id AS "orderId", there.created_at AS "createdAt"
       FROM unnest($1::text[], $2::integer[], $3::float8[]) AS sent (order_id, revision, created)
       JOIN orders AS there USING (order_id, revision)
      WHERE there.created_at <> to_timestamp(sent.created / 1000)
      LIMIT 1`,
    [
      batch.map(({ order }) => order.id),
      batch.map(({ revision }) => revision),
      batch.map(({ order }) => order.createdAt),
    ],
  );
  if (namesake === undefined) return;
  const { orderId, createdAt } = namesake;
  const detail = `${orderId} is the id of another order, created at ${createdAt.toISOString()}: its key was used again`;
  throw new RefusedByDatabase('ORDER_ID_TAKEN', detail);
}

/** R2, R3. Only fulfilled orders took units; rows are locked in SKU order, so that two batches cannot deadlock. */
async function takeFromInventory(session: Session, inserted: readonly OutcomeRecord[]): Promise<void> {
  const wanted = new Map<string, number>();
  for (const { order, outcome } of inserted) {
    if (outcome !== 'fulfilled') continue;
    for (const { sku, quantity } of order.lines) wanted.set(sku, (wanted.get(sku) ?? 0) + quantity);
  }
  if (wanted.size === 0) return;
  const skus = [...wanted.keys()];
  const rows = await session.query<{ sku: string; onHand: number }>(
    `SELECT sku, on_hand AS "onHand" FROM inventory WHERE sku = ANY ($1::text[]) ORDER BY sku FOR UPDATE`,
    [skus],
  );
  const onHand = new Map(rows.map((row) => [row.sku, row.onHand]));
  for (const [sku, quantity] of wanted) {
    const units = onHand.get(sku);
    if (units === undefined) throw new RefusedByDatabase('UNKNOWN_SKU', `${sku} is not in the inventory`);
    if (units < quantity) {
      throw new RefusedByDatabase('ON_HAND_SHORT', `${sku}: ${quantity} sold, ${units} on hand`);
    }
  }
  // R15. The order is the record of this change.
  await session.query(`SELECT set_config('freehold.change', 'sale', true)`);
  await session.query(
    `UPDATE inventory SET on_hand = on_hand - sold.quantity
       FROM unnest($1::text[], $2::integer[]) AS sold (sku, quantity)
      WHERE inventory.sku = sold.sku`,
    [skus, [...wanted.values()]],
  );
}

async function insertLines(session: Session, inserted: readonly OutcomeRecord[]): Promise<void> {
  const lines = inserted.flatMap(({ order, revision }) =>
    order.lines.map((line, index) => ({ ...line, orderId: order.id, revision, number: index + 1 })),
  );
  if (lines.length === 0) return;
  await session.query(
    `INSERT INTO order_lines (order_id, revision, line_number, sku, quantity, unit_price_minor)
     SELECT * FROM unnest($1::text[], $2::integer[], $3::integer[], $4::text[], $5::integer[], $6::integer[])`,
    [
      lines.map((line) => line.orderId),
      lines.map((line) => line.revision),
      lines.map((line) => line.number),
      lines.map((line) => line.sku),
      lines.map((line) => line.quantity),
      lines.map((line) => line.unitPrice),
    ],
  );
}

async function insertAuditTrail(session: Session, inserted: readonly OutcomeRecord[]): Promise<void> {
  const events = inserted.flatMap(({ order, revision, events: trail }) =>
    trail.map((event) => ({ ...event, orderId: order.id, revision })),
  );
  if (events.length === 0) return;
  await session.query(
    `INSERT INTO audit_events (order_id, revision, event_id, type, at, node)
     SELECT order_id, revision, event_id, type, to_timestamp(at / 1000), node
       FROM unnest($1::text[], $2::integer[], $3::text[], $4::text[], $5::float8[], $6::text[])
         AS sent (order_id, revision, event_id, type, at, node)
     ON CONFLICT DO NOTHING`,
    [
      events.map((event) => event.orderId),
      events.map((event) => event.revision),
      events.map((event) => event.id),
      events.map((event) => event.type),
      events.map((event) => event.at),
      events.map((event) => event.node),
    ],
  );
}

function keyOf(orderId: string, revision: number): string {
  return `${revision} ${orderId}`;
}
