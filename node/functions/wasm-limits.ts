/**
 * The limits a WebAssembly binary declares for its memories and tables, which JavaScript's reflection does not
 * tell. Format: WebAssembly Core Specification 3.0, 5.3.14 (limits), 5.5 (sections). Only for binaries that
 * compiled: what the engine checks is not checked again.
 */
export interface Limits {
  readonly minimum: number;
  /** Infinity when none is declared. */
  readonly maximum: number;
}

export class WasmFormatError extends Error {
  override readonly name = 'WasmFormatError';
}

const HEADER_BYTES = 8;
const TABLE_SECTION = 4;
const MEMORY_SECTION = 5;

export function readLimits(bytes: Uint8Array): {
  readonly memories: readonly Limits[];
  readonly tables: readonly Limits[];
} {
  const cursor = new Cursor(bytes, HEADER_BYTES);
  let memories: readonly Limits[] = [];
  let tables: readonly Limits[] = [];
  while (!cursor.atEnd()) {
    const section = cursor.byte();
    const end = cursor.leb() + cursor.position;
    if (section === MEMORY_SECTION) memories = cursor.vector(() => readLimit(cursor));
    if (section === TABLE_SECTION) tables = cursor.vector(() => readTable(cursor));
    cursor.position = end;
  }
  return { memories, tables };
}

/** Flags: 1 a maximum follows, 2 shared, 4 64-bit addresses. Other flags (custom page sizes) change the unit. */
function readLimit(cursor: Cursor): Limits {
  const flags = cursor.byte();
  if (flags > 7) throw new WasmFormatError(`limits with the unknown flags ${flags}`);
  const minimum = cursor.leb();
  return { minimum, maximum: (flags & 1) === 1 ? cursor.leb() : Infinity };
}

/** Only tables of plain function or external references: other kinds are written in ways not read here. */
function readTable(cursor: Cursor): Limits {
  const type = cursor.byte();
  if (type !== 0x70 && type !== 0x6f) throw new WasmFormatError(`a table of the unknown type ${type}`);
  return readLimit(cursor);
}

class Cursor {
  position: number;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array, position: number) {
    this.#bytes = bytes;
    this.position = position;
  }

  atEnd(): boolean {
    return this.position >= this.#bytes.length;
  }

  byte(): number {
    const byte = this.#bytes[this.position++];
    if (byte === undefined) throw new WasmFormatError('the module ends too early');
    return byte;
  }

  /** An unsigned integer, LEB128; as a float, since 64-bit limits may pass 2^32. */
  leb(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
  }

  vector<T>(read: () => T): readonly T[] {
    return Array.from({ length: this.leb() }, read);
  }
}
