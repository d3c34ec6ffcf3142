/**
 * A second memory of how far the database got, in a file of its own: LevelDB takes a log that was cut short, or a
 * manifest that forgot its last edits, for an earlier state of itself, and says nothing.
 *
 * 1. A number is written here after its batch is on disk, and before anyone hears of it. So the witness is never ahead
 *    of a database that lost nothing, and a database behind its witness has lost what was acknowledged.
 * 2. Two places are written by turns, each with a checksum: a torn write leaves the number before.
 *
 * A write here is not synced, which keeps it at a microsecond: it survives the process at once, power loss after the
 * system's own few seconds. A disk that loses synced writes at the very moment the power fails may go unnoticed.
 */
import { open, rm, type FileHandle } from 'node:fs/promises';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';

const fileName = 'witness';
/** A sector each, and never the same one. */
const placeBytes = 4096;
const recordBytes = 16;
const magic = Buffer.from('fhw1');

export class Witness {
  readonly #file: FileHandle;
  readonly #record = Buffer.alloc(recordBytes);
  #number: number;

  private constructor(file: FileHandle, number: number) {
    this.#file = file;
    this.#number = number;
    magic.copy(this.#record);
  }

  /** `isKnown` is false when there was none, or a damaged one: then it vouches for nothing, until told. */
  static async open(directory: string): Promise<{ readonly witness: Witness; readonly isKnown: boolean }> {
    const path = join(directory, fileName);
    // 'r+' does not create, 'a+' does not write where it is told to.
    await open(path, 'a').then((created) => created.close());
    const file = await open(path, 'r+');
    try {
      const bytes = Buffer.alloc(2 * placeBytes);
      await file.read(bytes, 0, bytes.length, 0);
      const numbers = [bytes, bytes.subarray(placeBytes)].map(readPlace).filter((one) => one !== undefined);
      // Laid out whole at once: later writes then need no room that the disk may not have.
      if (numbers.length === 0) await file.write(bytes.fill(0), 0, bytes.length, 0);
      return { witness: new Witness(file, Math.max(0, ...numbers)), isKnown: numbers.length > 0 };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Forgets what stood there: for a directory whose data were taken away. */
  static async remove(directory: string): Promise<void> {
    await rm(join(directory, fileName), { force: true });
  }

  /** The last batch known to be on disk. */
  get number(): number {
    return this.#number;
  }

  /** Within the call, so that nothing can be acknowledged before it. Throws what the system throws. */
  note(number: number): void {
    this.#record.writeBigUInt64BE(BigInt(number), 4);
    this.#record.writeUInt32BE(crc32(this.#record.subarray(0, 12)), 12);
    writeSync(this.#file.fd, this.#record, 0, recordBytes, (number % 2) * placeBytes);
    this.#number = number;
  }

  async close(): Promise<void> {
    try {
      await this.#file.sync();
    } finally {
      await this.#file.close();
    }
  }
}

function readPlace(place: Buffer): number | undefined {
  if (!place.subarray(0, 4).equals(magic)) return undefined;
  if (crc32(place.subarray(0, 12)) !== place.readUInt32BE(12)) return undefined;
  return Number(place.readBigUInt64BE(4));
}
