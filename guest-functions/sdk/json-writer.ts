/**
 * Writes JSON text. A lone surrogate, which UTF-8 cannot carry, is written as an escape, so that the encoded
 * text is always well-formed.
 */

export function quote(text: string): string {
  let result = '"';
  /** Everything before this index is in `result`. */
  let written = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (isHighSurrogate(unit) && i + 1 < text.length && isLowSurrogate(text.charCodeAt(i + 1))) {
      i++;
      continue;
    }
    if (!needsEscape(unit)) continue;
    result += text.substring(written, i) + escape(unit);
    written = i + 1;
  }
  return result + text.substring(written) + '"';
}

function needsEscape(unit: i32): bool {
  return unit < 0x20 || unit == 0x22 || unit == 0x5c || (unit >= 0xd800 && unit <= 0xdfff);
}

function escape(unit: i32): string {
  if (unit == 0x22) return '\\"';
  if (unit == 0x5c) return '\\\\';
  return '\\u' + unit.toString(16).padStart(4, '0');
}

function isHighSurrogate(unit: i32): bool {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function isLowSurrogate(unit: i32): bool {
  return unit >= 0xdc00 && unit <= 0xdfff;
}
