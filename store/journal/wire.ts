/**
 * The frames between the journals of one zone. Each starts with the version of its layout; a frame of another
 * version is WireError at the receiver, which drops it. Entries that begin beyond a base tell the base with them, in a
 * layout of its own (version 2); what counts towards majorities tells the epoch it counts in (version 3).
 *
 *   journal/push      own entries of the sender, usually contiguous; re-sent ones only to ask for votes
 *   journal/ack       what the receiver holds of the sender's journal, and its votes on the frame's claims
 *   journal/vector    request and answer: the version vectors of both ends
 *   journal/pull      request: a range of any origin; answer: a page of records
 *   journal/holders   request: a claim; answer: which entry the voter holds it for
 *   journal/vectors   (topic) a version vector
 */
import type { NodeId } from '../environment.ts';
import { ByteReader, ByteWriter, WireError } from './bytes.ts';
import type { Vote } from './claims.ts';
import type { Base, ClaimStanding, VersionVector } from './port.ts';

export const channels = {
  push: 'journal/push',
  acknowledge: 'journal/ack',
  vector: 'journal/vector',
  pull: 'journal/pull',
  holders: 'journal/holders',
  announcements: 'journal/vectors',
} as const;

const version = 1;
/** Of pushes and pages that open with a base. */
const versionWithBase = 2;
/** Of what counts towards majorities. */
const versionWithEpoch = 3;
/** Of what a disk holds that still relearns what it forgot. */
const versionOfPart = 4;
/** What a frame holds besides its records, at most. */
const frameOverheadBytes = 32;
/** What an entry weighs in a frame besides its record, at most. */
export const entryOverheadBytes = 12;

export interface WireRecord {
  readonly sequence: number;
  readonly record: Uint8Array;
}

export interface Push {
  /** Grows when the sender starts again from an earlier position; gaps reported for older rounds are stale. */
  readonly round: number;
  readonly records: readonly WireRecord[];
  /** Told to a peer that lacks entries which the sender no longer has. */
  readonly base?: Base;
}

export interface Page {
  readonly records: readonly WireRecord[];
  /** The page was asked for from below it, and begins beyond. */
  readonly base?: Base;
}

export interface Acknowledgement {
  readonly round: number;
  /** Which voters the receiver knows of: who counts under others must not count this. */
  readonly epoch: number;
  /** The last sequence of the sender's journal on the receiver's disk. */
  readonly upTo: number;
  /** The frame began beyond what the receiver has: send again from `upTo + 1`. */
  readonly gap: boolean;
  /** One per claim in the frame that was looked at. */
  readonly votes: readonly { readonly sequence: number; readonly vote: Vote }[];
}

export interface PullRequest {
  readonly origin: NodeId;
  readonly from: number;
  readonly entriesMax: number;
}

/** What a voter answers to "whom do you hold this claim for". */
export type HolderAnswer =
  | ClaimStanding
  /** It does not know yet what its disk has forgotten. */
  | { readonly kind: 'unknown' };

function open(frame: Uint8Array, expected = version): ByteReader {
  const reader = new ByteReader(frame);
  const found = reader.byte();
  if (found !== expected) throw new WireError(`layout ${found}, this program knows ${expected}`);
  return reader;
}

function write(expectedBytes?: number, layout = version): ByteWriter {
  return new ByteWriter(expectedBytes).byte(layout);
}

export function encodePush({ round, records, base }: Push): Uint8Array {
  const writer = writeBased(records, base).number(round);
  return writeRecords(writer, records).finish();
}

export function decodePush(frame: Uint8Array): Push {
  const { reader, base } = openBased(frame);
  const round = reader.number();
  const records = readRecords(reader);
  return base === undefined ? { round, records } : { round, records, base };
}

export function encodePage({ records, base }: Page): Uint8Array {
  return writeRecords(writeBased(records, base), records).finish();
}

export function decodePage(frame: Uint8Array): Page {
  const { reader, base } = openBased(frame);
  const records = readRecords(reader);
  return base === undefined ? { records } : { records, base };
}

export function encodeAcknowledgement({ round, epoch, upTo, gap, votes }: Acknowledgement): Uint8Array {
  const writer = write(24 + votes.length * 8, versionWithEpoch)
    .number(round)
    .number(epoch)
    .number(upTo)
    .byte(gap ? 1 : 0)
    .number(votes.length);
  for (const { sequence, vote } of votes) {
    writer.number(sequence);
    if (vote.kind === 'granted') writer.byte(0);
    else if (vote.kind === 'abstained') writer.byte(1);
    else writer.byte(2).number(vote.holder.sequence).text(vote.holder.origin);
  }
  return writer.finish();
}

export function decodeAcknowledgement(frame: Uint8Array): Acknowledgement {
  const reader = open(frame, versionWithEpoch);
  const round = reader.number();
  const epoch = reader.number();
  const upTo = reader.number();
  const gap = reader.byte() === 1;
  const votes: { sequence: number; vote: Vote }[] = [];
  for (let left = reader.count(); left > 0; left--) {
    votes.push({ sequence: reader.number(), vote: readVote(reader) });
  }
  reader.end();
  return { round, epoch, upTo, gap, votes };
}

