import { fsyncSync } from 'node:fs';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';

/**
 * A PostgreSQL of one's own for shops that have none yet: PGlite with a durable data directory, spoken to over
 * its socket like any other. It computes on the thread that started it, so it runs in its own process. There is
 * no password: bind it to an address that only the nodes reach.
 *
 *   E1  What was committed survives `kill -9` and power loss: PGlite as shipped never calls fsync (its file
 *       system layer has none, and the server runs with fsync off); both are put right here.
 *   E2  One process per data directory, or the two would destroy it.
 *   E3  A client that went silent in mid-transaction blocks all others, since there is but one session: it is
 *       disconnected, and its transaction rolled back, after `silentClientTimeoutMs`.
 *   E4  A client that leaves between its messages leaves nothing of them to the others. The session skips whatever comes
 *       after an error until the client's `Sync`, which a client that is gone does not send any more: all others would be
 *       skipped, and never answered.
 */
export interface EmbeddedOptions {
  readonly dataDirectory: string;
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

export interface EmbeddedSystemOfRecord {
  readonly url: string;
  /** Resolves with the reason when the database cannot go on; the process should end and be started again. */
  readonly failed: Promise<Error>;
  /** Ends running statements, closes connections, flushes, and gives the data directory free. */
  close(): Promise<void>;
}

export class EmbeddedError extends Error {
  readonly code: 'DATA_DIRECTORY_IN_USE';
  constructor(code: 'DATA_DIRECTORY_IN_USE', detail: string) {
    super(`${code}: ${detail}`);
    this.name = 'EmbeddedError';
    this.code = code;
  }
}

/** Three nodes with their pools, and room for a person with psql. */
const connectionsMax = 64;
/** Longer than a node keeps an idle connection, so that only the silent are met. */
const silentClientTimeoutMs = 15_000;

export async function startEmbeddedSystemOfRecord(options: EmbeddedOptions): Promise<EmbeddedSystemOfRecord> {
  await mkdir(options.dataDirectory, { recursive: true });
  const unlock = await lock(join(options.dataDirectory, 'freehold.lock'));
  let database: PGlite | undefined;
  try {
    database = await openDurably(join(options.dataDirectory, 'pgdata'));
    const failed = watch(database);
    const server = new PGLiteSocketServer({
      db: database,
      host: options.host,
      port: options.port,
      maxConnections: connectionsMax,
      idleTimeout: silentClientTimeoutMs,
    });
    syncForThoseWhoLeave(server, database);
    await server.start();
    const opened = database;
    return {
      url: `postgres://postgres@${server.getServerConn()}/postgres`,
      failed,
      close: async () => {
        await server.stop();
        await opened.close();
        await unlock();
      },
    };
  } catch (error) {
    await database?.close().catch(() => undefined);
    await unlock();
    throw error;
  }
}

/** The part of Emscripten's file system that is needed to give it the operation it lacks. */
interface NodeFileSystem {
  readonly stream_ops: { fsync?: (stream: { readonly nfd: number }) => number };
}

/** E1. The log is synced by `fsync`, as the system call behind PostgreSQL's default does nothing here. */
async function openDurably(directory: string): Promise<PGlite> {
  const startParams = PGlite.defaultStartParams.filter((parameter) => parameter !== '-F');
  const database = new PGlite(directory, {
    startParams: [...startParams, '-c', 'fsync=on', '-c', 'wal_sync_method=fsync'],
  });
  await database.waitReady;
  const { filesystems } = database.Module.FS as unknown as {
    readonly filesystems: { readonly NODEFS: NodeFileSystem };
  };
  filesystems.NODEFS.stream_ops.fsync = (stream) => {
    fsyncSync(stream.nfd);
    return 0;
  };
  // What creating the cluster wrote before the hook was there.
  await database.exec('CHECKPOINT');
  return database;
}

/** The message that ends what came before it, right or wrong. */
const SYNC = Uint8Array.of(0x53, 0, 0, 0, 4);

/** What the socket server keeps to itself of the queue that its clients share. */
interface SharedQueue {
  /** Whose message was the last to be carried out. */
  readonly lastHandlerId: number | null;
  /** Called for each client that leaves. */
  clearTransactionIfNeeded: (handlerId: number) => Promise<void>;
}

/** E4. `pglite-socket` drops what a client that leaves had sent and was still to be carried out, its `Sync` included. */
function syncForThoseWhoLeave(server: PGLiteSocketServer, database: PGlite): void {
  const { queryQueue } = server as unknown as { readonly queryQueue: SharedQueue };
  const rollBack = queryQueue.clearTransactionIfNeeded.bind(queryQueue);
  queryQueue.clearTransactionIfNeeded = async (handlerId) => {
    if (queryQueue.lastHandlerId === handlerId) {
      await database.runExclusive(() => database.execProtocolRaw(SYNC));
    }
    await rollBack(handlerId);
  };
}

/**
 * SQL errors are answers; what is thrown past the protocol means that the WebAssembly instance is broken. The
 * socket server would then hold its queue for ever without a word.
 */
function watch(database: PGlite): Promise<Error> {
  return new Promise((resolve) => {
    const run = database.execProtocolRawStream.bind(database);
    database.execProtocolRawStream = async (...call) => {
      try {
        await run(...call);
      } catch (error) {
        resolve(error instanceof Error ? error : new Error(String(error)));
        throw error;
      }
    };
  });
}

/** E2. Holds the file that names this process; one left by a process that is gone is taken over. */
async function lock(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(String(process.pid));
      await file.close();
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = Number(await readFile(path, 'utf8').catch(() => ''));
    if (isAlive(holder)) {
      throw new EmbeddedError('DATA_DIRECTORY_IN_USE', `process ${holder} holds ${path}`);
    }
    await rm(path, { force: true });
  }
}

function isAlive(pid: number): boolean {
  // In a container every process before this one had the same number.
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
