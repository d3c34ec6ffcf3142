/**
 * Takes this node's own snapshots: reads the machine out slice by slice while commands go on, and writes each slice
 * before it reads the next. Owns the one that is under way.
 *
 * 1. One at a time, and one slice at a time: the machine is held for a slice, memory holds one chunk.
 * 2. A snapshot that was not read to its end, or contradicts itself, never counts, and leaves nothing behind.
 */
import type { SnapshotMark } from '../consensus/index.ts';
import type { Log } from '../environment.ts';
import type { SnapshotCursor, StateMachine } from './machine.ts';
import { SnapshotDigest, type SnapshotManifest } from './snapshot-manifest.ts';
import type { SnapshotStore } from './snapshot-store.ts';

export interface SnapshotTakerDependencies {
  readonly machine: StateMachine;
  readonly store: SnapshotStore;
  readonly log: Log;
}

export class SnapshotTaker {
  readonly #chunkBytesMax: number;
  readonly #dependencies: SnapshotTakerDependencies;
  #cursor: SnapshotCursor | undefined;

  constructor(options: { readonly chunkBytesMax: number }, dependencies: SnapshotTakerDependencies) {
    this.#chunkBytesMax = options.chunkBytesMax;
    this.#dependencies = dependencies;
  }

  get isUnderWay(): boolean {
    return this.#cursor !== undefined;
  }

  /**
   * Of the machine as it is now, which has applied everything up to `mark` and nothing else. Resolves when every chunk is
   * on disk, for whoever makes it count; with undefined when it was given up.
   */
  async take(mark: SnapshotMark, appliedAt: number): Promise<SnapshotManifest | undefined> {
    const { machine, store, log } = this.#dependencies;
    const cursor = machine.beginSnapshot();
    this.#cursor = cursor;
    const digest = new SnapshotDigest();
    let chunks = 0;
    try {
      for (;;) {
        const chunk = cursor.next(this.#chunkBytesMax);
        if (chunk === undefined) return { mark, appliedAt, ...digest.end() };
        digest.add(chunk);
        await store.put(mark.index, chunks, [chunk]);
        chunks += 1;
      }
    } catch (error) {
      const wasAbandoned = this.#cursor !== cursor;
      if (!wasAbandoned) log.error({ index: mark.index, error: String(error) }, 'no snapshot could be taken');
      store.removeUncounted(mark.index, chunks);
      return undefined;
    } finally {
      if (this.#cursor === cursor) this.#cursor = undefined;
    }
  }

  /** Gives up the one under way. */
  abandon(): void {
    const cursor = this.#cursor;
    this.#cursor = undefined;
    cursor?.abandon();
  }
}
