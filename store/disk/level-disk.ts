/**
 * The disk of the program: one LevelDB in `<directory>/leveldb`. Owns the data directory's lock, its layout
 * version and the database handle; knows nothing of what the records mean.
 *
 * 1. The directory lock is held from before the database opens until after it has closed.
 * 2. `sync: true` reaches LevelDB as such: its own default does not survive power loss.
 * 3. Whatever LevelDB throws leaves here as a DiskError that says what to do.
 * 4. A directory of an older layout is upgraded before anybody else sees it; one of an unknown layout is not touched.
 */
import { Level } from 'level';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant, type Log } from '../environment.ts';
import { toDiskError } from './errors.ts';
import { readFormat, writeFormat } from './format-file.ts';
import { lockDirectory, type DirectoryLock } from './lock-file.ts';
import type { Disk, Operation, Range, Row } from './port.ts';
import { currentFormat, stepsFrom, upgrade } from './upgrades.ts';

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
  const dataPath = join(directory, 'leveldb');
  const stamp = (format: number): Promise<void> => writeFormat(directory, format);
  let lock: DirectoryLock | undefined;
  let database: Database | undefined;
  try {
    await mkdir(directory, { recursive: true });
    lock = await lockDirectory(directory);
    const format = await readFormat(directory, dataPath);
    // Known before the data are touched: LevelDB rewrites its files as it opens.
    const steps = stepsFrom(format ?? currentFormat, { directory });
    if (format === undefined) await stamp(currentFormat);
    database = new Level<string, Buffer>(dataPath, {
      keyEncoding: 'utf8',
      valueEncoding: 'buffer',
      cacheSize: options.cacheBytes ?? 64 * mebibyte,
      writeBufferSize: options.writeBufferBytes ?? 16 * mebibyte,
    });
    await database.open();
    const disk = new LevelDisk({ directory }, { database, lock });
    await upgrade(steps, { disk, stamp, log });
    return disk;
  } catch (error) {
    await database?.close().catch(() => undefined);
    await lock?.release();
    throw toDiskError(error, directory);
  }
}

class LevelDisk implements Disk {
  readonly #directory: string;
  readonly #database: Database;
  readonly #lock: DirectoryLock;

  constructor(
    options: { readonly directory: string },
    dependencies: { readonly database: Database; readonly lock: DirectoryLock },
  ) {
    this.#directory = options.directory;
    this.#database = dependencies.database;
    this.#lock = dependencies.lock;
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

  write(operations: readonly Operation[], { sync }: { readonly sync: boolean }): Promise<void> {
    const batch = operations.map((operation) =>
      operation.kind === 'put'
        ? { type: 'put' as const, key: operation.key, value: asBuffer(operation.value) }
        : { type: 'del' as const, key: operation.key },
    );
    return this.#run(() => this.#database.batch(batch, { sync }));
  }

  async close(): Promise<void> {
    await this.#run(() => this.#database.close());
    await this.#lock.release();
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
