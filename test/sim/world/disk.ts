import type { Random } from '../../../store/environment.ts';
import type { Disk, Operation, Range, Row } from '../../../store/disk/port.ts';
import type { Process } from './process.ts';

/**
 * The disk of one simulated machine, with the promises and the weaknesses of LevelDB on a real one. Owns the bytes;
 * a program gets a handle with `open` and loses it with its life.
 *
 * 1. A batch is visible and kept whole or not at all; batches take effect in the order in which they were asked for.
 * 2. A synced batch makes itself and everything before it durable. At a loss of power a prefix of the rest survives.
 * 3. A batch that fails may have been kept all the same; nobody is told.
 * 4. Bits flip silently.
 *
 * Reads take time too when the disk is slow: then a program can die between any two of them.
 */
export interface DiskPace {
  /** ms; what a synced write takes lies between these. */
  readonly syncMsMin: number;
  readonly syncMsMax: number;
  /** ms; 0 answers reads at once. */
  readonly readMsMax: number;
}

export interface DiskObserver {
  /** A program asked for this batch. */
  asked(operations: readonly Operation[]): void;
  /** It can not be lost any more. */
  durable(operations: readonly Operation[]): void;
}

interface Write {
  readonly operations: readonly Operation[];
  readonly sync: boolean;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class SimDisk {
  readonly #random: Random;
  readonly #observer: DiskObserver;
  pace: DiskPace;
  /** Every write fails while this is set: the device is broken, or full. */
  failure: Error | undefined;
  /** What a reader sees: rows by key, and the keys in order. */
  #visible = new Map<string, Uint8Array>();
  #keys: string[] = [];
  readonly #durable = new Map<string, Uint8Array>();
  /** Visible, not yet durable, in order. */
  #unsynced: (readonly Operation[])[] = [];
  /** Asked for and not done, in order. */
  #underWay: Write[] = [];
  #busyUntil = 0;

  constructor(
    options: { readonly pace: DiskPace },
    dependencies: { readonly random: Random; readonly observer: DiskObserver },
  ) {
    this.pace = options.pace;
    this.#random = dependencies.random;
    this.#observer = dependencies.observer;
  }

  /** Opening makes durable whatever an earlier process left: LevelDB writes what it recovers to a synced table. */
  open(process: Process): Disk {
    this.#keepAll();
    const read = <Result>(look: () => Result): Promise<Result> =>
      new Promise((resolve) => {
        if (process.isDead) return;
        if (this.pace.readMsMax === 0) resolve(look());
        else
          process.clock.after(this.#random() * this.pace.readMsMax, () => {
            resolve(look());
          });
      });
    return {
      get: (key) => read(() => this.#visible.get(key)),
      getMany: (keys) => read(() => keys.map((key) => this.#visible.get(key))),
      range: (range) => read(() => this.#range(range)),
      write: (operations, { sync }) => this.#write(process, operations, sync),
      close: () => Promise.resolve(),
    };
  }

  /** The process ends; what it asked for and was not told about may have come through. */
  killProcess(): void {
    const kept = this.#underWay.splice(0, Math.floor(this.#random() * (this.#underWay.length + 1)));
    for (const { operations } of kept) this.#show(operations);
    this.#underWay = [];
    this.#busyUntil = 0;
  }

  losePower(): void {
    const atRisk = [...this.#unsynced, ...this.#underWay.map(({ operations }) => operations)];
    const kept = Math.floor(this.#random() * (atRisk.length + 1));
    for (const operations of atRisk.slice(0, kept)) this.#keep(operations);
    this.#unsynced = [];
    this.#underWay = [];
    this.#busyUntil = 0;
    this.#visible = new Map(this.#durable);
    this.#keys = [...this.#visible.keys()].sort(inOrder);
  }

  wipe(): void {
    this.#visible.clear();
    this.#durable.clear();
    this.#keys = [];
    this.#unsynced = [];
    this.#underWay = [];
    this.#busyUntil = 0;
  }

  /** Damages one bit of a stored value, in view and on the medium. */
  flipBit(key: string, bit: number): void {
    for (const rows of [this.#visible, this.#durable]) {
      const value = rows.get(key);
      if (value === undefined || value.byteLength === 0) continue;
      const damaged = new Uint8Array(value);
      const place = Math.floor(bit / 8) % damaged.byteLength;
      damaged[place] = (damaged[place] ?? 0) ^ (1 << (bit % 8));
      rows.set(key, damaged);
    }
  }

  /** Keys in view that begin with `prefix`, in order. */
  keys(prefix: string): readonly string[] {
    return this.#keys.slice(this.#placeOf(prefix), this.#placeOf(`${prefix}\uffff`));
  }

  /** What a program would read now. */
  look(key: string): Uint8Array | undefined {
    return this.#visible.get(key);
  }

  /** What is certain to survive. */
  lookDurable(key: string): Uint8Array | undefined {
    return this.#durable.get(key);
  }

  #write(process: Process, asked: readonly Operation[], sync: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (process.isDead) return;
      // The caller may use its buffers again. Not `slice`: on a Buffer that is no copy.
      const operations = asked.map((one) =>
        one.kind === 'put' ? { ...one, value: new Uint8Array(one.value) } : one,
      );
      this.#observer.asked(operations);
      this.#underWay.push({ operations, sync, resolve, reject });
      const now = process.clock.monotonic();
      const { syncMsMin, syncMsMax } = this.pace;
      const takesMs = sync ? syncMsMin + this.#random() * (syncMsMax - syncMsMin) : 0;
      this.#busyUntil = Math.max(now, this.#busyUntil) + takesMs;
      process.clock.after(this.#busyUntil - now, () => {
        this.#finishNext();
      });
    });
  }

  #finishNext(): void {
    const write = this.#underWay.shift();
    if (write === undefined) return;
    const { failure } = this;
    if (failure !== undefined) {
      if (this.#random() < 0.5) this.#show(write.operations);
      write.reject(failure);
      return;
    }
    this.#show(write.operations);
    if (write.sync) this.#keepAll();
    write.resolve();
  }

  #show(operations: readonly Operation[]): void {
    for (const operation of operations) {
      const { key } = operation;
      if (operation.kind === 'put') {
        if (!this.#visible.has(key)) this.#keys.splice(this.#placeOf(key), 0, key);
        this.#visible.set(key, operation.value);
      } else if (this.#visible.delete(key)) {
        this.#keys.splice(this.#placeOf(key), 1);
      }
    }
    this.#unsynced.push(operations);
  }

  #keepAll(): void {
    const batches = this.#unsynced;
    this.#unsynced = [];
    for (const operations of batches) this.#keep(operations);
  }

  #keep(operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.kind === 'put') this.#durable.set(operation.key, operation.value);
      else this.#durable.delete(operation.key);
    }
    this.#observer.durable(operations);
  }

  #range({ from, to, limit, reverse = false }: Range): readonly Row[] {
    const first = this.#placeOf(from);
    const end = this.#placeOf(to);
    const keys = reverse
      ? this.#keys.slice(Math.max(first, end - limit), end).reverse()
      : this.#keys.slice(first, Math.min(end, first + limit));
    return keys.map((key) => [key, this.#visible.get(key) ?? new Uint8Array()] as const);
  }

  /** The place of the first key that is not below `key`. */
  #placeOf(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] ?? '') < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function inOrder(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
