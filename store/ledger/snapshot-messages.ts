/**
 * What is asked and answered in the transfer of a snapshot, and its bytes: msgpack arrays that open with an opcode.
 * What comes out of a decoder is well-formed, or is undefined.
 */
import { decodeManifest, encodeManifest, type SnapshotManifest } from './snapshot-manifest.ts';
import { pack, packLarge, unpack } from './msgpack.ts';

export type SnapshotQuestion =
  | { readonly kind: 'manifest'; readonly index: number }
  /** Chunks from `from` on of the snapshot with this digest. */
  | { readonly kind: 'chunks'; readonly index: number; readonly digest: string; readonly from: number };

/** `gone`: there is no such snapshot here, or not any more. */
export type ManifestAnswer = SnapshotManifest | 'gone';
export type ChunksAnswer = readonly Uint8Array[] | 'gone';

const opcode = { manifest: 1, chunks: 2 } as const;
const gone = pack(null);

export function encodeQuestion(question: SnapshotQuestion): Uint8Array {
  const { index } = question;
  if (question.kind === 'manifest') return pack([opcode.manifest, index]);
  return pack([opcode.chunks, index, question.digest, question.from]);
}

export function decodeQuestion(bytes: Uint8Array): SnapshotQuestion | undefined {
  const fields = unpacked(bytes);
  if (!Array.isArray(fields)) return undefined;
  const [code, index, digest, from] = fields as readonly unknown[];
  if (!isCount(index)) return undefined;
  if (code === opcode.manifest) return { kind: 'manifest', index };
  if (code !== opcode.chunks || typeof digest !== 'string' || !isCount(from)) return undefined;
  return { kind: 'chunks', index, digest, from };
}

export function encodeManifestAnswer(answer: ManifestAnswer): Uint8Array {
  return answer === 'gone' ? gone : encodeManifest(answer);
}

export function decodeManifestAnswer(bytes: Uint8Array): ManifestAnswer | undefined {
  return unpacked(bytes) === null ? 'gone' : decodeManifest(bytes);
}

export function encodeChunksAnswer(answer: ChunksAnswer): Uint8Array {
  if (answer === 'gone') return gone;
  return packLarge(
    answer,
    answer.reduce((sum, { byteLength }) => sum + byteLength + 5, 16),
  );
}

export function decodeChunksAnswer(bytes: Uint8Array): ChunksAnswer | undefined {
  const chunks = unpacked(bytes);
  if (chunks === null) return 'gone';
  if (!Array.isArray(chunks) || chunks.length === 0) return undefined;
  return chunks.every((chunk) => chunk instanceof Uint8Array) ? chunks : undefined;
}

function unpacked(bytes: Uint8Array): unknown {
  try {
    return unpack(bytes);
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
