/**
 * Reads JSON (RFC 8259) from UTF-8 bytes, one value at a time, in the order in which it stands there.
 *
 * It owns the grammar and exactness: a whole number is read exactly or not at all (no fraction, no exponent,
 * nothing past 2^53 − 1), and every legal string comes out as it went in, lone surrogates included. Text that
 * is not JSON aborts the call. It does not build a tree: the caller asks for what it expects and skips the rest.
 * A skipped value is balanced, not checked.
 */
export class JsonReader {
  private position: i32 = 0;
  /** No member or element of the innermost open container was read yet: the next one takes no comma. */
  private atStart: bool = true;

  constructor(private readonly bytes: Uint8Array) {}

  beginObject(): void {
    this.expect(Char.BraceOpen);
    this.atStart = true;
  }

  /** Moves to the next member and returns its name; null at the end of the object. */
  nextName(): string | null {
    if (!this.nextItem(Char.BraceClose)) return null;
    const name = this.readString();
    this.expect(Char.Colon);
    return name;
  }

  beginArray(): void {
    this.expect(Char.BracketOpen);
    this.atStart = true;
  }

  /** Moves to the next element; false at the end of the array. */
  nextElement(): bool {
    return this.nextItem(Char.BracketClose);
  }

  readString(): string {
    this.expect(Char.Quote);
    const start = this.position;
    const plainEnd = this.findStringEnd();
    if (this.byteAt(plainEnd) == Char.Quote) {
      this.position = plainEnd + 1;
      return this.decode(start, plainEnd);
    }
    return this.readEscapedString(start, plainEnd);
  }

  /** A whole number within ±(2^53 − 1). */
  readInteger(): i64 {
    const negative = this.peek() == Char.Minus;
    if (negative) this.position++;
    const start = this.position;
    let value: i64 = 0;
    while (isDigit(this.byteAt(this.position))) {
      value = value * 10 + (this.byteAt(this.position) - Char.Zero);
      if (value > MAX_SAFE_INTEGER) throw new Error('JSON: integer past 2^53 - 1');
      this.position++;
    }
    const digits = this.position - start;
    if (digits == 0 || (digits > 1 && this.byteAt(start) == Char.Zero)) this.fail('an integer');
    const after = this.byteAt(this.position);
    if (after == Char.Dot || after == Char.LowerE || after == Char.UpperE) this.fail('a whole number');
    return negative ? -value : value;
  }

  readBoolean(): bool {
    if (this.peek() == Char.LowerT) {
      this.expectWord('true');
      return true;
    }
    this.expectWord('false');
    return false;
  }

  skip(): void {
    let depth = 0;
    do {
      const byte = this.peek();
      if (byte == Char.Quote) {
        this.skipString();
      } else if (byte == Char.BraceOpen || byte == Char.BracketOpen) {
        depth++;
        this.position++;
      } else if (byte == Char.BraceClose || byte == Char.BracketClose) {
        depth--;
        this.position++;
      } else if (depth > 0 && (byte == Char.Comma || byte == Char.Colon)) {
        this.position++;
      } else {
        this.skipWord();
      }
    } while (depth > 0);
    if (depth < 0) this.fail('a value');
    this.atStart = false;
  }

  /** Nothing but white space may follow. */
  end(): void {
    if (this.peek() != Char.End) this.fail('the end');
  }

  private nextItem(close: i32): bool {
    const first = this.atStart;
    this.atStart = false;
    if (this.peek() == close) {
      this.position++;
      return false;
    }
    if (!first) this.expect(Char.Comma);
    return true;
  }

  /** The position of the first quote or backslash from here on. */
  private findStringEnd(): i32 {
    let position = this.position;
    while (true) {
      const byte = this.byteAt(position);
      if (byte == Char.Quote || byte == Char.Backslash) return position;
      if (byte < Char.Space) this.fail('the end of a string');
      position++;
    }
  }

  private readEscapedString(start: i32, firstBackslash: i32): string {
    let text = this.decode(start, firstBackslash);
    this.position = firstBackslash;
    while (true) {
      if (this.byteAt(this.position++) == Char.Quote) return text;
      text += this.readEscape();
      const plainStart = this.position;
      this.position = this.findStringEnd();
      text += this.decode(plainStart, this.position);
    }
  }

