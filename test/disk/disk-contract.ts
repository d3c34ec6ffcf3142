/** What every Disk must do: run against LevelDB and against the simulator's disk. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Disk, Operation } from '../../store/disk/port.ts';

export interface DiskHarness {
  /** Opens the same bytes as the last time. */
  open(): Promise<Disk>;
  destroy(): Promise<void>;
}

export const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString();
export const put = (key: string, value: string): Operation => ({
  kind: 'put',
  key,
  value: Buffer.from(value),
});
export const del = (key: string): Operation => ({ kind: 'delete', key });

export function describeDisk(name: string, harnessOf: () => Promise<DiskHarness>): void {
  describe(`${name} as a Disk`, () => {
    let harness: DiskHarness;
    let disk: Disk;

    beforeEach(async () => {
      harness = await harnessOf();
      disk = await harness.open();
    });
    afterEach(async () => {
      await disk.close();
      await harness.destroy();
    });

    test('gives back what was written, and undefined for the rest', async () => {
      await disk.write([put('a', '1'), put('b', '')], { sync: true });
      expect(text(await disk.get('a'))).toBe('1');
      expect(text(await disk.get('b'))).toBe('');
      expect(await disk.get('c')).toBeUndefined();
      expect((await disk.getMany(['c', 'b', 'a'])).map(text)).toEqual([undefined, '', '1']);
    });

    test('applies the operations of a batch in their order', async () => {
      await disk.write([put('a', '1'), del('a'), put('a', '2'), put('b', '1'), del('b')], { sync: false });
      expect(text(await disk.get('a'))).toBe('2');
      expect(await disk.get('b')).toBeUndefined();
    });

    test('does not see later changes to the bytes it was given', async () => {
      const value = Buffer.from('before');
      const written = disk.write([{ kind: 'put', key: 'a', value }], { sync: true });
      value.write('AFTER!');
      await written;
      expect(text(await disk.get('a'))).toBe('before');
    });

    test('stores a view into a larger buffer as the view', async () => {
      const whole = Buffer.from('xxvaluexx');
      await disk.write(
        [{ kind: 'put', key: 'a', value: new Uint8Array(whole.buffer, whole.byteOffset + 2, 5) }],
        {
          sync: true,
        },
      );
      expect(text(await disk.get('a'))).toBe('value');
    });

    test('reads ranges: from included, to excluded, bytewise, limited, backwards', async () => {
      const keys = ['a', 'a/1', 'a/10', 'a/2', 'a0', 'b'];
      await disk.write(
        keys.map((key) => put(key, key)),
        { sync: true },
      );
      const read = async (limit: number, reverse: boolean) =>
        (await disk.range({ from: 'a/', to: 'a0', limit, reverse })).map(([key]) => key);
      expect(await read(10, false)).toEqual(['a/1', 'a/10', 'a/2']);
      expect(await read(2, false)).toEqual(['a/1', 'a/10']);
      expect(await read(2, true)).toEqual(['a/2', 'a/10']);
      expect(await disk.range({ from: 'x', to: 'y', limit: 1 })).toEqual([]);
      expect(await disk.range({ from: 'b', to: 'a', limit: 1 })).toEqual([]);
    });

    test('reads a range larger than one gulp whole and in order', async () => {
      const value = 'v'.repeat(400);
      const keys = Array.from({ length: 5_000 }, (_, index) => `k/${String(index).padStart(5, '0')}`);
      await disk.write(
        keys.map((key) => put(key, value)),
        { sync: true },
      );
      const rows = await disk.range({ from: 'k/', to: 'k0', limit: 10_000 });
      expect(rows.map(([key]) => key)).toEqual(keys);
    });

    test('keeps what was written over a close and an open', async () => {
      await disk.write([put('a', '1')], { sync: false });
      await disk.write([put('b', '2')], { sync: true });
      await disk.close();
      disk = await harness.open();
      expect((await disk.getMany(['a', 'b'])).map(text)).toEqual(['1', '2']);
    });
  });
}
