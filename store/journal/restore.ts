/**
 * What a disk holds, found at start without reading it all: per origin the last entry, by seeking; of the newest
 * ones, whether they are intact. Older damage shows when it is read.
 */
import type { Disk } from '../disk/port.ts';
import { RecordError } from '../disk/record.ts';
import type { NodeId } from '../environment.ts';
import { WireError } from './bytes.ts';
import type { Base, Position } from './port.ts';
import {
  baseRange,
  electorateKey,
  entryRange,
  openBase,
  openElectorate,
  openEntry,
  openState,
  originOfBase,
  positionOf,
  stateKey,
  type ElectorateRecord,
} from './records.ts';

export interface Restored {
  /** Last sequence per origin. */
  readonly positions: ReadonlyMap<NodeId, number>;
  /** What is gone for good, per origin. */
  readonly bases: ReadonlyMap<NodeId, Base>;
  /** Entries among the newest of each origin that are damaged or missing. */
  readonly damaged: readonly Position[];
  /** The disk once said that it knows all it ever acknowledged. */
  readonly whole: boolean;
  readonly electorate: ElectorateRecord | undefined;
}

const tailEntries = 64;

/** Rejects with RecordError for a disk that a newer program wrote. */
export async function restore(disk: Disk): Promise<Restored> {
  const state = await disk.get(stateKey);
  const { bases, unreadable } = await restoreBases(disk);
  const positions = new Map<NodeId, number>();
  for (const [origin, { sequence }] of bases) positions.set(origin, sequence);
  const damaged: Position[] = [];
  const { from: start, to } = entryRange();
  let from = start;
  for (;;) {
    const [first] = await disk.range({ from, to, limit: 1 });
    const oldest = first === undefined ? undefined : positionOf(first[0]);
    if (oldest === undefined) break;
    const { origin } = oldest;
    // Rows go in sequence: the first that is left tells as much as the record did, but for the horizon.
    if (unreadable.delete(origin)) bases.set(origin, { sequence: oldest.sequence - 1, horizon: 0 });
    const base = bases.get(origin)?.sequence ?? 0;
    const range = entryRange(origin);
    const tail = await disk.range({ ...range, limit: tailEntries, reverse: true });
    const last = tail[0] === undefined ? undefined : positionOf(tail[0][0]);
    if (last !== undefined) {
      positions.set(origin, Math.max(base, last.sequence));
      const intact = new Set(tail.filter(isIntact).map(([key]) => positionOf(key)?.sequence));
      for (let age = 0; age < Math.min(tailEntries, last.sequence - base); age++) {
        const sequence = last.sequence - age;
        if (!intact.has(sequence)) damaged.push({ origin, sequence });
      }
    }
    from = range.to;
  }
  const electorate = await restoreElectorate(disk);
  // With no row left of an origin whose base is unreadable, the disk does not know what it held; and what it promised
  // under an epoch that it forgot, it cannot keep.
  const isKnown = unreadable.size === 0 && electorate !== 'unreadable';
  const whole = isKnown && state !== undefined && isWhole(state);
  return {
    positions,
    bases,
    damaged,
    whole,
    electorate: electorate === 'unreadable' ? undefined : electorate,
  };
}

async function restoreElectorate(disk: Disk): Promise<ElectorateRecord | 'unreadable' | undefined> {
  const record = await disk.get(electorateKey);
  try {
    return record && openElectorate(record);
  } catch (error) {
    if (isDamage(error)) return 'unreadable';
    throw error;
  }
}

const basesMax = 10_000;

async function restoreBases(
  disk: Disk,
): Promise<{ readonly bases: Map<NodeId, Base>; readonly unreadable: Set<NodeId> }> {
  const bases = new Map<NodeId, Base>();
  const unreadable = new Set<NodeId>();
  for (const [key, record] of await disk.range({ ...baseRange(), limit: basesMax })) {
    const origin = originOfBase(key);
    if (origin === undefined) continue;
    try {
      bases.set(origin, openBase(origin, record));
    } catch (error) {
      if (!isDamage(error)) throw error;
      unreadable.add(origin);
    }
  }
  return { bases, unreadable };
}

/** A damaged state record says nothing, and a disk that says nothing relearns. */
function isWhole(record: Uint8Array): boolean {
  try {
    return openState(record).whole;
  } catch (error) {
    if (isDamage(error)) return false;
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
    if (isDamage(error)) return false;
    throw error;
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof WireError || (error instanceof RecordError && error.code === 'CORRUPT_RECORD');
}
