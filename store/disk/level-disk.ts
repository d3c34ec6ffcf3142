/**
 * The disk of the program: one LevelDB in `<directory>/leveldb`. Owns the data directory's lock, its layout
 * version and the database handle; knows nothing of what the records mean.
 *
 * 1. The directory lock is held from before the database opens until after it has closed.
 * 2. `sync: true` reaches LevelDB as such: its own default does not survive power loss.
 * 3. Whatever LevelDB throws leaves here as a DiskError that says what to do.
 * 4. A directory of an older layout is upgraded before anybody else sees it; one of an unknown layout is not touched.
 * 5. Synced batches are numbered in the order in which they are written, and the witness hears of each before its caller
 *    does: so a loss shows at the next start (prepare.ts).
 * 6. After a failed write none is begun: LevelDB may have written a piece of it, and would skip what stands behind.
 */
import { Level } from 'level';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant, type Log } from '../environment.ts';
import { openCommitNumber, commitNumberKey, putCommitNumber } from './commit-number.ts';
import { damaged, toDiskError, type DiskError } from './errors.ts';
import { readFormat, writeFormat } from './format-file.ts';
import { isLevelDbInUse } from './leveldb/lock-probe.ts';
import { lockDirectory } from './lock-file.ts';
import type { Disk, Operation, Range, Row } from './port.ts';
import { prepare } from './prepare.ts';
import { RecordError } from './record.ts';
import { dropTables } from './tables.ts';
import { currentFormat, stepsFrom, upgrade } from './upgrades.ts';
import { Witness } from './witness.ts';

export interface LevelDiskOptions {
  /** Created when missing. Nothing else may write into it. */
  readonly directory: string;
  /** Uncompressed blocks kept in memory. */
  readonly cacheBytes?: number;
  /** Bytes gathered in memory (and in the log) before a table is written; up to two are held. */
  readonly writeBufferBytes?: number;
}

const mebibyte = 1024 * 1024;
const rangeRowsMax = 10_000;
/** How much one read of a range may gather in native memory at a time. */
const rangeChunkBytes = mebibyte;

type Database = Level<string, Buffer>;

/** Opens the data directory, upgraded where it is of an older layout. Rejects with DiskError. */
export async function openLevelDisk(
  options: LevelDiskOptions,
  { log }: { readonly log: Log },
): Promise<Disk> {
  const { directory } = options;
  const closing: (() => Promise<void>)[] = [];
  /** What does not close does not keep the rest, and the lock least of all, from being given back. */
  const closeAll = async (): Promise<void> => {
    const results = [];
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) {
      results.push(...(await Promise.allSettled([close()])));
    }
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  };
  try {
    await mkdir(directory, { recursive: true });
    const lock = await lockDirectory(directory, {
      isInUse: () => isLevelDbInUse(join(directory, 'leveldb')),
    });
    closing.push(() => lock.release());
    return await openLocked(options, { log, closing, closeAll });
  } catch (error) {
    await closeAll().catch(() => undefined);
    throw toDiskError(error, directory);
  }
}

async function openLocked(
  options: LevelDiskOptions,
  {
    log,
    closing,
    closeAll,
  }: {
    readonly log: Log;
    readonly closing: (() => Promise<void>)[];
    readonly closeAll: () => Promise<void>;
  },
): Promise<Disk> {
  const { directory } = options;
  const dataPath = join(directory, 'leveldb');
  const stamp = (format: number): Promise<void> => writeFormat(directory, format);
  const format = await readFormat(directory, dataPath);
  // Known before the data are touched: LevelDB rewrites its files as it opens.
  const steps = stepsFrom(format ?? currentFormat, { directory });
  if (format === undefined) {
    await Witness.remove(directory);
    await stamp(currentFormat);
  }
  const { witness, isKnown } = await Witness.open(directory);
  closing.push(() => witness.close());
  const { hasGap } = await prepare(directory, dataPath, { witness, log });
  const database: Database = new Level<string, Buffer>(dataPath, {
    keyEncoding: 'utf8',
    valueEncoding: 'buffer',
    cacheSize: options.cacheBytes ?? 64 * mebibyte,
    writeBufferSize: options.writeBufferBytes ?? 16 * mebibyte,
  });
  await database.open();
  closing.push(() => database.close());
  const commitNumber = await readCommitNumber(database, directory);
  if (commitNumber < witness.number) {
    throw damaged(directory, `synced writes ${commitNumber + 1} to ${witness.number} are gone`);
  }
  if (!isKnown && format === currentFormat) {
    log.warn({ commitNumber }, 'the witness was missing or damaged: what the database holds is believed');
  }
  // From now on it vouches for what was found, also where it was lost or behind.
  witness.note(commitNumber);
  const disk = new LevelDisk({ directory, commitNumber }, { database, witness, close: closeAll });
  if (hasGap) log.warn({}, 'power loss took writes out of the middle of the derived tables: derived anew');
  await dropTables(disk, { isOrdered: hasGap });
  await upgrade(steps, { disk, stamp, log });
  return disk;
}

