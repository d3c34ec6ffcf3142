/**
 * Checks a LevelDB table file (doc/table_format.md there) from its first byte to its last: data blocks, filter,
 * index, footer, each block with its checksum. LevelDB reads them without looking at the checksums: a flipped bit
 * gives a wrong value, in the index it hides rows, in the filter it denies them.
 */
import { crc32c, unmasked } from './crc32c.ts';
import { FormatError, Reader } from './reader.ts';
import { unpackSnappy } from './snappy.ts';

const footerBytes = 48;
const magic = 0xdb4775248b80fb57n;
/** Behind each block: how it is compressed, and the checksum. */
const trailerBytes = 5;
const uncompressed = 0;
const snappy = 1;
const blockBytesMax = 256 * 1024 * 1024;

interface Place {
  readonly offset: number;
  readonly size: number;
}

/** Behind each key stands the number of the operation that wrote it, and of what kind it was. */
const keyTrailerBytes = 8;

export interface FoundValue {
  readonly sequence: number;
  readonly value: Buffer;
}

/**
 * Throws FormatError unless every byte of the file is one that LevelDB wrote. Gives the newest value that the table has
 * under `wanted`.
 */
export function checkTable(file: Buffer, wanted: string): FoundValue | undefined {
  const footerAt = file.length - footerBytes;
  if (footerAt < 0) throw new FormatError('it is shorter than its footer');
  const footer = new Reader(file.subarray(footerAt));
  const metaIndex = placeIn(footer);
  const index = placeIn(footer);
  if (footer.take(footer.left - 8).some((byte) => byte !== 0)) throw new FormatError('its footer is damaged');
  if (file.readBigUInt64LE(file.length - 8) !== magic) throw new FormatError('its footer is damaged');
  const blocks = [...rowsOf(checkedBlock(file, index))].map(({ key, value }) => {
    return { lastKey: withoutTrailer(key), place: placeIn(new Reader(value)) };
  });
  const filters = [...rowsOf(checkedBlock(file, metaIndex))].map(({ value }) => placeIn(new Reader(value)));
  const places = [...blocks.map(({ place }) => place), ...filters, metaIndex, index];
  // No byte between the blocks may be left out: LevelDB writes them back to back.
  let at = 0;
  for (const place of places.toSorted((one, other) => one.offset - other.offset)) {
    if (place.offset !== at) throw new FormatError(`nothing says what stands at byte ${at}`);
    checkBlock(file, place);
    at = place.offset + place.size + trailerBytes;
  }
  if (at !== footerAt) throw new FormatError(`nothing says what stands at byte ${at}`);

  const key = Buffer.from(wanted);
  const block = blocks.find(({ lastKey }) => lastKey.compare(key) >= 0);
  return block === undefined ? undefined : newestIn(checkedBlock(file, block.place), key);
}

/** Of several values under one key the newest stands first. */
function newestIn(block: Buffer, wanted: Buffer): FoundValue | undefined {
  for (const { key, value } of rowsOf(block)) {
    if (!withoutTrailer(key).equals(wanted)) continue;
    const trailer = key.readBigUInt64LE(key.length - keyTrailerBytes);
    return { sequence: Number(trailer >> 8n), value };
  }
  return undefined;
}

function withoutTrailer(key: Buffer): Buffer {
  if (key.length < keyTrailerBytes) throw new FormatError('a key is too short');
  return key.subarray(0, key.length - keyTrailerBytes);
}

function checkBlock(file: Buffer, { offset, size }: Place): void {
  const end = offset + size;
  if (end + trailerBytes > file.length - footerBytes) throw new FormatError('a block is out of bounds');
  if (crc32c(file, offset, end + 1) !== unmasked(file.readUInt32LE(end + 1))) {
    throw new FormatError(`the block at byte ${offset} is damaged`);
  }
}

function checkedBlock(file: Buffer, place: Place): Buffer {
  checkBlock(file, place);
  const end = place.offset + place.size;
  const bytes = file.subarray(place.offset, end);
  switch (file.readUInt8(end)) {
    case uncompressed:
      return bytes;
    case snappy:
      return unpackSnappy(bytes, blockBytesMax);
    default:
      throw new FormatError(`the block at byte ${place.offset} is compressed in an unknown way`);
  }
}

/** Each key is told by what it shares with the one before; restart points stand behind the rows. */
function* rowsOf(block: Buffer): Generator<{ readonly key: Buffer; readonly value: Buffer }> {
  if (block.length < 4) throw new FormatError('a block is too short');
  const restarts = block.readUInt32LE(block.length - 4);
  const end = block.length - 4 - restarts * 4;
  if (end < 0) throw new FormatError('a block is too short');
  const reader = new Reader(block.subarray(0, end));
  let key: Buffer = Buffer.of();
  while (!reader.isAtEnd) {
    const shared = reader.varint();
    const ownBytes = reader.varint();
    const valueBytes = reader.varint();
    if (shared > key.length) throw new FormatError('a key shares more than there is');
    key = Buffer.concat([key.subarray(0, shared), reader.take(ownBytes)]);
    yield { key, value: reader.take(valueBytes) };
  }
}

function placeIn(reader: Reader): Place {
  return { offset: reader.varint(), size: reader.varint() };
}
