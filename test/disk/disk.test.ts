import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DiskError } from '../../store/disk/errors.ts';
import { openLevelDisk } from '../../store/disk/level-disk.ts';
import { testEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { describeDisk, put, text } from './disk-contract.ts';

const { log } = testEnvironment({ clock: new VirtualClock(), random: Math.random });
const open = (directory: string) => openLevelDisk({ directory }, { log });
const temporaryDirectory = () => mkdtemp(join(tmpdir(), 'freehold-disk-'));

async function failureOf(promise: Promise<unknown>): Promise<DiskError> {
  const error = await promise.then(
    () => new Error('it succeeded'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof DiskError)) throw error as Error;
  return error;
}

describeDisk('LevelDB', async () => {
  const directory = await temporaryDirectory();
  return {
    open: () => open(directory),
    destroy: () => rm(directory, { recursive: true }),
  };
});

describeDisk('the memory disk', async () => {
  const disk = new MemoryDisk();
  return { open: async () => disk.open(new VirtualClock()), destroy: async () => undefined };
});

describe('the data directory', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await temporaryDirectory();
  });
  afterEach(() => rm(directory, { recursive: true }));

  test('has one holder at a time, who is named, and whom a refused rival does not disturb', async () => {
    const disk = await open(directory);
    const failure = await failureOf(open(directory));
    expect(failure.code).toBe('DISK_LOCKED');
    expect(failure.message).toContain(directory);
    expect(await readFile(join(directory, 'lock'), 'utf8')).toContain(String(process.pid));
    await disk.write([put('a', '1')], { sync: true });
    await disk.close();
    const again = await open(directory);
    expect(text(await again.get('a'))).toBe('1');
    await again.close();
  });

  test.each([
    ['a process that is no more', JSON.stringify({ pid: 2 ** 22 + 7 })],
    ['an earlier process of the same id', JSON.stringify({ pid: process.pid, startedAt: 'boot/1' })],
    ['a crash before the name was written', ''],
  ])('is taken over from %s', async (_, content) => {
    await writeFile(join(directory, 'lock'), content);
    const disk = await open(directory);
    expect(await readFile(join(directory, 'lock'), 'utf8')).toContain(`"pid":${process.pid}`);
    await disk.close();
    expect(await readdir(directory)).not.toContain('lock');
  });

  test('is not taken over from a live process, which is named', async () => {
    await writeFile(join(directory, 'lock'), JSON.stringify({ pid: process.ppid }));
    const failure = await failureOf(open(directory));
    expect(failure.code).toBe('DISK_LOCKED');
    expect(failure.message).toContain(String(process.ppid));
  });

  test('of an unknown layout, or without its layout file, is refused and left as it is', async () => {
    await (await open(directory)).close();
    await writeFile(join(directory, 'format'), '99\n');
    expect((await failureOf(open(directory))).code).toBe('DISK_FORMAT_UNKNOWN');
    await writeFile(join(directory, 'format'), '');
    expect((await failureOf(open(directory))).code).toBe('DISK_CORRUPT');
    await rm(join(directory, 'format'));
    expect((await failureOf(open(directory))).code).toBe('DISK_CORRUPT');
    await writeFile(join(directory, 'format'), '2\n');
    await (await open(directory)).close();
  });

  test('with a damaged manifest is refused with the damage named, and its lock given back', async () => {
    await (await open(directory)).close();
    const names = await readdir(join(directory, 'leveldb'));
    const manifest = names.find((name) => name.startsWith('MANIFEST')) ?? '';
    await writeFile(join(directory, 'leveldb', manifest), 'nonsense');
    const failure = await failureOf(open(directory));
    expect(failure.code).toBe('DISK_CORRUPT');
    expect(failure.message).toContain(manifest);
    expect(await readdir(directory)).not.toContain('lock');
  });

  test('that cannot be made is an I/O failure', async () => {
    await writeFile(join(directory, 'file'), '');
    expect((await failureOf(open(join(directory, 'file')))).code).toBe('DISK_IO');
    await mkdir(join(directory, 'other', 'leveldb', 'CURRENT'), { recursive: true });
    await writeFile(join(directory, 'other', 'format'), '1\n');
    expect((await failureOf(open(join(directory, 'other')))).code).toBe('DISK_IO');
  });

  test('that was closed says so', async () => {
    const disk = await open(directory);
    await disk.close();
    expect((await failureOf(disk.get('a'))).code).toBe('DISK_CLOSED');
    expect((await failureOf(disk.write([put('a', '1')], { sync: true }))).code).toBe('DISK_CLOSED');
  });
});