/** How many synced batches this database has seen, as far as it knows. */
async function readCommitNumber(database: Database, directory: string): Promise<number> {
  const record = await database.get(commitNumberKey);
  try {
    return record === undefined ? 0 : openCommitNumber(record);
  } catch (error) {
    if (error instanceof RecordError) throw damaged(directory, error.message, { cause: error });
    throw error;
  }
}

class LevelDisk implements Disk {
  readonly #directory: string;
  readonly #database: Database;
  readonly #witness: Witness;
  readonly #close: () => Promise<void>;
  /** The last synced batch that was begun. */
  #commitNumber: number;
  #syncing: Promise<void> | undefined;
  #failure: DiskError | undefined;

  constructor(
    options: { readonly directory: string; readonly commitNumber: number },
    dependencies: {
      readonly database: Database;
      readonly witness: Witness;
      readonly close: () => Promise<void>;
    },
  ) {
    this.#directory = options.directory;
    this.#commitNumber = options.commitNumber;
    this.#database = dependencies.database;
    this.#witness = dependencies.witness;
    this.#close = dependencies.close;
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.#run(() => this.#database.get(key));
  }

  getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return this.#run(() => this.#database.getMany([...keys]));
  }

  range({ from, to, limit, reverse = false }: Range): Promise<readonly Row[]> {
    invariant(
      Number.isInteger(limit) && limit >= 1 && limit <= rangeRowsMax,
      `a range reads 1 to ${rangeRowsMax} rows, not ${limit}`,
    );
    const highWaterMarkBytes = rangeChunkBytes;
    return this.#run(() =>
      this.#database.iterator({ gte: from, lt: to, limit, reverse, highWaterMarkBytes }).all(),
    );
  }

  async write(operations: readonly Operation[], { sync }: { readonly sync: boolean }): Promise<void> {
    if (!sync) {
      await this.#batch(operations, false);
      return;
    }
    // Invariant 5 needs them one after the other. The committer sees to it; others that come between take a copy.
    let mine = operations;
    if (this.#syncing !== undefined) mine = operations.map(copyOf);
    while (this.#syncing !== undefined) await this.#syncing.catch(() => undefined);
    const writing = this.#writeSynced(mine);
    this.#syncing = writing;
    try {
      await writing;
    } finally {
      this.#syncing = undefined;
    }
  }

  async close(): Promise<void> {
    await this.#run(() => this.#close());
  }

  async #writeSynced(operations: readonly Operation[]): Promise<void> {
    const number = ++this.#commitNumber;
    await this.#batch([...operations, putCommitNumber(number)], true);
    await this.#run(() => {
      this.#witness.note(number);
      return Promise.resolve();
    });
  }

  async #batch(operations: readonly Operation[], sync: boolean): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const batch = operations.map((operation) =>
      operation.kind === 'put'
        ? { type: 'put' as const, key: operation.key, value: asBuffer(operation.value) }
        : { type: 'del' as const, key: operation.key },
    );
    try {
      await this.#database.batch(batch, { sync });
    } catch (error) {
      // Invariant 6.
      this.#failure = toDiskError(error, this.#directory);
      throw this.#failure;
    }
  }

  async #run<Result>(act: () => Promise<Result>): Promise<Result> {
    try {
      return await act();
    } catch (error) {
      throw toDiskError(error, this.#directory);
    }
  }
}

/** The same bytes, not a copy. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function copyOf(operation: Operation): Operation {
  return operation.kind === 'put' ? { ...operation, value: Buffer.from(operation.value) } : operation;
}
