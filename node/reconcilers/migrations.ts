import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { Log } from '../../store/environment.ts';
import type { Transactions } from './transactions.ts';

/**
 * Brings the schema up to date: numbered SQL files, each applied once, in order, all in one transaction under a
 * lock, so that any number of nodes may do it at once. A file that was applied is never edited; its checksum
 * is kept to notice. A database that is ahead of this program is left alone: nodes are upgraded one by one.
 */
const migrationsFolder = new URL('./migrations/', import.meta.url);
/** Arbitrary, but the same in every version: whoever migrates this database takes this lock. */
const advisoryLockKey = 7_023_614_907;

interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

/** The migrations are not those that this database was built with. Somebody must look. */
export class MigrationError extends Error {
  readonly code = 'MIGRATION_REFUSED';
  constructor(detail: string) {
    super(`MIGRATION_REFUSED: ${detail}`);
    this.name = 'MigrationError';
  }
}

export async function migrate(transactions: Transactions, log: Log): Promise<void> {
  const migrations = await readMigrations();
  await transactions.run('READ COMMITTED', async (session) => {
    await session.query(`SELECT pg_advisory_xact_lock(${advisoryLockKey})`);
    await session.query('CREATE SCHEMA IF NOT EXISTS freehold');
    await session.query(
      `CREATE TABLE IF NOT EXISTS freehold.schema_migrations (
         version integer PRIMARY KEY,
         name text NOT NULL,
         checksum text NOT NULL,
         applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
       )`,
    );
    const rows = await session.query<{ version: number; checksum: string }>(
      'SELECT version, checksum FROM freehold.schema_migrations',
    );
    const applied = new Map(rows.map((row) => [row.version, row.checksum]));
    for (const { version, name, sql, checksum } of migrations) {
      const known = applied.get(version);
      if (known !== undefined) {
        if (known !== checksum) throw new MigrationError(`${name} was changed after it had been applied`);
        continue;
      }
      await session.query(sql);
      await session.query(
        'INSERT INTO freehold.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)',
        [version, name, checksum],
      );
      log.info({ migration: name }, 'migrated the system of record');
    }
  });
}

async function readMigrations(): Promise<readonly Migration[]> {
  const names = (await readdir(migrationsFolder)).filter((name) => name.endsWith('.sql')).sort();
  const migrations = await Promise.all(
    names.map(async (name) => {
      const sql = await readFile(new URL(name, migrationsFolder), 'utf8');
      return {
        version: Number(name.slice(0, 4)),
        name,
        sql,
        checksum: createHash('sha256').update(sql).digest('hex'),
      };
    }),
  );
  for (const [index, { version, name }] of migrations.entries()) {
    if (version !== index + 1) throw new MigrationError(`${name} should have number ${index + 1}`);
  }
  return migrations;
}