export function encodeVector(vector: VersionVector): Uint8Array {
  const rows = Object.entries(vector);
  const writer = write(8 + rows.length * 12).number(rows.length);
  for (const [origin, sequence] of rows) writer.text(origin).number(sequence);
  return writer.finish();
}

export function decodeVector(frame: Uint8Array): ReadonlyMap<NodeId, number> {
  const reader = open(frame);
  const vector = new Map<NodeId, number>();
  for (let left = reader.count(); left > 0; left--) {
    const origin = reader.text();
    // Origins become parts of keys.
    if (origin === '' || origin.includes('/')) throw new WireError('not the name of a node');
    vector.set(origin, reader.number());
  }
  reader.end();
  return vector;
}

/** What a node answers when it is asked what it holds. */
export interface Held {
  /** Which voters it knew of when it looked. */
  readonly epoch: number;
  readonly vector: ReadonlyMap<NodeId, number>;
  /** Whether its disk holds all that it ever acknowledged. */
  readonly isWhole: boolean;
}

export function encodeHeld(
  epoch: number,
  vector: VersionVector,
  options: { readonly isWhole: boolean },
): Uint8Array {
  const layout = options.isWhole ? versionWithEpoch : versionOfPart;
  return write(16, layout).number(epoch).bytes(encodeVector(vector)).finish();
}

export function decodeHeld(frame: Uint8Array): Held {
  const isWhole = frame[0] !== versionOfPart;
  const reader = open(frame, isWhole ? versionWithEpoch : versionOfPart);
  const epoch = reader.number();
  const vector = decodeVector(reader.bytes());
  reader.end();
  return { epoch, vector, isWhole };
}

export function encodePull({ origin, from, entriesMax }: PullRequest): Uint8Array {
  return write(32).text(origin).number(from).number(entriesMax).finish();
}

export function decodePull(frame: Uint8Array): PullRequest {
  const reader = open(frame);
  const request = { origin: reader.text(), from: reader.number(), entriesMax: reader.number() };
  reader.end();
  return request;
}

export function encodeClaim(claim: string): Uint8Array {
  return write(80).text(claim).finish();
}

export function decodeClaim(frame: Uint8Array): string {
  return open(frame).text();
}

export function encodeHolder(answer: HolderAnswer): Uint8Array {
  const writer = write(32);
  switch (answer.kind) {
    case 'free':
      return writer.byte(0).finish();
    case 'unknown':
      return writer.byte(1).finish();
    case 'held':
      return writer.byte(2).number(answer.holder.sequence).text(answer.holder.origin).finish();
    case 'forgot':
      return writer.byte(3).finish();
    case 'passed':
      return writer.byte(4).finish();
  }
}

export function decodeHolder(frame: Uint8Array): HolderAnswer {
  const reader = open(frame);
  switch (reader.byte()) {
    case 0:
      return { kind: 'free' };
    case 1:
      return { kind: 'unknown' };
    case 2: {
      const sequence = reader.number();
      return { kind: 'held', holder: { origin: reader.text(), sequence } };
    }
    case 3:
      return { kind: 'forgot' };
    case 4:
      return { kind: 'passed' };
    default:
      throw new WireError('an answer about a claim that this program does not know');
  }
}

/** The head of a frame for `records`, with the base if there is one. */
function writeBased(records: readonly WireRecord[], base: Base | undefined): ByteWriter {
  const bytes = records.reduce((sum, { record }) => sum + record.byteLength + entryOverheadBytes, 0);
  const writer = new ByteWriter(bytes + frameOverheadBytes);
  if (base === undefined) return writer.byte(version);
  return writer.byte(versionWithBase).number(base.sequence).number(base.horizon);
}

function openBased(frame: Uint8Array): { readonly reader: ByteReader; readonly base?: Base } {
  if (frame[0] !== versionWithBase) return { reader: open(frame) };
  const reader = new ByteReader(frame);
  reader.byte();
  return { reader, base: { sequence: reader.number(), horizon: reader.number() } };
}

function readVote(reader: ByteReader): Vote {
  const kind = reader.byte();
  if (kind === 0) return { kind: 'granted' };
  if (kind === 1) return { kind: 'abstained' };
  const sequence = reader.number();
  return { kind: 'refused', holder: { origin: reader.text(), sequence } };
}

function writeRecords(writer: ByteWriter, records: readonly WireRecord[]): ByteWriter {
  writer.number(records.length);
  for (const { sequence, record } of records) writer.number(sequence).bytes(record);
  return writer;
}

function readRecords(reader: ByteReader): readonly WireRecord[] {
  const records: WireRecord[] = [];
  for (let left = reader.count(); left > 0; left--) {
    records.push({ sequence: reader.number(), record: reader.bytes() });
  }
  reader.end();
  return records;
}
