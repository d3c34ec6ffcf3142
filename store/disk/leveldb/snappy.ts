/**
 * Undoes Snappy (google/snappy, format_description.txt): LevelDB may compress the blocks that say where the other
 * blocks are. Literals and copies of what came before, nothing else.
 */
import { FormatError, Reader } from './reader.ts';

/** Throws FormatError when `compressed` is not what Snappy makes, or unpacks to more than `bytesMax`. */
export function unpackSnappy(compressed: Uint8Array, bytesMax: number): Buffer {
  const reader = new Reader(compressed);
  const length = reader.varint();
  if (length > bytesMax) throw new FormatError(`a block of ${length} bytes`);
  const unpacked = Buffer.alloc(length);
  let at = 0;
  const copy = (distance: number, count: number): void => {
    if (distance === 0 || distance > at || at + count > length) throw new FormatError('a copy out of bounds');
    // Byte by byte, as source and target may overlap.
    for (const end = at + count; at < end; at++) unpacked[at] = unpacked[at - distance] ?? 0;
  };
  while (!reader.isAtEnd) {
    const tag = reader.byte();
    switch (tag & 3) {
      case 0: {
        const short = tag >>> 2;
        const count = 1 + (short < 60 ? short : reader.take(short - 59).readUIntLE(0, short - 59));
        if (at + count > length) throw new FormatError('a literal out of bounds');
        at += reader.take(count).copy(unpacked, at);
        break;
      }
      case 1:
        copy(((tag >>> 5) << 8) | reader.byte(), 4 + ((tag >>> 2) & 7));
        break;
      case 2:
        copy(reader.take(2).readUInt16LE(), 1 + (tag >>> 2));
        break;
      default:
        copy(reader.take(4).readUInt32LE(), 1 + (tag >>> 2));
        break;
    }
  }
  if (at !== length) throw new FormatError('a block that breaks off');
  return unpacked;
}
