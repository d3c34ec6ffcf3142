import { assert } from './assert.ts';
import { ConfigurationHistory } from './configuration-history.ts';
import type { Configuration, Entry, Place, Restored, SnapshotMark } from './types.ts';

/**
 * The log as this node knows it, and how far each part of its way has come. Owns the entries in memory, the
 * configurations among them, and four marks: handed (given to the driver to persist), stable (on disk), committed,
 * applied. Does not own the disk. Everything up to `base` is compacted away: only its index and term are known.
 *
 * 1. Entries are contiguous from `base.index + 1` to `lastIndex`.
 * 2. appliedIndex <= releasedIndex <= commitIndex <= lastIndex, and base.index <= releasedIndex.
 * 3. stableIndex <= handedIndex <= lastIndex; a truncation lowers both at once, so that a write which was on
 *    its way when its entries were replaced cannot vouch for their successors (C4).
 * 4. What is committed is never truncated, nor compacted before it is applied or replaced by a snapshot.
 */

/** What an entry weighs on the wire and on disk besides its data. */
const entryOverheadBytes = 24;

export function entryBytes(entry: Entry): number {
  return entry.data.byteLength + entryOverheadBytes;
}

interface OutstandingWrite {
  readonly sequence: number;
  /** The last index for which this write still vouches. */
  lastIndex: number;
}

export class Log {
  #base: Place;
  #entries: Entry[];
  #configurations: ConfigurationHistory;
  readonly #outstanding: OutstandingWrite[] = [];
  #handedIndex: number;
  #stableIndex: number;
  #commitIndex: number;
  #releasedIndex: number;
  #appliedIndex: number;
  #truncateFrom: number | undefined;

  /** `founding` holds as long as neither log nor snapshot says otherwise. */
  constructor(restored: Restored, founding: Configuration) {
    const { snapshot } = restored;
    const snapshotIndex = snapshot?.index ?? 0;
    this.#configurations = new ConfigurationHistory(
      snapshot === undefined ? { index: 0, configuration: founding } : snapshot,
    );
    this.#base = restored.base;
    this.#entries = [...restored.entries];
    assert(this.#base.index <= snapshotIndex, 'the log was compacted beyond the snapshot');
    this.#entries.forEach((entry, offset) => {
      assert(entry.index === this.#base.index + 1 + offset, `the restored log has a gap at ${entry.index}`);
      this.#configurations.append(entry);
    });
    this.#handedIndex = this.lastIndex;
    this.#stableIndex = this.lastIndex;
    this.#commitIndex = Math.max(restored.hardState.commitIndex, snapshotIndex);
    this.#releasedIndex = snapshotIndex;
    this.#appliedIndex = snapshotIndex;
    assert(this.#commitIndex <= this.lastIndex, 'the restored log ends before what was committed');
  }

  get configurations(): ConfigurationHistory {
    return this.#configurations;
  }

  get baseIndex(): number {
    return this.#base.index;
  }

  get lastIndex(): number {
    return this.#base.index + this.#entries.length;
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#base.term;
  }

  get stableIndex(): number {
    return this.#stableIndex;
  }

  get commitIndex(): number {
    return this.#commitIndex;
  }

  get appliedIndex(): number {
    return this.#appliedIndex;
  }

  /** Undefined when `index` is compacted away or not written yet. */
  termAt(index: number): number | undefined {
    if (index === this.#base.index) return this.#base.term;
    return this.#entries[index - this.#base.index - 1]?.term;
  }

  /** At least one entry if there is any, then as many as fit into `bytesMax`. */
  slice(from: number, bytesMax: number): readonly Entry[] {
    assert(from > this.#base.index, `entry ${from} is compacted away`);
    const start = from - this.#base.index - 1;
    let end = start;
    let bytes = 0;
    for (;;) {
      const entry = this.#entries[end];
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > bytesMax && end > start) break;
      end++;
    }
    return this.#entries.slice(start, end);
  }

  /** Whether a log that ends like this is at least as complete as ours (dissertation, 3.6.1). */
  isCovered(by: { readonly lastIndex: number; readonly lastTerm: number }): boolean {
    return by.lastTerm > this.lastTerm || (by.lastTerm === this.lastTerm && by.lastIndex >= this.lastIndex);
  }

  append(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, `entry ${entry.index} after ${this.lastIndex}`);
    assert(entry.term >= this.lastTerm, `term ${entry.term} after ${this.lastTerm}`);
    this.#entries.push(entry);
    this.#configurations.append(entry);
  }

