/**
 * The disk as the store sees it: an ordered map of string keys to bytes, with atomic batches. LevelDB in the
 * program; in the simulator a map that loses what was not synced, tears writes and flips bits.
 * Keys sort bytewise; numbers inside keys are fixed-width (see keys.ts).
 */

export type Operation =
  | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly kind: 'delete'; readonly key: string };

export interface Range {
  /** First key, included. */
  readonly from: string;
  /** Last key, excluded. */
  readonly to: string;
  /** At most this many rows (1 to 10,000). */
  readonly limit: number;
  /** From the end backwards. */
  readonly reverse?: boolean;
}

export type Row = readonly [key: string, value: Uint8Array];

export interface Disk {
  get(key: string): Promise<Uint8Array | undefined>;
  getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]>;
  range(range: Range): Promise<readonly Row[]>;
  /** Atomic: all or nothing. With `sync` it resolves after fsync; without, it may be lost to power loss. */
  write(operations: readonly Operation[], options: { readonly sync: boolean }): Promise<void>;
  close(): Promise<void>;
}

/** Gathers writes while the previous batch is on its way; one synced batch per round (see group-commit.ts). */
export interface Committer {
  /**
   * Resolves once `operations` are on disk (fsync). Calls take effect in call order; one call is atomic.
   * A failed write is fatal to the node: the promise then never resolves and `Environment.fatal` is called.
   */
  commit(operations: readonly Operation[]): Promise<void>;
}
