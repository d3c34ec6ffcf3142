import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { below, fixedWidth, keyOf, parseFixedWidth, partsOf } from '../../store/disk/keys.ts';
import { openRecord, RecordError, sealRecord } from '../../store/disk/record.ts';

const bytes = fc.uint8Array({ maxLength: 300 });

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof RecordError) return error.code;
    throw error;
  }
  return 'none';
}

describe('record', () => {
  test('opens to what was sealed', () => {
    fc.assert(
      fc.property(fc.string(), bytes, (key, payload) => {
        expect([...openRecord(key, sealRecord(key, payload))]).toEqual([...payload]);
      }),
    );
  });

  test('any flipped bit is noticed, the format byte included', () => {
    fc.assert(
      fc.property(fc.string(), bytes, fc.nat(), fc.integer({ min: 0, max: 7 }), (key, payload, at, bit) => {
        const record = Uint8Array.from(sealRecord(key, payload));
        const index = at % record.length;
        record[index] = (record[index] ?? 0) ^ (1 << bit);
        expect(codeOf(() => openRecord(key, record))).toBe('CORRUPT_RECORD');
      }),
    );
  });

  test('a value under another key, and a cut one, are noticed', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), bytes, fc.nat(), (key, other, payload, at) => {
        const record = sealRecord(key, payload);
        if (key !== other) expect(codeOf(() => openRecord(other, record))).toBe('CORRUPT_RECORD');
        expect(codeOf(() => openRecord(key, record.subarray(0, at % record.length)))).toBe('CORRUPT_RECORD');
      }),
    );
  });

  test('reads a payload that is a view into a larger buffer', () => {
    const whole = Buffer.concat([
      Buffer.from('xx'),
      sealRecord('k', Buffer.from('value')),
      Buffer.from('yy'),
    ]);
    expect(Buffer.from(openRecord('k', whole.subarray(2, -2))).toString()).toBe('value');
  });
});

describe('keys', () => {
  test('text order is numeric order, and numbers come back', () => {
    const number = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(number, number, (a, b) => {
        expect(Math.sign(a - b)).toBe(
          fixedWidth(a) < fixedWidth(b) ? -1 : fixedWidth(a) > fixedWidth(b) ? 1 : 0,
        );
        expect(parseFixedWidth(fixedWidth(a))).toBe(a);
      }),
    );
    expect(parseFixedWidth('12')).toBeUndefined();
    expect(() => fixedWidth(-1)).toThrow();
  });

  test('a prefix holds its own keys and not its neighbours', () => {
    const { from, to } = below('journal/n1');
    const inside = (key: string) => key >= from && key < to;
    expect(inside(keyOf('journal', 'n1', 7))).toBe(true);
    expect(inside(keyOf('journal', 'n10', 7))).toBe(false);
    expect(inside('journal/n1')).toBe(false);
    expect(partsOf(keyOf('journal', 'n1', 7))).toEqual(['journal', 'n1', fixedWidth(7)]);
    expect(() => keyOf('a/b')).toThrow();
  });
});
