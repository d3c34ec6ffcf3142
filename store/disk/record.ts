/**
 * The envelope around every value on disk: `[format: 1][crc32: 4, big-endian][payload]`.
 *
 * LevelDB hands back wrong bytes without an error when a file is damaged, so each record carries its own
 * checksum. It covers the key too: a value that turns up under another key is as wrong as a flipped bit.
 * Owns the envelope only; what the payload means, and what to do about a damaged one, is the caller's.
 */
import { crc32 } from 'node:zlib';

const currentFormat = 1;
const headerBytes = 5;

export type RecordErrorCode =
  /** The bytes are not those that were written under this key. */
  | 'CORRUPT_RECORD'
  /** Intact, but written by a version of the program that this one does not know. */
  | 'UNKNOWN_FORMAT';

export class RecordError extends Error {
  readonly code: RecordErrorCode;
  readonly key: string;
  constructor(code: RecordErrorCode, key: string, detail: string) {
    super(`${code}: record ${JSON.stringify(key)}: ${detail}`);
    this.name = 'RecordError';
    this.code = code;
    this.key = key;
  }
}

/** Wraps `payload` for storage under `key`. */
export function sealRecord(key: string, payload: Uint8Array): Uint8Array {
  const record = Buffer.allocUnsafe(headerBytes + payload.byteLength);
  record[0] = currentFormat;
  record.set(payload, headerBytes);
  record.writeUInt32BE(checksum(key, currentFormat, payload), 1);
  return record;
}

/**
 * The payload that was sealed under `key`: a view into `record`, not a copy.
 * Throws RecordError. The checksum is judged before the format, so that a damaged format byte reads as
 * damage and not as a record from the future.
 */
export function openRecord(key: string, record: Uint8Array): Uint8Array {
  if (record.byteLength < headerBytes) {
    throw new RecordError('CORRUPT_RECORD', key, `${record.byteLength} bytes, shorter than its header`);
  }
  const view = Buffer.from(record.buffer, record.byteOffset, record.byteLength);
  const format = view.readUInt8(0);
  const payload = view.subarray(headerBytes);
  if (checksum(key, format, payload) !== view.readUInt32BE(1)) {
    throw new RecordError('CORRUPT_RECORD', key, 'checksum mismatch');
  }
  if (format !== currentFormat) {
    throw new RecordError('UNKNOWN_FORMAT', key, `format ${format}, this program knows ${currentFormat}`);
  }
  return payload;
}

function checksum(key: string, format: number, payload: Uint8Array): number {
  return crc32(payload, crc32(Uint8Array.of(format), crc32(key)));
}
