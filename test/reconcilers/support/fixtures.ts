import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Order, OrderLine, Outcome } from '../../../node/orders/order.ts';
import type { OutcomeRecord } from '../../../node/ports/system-of-record.ts';
import { startEmbeddedSystemOfRecord } from '../../../node/reconcilers/embedded.ts';
import { createHttpSystemOfRecord } from '../../../node/reconcilers/http-system-of-record.ts';
import type { HttpSystemOfRecord } from '../../../node/reconcilers/http-system-of-record.ts';
import { createPostgres } from '../../../node/reconcilers/postgres.ts';
import type { PostgresSystemOfRecord } from '../../../node/reconcilers/postgres.ts';
import type { Clock } from '../../../store/environment.ts';
import { testEnvironment } from '../../support/environment.ts';
import { HttpSystemOfRecordServer, referenceToken } from '../../support/http-system-of-record.ts';
import { PostgresServer } from '../../support/postgres-server.ts';

/** What a node is given, of either kind. */
export type Client = PostgresSystemOfRecord | HttpSystemOfRecord;

export interface Database {
  readonly url: string;
  /** A client of the system of record that stands before it; absent where the database itself is spoken to. */
  readonly connect?: () => HttpSystemOfRecord;
  close(): Promise<void>;
}

/** Everything that the adapter promises must hold on both. */
export const databases: readonly { readonly name: string; readonly start: () => Promise<Database> }[] = [
  { name: 'PostgreSQL', start: () => PostgresServer.start() },
  { name: 'PGlite', start: startPGlite },
];

async function startPGlite(): Promise<Database> {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'freehold-pglite-'));
  const embedded = await startEmbeddedSystemOfRecord({ dataDirectory, host: '127.0.0.1', port: 0 });
  return {
    url: embedded.url,
    close: async () => {
      await embedded.close();
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

/** The third kind: the reference of the HTTP contract, small pages, over PGlite. */
export const overHttp = {
  name: 'HTTP',
  start: async (): Promise<Database> => {
    const database = await startPGlite();
    const server = await HttpSystemOfRecordServer.start(
      createPostgres({ url: database.url }, { environment: realEnvironment() }),
    );
    return {
      url: database.url,
      connect: () =>
        createHttpSystemOfRecord(
          { url: server.url, token: referenceToken, pageSize: 1 },
          { environment: realEnvironment() },
        ),
      close: async () => {
        await server.close();
        await database.close();
      },
    };
  },
};

/** The machine's clock: the database's waits are real. */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

export function realEnvironment(): ReturnType<typeof testEnvironment> {
  return testEnvironment({ clock: realClock, random: () => 0.5 });
}

/** A connection beside the adapter's, as the shop's own programs have. */
export async function sql<Row = Record<string, unknown>>(
  url: string,
  text: string,
  values?: readonly unknown[],
): Promise<readonly Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row & pg.QueryResultRow>(text, values === undefined ? undefined : [...values]))
      .rows;
  } finally {
    await client.end();
  }
}

export async function emptyDatabase(url: string): Promise<void> {
  await sql(url, 'DROP SCHEMA IF EXISTS freehold CASCADE; DROP SCHEMA public CASCADE; CREATE SCHEMA public');
}

export async function onHand(url: string): Promise<Readonly<Record<string, number>>> {
  const rows = await sql<{ sku: string; on_hand: number }>(url, 'SELECT sku, on_hand FROM inventory');
  return Object.fromEntries(rows.map((row) => [row.sku, row.on_hand]));
}

/** opening + restocked + adjusted − on hand − applied sales, of each SKU for which that is not 0. */
export async function unexplained(url: string): Promise<Readonly<Record<string, number>>> {
  const rows = await sql<{ sku: string; units: number }>(
    url,
    `SELECT sku, sum(units)::integer AS units
       FROM (SELECT sku, delta AS units FROM inventory_adjustments
             UNION ALL SELECT sku, -on_hand FROM inventory
             UNION ALL SELECT sku, -quantity FROM order_lines JOIN orders USING (order_id, revision)
                        WHERE outcome = 'fulfilled') AS counted
      GROUP BY sku HAVING sum(units) <> 0`,
  );
  return Object.fromEntries(rows.map((row) => [row.sku, row.units]));
}

export function product(sku: string, units: number, unitPrice = 500) {
  return { sku, name: `Product ${sku}`, unitPrice, currency: 'EUR', onHand: units };
}

export function outcomeOf(
  id: string,
  units: Readonly<Record<string, number>>,
  options: { readonly outcome?: Outcome; readonly revision?: number; readonly endedAt?: number } = {},
): OutcomeRecord {
  const { outcome = 'fulfilled', revision = 1, endedAt = 1_700_000_002_000 } = options;
  const lines: OrderLine[] = Object.entries(units).map(([sku, quantity]) => ({
    sku,
    quantity,
    unitPrice: 500,
  }));
  const order: Order = {
    id,
    state: outcome,
    outcome,
    createdAt: 1_700_000_000_000,
    updatedAt: endedAt,
    customer: { id: 'c1', email: 'ada@shop.example', name: 'Ada "the" L\\ovelace, née Byron' },
    currency: 'EUR',
    total: lines.reduce((sum, line) => sum + line.quantity * line.unitPrice, 0),
    lines,
    capture: 'after-reserve',
    payment: { method: 'card', status: 'captured' },
    cancelRequested: false,
    home: 'n1',
    registration: 'n1:1',
    fingerprint: 'f',
  };
  const events = [
    { id: `n1:${id}:1`, type: 'registered', at: 1_700_000_000_000, node: 'n1' },
    { id: `n1:${id}:2`, type: outcome, at: endedAt, node: 'n1' },
  ];
  return { order, outcome, revision, events };
}
