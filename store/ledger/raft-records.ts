/**
 * How the consensus log looks on disk: `raft/state` holds the hard state, `raft/entry/<index>` one entry each, from the
 * one after `raft/base` on. Owns the keys, the bytes of an entry (the same on disk and on the wire) and the check at
 * the start.
 *
 * The log must be whole, or the node does not start: a voter that serves with a hole in its log could take back
 * what it acknowledged. Entries that the snapshot covers, which are kept for others and for an older snapshot, it can
 * do without.
 */
import {
  decodeConfiguration,
  emptyDisk,
  type Entry,
  type EntryKind,
  type HardState,
  type Persist,
  type Place,
  type Restored,
  type SnapshotMark,
} from '../consensus/index.ts';
import { below, keyOf, parseFixedWidth, partsOf } from '../disk/keys.ts';
import type { Disk, Operation } from '../disk/port.ts';
import { openRecord, RecordError, sealRecord } from '../disk/record.ts';
import type { Log } from '../environment.ts';
import { pack, unpack } from './msgpack.ts';

const stateKey = keyOf('raft', 'state');
const baseKey = keyOf('raft', 'base');
const entryRoot = keyOf('raft', 'entry');
export const entryKey = (index: number): string => keyOf('raft', 'entry', index);

const rowsPerRead = 1_000;

/** The log on disk cannot be trusted. The node must not start with it; its operator decides. */
export class LogDamagedError extends Error {
  readonly code = 'LOG_DAMAGED';
  constructor(detail: string, options?: { readonly cause?: unknown }) {
    super(
      `LOG_DAMAGED: the ledger's log on this node's disk is damaged: ${detail}. ` +
        'If a majority of the other voters is well, move "leveldb" and "format" in the data directory aside (not ' +
        '"identity.key"), have the configuration list who are members now, this node as no voter if they have ' +
        'changed, and start again: they fill this node anew. One node at a time.',
      options,
    );
    this.name = 'LogDamagedError';
  }
}

const headerBytes = 17;
const kindCodes: Readonly<Record<EntryKind, number>> = { noop: 0, command: 1, configuration: 2 };
const kinds: readonly EntryKind[] = ['noop', 'command', 'configuration'];

/** Each entry as `[kind: 1][index: 6][term: 6][length: 4][data]`, big-endian, back to back. */
export function encodeEntries(entries: readonly Entry[]): Uint8Array {
  const length = entries.reduce((sum, { data }) => sum + headerBytes + data.byteLength, 0);
  const bytes = Buffer.allocUnsafe(length);
  let offset = 0;
  for (const { kind, index, term, data } of entries) {
    bytes.writeUInt8(kindCodes[kind], offset);
    bytes.writeUIntBE(index, offset + 1, 6);
    bytes.writeUIntBE(term, offset + 7, 6);
    bytes.writeUInt32BE(data.byteLength, offset + 13);
    bytes.set(data, offset + headerBytes);
    offset += headerBytes + data.byteLength;
  }
  return bytes;
}

/** What `encodeEntries` wrote, as views into `bytes`; undefined when they are something else. */
export function decodeEntries(bytes: Uint8Array): readonly Entry[] | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: Entry[] = [];
  let offset = 0;
  while (offset < view.length) {
    if (view.length - offset < headerBytes) return undefined;
    const kind = kinds[view.readUInt8(offset)];
    const end = offset + headerBytes + view.readUInt32BE(offset + 13);
    if (kind === undefined || end > view.length) return undefined;
    const data = view.subarray(offset + headerBytes, end);
    if (kind === 'configuration' && decodeConfiguration(data) === undefined) return undefined;
    entries.push({
      kind,
      index: view.readUIntBE(offset + 1, 6),
      term: view.readUIntBE(offset + 7, 6),
      data,
    });
    offset = end;
  }
  return entries;
}

/** The one atomic batch of a `Persist`. `diskLastIndex` is the last entry that is on disk before it. */
export function operationsOf(persist: Persist, diskLastIndex: number): Operation[] {
  const operations: Operation[] = [];
  if (persist.truncateFrom !== undefined) {
    // What is written again below need not be deleted first.
    const from = Math.max(persist.truncateFrom, (persist.entries.at(-1)?.index ?? 0) + 1);
    for (let index = from; index <= diskLastIndex; index++) {
      operations.push({ kind: 'delete', key: entryKey(index) });
    }
  }
  for (const entry of persist.entries) {
    const key = entryKey(entry.index);
    operations.push({ kind: 'put', key, value: sealRecord(key, encodeEntries([entry])) });
  }
  if (persist.snapshot !== undefined) operations.push(baseOperation(persist.snapshot));
  const { term, votedFor, commitIndex, recovering } = persist.hardState;
  const state = pack([term, votedFor ?? null, commitIndex, recovering]);
  operations.push({ kind: 'put', key: stateKey, value: sealRecord(stateKey, state) });
  return operations;
}

/** Entries up to `base` count as removed. */
export function baseOperation({ index, term }: Place): Operation {
  return { kind: 'put', key: baseKey, value: sealRecord(baseKey, pack([index, term])) };
}