  /** Takes in a leader's entries that follow on a common one: what we have stays, what differs is replaced. */
  merge(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const known = this.termAt(entry.index);
      if (known === entry.term) continue;
      if (known !== undefined) this.#truncate(entry.index);
      this.append(entry);
    }
  }

  /**
   * The last place at or before `index` whose term is not above `term`: nothing after it can agree with a log
   * that has `term` at `index`. A follower answers with it, the leader applies it to its own log in turn; so
   * one round trip skips a whole term instead of one entry (dissertation, 5.3; the refinement is etcd's).
   */
  conflictHint(index: number, term: number): { readonly index: number; readonly term: number } {
    let place = Math.min(index, this.lastIndex);
    while (place > this.#base.index) {
      const here = this.termAt(place);
      if (here === undefined || here <= term) break;
      place--;
    }
    return { index: place, term: this.termAt(place) ?? 0 };
  }

  commitTo(index: number): boolean {
    assert(index <= this.lastIndex, `commit ${index} past the end ${this.lastIndex}`);
    if (index <= this.#commitIndex) return false;
    this.#commitIndex = index;
    return true;
  }

  appliedTo(index: number): void {
    assert(index <= this.#releasedIndex, `applied ${index}, which was not handed out`);
    this.#appliedIndex = Math.max(this.#appliedIndex, index);
  }

  /** Committed entries that were not handed out yet. */
  release(): readonly Entry[] {
    const from = this.#releasedIndex - this.#base.index;
    this.#releasedIndex = this.#commitIndex;
    return this.#entries.slice(from, this.#commitIndex - this.#base.index);
  }

  hasUnhanded(): boolean {
    return this.#truncateFrom !== undefined || this.#handedIndex < this.lastIndex;
  }

  /** What write `sequence` must put on disk. */
  handOver(sequence: number): {
    readonly truncateFrom: number | undefined;
    readonly entries: readonly Entry[];
  } {
    const entries = this.#entries.slice(this.#handedIndex - this.#base.index);
    const truncateFrom = this.#truncateFrom;
    this.#truncateFrom = undefined;
    this.#handedIndex = this.lastIndex;
    this.#outstanding.push({ sequence, lastIndex: this.lastIndex });
    return { truncateFrom, entries };
  }

  /** Every write up to `sequence` is on disk. */
  persisted(sequence: number): void {
    for (;;) {
      const write = this.#outstanding[0];
      if (write === undefined || write.sequence > sequence) return;
      this.#outstanding.shift();
      this.#stableIndex = Math.max(this.#stableIndex, write.lastIndex);
    }
  }

  bytesAfter(index: number): number {
    return this.#entries
      .slice(Math.max(0, index - this.#base.index))
      .reduce((sum, entry) => sum + entryBytes(entry), 0);
  }

  /** Forgets the entries up to `index`, which a snapshot covers. */
  compact(index: number): void {
    if (index <= this.#base.index) return;
    assert(index <= this.#appliedIndex, `entry ${index} is not applied and may not be compacted`);
    assert(index <= this.#handedIndex, `entry ${index} was not given to the disk and may not be compacted`);
    const term = this.termAt(index);
    assert(term !== undefined, `no term for ${index}`);
    this.#entries = this.#entries.slice(index - this.#base.index);
    this.#base = { index, term };
  }

  /** A snapshot takes the place of the whole log, which ends before it or differs from what was decided. */
  replace(snapshot: SnapshotMark): void {
    assert(snapshot.index > this.#commitIndex, `everything up to ${snapshot.index} is committed already`);
    // C4: of what is on disk or on its way there, only what is committed is part of the new log.
    this.#vouchAtMostTo(this.#commitIndex);
    this.#entries = [];
    this.#base = { index: snapshot.index, term: snapshot.term };
    this.#commitIndex = snapshot.index;
    this.#releasedIndex = snapshot.index;
    this.#handedIndex = snapshot.index;
    this.#truncateFrom = snapshot.index + 1;
    this.#configurations = new ConfigurationHistory(snapshot);
  }

  #truncate(from: number): void {
    assert(from > this.#commitIndex, `entry ${from} is committed and may not be replaced`);
    this.#entries.length = from - this.#base.index - 1;
    if (from <= this.#handedIndex) {
      this.#truncateFrom = Math.min(this.#truncateFrom ?? from, from);
      this.#handedIndex = from - 1;
    }
    this.#vouchAtMostTo(from - 1);
    this.#configurations.truncate(from);
  }

  /** No write, done or under way, vouches for anything after `index`. */
  #vouchAtMostTo(index: number): void {
    this.#stableIndex = Math.min(this.#stableIndex, index);
    for (const write of this.#outstanding) write.lastIndex = Math.min(write.lastIndex, index);
  }
}
