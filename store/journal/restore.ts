/**
 * What a disk holds, found at start without reading it all: per origin the last entry, by seeking; of the newest
 * ones, whether they are intact. Older damage shows when it is read.
 */
import type { Disk } from '../disk/port.ts';
import { RecordError } from '../disk/record.ts';
import type { NodeId } from '../environment.ts';
import { WireError } from './bytes.ts';
import type { Position } from './port.ts';
import { entryRange, openEntry, openState, positionOf, stateKey } from './records.ts';

export interface Restored {
  /** Last sequence per origin. */
  readonly positions: ReadonlyMap<NodeId, number>;
  /** Entries among the newest of each origin that are damaged or missing. */
  readonly damaged: readonly Position[];
  /** The disk once said that it knows all it ever acknowledged. */
  readonly whole: boolean;
}

const tailEntries = 64;

/** Rejects with RecordError for a disk that a newer program wrote. */
export async function restore(disk: Disk): Promise<Restored> {
  const state = await disk.get(stateKey);
  const positions = new Map<NodeId, number>();
  const damaged: Position[] = [];
  const { from: start, to } = entryRange();
  let from = start;
  for (;;) {
    const [first] = await disk.range({ from, to, limit: 1 });
    const origin = first === undefined ? undefined : positionOf(first[0])?.origin;
    if (origin === undefined) break;
    const range = entryRange(origin);
    const tail = await disk.range({ ...range, limit: tailEntries, reverse: true });
    const last = tail[0] === undefined ? undefined : positionOf(tail[0][0]);
    if (last !== undefined) {
      positions.set(origin, last.sequence);
      const intact = new Set(tail.filter(isIntact).map(([key]) => positionOf(key)?.sequence));
      for (let age = 0; age < Math.min(tailEntries, last.sequence); age++) {
        const sequence = last.sequence - age;
        if (!intact.has(sequence)) damaged.push({ origin, sequence });
      }
    }
    from = range.to;
  }
  return { positions, damaged, whole: state !== undefined && isWhole(state) };
}

/** A damaged state record says nothing, and a disk that says nothing relearns. */
function isWhole(record: Uint8Array): boolean {
  try {
    return openState(record).whole;
  } catch (error) {
    if (error instanceof RecordError && error.code === 'CORRUPT_RECORD') return false;
    throw error;
  }
}

function isIntact([key, record]: readonly [string, Uint8Array]): boolean {
  const position = positionOf(key);
  if (position === undefined) return false;
  try {
    openEntry(position, record);
    return true;
  } catch (error) {
    if (error instanceof WireError) return false;
    if (error instanceof RecordError && error.code === 'CORRUPT_RECORD') return false;
    throw error;
  }
}
