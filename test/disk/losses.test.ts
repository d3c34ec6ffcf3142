/** Losses that leave every file well-formed: only what was counted elsewhere shows that something is missing. */
import { cp, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { putCommitNumber } from '../../store/disk/commit-number.ts';
import { DiskError } from '../../store/disk/errors.ts';
import { openLevelDisk } from '../../store/disk/level-disk.ts';
import { crc32c } from '../../store/disk/leveldb/crc32c.ts';
import { LogChecker } from '../../store/disk/leveldb/log-check.ts';
import { readLogRecords } from '../../store/disk/leveldb/record-log.ts';
import type { Operation } from '../../store/disk/port.ts';
import { testEnvironment } from '../support/environment.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { put, text } from './disk-contract.ts';

const { log, lines } = testEnvironment({ clock: new VirtualClock(), random: Math.random });
const open = (directory: string) => openLevelDisk({ directory }, { log });

describe('a stopped node', () => {
  let root: string;
  let directory: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'freehold-losses-'));
    directory = join(root, 'data');
    lines.length = 0;
  });
  afterEach(() => rm(root, { recursive: true }));

  const write = async (from: number, to: number, sync = true): Promise<void> => {
    const disk = await open(directory);
    for (let number = from; number <= to; number++) await disk.write([put(`k${number}`, 'v')], { sync });
    await disk.close();
  };
  const data = (...names: readonly string[]): string => join(directory, 'leveldb', ...names);
  const theLog = async (): Promise<string> => {
    const logs = (await readdir(data())).filter((name) => name.endsWith('.log'));
    expect(logs).toHaveLength(1);
    return data(logs[0] ?? '');
  };
  const refusal = async (): Promise<string> => {
    const failure: unknown = await open(directory).then(
      () => 'it opened',
      (error: unknown) => error,
    );
    if (!(failure instanceof DiskError)) throw new Error(`not refused: ${String(failure)}`);
    expect(failure.code).toBe('DISK_CORRUPT');
    expect(failure.message).toMatch(/"leveldb" and "format".*aside/);
    return failure.message;
  };

  test('whose log ends one synced batch too early is not started, and the log is left as it is', async () => {
    await write(1, 5);
    const path = await theLog();
    const whole = await readFile(path);
    const { records } = readLogRecords(whole);
    let offset = 0;
    for (const record of records) {
      await truncate(path, offset);
      expect(await refusal()).toMatch(/synced writes/);
      await writeFile(path, whole);
      offset += 7 + record.length;
    }
    expect(offset).toBe(whole.length);
    await (await open(directory)).close();
  });

  test('that lost only what was never synced is started without it, up to the first broken byte', async () => {
    await write(1, 3);
    await write(4, 4);
    const disk = await open(directory);
    await disk.write([put('synced', '1')], { sync: true });
    for (const key of ['a', 'b', 'c']) await disk.write([put(key, '1')], { sync: false });
    // Beyond the block that the damage is in.
    for (const key of ['d', 'e']) await disk.write([put(key, '1'.repeat(40_000))], { sync: false });
    await disk.close();
    const path = await theLog();
    const file = await readFile(path);
    // In the middle of `b`: LevelDB would skip the block, and go on with `e`.
    const damaged = file.lastIndexOf(Buffer.from('b\u00011', 'latin1'));
    expect(damaged).toBeGreaterThan(0);
    file[damaged] = 0;
    await writeFile(path, file);
    const again = await open(directory);
    const held = await again.getMany(['k1', 'k4', 'synced', 'a', 'b', 'c', 'd', 'e']);
    expect(held.map((value) => value !== undefined)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
    await again.close();
    expect(lines.map(({ message }) => message).join()).toContain('never synced');
  });

  test('that was given back an older state of its database is not started', async () => {
    await write(1, 5);
    await cp(data(), join(root, 'old'), { recursive: true });
    await write(6, 10);
    await rm(data(), { recursive: true });
    await cp(join(root, 'old'), data(), { recursive: true });
    expect(await refusal()).toMatch(/synced writes/);
  });

  test('without its database is not started, and starts empty once its layout file is gone too', async () => {
    await write(1, 5);
    await rename(data(), join(root, 'aside'));
    await refusal();
    await rm(join(directory, 'format'));
    const disk = await open(directory);
    expect(await disk.get('k1')).toBeUndefined();
    await disk.write([put('new', '1')], { sync: true });
    await disk.close();
    expect(text(await (await reopened()).get('new'))).toBe('1');
  });

  test('whose CURRENT is lost is given it back', async () => {
    await write(1, 5);
    await rm(data('CURRENT'));
    expect(text(await (await reopened()).get('k5'))).toBe('v');
    await last?.close();
    await writeFile(data('CURRENT'), 'MANIFEST-999999\n');
    expect(text(await (await reopened()).get('k5'))).toBe('v');
  });

  test('whose witness is lost goes on, says so, and has one again', async () => {
    await write(1, 5);
    await rm(join(directory, 'witness'));
    // It vouches again from the start on, though nothing is written.
    await (await open(directory)).close();
    await cp(data(), join(root, 'as-it-was'), { recursive: true });
    await rm(data(), { recursive: true });
    await refusal();
    await cp(join(root, 'as-it-was'), data(), { recursive: true });
    await write(6, 6);
    expect(lines.map(({ message }) => message).join()).toContain('witness');
    await truncate(await theLog(), 0);
    await refusal();
  });

  test('opens its database once for each of many lives, whatever was synced in them', async () => {
    for (let life = 1; life <= 5; life++) await write(life * 10, life * 10 + (life % 3), life % 2 === 0);
    const disk = await open(directory);
    expect((await disk.range({ from: 'k', to: 'l', limit: 100 })).length).toBe(11);
    await disk.close();
  });

  test('takes synced writes that overlap in the order in which they were asked for', async () => {
    const disk = await open(directory);
    const value = Buffer.from('before');
    const writes = [
      disk.write([put('a', '1')], { sync: true }),
      disk.write([put('a', '2'), { kind: 'put', key: 'b', value }], { sync: true }),
      disk.write([put('a', '3')], { sync: true }),
    ];
    value.write('AFTER!');
    await Promise.all(writes);
    expect((await disk.getMany(['a', 'b'])).map(text)).toEqual(['3', 'before']);
    await disk.close();
    await (await open(directory)).close();
  });

  let last: Awaited<ReturnType<typeof open>> | undefined;
  const reopened = async () => {
    last = await open(directory);
    return last;
  };
  afterEach(async () => {
    await last?.close();
    last = undefined;
  });
});