/** The entry before the log on disk. Throws LogDamagedError, or the disk's own error. */
export async function readBase(disk: Disk): Promise<Place> {
  const record = await disk.get(baseKey);
  if (record === undefined) return emptyDisk.base;
  const [index, term] = unpack(open(baseKey, record)) as readonly unknown[];
  if (typeof index !== 'number' || typeof term !== 'number') {
    throw new LogDamagedError(`${baseKey} has other fields than expected`);
  }
  return { index, term };
}

/**
 * Reads and checks the whole log, from its base on. `snapshot` is what the machine is restored to: the log reaches it,
 * or continues it. Throws LogDamagedError, or the disk's own error.
 */
export async function readLog(
  disk: Disk,
  { snapshot, log }: { readonly snapshot: SnapshotMark | undefined; readonly log: Log },
): Promise<Restored> {
  const recordedBase = await readBase(disk);
  if ((snapshot?.index ?? 0) < recordedBase.index) {
    throw new LogDamagedError(
      `it begins after ${recordedBase.index}, and no snapshot that is whole reaches so far`,
    );
  }
  const { base, entries } = await readEntries(disk, recordedBase, { snapshot, log });
  const state = await disk.get(stateKey);
  if (state === undefined) {
    if (entries.length > 0 || base.index > 0 || snapshot !== undefined)
      throw new LogDamagedError('there are entries or a snapshot, but the record of term and vote is gone');
    return emptyDisk;
  }
  const hardState = decodeHardState(open(stateKey, state));
  const lastIndex = base.index + entries.length;
  const knownIndex = Math.max(hardState.commitIndex, snapshot?.index ?? 0);
  if (knownIndex > lastIndex) {
    throw new LogDamagedError(`it ends at ${lastIndex}, but ${knownIndex} was committed`);
  }
  const lastTerm = entries.at(-1)?.term ?? base.term;
  if (lastTerm > hardState.term) {
    throw new LogDamagedError(`it holds an entry of term ${lastTerm}, and the term is ${hardState.term}`);
  }
  return { hardState, snapshot, base, entries };
}

interface ReadEntries {
  readonly base: Place;
  readonly entries: readonly Entry[];
}

/** Up to the snapshot, the log is of use to others only: when it is damaged there, it begins after the snapshot. */
async function readEntries(
  disk: Disk,
  base: Place,
  { snapshot, log }: { readonly snapshot: SnapshotMark | undefined; readonly log: Log },
): Promise<ReadEntries> {
  const entries: Entry[] = [];
  try {
    await readEntriesAfter(disk, base, entries);
    return { base, entries };
  } catch (error) {
    const isCovered = snapshot !== undefined && base.index + entries.length < snapshot.index;
    if (!(error instanceof LogDamagedError) || !isCovered) throw error;
    log.warn(
      { snapshot: snapshot.index, error: error.message },
      'damaged entries are in the snapshot too: dropped',
    );
    const { index, term } = snapshot;
    return readEntries(disk, { index, term }, { snapshot: undefined, log });
  }
}

/** Adds to `entries` as long as they are right. */
async function readEntriesAfter(disk: Disk, base: Place, entries: Entry[]): Promise<void> {
  const range = { from: entryKey(base.index + 1), to: below(entryRoot).to };
  let { from } = range;
  for (;;) {
    const rows = await disk.range({ from, to: range.to, limit: rowsPerRead });
    for (const [key, record] of rows) {
      const index = base.index + entries.length + 1;
      if (key !== entryKey(index)) throw new LogDamagedError(`entry ${index} is missing before ${key}`);
      const [entry, ...more] = decodeEntries(open(key, record)) ?? [];
      if (entry === undefined || more.length > 0 || entry.index !== index) {
        throw new LogDamagedError(`${key} does not hold entry ${index}`);
      }
      if (entry.term < (entries.at(-1)?.term ?? base.term)) {
        throw new LogDamagedError(`terms go back at ${index}`);
      }
      entries.push(entry);
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < rowsPerRead) return;
    // The first key after the last one that was read.
    from = `${last[0]}\0`;
  }
}

/** The first entry whose record is there, whatever the base says. */
export async function firstEntryOnDisk(disk: Disk): Promise<number | undefined> {
  const [row] = await disk.range({ ...below(entryRoot), limit: 1 });
  return row === undefined ? undefined : parseFixedWidth(partsOf(row[0]).at(-1) ?? '');
}

function open(key: string, record: Uint8Array): Uint8Array {
  try {
    return openRecord(key, record);
  } catch (error) {
    if (error instanceof RecordError && error.code === 'CORRUPT_RECORD') {
      throw new LogDamagedError(error.message, { cause: error });
    }
    throw error;
  }
}

function decodeHardState(bytes: Uint8Array): HardState {
  const fields: unknown = unpack(bytes);
  if (!Array.isArray(fields)) throw new LogDamagedError(`${stateKey} is not a list`);
  const [term, votedFor, commitIndex, recovering] = fields as readonly unknown[];
  if (
    typeof term !== 'number' ||
    (votedFor !== null && typeof votedFor !== 'string') ||
    typeof commitIndex !== 'number' ||
    typeof recovering !== 'boolean'
  ) {
    throw new LogDamagedError(`${stateKey} has other fields than expected`);
  }
  return { term, votedFor: votedFor ?? undefined, commitIndex, recovering };
}
