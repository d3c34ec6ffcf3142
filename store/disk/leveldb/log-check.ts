/**
 * Judges LevelDB's write-ahead logs by the numbers in them: LevelDB's own, one per operation, and ours, one per synced
 * batch (commit-number.ts). Both follow each other without a gap as they are written.
 *
 * Power loss may take the end of what was never synced, in the last log, and in the one before it if it came while
 * LevelDB went over to a new one. So unsynced batches may honestly be missing, also before synced ones; of these none.
 */
import { commitNumberKey, openCommitNumber } from '../commit-number.ts';
import { RecordError } from '../record.ts';
import { FormatError } from './reader.ts';
import { readLogRecords } from './record-log.ts';
import { readWriteBatch } from './write-batch.ts';

export interface LogCheck {
  /** Where each log that does not end in a whole record has to end. */
  readonly cuts: readonly { readonly name: string; readonly fromByte: number }[];
  /** Batches are missing before others that are there; none of them was synced. */
  readonly hasGap: boolean;
}

/** Something is missing, or wrong, that cannot have been lost honestly. */
export class LogCheckError extends Error {
  readonly file: string;
  constructor(file: string, detail: string) {
    super(detail);
    this.name = 'LogCheckError';
    this.file = file;
  }
}

export interface LogCheckOptions {
  /** What the tables hold: LevelDB's last number, as far as its manifest says, and the last synced batch. */
  readonly inTables: { readonly sequence: number; readonly commitNumber: number };
  /** The last batch known to have been acknowledged. */
  readonly synced: number;
}

/** Takes the live logs one by one, oldest first. */
export class LogChecker {
  readonly #options: LogCheckOptions;
  readonly #cuts: { readonly name: string; readonly fromByte: number }[] = [];
  #nextSequence: number | undefined;
  #commitNumber: number;
  #hasGap = false;
  #hasCommit = false;
  #lastName = '';

  constructor(options: LogCheckOptions) {
    this.#options = options;
    this.#commitNumber = options.inTables.commitNumber;
  }

  /** Throws LogCheckError. */
  add(name: string, file: Buffer): void {
    const { records, end, endByte } = readLogRecords(file);
    try {
      records.forEach((record, place) => {
        this.#addBatch(name, record, place);
      });
    } catch (error) {
      if (error instanceof FormatError || error instanceof RecordError) {
        throw new LogCheckError(name, error.message);
      }
      throw error;
    }
    if (end !== 'complete') this.#cuts.push({ name, fromByte: endByte });
    this.#lastName = name;
  }

  /** Throws LogCheckError. */
  finish(): LogCheck {
    const { synced } = this.#options;
    if (this.#commitNumber < synced) {
      throw new LogCheckError(
        this.#lastName,
        `synced writes ${this.#commitNumber + 1} to ${synced} are missing at the end`,
      );
    }
    return { cuts: this.#cuts, hasGap: this.#hasGap };
  }

  #addBatch(name: string, record: Buffer, place: number): void {
    const batch = readWriteBatch(record);
    const expected = this.#nextSequence ?? this.#options.inTables.sequence + 1;
    // Only the beginning may be in the tables by now.
    if (this.#nextSequence !== undefined && batch.sequence < expected) {
      throw new LogCheckError(name, `operation ${batch.sequence} comes after ${expected}`);
    }
    const followsGap = batch.sequence > expected;
    if (followsGap && place > 0) {
      throw new LogCheckError(name, `operations ${expected} to ${batch.sequence - 1} are missing`);
    }
    this.#hasGap ||= followsGap;
    this.#nextSequence = batch.sequence + batch.count;
    const value = batch.valueOf(commitNumberKey);
    if (value === undefined) return;
    const commit = openCommitNumber(value);
    // The first log may begin with what is in the tables by now.
    const isNext = commit === this.#commitNumber + 1 || (!this.#hasCommit && commit <= this.#commitNumber);
    if (!isNext) {
      throw new LogCheckError(name, `synced writes ${this.#commitNumber + 1} to ${commit - 1} are missing`);
    }
    this.#hasCommit = true;
    this.#commitNumber = commit;
  }
}
