/**
 * Removes from disk the entries that a snapshot has made superfluous. Owns `raft/base`, which says how far they count as
 * removed, and the removal.
 *
 * 1. The base is on disk before, or together with, the first entry that goes: a log that begins later than its base is
 *    damage, never a removal that was interrupted.
 * 2. The base never goes back, whatever is removed while a snapshot takes the place of the log.
 * 3. In batches: no write grows with the length of the log. What a crash leaves goes after the next start.
 */
import type { Place } from '../consensus/index.ts';
import type { Committer, Operation } from '../disk/port.ts';
import { baseOperation, entryKey } from './raft-records.ts';

const entriesPerCommit = 1_000;

export class LogCompaction {
  readonly #committer: Committer;
  /** Below this, nothing is left on disk. */
  #firstIndex: number;
  #base: Place;
  /** The last that goes. */
  #lastIndex: number;
  #isUnderWay = false;

  constructor(
    options: { readonly firstIndex: number; readonly base: Place },
    dependencies: { readonly committer: Committer },
  ) {
    this.#firstIndex = options.firstIndex;
    this.#base = options.base;
    this.#lastIndex = options.base.index;
    this.#committer = dependencies.committer;
  }

  /**
   * Everything up to `base` may go as soon as what was asked of the committer before is on disk. `lastIndex` is the last
   * entry before it that is on disk: the log that a snapshot replaced may have ended long before it.
   */
  to(base: Place, lastIndex = base.index): void {
    if (base.index > this.#base.index) {
      this.#base = base;
      this.#lastIndex = Math.min(lastIndex, base.index);
    }
    if (!this.#isUnderWay) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isUnderWay = true;
    while (this.#firstIndex <= this.#lastIndex) {
      const end = Math.min(this.#firstIndex + entriesPerCommit, this.#lastIndex + 1);
      const operations: Operation[] = [baseOperation(this.#base)];
      for (let index = this.#firstIndex; index < end; index += 1) {
        operations.push({ kind: 'delete', key: entryKey(index) });
      }
      this.#firstIndex = end;
      await this.#committer.commit(operations);
    }
    this.#firstIndex = this.#base.index + 1;
    this.#isUnderWay = false;
  }
}
