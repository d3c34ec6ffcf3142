/**
 * How keys are spelled. Keys sort bytewise, so numbers inside them are fixed-width, and everything below a
 * prefix is one contiguous range. Parts are joined with `/`; a part may not contain it.
 */
import { invariant } from '../environment.ts';

/** Enough digits for every safe integer. */
const numberWidth = 16;
const separator = '/';
/** The byte after the separator: the first key above every key that starts with a prefix. */
const afterSeparator = '0';

/** A number from 0 to 2^53 − 1 as 16 digits: text order is then numeric order. */
export function fixedWidth(value: number): string {
  invariant(
    Number.isSafeInteger(value) && value >= 0,
    `a key holds a safe non-negative integer, not ${value}`,
  );
  return String(value).padStart(numberWidth, '0');
}

/** Reads what `fixedWidth` wrote, or undefined when `text` is something else. */
export function parseFixedWidth(text: string): number | undefined {
  if (text.length !== numberWidth || !/^\d+$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : undefined;
}

/** Joins parts into a key, such as `journal/entry/n1/0000000000000042`. Numbers become fixed-width. */
export function keyOf(...parts: readonly (string | number)[]): string {
  return parts
    .map((part) => (typeof part === 'number' ? fixedWidth(part) : checkedPart(part)))
    .join(separator);
}

/** The parts of a key made by `keyOf`, as text. */
export function partsOf(key: string): readonly string[] {
  return key.split(separator);
}

/** Every key strictly below `prefix`, as the bounds of a range. `prefix` is given without its separator. */
export function below(prefix: string): { readonly from: string; readonly to: string } {
  return { from: prefix + separator, to: prefix + afterSeparator };
}

function checkedPart(part: string): string {
  invariant(part !== '' && !part.includes(separator), `a key part is not empty and has no slash: ${part}`);
  return part;
}
