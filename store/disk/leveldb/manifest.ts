/**
 * What LevelDB's manifest says: which table files are live, and from which log on the writes are not in them yet.
 * A manifest is a log of edits (db/version_edit.cc there); the last word on each matter stands.
 */
import { FormatError, Reader } from './reader.ts';
import { readLogRecords } from './record-log.ts';

export interface Manifest {
  /** Live table files by number, with their sizes. */
  readonly tables: ReadonlyMap<number, number>;
  /** Logs below this one are in the tables. */
  readonly logNumber: number;
  /** A second log that still counts; 0 for none. */
  readonly previousLogNumber: number;
  /** LevelDB numbers each put and each delete; in the tables is at most this one. */
  readonly lastSequence: number;
}

const comparatorName = 'leveldb.BytewiseComparator';

const tags = {
  comparator: 1,
  logNumber: 2,
  nextFileNumber: 3,
  lastSequence: 4,
  compactPointer: 5,
  deletedFile: 6,
  newFile: 7,
  previousLogNumber: 9,
};

/** Throws FormatError. A last edit that was being written in a crash is left out, as LevelDB does. */
export function readManifest(file: Buffer): Manifest {
  const { records, end, endByte } = readLogRecords(file);
  if (end === 'damaged') throw new FormatError(`it is damaged at byte ${endByte}`);
  const tables = new Map<number, number>();
  let logNumber: number | undefined;
  let lastSequence: number | undefined;
  let isNumbered = false;
  let previousLogNumber = 0;
  for (const record of records) {
    const reader = new Reader(record);
    const deleted: number[] = [];
    const added: (readonly [number: number, size: number])[] = [];
    while (!reader.isAtEnd) {
      switch (reader.varint()) {
        case tags.comparator:
          if (reader.sized().toString() !== comparatorName)
            throw new FormatError('it sorts in another order');
          break;
        case tags.logNumber:
          logNumber = reader.varint();
          break;
        case tags.previousLogNumber:
          previousLogNumber = reader.varint();
          break;
        case tags.nextFileNumber:
          reader.varint();
          isNumbered = true;
          break;
        case tags.lastSequence:
          lastSequence = reader.varint();
          break;
        case tags.compactPointer:
          reader.varint();
          reader.sized();
          break;
        case tags.deletedFile:
          reader.varint();
          deleted.push(reader.varint());
          break;
        case tags.newFile: {
          reader.varint();
          added.push([reader.varint(), reader.varint()]);
          reader.sized();
          reader.sized();
          break;
        }
        default:
          throw new FormatError('it holds an edit that LevelDB never made');
      }
    }
    // A file that moves to another level is deleted and added in one edit.
    for (const number of deleted) tables.delete(number);
    for (const [number, size] of added) tables.set(number, size);
  }
  if (logNumber === undefined || lastSequence === undefined || !isNumbered) {
    throw new FormatError('it breaks off before it says anything');
  }
  return { tables, logNumber, previousLogNumber, lastSequence };
}
