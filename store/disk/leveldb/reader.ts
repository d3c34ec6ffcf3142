/** Reads LevelDB's numbers and byte strings in order. What is not there is a FormatError: the file is damaged. */

/** Bytes that LevelDB never wrote so. */
export class FormatError extends Error {
  constructor(detail: string) {
    super(detail);
    this.name = 'FormatError';
  }
}

export class Reader {
  readonly #bytes: Buffer;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#offset >= this.#bytes.length;
  }

  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  byte(): number {
    return this.take(1).readUInt8();
  }

  fixed32(): number {
    return this.take(4).readUInt32LE();
  }

  fixed64(): number {
    return safe(Number(this.take(8).readBigUInt64LE()));
  }

  /** Seven bits a byte, lowest first. */
  varint(): number {
    let value = 0;
    for (let weight = 1; weight < 2 ** 56; weight *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) return safe(value);
    }
    throw new FormatError('a number does not end');
  }

  /** A byte string with its length in front. */
  sized(): Buffer {
    return this.take(this.varint());
  }

  take(length: number): Buffer {
    if (length > this.left) throw new FormatError(`${length} bytes expected, ${this.left} left`);
    const taken = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return taken;
  }
}

function safe(value: number): number {
  if (!Number.isSafeInteger(value)) throw new FormatError('a number is out of range');
  return value;
}
