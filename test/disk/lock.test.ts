import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLevelDisk } from '../../store/disk/level-disk.ts';
import { lockDirectory } from '../../store/disk/lock-file.ts';
import { testEnvironment } from '../support/environment.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { put } from './disk-contract.ts';

const { log } = testEnvironment({ clock: new VirtualClock(), random: Math.random });
const open = (directory: string) => openLevelDisk({ directory }, { log });
const notInUse = { isInUse: () => Promise.resolve(false) };
const gone = JSON.stringify({ pid: 2 ** 22 + 7 });

describe('the lock on a data directory', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'freehold-lock-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test('goes to one of many that take over a dead holder at the same moment', async () => {
    for (let round = 0; round < 20; round++) {
      await writeFile(join(directory, 'lock'), gone);
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, () => lockDirectory(directory, notInUse)),
      );
      const winners = results.filter((result) => result.status === 'fulfilled');
      expect(winners).toHaveLength(1);
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'DISK_LOCKED' });
      }
      await winners[0]?.value.release();
      expect(await readdir(directory)).toEqual([]);
    }
  });

  test('is left to who has it now by one who had it once', async () => {
    const first = await lockDirectory(directory, notInUse);
    await writeFile(join(directory, 'lock'), gone);
    await first.release();
    expect(await readFile(join(directory, 'lock'), 'utf8')).toBe(gone);
  });

  test.each([
    ['is gone', async (path: string) => rm(path)],
    ['names a process of another container', (path: string) => writeFile(path, gone)],
  ])('keeps out a second process though its file %s, and touches nothing', async (_, change) => {
    const program = join(import.meta.dirname, 'writer-process.ts');
    const child = spawn(process.execPath, [program, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(child.stdout, 'data');
      child.stdout.resume();
      await change(join(directory, 'lock'));
      const { size } = await stat(join(directory, 'witness'));
      for (let attempt = 0; attempt < 3; attempt++) {
        await expect(open(directory)).rejects.toMatchObject({ code: 'DISK_LOCKED' });
      }
      expect((await stat(join(directory, 'witness'))).size).toBe(size);
      expect(child.exitCode).toBeNull();
    } finally {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    const disk = await open(directory);
    await disk.write([put('a', '1')], { sync: true });
    await disk.close();
  });

  test('is not taken, nor a dead holder’s file touched, while LevelDB says that somebody has it', async () => {
    await writeFile(join(directory, 'lock'), gone);
    const inUse = { isInUse: () => Promise.resolve(true) };
    await expect(lockDirectory(directory, inUse)).rejects.toMatchObject({ code: 'DISK_LOCKED' });
    expect(await readFile(join(directory, 'lock'), 'utf8')).toBe(gone);
    expect(await readdir(directory)).toEqual(['lock']);
  });

  test('that cannot be read is not taken for free', async () => {
    await mkdir(join(directory, 'lock'));
    await expect(open(directory)).rejects.toMatchObject({ code: 'DISK_IO' });
    expect(await readdir(directory)).toEqual(['lock']);
  });

  test('cannot be had in a directory that this user may not write to, and says whose it is to change', async (context) => {
    context.skip(process.getuid?.() === 0, 'nothing is forbidden to root');
    await chmod(directory, 0o500);
    await expect(open(directory)).rejects.toMatchObject({ code: 'DISK_IO' });
    await chmod(directory, 0o700);
  });
});
