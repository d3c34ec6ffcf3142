/** One batch as it lies in LevelDB's write-ahead log (db/write_batch.cc there). */
import { FormatError, Reader } from './reader.ts';

export interface WriteBatch {
  /** LevelDB's number of the batch's first operation; the next batch begins `count` later. */
  readonly sequence: number;
  readonly count: number;
  /** What the batch puts under `key` last; undefined when it does not. */
  valueOf(key: string): Buffer | undefined;
}

const put = 1;
const remove = 0;

/** Throws FormatError. */
export function readWriteBatch(record: Buffer): WriteBatch {
  const reader = new Reader(record);
  const sequence = reader.fixed64();
  const count = reader.fixed32();
  const body = reader.take(reader.left);
  return {
    sequence,
    count,
    valueOf: (key) => {
      const wanted = Buffer.from(key);
      const operations = new Reader(body);
      let value: Buffer | undefined;
      while (!operations.isAtEnd) {
        const kind = operations.byte();
        if (kind !== put && kind !== remove) throw new FormatError('an operation that LevelDB does not have');
        const isWanted = operations.sized().equals(wanted);
        const written = kind === put ? operations.sized() : undefined;
        if (isWanted) value = written;
      }
      return value;
    },
  };
}
