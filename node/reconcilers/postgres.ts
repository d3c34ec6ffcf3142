import type { Environment } from '../../store/environment.ts';
import type { SystemOfRecordBook } from '../ports/books.ts';
import type { StockAdjustments } from '../ports/stock-adjustments.ts';
import type { SystemOfRecord } from '../ports/system-of-record.ts';
import { adjustInventory } from './adjustments.ts';
import type { CatalogProduct } from './catalog.ts';
import { readInventory } from './inventory.ts';
import { migrate } from './migrations.ts';
import { createPostgresBook } from './postgres-book.ts';
import { applyOutcomes } from './outcomes.ts';
import type { Session } from './transactions.ts';
import { Transactions } from './transactions.ts';

/** The system of record in PostgreSQL 14 or later, or in PGlite behind its socket server. */
export interface PostgresOptions {
  /** `postgres://user:password@host:port/database`, with `?sslmode=…` where wanted. */
  readonly url: string;
  /** Longest a single statement may take. Default 10,000 ms. */
  readonly statementTimeoutMs?: number;
  /** Longest to wait for a connection. Default 3,000 ms. */
  readonly connectTimeoutMs?: number;
  /** Connections kept at most. Default 4: one run of each reconciler, and room for commands. */
  readonly poolMax?: number;
}

export interface PostgresSystemOfRecord extends SystemOfRecord, StockAdjustments {
  /** For the drift report. */
  readonly book: SystemOfRecordBook;
  /**
   * Fills an empty catalogue; one that has any product is left alone, so every node may do it at once. Answers
   * how many products were put in. Rejects with RefusedByDatabase when a row breaks a rule of the schema.
   */
  fillCatalog(products: readonly CatalogProduct[]): Promise<number>;
}

export function createPostgres(
  options: PostgresOptions,
  dependencies: { readonly environment: Pick<Environment, 'clock' | 'random' | 'log'> },
): PostgresSystemOfRecord {
  const { environment } = dependencies;
  const { url, statementTimeoutMs = 10_000, connectTimeoutMs = 3_000, poolMax = 4 } = options;
  const transactions = new Transactions(
    { url, statementTimeoutMs, connectTimeoutMs, poolMax },
    { environment },
  );
  return {
    migrate: () => migrate(transactions, environment.log),
    productCount: () => transactions.run('READ COMMITTED', countProducts),
    readInventory: (unappliedSales) => readInventory(transactions, unappliedSales),
    applyOutcomes: (outcomes) => applyOutcomes(transactions, outcomes),
    adjust: (adjustment, deadline) => adjustInventory(transactions, adjustment, deadline),
    book: createPostgresBook(transactions),
    fillCatalog: (products) =>
      transactions.run('READ COMMITTED', async (session) => {
        await session.query('LOCK TABLE products IN SHARE ROW EXCLUSIVE MODE');
        if ((await countProducts(session)) > 0) return 0;
        const skus = products.map((product) => product.sku);
        await session.query(
          `INSERT INTO products (sku, name, price_minor, currency, hold_seconds, max_per_order)
           SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::integer[], $6::integer[])`,
          [
            skus,
            products.map((product) => product.name),
            products.map((product) => product.unitPrice),
            products.map((product) => product.currency),
            products.map((product) => product.holdSeconds ?? null),
            products.map((product) => product.maxPerOrder ?? null),
          ],
        );
        const units = products.map((product) => product.onHand);
        // R15, all rows at once.
        await session.query(`SELECT set_config('freehold.change', 'recorded', true)`);
        await session.query(
          'INSERT INTO inventory (sku, on_hand) SELECT * FROM unnest($1::text[], $2::integer[])',
          [skus, units],
        );
        await session.query(
          `INSERT INTO inventory_adjustments (sku, kind, delta, reason)
           SELECT sku, 'opening', units, 'catalogue file'
             FROM unnest($1::text[], $2::integer[]) AS filled (sku, units) WHERE units <> 0`,
          [skus, units],
        );
        return products.length;
      }),
    close: () => transactions.close(),
  };
}

async function countProducts(session: Session): Promise<number> {
  const [row] = await session.query<{ count: number }>('SELECT count(*)::integer AS count FROM products');
  return row?.count ?? 0;
}
