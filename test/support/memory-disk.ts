import type { Clock, Random } from '../../store/environment.ts';
import type { Disk, Operation, Range, Row } from '../../store/disk/port.ts';

/**
 * A disk that outlives the processes which open it and that can lose what was not synced. It owns the bytes;
 * a process gets a handle with `open`. Keys are compared by UTF-16 unit, which is bytewise for ASCII keys.
 *
 * 1. A write is visible when its promise resolves, all of it or nothing.
 * 2. A synced write makes everything written before it durable too (one log, as in LevelDB).
 * 3. `losePower` keeps a prefix of what was not yet durable; a write under way may be in that prefix although
 *    its promise never resolved. Without `random` the prefix is empty.
 * 4. After `losePower` or `killProcess` the old handles are dead: their promises never settle.
 */

interface PendingWrite {
  readonly operations: readonly Operation[];
  readonly complete: () => void;
}

export interface MemoryDiskOptions {
  /** Virtual ms a synced batch takes; 0 completes within the call. */
  readonly syncMs?: number;
}

export class MemoryDisk {
  readonly #syncMs: number;
  /** What a reader sees. */
  #visible = new Map<string, Uint8Array>();
  /** What survives power loss for certain. */
  #durable = new Map<string, Uint8Array>();
  /** Visible, not yet durable, in order. */
  #unsynced: (readonly Operation[])[] = [];
  /** Called for, not yet visible, in order. */
  #underWay: PendingWrite[] = [];
  #busyUntil = 0;
  #generation = 0;
  #failure: Error | undefined;
  /** How many synced batches completed. */
  syncs = 0;

  constructor(options: MemoryDiskOptions = {}) {
    this.#syncMs = options.syncMs ?? 0;
  }

  /** A handle for one process life. */
  open(clock: Clock): Disk {
    const generation = this.#generation;
    const alive = (): boolean => generation === this.#generation;
    const never = <Value>(): Promise<Value> => new Promise<Value>(() => undefined);
    return {
      get: (key) => (alive() ? Promise.resolve(copyIfAny(this.#visible.get(key))) : never()),
      getMany: (keys) =>
        alive() ? Promise.resolve(keys.map((key) => copyIfAny(this.#visible.get(key)))) : never(),
      range: (range) => (alive() ? Promise.resolve(this.#range(range)) : never()),
      write: (operations, { sync }) =>
        new Promise((resolve, reject) => {
          if (!alive()) return;
          if (this.#failure !== undefined) {
            reject(this.#failure);
            return;
          }
          this.#write(clock, copyOf(operations), sync, resolve);
        }),
      close: () => Promise.resolve(),
    };
  }

  /** The machine loses power. */
  losePower(random?: Random): void {
    const atRisk = [...this.#unsynced, ...this.#underWay.map((write) => write.operations)];
    const kept = random === undefined ? 0 : Math.floor(random() * (atRisk.length + 1));
    for (const operations of atRisk.slice(0, kept)) applyTo(this.#durable, operations);
    this.#visible = new Map(this.#durable);
    this.#newGeneration();
  }

  /** The process dies, the operating system lives: what was written stays, what was under way is lost. */
  killProcess(): void {
    // Not yet durable, not forgotten either: the next sync still covers it.
    const unsynced = this.#unsynced;
    this.#newGeneration();
    this.#unsynced = unsynced;
  }

  /** Every later write rejects with `error` (disk full, broken fsync); undefined makes it work again. */
  failWrites(error: Error | undefined): void {
    this.#failure = error;
  }

  /** Damages one bit of a stored value, as a bad sector would: silently, on disk and in view. */
  flipBit(key: string, bit: number): void {
    for (const map of [this.#visible, this.#durable]) {
      const value = map.get(key);
      if (value === undefined) continue;
      const damaged = copy(value);
      const byte = Math.floor(bit / 8) % damaged.length;
      damaged[byte] = (damaged[byte] ?? 0) ^ (1 << (bit % 8));
      map.set(key, damaged);
    }
  }

  /** A record turns up under another key, as when a bit of the key itself is damaged. */
  renameKey(key: string, other: string): void {
    for (const map of [this.#visible, this.#durable]) {
      const value = map.get(key);
      if (value === undefined) continue;
      map.delete(key);
      map.set(other, value);
    }
  }

  /** Loses one record silently, as LevelDB does for a damaged stretch of its log. */
  dropRecord(key: string): void {
    this.#visible.delete(key);
    this.#durable.delete(key);
  }

  keys(prefix = ''): string[] {
    return [...this.#visible.keys()].filter((key) => key.startsWith(prefix)).sort(compareKeys);
  }

  #newGeneration(): void {
    this.#generation++;
    this.#unsynced = [];
    this.#underWay = [];
    this.#busyUntil = 0;
  }

  #write(clock: Clock, operations: readonly Operation[], sync: boolean, resolve: () => void): void {
    const now = clock.monotonic();
    const finishAt = Math.max(now, this.#busyUntil) + (sync ? this.#syncMs : 0);
    const write: PendingWrite = {
      operations,
      complete: () => {
        applyTo(this.#visible, operations);
        this.#unsynced.push(operations);
        if (sync) {
          for (const batch of this.#unsynced) applyTo(this.#durable, batch);
          this.#unsynced = [];
          this.syncs++;
        }
        resolve();
      },
    };
    if (finishAt <= now && this.#underWay.length === 0) {
      write.complete();
      return;
    }
    this.#busyUntil = finishAt;
    this.#underWay.push(write);
    const generation = this.#generation;
    clock.after(finishAt - now, () => {
      if (generation !== this.#generation) return;
      this.#underWay.shift()?.complete();
    });
  }

  #range(range: Range): readonly Row[] {
    const keys = [...this.#visible.keys()].filter((key) => key >= range.from && key < range.to);
    keys.sort(compareKeys);
    if (range.reverse === true) keys.reverse();
    return keys
      .slice(0, range.limit)
      .map((key) => [key, copy(this.#visible.get(key) ?? new Uint8Array())] as const);
  }
}

/** Not `slice`: on a Buffer that is no copy. */
function copy(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

function copyIfAny(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined ? undefined : copy(bytes);
}

function copyOf(operations: readonly Operation[]): readonly Operation[] {
  return operations.map((operation) =>
    operation.kind === 'put' ? { ...operation, value: copy(operation.value) } : operation,
  );
}

function applyTo(map: Map<string, Uint8Array>, operations: readonly Operation[]): void {
  for (const operation of operations) {
    if (operation.kind === 'put') map.set(operation.key, operation.value);
    else map.delete(operation.key);
  }
}

function compareKeys(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
