/**
 * What names a snapshot and proves it whole. The same bytes on disk and on the wire.
 *
 * Two members' snapshots of one index hold the same, but not in the same pieces: the digest names the pieces, so that
 * a transfer that was broken off is only ever resumed with pieces of the same snapshot.
 */
import { createHash, type Hash } from 'node:crypto';
import type { SnapshotMark } from '../consensus/index.ts';
import { pack, unpack } from './msgpack.ts';

/** 64 GB in the pieces that snapshots are taken in: whoever says more is wrong, and is not worked for. */
const chunksMax = 1_000_000;

export interface SnapshotManifest {
  readonly mark: SnapshotMark;
  /** The largest stamp applied up to there, ms: time goes on from it. */
  readonly appliedAt: number;
  readonly chunks: number;
  readonly bytes: number;
  /** SHA-256, hexadecimal. */
  readonly digest: string;
}

/** Takes in chunks one by one, and says what a manifest says of them. */
export class SnapshotDigest {
  readonly #hash: Hash = createHash('sha256');
  #chunks = 0;
  #bytes = 0;

  add(chunk: Uint8Array): void {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(chunk.byteLength);
    this.#hash.update(length).update(chunk);
    this.#chunks += 1;
    this.#bytes += chunk.byteLength;
  }

  /** Once. */
  end(): Pick<SnapshotManifest, 'chunks' | 'bytes' | 'digest'> {
    return { chunks: this.#chunks, bytes: this.#bytes, digest: this.#hash.digest('hex') };
  }
}

export function encodeManifest({ mark, appliedAt, chunks, bytes, digest }: SnapshotManifest): Uint8Array {
  const { index, term, configuration } = mark;
  const { voters, observers, records = null } = configuration;
  return pack([index, term, voters, observers, records, appliedAt, chunks, bytes, digest]);
}

/** Undefined on bytes that are something else. */
export function decodeManifest(encoded: Uint8Array): SnapshotManifest | undefined {
  let fields: unknown;
  try {
    fields = unpack(encoded);
  } catch {
    return undefined;
  }
  if (!Array.isArray(fields)) return undefined;
  const [index, term, voters, observers, records, appliedAt, chunks, bytes, digest] =
    fields as readonly unknown[];
  if (!isCount(index) || !isCount(term) || !isCount(chunks) || !isCount(bytes)) return undefined;
  if (chunks > chunksMax) return undefined;
  if (typeof appliedAt !== 'number' || !Number.isFinite(appliedAt)) return undefined;
  if (!isNames(voters) || !isNames(observers) || typeof digest !== 'string') return undefined;
  if (records !== null && typeof records !== 'string') return undefined;
  const configuration = { voters, observers, ...(records === null ? {} : { records }) };
  return { mark: { index, term, configuration }, appliedAt, chunks, bytes, digest };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0;
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}
