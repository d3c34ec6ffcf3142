/**
 * LevelDB's log format, of which its write-ahead log and its manifest are made (doc/log_format.md there): blocks of
 * 32 KiB, in them fragments with a checksum, one or more of which make a record.
 *
 * LevelDB itself skips what it cannot read and goes on behind it. This reader ends there and says where: whoever
 * asks has to know of every record that was written.
 */
import { crc32c, unmasked } from './crc32c.ts';

const blockBytes = 32 * 1024;
const headerBytes = 7;
/** Fragment types: a whole record, or its first, a middle, its last piece. */
const whole = 1;
const first = 2;
const middle = 3;
const last = 4;

export interface LogReading {
  readonly records: readonly Buffer[];
  /** Just behind the last whole record. */
  readonly endByte: number;
  /**
   * Why there is no more: the file is over, or breaks off within a record as after a crash while it was written, or
   * something stands there that LevelDB never wrote.
   */
  readonly end: 'complete' | 'torn' | 'damaged';
}

export function readLogRecords(file: Buffer): LogReading {
  const records: Buffer[] = [];
  let pieces: Buffer[] = [];
  let endByte = 0;
  let offset = 0;
  const stop = (end: LogReading['end']): LogReading => ({ records, endByte, end });
  while (offset < file.length) {
    const left = blockBytes - (offset % blockBytes);
    if (left < headerBytes) {
      const filler = file.subarray(offset, offset + left);
      if (filler.some((byte) => byte !== 0)) return stop('damaged');
      offset += left;
      // The filler belongs to what stands before, not to a record that may be cut off behind it.
      if (pieces.length === 0) endByte = Math.min(offset, file.length);
      continue;
    }
    if (file.length - offset < headerBytes) return stop('torn');
    const length = file.readUInt16LE(offset + 4);
    const type = file.readUInt8(offset + 6);
    const end = offset + headerBytes + length;
    if (headerBytes + length > left || type < whole || type > last) return stop('damaged');
    if (end > file.length) return stop('torn');
    if (crc32c(file, offset + 6, end) !== unmasked(file.readUInt32LE(offset))) return stop('damaged');
    const isContinuation = type === middle || type === last;
    if (isContinuation !== pieces.length > 0) return stop('damaged');
    pieces.push(file.subarray(offset + headerBytes, end));
    offset = end;
    if (type === first || type === middle) continue;
    const [only] = pieces;
    records.push(pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces));
    pieces = [];
    endByte = offset;
  }
  return stop(pieces.length === 0 ? 'complete' : 'torn');
}
