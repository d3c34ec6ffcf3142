/**
 * Group commit: many callers share one fsync. Owns the order of commits and the one write that is under way.
 *
 * 1. At most one synced batch is under way; what is asked for meanwhile gathers for the next one.
 * 2. Batches hold whole commits, in call order: one commit is never split over two batches.
 * 3. A commit resolves after its batch is on disk, never before.
 * 4. After a failed write nothing is acknowledged any more: what LevelDB has of it is unknown, and a later
 *    write that succeeds would hide the gap. `Environment.fatal` is told once.
 */
import type { Environment } from '../environment.ts';
import type { Committer, Disk, Operation } from './port.ts';

export interface CommitterOptions {
  /** A batch closes when it holds this much; a single larger commit still goes as one. */
  readonly batchBytesMax?: number;
  /** Hears of each synced batch. Must not throw. */
  readonly observer?: {
    fsync?(seconds: number, operations: number): void;
  };
}

export interface CommitterStats {
  readonly batches: number;
  readonly operations: number;
  readonly bytes: number;
  /** Commits waiting or under way, and their bytes. */
  readonly pendingCommits: number;
  readonly pendingBytes: number;
}

export interface GroupCommitter extends Committer {
  stats(): CommitterStats;
  /** Resolves when everything asked for so far is on disk; what is asked for later never resolves. */
  close(): Promise<void>;
}

const mebibyte = 1024 * 1024;

type State =
  | { readonly kind: 'idle' }
  /** The first commit of a burst waits for the rest of the burst: until the running code has returned. */
  | { readonly kind: 'gathering' }
  | { readonly kind: 'writing' }
  | { readonly kind: 'failed' };

interface PendingCommit {
  readonly operations: readonly Operation[];
  readonly bytes: number;
  readonly resolve: () => void;
}

export function createCommitter(
  options: CommitterOptions,
  dependencies: { readonly disk: Disk; readonly environment: Environment },
): GroupCommitter {
  return new DiskCommitter(options, dependencies);
}

class DiskCommitter implements GroupCommitter {
  readonly #batchBytesMax: number;
  readonly #observer: CommitterOptions['observer'];
  readonly #disk: Disk;
  readonly #environment: Environment;
  #state: State = { kind: 'idle' };
  #waiting: PendingCommit[] = [];
  #pendingCommits = 0;
  #pendingBytes = 0;
  #batches = 0;
  #operations = 0;
  #bytes = 0;
  #closing: (() => void) | undefined;
  #closed = false;

  constructor(
    options: CommitterOptions,
    dependencies: { readonly disk: Disk; readonly environment: Environment },
  ) {
    this.#batchBytesMax = options.batchBytesMax ?? mebibyte;
    this.#observer = options.observer;
    this.#disk = dependencies.disk;
    this.#environment = dependencies.environment;
  }

  commit(operations: readonly Operation[]): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed || this.#state.kind === 'failed') return;
      const bytes = sizeOf(operations);
      this.#waiting.push({ operations, bytes, resolve });
      this.#pendingCommits++;
      this.#pendingBytes += bytes;
      if (this.#state.kind !== 'idle') return;
      this.#state = { kind: 'gathering' };
      queueMicrotask(() => {
        this.#writeNext();
      });
    });
  }

  stats(): CommitterStats {
    return {
      batches: this.#batches,
      operations: this.#operations,
      bytes: this.#bytes,
      pendingCommits: this.#pendingCommits,
      pendingBytes: this.#pendingBytes,
    };
  }

  close(): Promise<void> {
    this.#closed = true;
    return new Promise((resolve) => {
      if (this.#state.kind === 'idle' || this.#state.kind === 'failed') resolve();
      else this.#closing = resolve;
    });
  }

  #writeNext(): void {
    const batch = this.#takeBatch();
    if (batch.length === 0) {
      this.#state = { kind: 'idle' };
      this.#closing?.();
      return;
    }
    this.#state = { kind: 'writing' };
    const operations =
      batch.length === 1 ? (batch[0]?.operations ?? []) : batch.flatMap((one) => one.operations);
    const startedAt = this.#environment.clock.monotonic();
    this.#disk.write(operations, { sync: true }).then(
      () => {
        this.#batches++;
        this.#operations += operations.length;
        for (const commit of batch) {
          this.#bytes += commit.bytes;
          this.#pendingBytes -= commit.bytes;
          this.#pendingCommits--;
          commit.resolve();
        }
        this.#observer?.fsync?.((this.#environment.clock.monotonic() - startedAt) / 1000, operations.length);
        this.#writeNext();
      },
      (error: unknown) => {
        this.#state = { kind: 'failed' };
        this.#closing?.();
        this.#environment.fatal(
          error instanceof Error ? error : new Error('a synced write failed', { cause: error }),
        );
      },
    );
  }

  #takeBatch(): readonly PendingCommit[] {
    let bytes = 0;
    let count = 0;
    for (const commit of this.#waiting) {
      if (count > 0 && bytes + commit.bytes > this.#batchBytesMax) break;
      bytes += commit.bytes;
      count++;
    }
    const batch = this.#waiting;
    this.#waiting = batch.splice(count);
    return batch;
  }
}

function sizeOf(operations: readonly Operation[]): number {
  let bytes = 0;
  for (const operation of operations) {
    bytes += operation.key.length + (operation.kind === 'put' ? operation.value.byteLength : 0);
  }
  return bytes;
}