  /**
   * One escape after its backslash, as UTF-16 code units: the halves of a surrogate pair come as two escapes
   * and make one character by standing side by side.
   */
  private readEscape(): string {
    const byte = this.byteAt(this.position++);
    switch (byte) {
      case Char.Quote:
      case Char.Backslash:
      case Char.Slash:
        return String.fromCharCode(byte);
      case Char.LowerB:
        return '\b';
      case Char.LowerF:
        return '\f';
      case Char.LowerN:
        return '\n';
      case Char.LowerR:
        return '\r';
      case Char.LowerT:
        return '\t';
      case Char.LowerU:
        return String.fromCharCode(this.readHex4());
      default:
        this.fail('an escape');
        return '';
    }
  }

  private readHex4(): i32 {
    let value = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.byteAt(this.position++);
      const letter = byte | 0x20;
      if (isDigit(byte)) value = (value << 4) | (byte - Char.Zero);
      else if (letter >= 0x61 && letter <= 0x66) value = (value << 4) | (letter - 0x57);
      else this.fail('a hexadecimal digit');
    }
    return value;
  }

  private skipString(): void {
    this.expect(Char.Quote);
    while (true) {
      this.position = this.findStringEnd();
      if (this.byteAt(this.position++) == Char.Quote) return;
      this.position++;
    }
  }

  /** A number, `true`, `false` or `null`. */
  private skipWord(): void {
    const start = this.position;
    while (isWordByte(this.byteAt(this.position))) this.position++;
    if (this.position == start) this.fail('a value');
  }

  private expect(byte: i32): void {
    if (this.peek() != byte) this.fail("'" + String.fromCharCode(byte) + "'");
    this.position++;
  }

  private expectWord(word: string): void {
    for (let i = 0; i < word.length; i++) {
      if (this.byteAt(this.position++) != word.charCodeAt(i)) this.fail("'" + word + "'");
    }
  }

  /** The next byte that is not white space. */
  private peek(): i32 {
    while (true) {
      const byte = this.byteAt(this.position);
      if (byte != Char.Space && byte != Char.Tab && byte != Char.LineFeed && byte != Char.CarriageReturn) {
        return byte;
      }
      this.position++;
    }
  }

  private byteAt(position: i32): i32 {
    return position < this.bytes.length ? this.bytes[position] : Char.End;
  }

  private decode(start: i32, end: i32): string {
    return String.UTF8.decodeUnsafe(this.bytes.dataStart + start, end - start);
  }

  private fail(expected: string): void {
    throw new Error('JSON: expected ' + expected + ' at byte ' + this.position.toString());
  }
}

const MAX_SAFE_INTEGER: i64 = 9007199254740991;

function isDigit(byte: i32): bool {
  return byte >= Char.Zero && byte <= Char.Nine;
}

/** Bytes of numbers and of the words `true`, `false`, `null`. */
function isWordByte(byte: i32): bool {
  return (
    isDigit(byte) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte == Char.UpperE ||
    byte == Char.Minus ||
    byte == Char.Plus ||
    byte == Char.Dot
  );
}

const enum Char {
  /** Past the end of the input; smaller than any byte. */
  End = -1,
  Tab = 0x09,
  LineFeed = 0x0a,
  CarriageReturn = 0x0d,
  Space = 0x20,
  Quote = 0x22,
  Plus = 0x2b,
  Comma = 0x2c,
  Minus = 0x2d,
  Dot = 0x2e,
  Slash = 0x2f,
  Zero = 0x30,
  Nine = 0x39,
  Colon = 0x3a,
  UpperE = 0x45,
  BracketOpen = 0x5b,
  Backslash = 0x5c,
  BracketClose = 0x5d,
  LowerB = 0x62,
  LowerE = 0x65,
  LowerF = 0x66,
  LowerN = 0x6e,
  LowerR = 0x72,
  LowerT = 0x74,
  LowerU = 0x75,
  BraceOpen = 0x7b,
  BraceClose = 0x7d,
}
