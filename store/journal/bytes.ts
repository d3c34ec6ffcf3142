/**
 * Reads and writes the few shapes that records and frames are made of: numbers as LEB128 (safe integers from 0
 * up), text and bytes with their length in front. The reader trusts nothing: whatever does not fit is WireError.
 */
import { invariant } from '../environment.ts';

/** Bytes that are not what this program writes: a bug, or another version, at the other end. */
export class WireError extends Error {
  readonly code = 'MALFORMED';
  constructor(detail: string) {
    super(`MALFORMED: ${detail}`);
    this.name = 'WireError';
  }
}

export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(expectedBytes = 256) {
    this.#buffer = Buffer.allocUnsafe(Math.max(16, expectedBytes));
  }

  byte(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  number(value: number): this {
    invariant(Number.isSafeInteger(value) && value >= 0, `${value} is not a safe non-negative integer`);
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
    return this;
  }

  text(value: string): this {
    return this.bytes(Buffer.from(value, 'utf8'));
  }

  bytes(value: Uint8Array): this {
    this.number(value.byteLength);
    return this.raw(value);
  }

  /** Without a length: only as the last part. */
  raw(value: Uint8Array): this {
    this.#reserve(value.byteLength);
    this.#buffer.set(value, this.#length);
    this.#length += value.byteLength;
    return this;
  }

  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.byteLength) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.byteLength * 2, this.#length + bytes));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

export class ByteReader {
  readonly #buffer: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  byte(): number {
    const value = this.#buffer[this.#offset];
    if (value === undefined) throw new WireError('it ends too early');
    this.#offset++;
    return value;
  }

  number(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 0x80) {
      const part = this.byte();
      value += (part & 0x7f) * factor;
      if (!Number.isSafeInteger(value)) throw new WireError('a number is too large');
      if (part < 0x80) return value;
    }
  }

  /** A number of things to follow, none smaller than a byte: bounds what a lying count can make us allocate. */
  count(): number {
    const value = this.number();
    if (value > this.#buffer.byteLength - this.#offset) throw new WireError('a count exceeds what follows');
    return value;
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  /** A view, not a copy. */
  bytes(): Buffer {
    const length = this.count();
    const value = this.#buffer.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return value;
  }

  rest(): Buffer {
    const value = this.#buffer.subarray(this.#offset);
    this.#offset = this.#buffer.byteLength;
    return value;
  }

  end(): void {
    if (this.#offset !== this.#buffer.byteLength) throw new WireError('something follows its end');
  }
}
