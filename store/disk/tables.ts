/**
 * Named tables for data that can be derived again, each under a prefix of its own, each value sealed.
 *
 * A damaged record is reported as absent, logged, and its owner told: everything in a table can be derived again from the
 * journal or the ledger, so its owner rebuilds what it misses. Records of the journal and the ledger are not
 * in tables: for those, damage is never the same as absence.
 */
import { invariant, type Log } from '../environment.ts';
import type { Table } from '../tables.ts';
import { below, keyOf } from './keys.ts';
import type { Disk, Row } from './port.ts';
import { openRecord, RecordError, sealRecord } from './record.ts';

const tableRoot = 'table';
/** There while the tables are being emptied: what is left of them is not to be believed. */
const dropKey = keyOf('disk', 'drop-tables');
const rowsPerDelete = 1_000;
const namePattern = /^[a-z][a-z0-9-]{0,62}$/;

/** Two calls with the same name give the same table. `name` is lower-case letters, digits and dashes. */
export function createTable(name: string, dependencies: { readonly disk: Disk; readonly log: Log }): Table {
  invariant(namePattern.test(name), `not a table name: ${name}`);
  const { disk, log } = dependencies;
  const { from: prefix } = below(keyOf(tableRoot, name));
  const listeners = new Set<(key: string) => void>();

  function open(key: string, record: Uint8Array | undefined): Uint8Array | undefined {
    if (record === undefined) return undefined;
    try {
      return openRecord(key, record);
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      log.error({ code: error.code, table: name, key }, 'a derived record is damaged: treated as absent');
      for (const listener of listeners) listener(key.slice(prefix.length));
      return undefined;
    }
  }

  return {
    get: async (key) => open(prefix + key, await disk.get(prefix + key)),

    getMany: async (keys) => {
      const stored = keys.map((key) => prefix + key);
      const records = await disk.getMany(stored);
      return stored.map((key, index) => open(key, records[index]));
    },

    range: async (range) => {
      const { limit, reverse = false } = range;
      const rows: Row[] = [];
      let from = prefix + range.from;
      let to = prefix + range.to;
      // Damaged rows leave room: read on, or a page that is not full would pass for the last one.
      while (rows.length < limit) {
        const wanted = limit - rows.length;
        const read = await disk.range({ from, to, limit: wanted, reverse });
        for (const [key, record] of read) {
          const value = open(key, record);
          if (value !== undefined) rows.push([key.slice(prefix.length), value]);
        }
        const last = read.at(-1);
        if (last === undefined || read.length < wanted) break;
        if (reverse) to = last[0];
        // The smallest key above the last one read.
        else from = `${last[0]}\0`;
      }
      return rows;
    },

    write: (operations) =>
      disk.write(
        operations.map((operation) => {
          const key = prefix + operation.key;
          return operation.kind === 'put'
            ? { kind: 'put', key, value: sealRecord(key, operation.value) }
            : { kind: 'delete', key };
        }),
        { sync: false },
      ),

    onDamage: (listener) => {
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
  };
}

/**
 * Empties all tables, for their owners to fill again, if that was ordered: now by `isOrdered`, or at an earlier start
 * that was cut short. Rejects with DiskError.
 */
export async function dropTables(disk: Disk, { isOrdered }: { readonly isOrdered: boolean }): Promise<void> {
  if (isOrdered) await disk.write([{ kind: 'put', key: dropKey, value: Buffer.of() }], { sync: true });
  else if ((await disk.get(dropKey)) === undefined) return;
  const range = { ...below(tableRoot), limit: rowsPerDelete };
  let rows: readonly Row[];
  do {
    rows = await disk.range(range);
    const deletes = rows.map(([key]) => ({ kind: 'delete', key }) as const);
    await disk.write(deletes, { sync: true });
  } while (rows.length > 0);
  await disk.write([{ kind: 'delete', key: dropKey }], { sync: true });
}
