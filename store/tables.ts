import type { Cancel } from './environment.ts';

/** A named, ordered, checked table in this node's LevelDB for data that can be derived again (views, cursors). */
export interface Table {
  get(key: string): Promise<Uint8Array | undefined>;
  getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]>;
  range(range: {
    readonly from: string;
    readonly to: string;
    readonly limit: number;
    readonly reverse?: boolean;
  }): Promise<readonly (readonly [key: string, value: Uint8Array])[]>;
  /** Atomic, not synced: it may be lost to power loss together with everything written after it. */
  write(
    operations: readonly (
      | { readonly kind: 'put'; readonly key: string; readonly value: Uint8Array }
      | { readonly kind: 'delete'; readonly key: string }
    )[],
  ): Promise<void>;
  /**
   * Told the key of each damaged row that a read has met, before the read, which leaves it out, answers. The key may be
   * what is damaged. Listeners must not throw.
   */
  onDamage(listener: (key: string) => void): Cancel;
}
