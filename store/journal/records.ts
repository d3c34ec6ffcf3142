/**
 * How the journal spells its keys and what is inside its records. An entry is encoded once; the same sealed bytes
 * lie on every disk and travel in every frame, and their checksum covers the key, so a record that turns up at
 * another position is as wrong as a damaged one.
 *
 *   journal/entry/<origin>/<sequence>   claim length (1 byte), claim, payload
 *   journal/claim/<claim>               who holds it here, and whether this node gave it its vote
 *   journal/base/<origin>               up to where its entries are gone, and how old they were
 *   journal/electorate                  whose disks count, and in which epoch
 *   journal/state                       whether this disk knows all that it once promised
 */
import type { NodeId } from '../environment.ts';
import { below, fixedWidth, keyOf, parseFixedWidth, partsOf } from '../disk/keys.ts';
import { openRecord, sealRecord } from '../disk/record.ts';
import { ByteReader, ByteWriter, WireError } from './bytes.ts';
import type { Base, Entry, Position } from './port.ts';

const claimBytesMax = 255;
const entryRoot = keyOf('journal', 'entry');
const claimRoot = keyOf('journal', 'claim');
const baseRoot = keyOf('journal', 'base');
export const stateKey = keyOf('journal', 'state');
export const electorateKey = keyOf('journal', 'electorate');
/** Their places are their codes on disk: append only. */
const standings = ['inherited', 'granted', 'observed'] as const;

/** An entry as it lies on disk and travels. */
export interface SealedEntry {
  readonly entry: Entry;
  readonly record: Uint8Array;
}

/** Which entry holds a claim at this node. */
export interface ClaimRecord {
  readonly holder: Position;
  /**
   * `granted`: this node gave it its one vote. `inherited`: found while relearning what a lost disk held; the
   * vote may have gone to it or to another, so this node has none to give for the claim any more. `observed`: met
   * while this node was no voter; it gave no vote then, and gives none later, when the claim may be decided.
   */
  readonly standing: 'granted' | 'inherited' | 'observed';
}

/** Whose disks count, as far as this disk knows. */
export interface ElectorateRecord {
  readonly epoch: number;
  /** The last epoch that this node counted under. */
  readonly takenUp: number;
  readonly voters: readonly NodeId[];
}

export function entryKey(origin: NodeId, sequence: number): string {
  return `${entryRoot}/${origin}/${fixedWidth(sequence)}`;
}

/** All entries, or those of one origin. */
export function entryRange(origin?: NodeId): { readonly from: string; readonly to: string } {
  return below(origin === undefined ? entryRoot : keyOf('journal', 'entry', origin));
}

/** Undefined when the key is none of an entry. */
export function positionOf(key: string): Position | undefined {
  const [, , origin, digits] = partsOf(key);
  const sequence = digits === undefined ? undefined : parseFixedWidth(digits);
  return origin === undefined || sequence === undefined ? undefined : { origin, sequence };
}

/** Claims are the caller's text: whatever a key may not contain is escaped. */
export function claimKey(claim: string): string {
  return `${claimRoot}/${encodeURIComponent(claim)}`;
}

export function baseKey(origin: NodeId): string {
  return `${baseRoot}/${origin}`;
}

export function baseRange(): { readonly from: string; readonly to: string } {
  return below(baseRoot);
}

/** Undefined when the key is none of a base. */
export function originOfBase(key: string): NodeId | undefined {
  return partsOf(key)[2];
}

export function isClaim(claim: string): boolean {
  return claim !== '' && claim.isWellFormed() && Buffer.byteLength(claim) <= claimBytesMax;
}

export function samePosition(one: Position, other: Position): boolean {
  return one.sequence === other.sequence && one.origin === other.origin;
}

export function sealEntry(entry: Entry): Uint8Array {
  const claim = Buffer.from(entry.claim ?? '', 'utf8');
  const body = Buffer.allocUnsafe(1 + claim.byteLength + entry.payload.byteLength);
  body[0] = claim.byteLength;
  body.set(claim, 1);
  body.set(entry.payload, 1 + claim.byteLength);
  return sealRecord(entryKey(entry.origin, entry.sequence), body);
}

/** Verifies the checksum. Throws RecordError, or WireError for bytes that were never an entry. */
export function openEntry(position: Position, record: Uint8Array): SealedEntry {
  const body = openRecord(entryKey(position.origin, position.sequence), record);
  const claimLength = body[0] ?? 0;
  if (body.byteLength < 1 + claimLength) throw new WireError('an entry is shorter than its claim');
  const payload = body.subarray(1 + claimLength);
  const { origin, sequence } = position;
  if (claimLength === 0) return { entry: { origin, sequence, payload }, record };
  const claim = Buffer.from(body.buffer, body.byteOffset + 1, claimLength).toString('utf8');
  return { entry: { origin, sequence, claim, payload }, record };
}

export function sealClaim(claim: string, { holder, standing }: ClaimRecord): Uint8Array {
  const body = new ByteWriter(32)
    .byte(standings.indexOf(standing))
    .number(holder.sequence)
    .text(holder.origin)
    .finish();
  return sealRecord(claimKey(claim), body);
}

/** Throws RecordError or WireError. */
export function openClaim(claim: string, record: Uint8Array): ClaimRecord {
  const reader = new ByteReader(openRecord(claimKey(claim), record));
  const standing = standings[reader.byte()];
  if (standing === undefined) throw new WireError('a claim of unknown standing');
  const sequence = reader.number();
  return { holder: { origin: reader.text(), sequence }, standing };
}

export function sealBase(origin: NodeId, { sequence, horizon }: Base): Uint8Array {
  return sealRecord(baseKey(origin), new ByteWriter(16).number(sequence).number(horizon).finish());
}

/** Throws RecordError or WireError. */
export function openBase(origin: NodeId, record: Uint8Array): Base {
  const reader = new ByteReader(openRecord(baseKey(origin), record));
  const base = { sequence: reader.number(), horizon: reader.number() };
  reader.end();
  return base;
}

/** Whether this disk knows everything that it ever acknowledged: false while relearning. */
export function sealState(state: { readonly whole: boolean }): Uint8Array {
  return sealRecord(stateKey, Uint8Array.of(state.whole ? 1 : 0));
}

export function openState(record: Uint8Array): { readonly whole: boolean } {
  return { whole: openRecord(stateKey, record)[0] === 1 };
}

export function sealElectorate({ epoch, takenUp, voters }: ElectorateRecord): Uint8Array {
  const writer = new ByteWriter(24 + voters.length * 8).number(epoch).number(takenUp).number(voters.length);
  for (const voter of voters) writer.text(voter);
  return sealRecord(electorateKey, writer.finish());
}

/** Throws RecordError or WireError. */
export function openElectorate(record: Uint8Array): ElectorateRecord {
  const reader = new ByteReader(openRecord(electorateKey, record));
  const epoch = reader.number();
  const takenUp = reader.number();
  const voters: NodeId[] = [];
  for (let left = reader.count(); left > 0; left--) voters.push(reader.text());
  reader.end();
  return { epoch, takenUp, voters };
}
