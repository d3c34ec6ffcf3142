import { statfs } from 'node:fs/promises';
import type { Environment } from '../../store/environment.ts';
import type { StorageState } from '../ports/storage.ts';

/**
 * Watches how much room the data directory has left, so that a node which runs out of it says so while it still can.
 * A write that fails is fatal (a disk that took half of it is not to be trusted), so the end must not come as a surprise:
 * below the reserve this node takes no new orders, and brings those it has to their end.
 *
 * Owns the last measurement. Does not own what follows from it: the order service closes its door, readiness and metrics
 * tell.
 *
 * 1. Low below the reserve; no longer low only well above it, or a node at the edge would open and close its door with
 *    every file that LevelDB replaces.
 * 2. What cannot be measured closes nothing: the last measurement stands.
 */
export interface FreeSpaceOptions {
  /** 0 watches without ever closing the door. */
  readonly reserveBytes: number;
  readonly measureEveryMs?: number;
}

export interface FreeSpaceDependencies {
  readonly environment: Pick<Environment, 'clock' | 'log'>;
  /** Bytes that this program may still write. */
  readonly measure: () => Promise<number>;
}

const measureEveryMsDefault = 5_000;
const recoveredRatio = 1.25;

export class FreeSpace implements StorageState {
  readonly reserveBytes: number;
  readonly #measureEveryMs: number;
  readonly #environment: FreeSpaceDependencies['environment'];
  readonly #measure: () => Promise<number>;
  #freeBytes: number | undefined;
  #isLow = false;
  #isBlind = false;
  #stopped = false;
  #cancel: () => void = () => undefined;

  constructor(options: FreeSpaceOptions, dependencies: FreeSpaceDependencies) {
    this.reserveBytes = options.reserveBytes;
    this.#measureEveryMs = options.measureEveryMs ?? measureEveryMsDefault;
    this.#environment = dependencies.environment;
    this.#measure = dependencies.measure;
  }

  get freeBytes(): number | undefined {
    return this.#freeBytes;
  }

  get isLow(): boolean {
    return this.#isLow;
  }

  /** Resolves after the first measurement. */
  async start(): Promise<void> {
    try {
      this.#take(await this.#measure());
      this.#isBlind = false;
    } catch (error) {
      if (!this.#isBlind)
        this.#environment.log.warn({ error: String(error) }, 'free space cannot be measured');
      this.#isBlind = true;
    }
    if (this.#stopped) return;
    this.#cancel = this.#environment.clock.after(this.#measureEveryMs, () => void this.start());
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #take(freeBytes: number): void {
    const { log } = this.#environment;
    const { reserveBytes } = this;
    this.#freeBytes = freeBytes;
    const isLow = freeBytes < (this.#isLow ? reserveBytes * recoveredRatio : reserveBytes);
    if (isLow === this.#isLow) return;
    this.#isLow = isLow;
    if (isLow) {
      log.error({ freeBytes, reserveBytes }, 'the disk is nearly full: no new orders here, make room');
    } else {
      log.info({ freeBytes, reserveBytes }, 'the disk has room again');
    }
  }
}

/** What the file system of `directory` has for users without privileges. */
export async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