describe('two logs, as LevelDB leaves them when power fails while it goes over to the second', () => {
  let sequence = 0;
  beforeEach(() => {
    sequence = 0;
  });

  const fragment = (record: Buffer): Buffer => {
    const header = Buffer.alloc(7);
    header.writeUInt16LE(record.length, 4);
    header.writeUInt8(1, 6);
    const crc = crc32c(Buffer.concat([header.subarray(6), record]), 0, 1 + record.length);
    header.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0, 0);
    return Buffer.concat([header, record]);
  };
  const sized = (bytes: Uint8Array): Buffer => Buffer.concat([Buffer.of(bytes.length), bytes]);
  const record = (...operations: readonly Operation[]): Buffer => {
    const header = Buffer.alloc(12);
    header.writeBigUInt64LE(BigInt(sequence + 1));
    header.writeUInt32LE(operations.length, 8);
    sequence += operations.length;
    const bodies = operations.map((operation) =>
      operation.kind === 'put'
        ? Buffer.concat([Buffer.of(1), sized(Buffer.from(operation.key)), sized(operation.value)])
        : Buffer.concat([Buffer.of(0), sized(Buffer.from(operation.key))]),
    );
    return fragment(Buffer.concat([header, ...bodies]));
  };
  const synced = (number: number): Buffer => record(put('journal', 'v'), putCommitNumber(number));
  const unsynced = (): Buffer => record(put('table', 'v'));
  const check = (first: readonly Buffer[], second: readonly Buffer[], known: number) => {
    const checker = new LogChecker({ inTables: { sequence: 0, commitNumber: 0 }, synced: known });
    checker.add('1.log', Buffer.concat(first));
    checker.add('2.log', Buffer.concat(second));
    return checker.finish();
  };

  test('may lack unsynced batches between them, and then have a gap', () => {
    const [a, b, lost, c] = [synced(1), unsynced(), unsynced(), synced(2)];
    expect(check([a, b, lost], [c], 2)).toEqual({ cuts: [], hasGap: false });
    expect(check([a, b], [c], 2)).toEqual({ cuts: [], hasGap: true });
    const half = lost.subarray(0, 10);
    expect(check([a, b, half], [c], 2)).toEqual({
      cuts: [{ name: '1.log', fromByte: a.length + b.length }],
      hasGap: true,
    });
  });

  test('may not lack a synced batch, at their joint or at their end', () => {
    const [a, b, c, d] = [synced(1), synced(2), unsynced(), synced(3)];
    expect(() => check([a], [c, d], 3)).toThrow(/synced writes \d to 2 are missing/);
    expect(() => check([a], [d], 3)).toThrow(/synced writes \d to 2 are missing/);
    expect(() => check([a, b], [c], 3)).toThrow(/writes 3 to 3 are missing at the end/);
    expect(() => check([a, d], [], 3)).toThrow(/missing/);
    expect(() => check([d], [], 3)).toThrow(/synced writes \d to 2 are missing/);
    expect(check([a, b], [c, d], 3)).toEqual({ cuts: [], hasGap: false });
  });

  test('carry the checksum that LevelDB uses', () => {
    const digits = Buffer.from('123456789');
    expect(crc32c(digits, 0, 9)).toBe(0xe3069283);
    expect(crc32c(digits, 4, 9, crc32c(digits, 0, 4))).toBe(0xe3069283);
  });
});
