import type { Persist, Place, Restored, SnapshotMark } from '../../store/consensus/index.ts';

/** What a driver's disk holds, as the value that a node starts from again: how writes and compaction change it. */

/** One atomic write of the core. Throws when it would leave a gap in the log. */
export function stored(disk: Restored, persist: Persist): Restored {
  const { hardState, truncateFrom = Infinity } = persist;
  const snapshot = persist.snapshot ?? disk.snapshot;
  const base = placeOf(persist.snapshot ?? disk.base);
  const kept = disk.entries.filter(({ index }) => index > base.index && index < truncateFrom);
  const lastIndex = kept.at(-1)?.index ?? base.index;
  const first = persist.entries[0];
  if (first !== undefined && first.index !== lastIndex + 1) {
    throw new Error(`write of ${first.index} onto a log that ends at ${lastIndex}`);
  }
  return { hardState, snapshot, base, entries: [...kept, ...persist.entries] };
}

/** A snapshot of this node's own, and the log without what it makes superfluous. */
export function compacted(disk: Restored, snapshot: SnapshotMark, base: Place): Restored {
  const entries = disk.entries.filter(({ index }) => index > base.index);
  return { ...disk, snapshot, base: placeOf(base), entries };
}

function placeOf({ index, term }: Place): Place {
  return { index, term };
}
