/** A file system of its own, which fills up, or turns read-only, for real. Mounting one takes privileges: elsewhere this is skipped. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DiskError } from '../../store/disk/errors.ts';
import { createCommitter } from '../../store/disk/group-commit.ts';
import { openLevelDisk } from '../../store/disk/level-disk.ts';
import { testEnvironment } from '../support/environment.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const run = promisify(execFile);
const mebibyte = 1024 * 1024;
const seededBytes = (): (() => number) => {
  const random = seededRandom(5);
  return () => Math.floor(random() * 256);
};

describe('a file system', () => {
  let mountPoint: string;
  let unmountable: string | undefined;
  beforeAll(async () => {
    mountPoint = await mkdtemp(join(tmpdir(), 'freehold-full-'));
    await run('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', mountPoint]).catch((error: unknown) => {
      unmountable = String(error);
    });
  });
  afterAll(async () => {
    if (unmountable === undefined) await run('umount', [mountPoint]);
    await rm(mountPoint, { recursive: true });
  });

  test('that is full ends the node with a clear word, keeps it from starting, and costs nothing that was acknowledged', async (context) => {
    context.skip(unmountable !== undefined, `no file system can be mounted here: ${unmountable ?? ''}`);
    const directory = join(mountPoint, 'data');
    const environment = testEnvironment({ clock: new VirtualClock(), random: () => 0 });
    const ended = Promise.withResolvers<Error>();
    const open = () => openLevelDisk({ directory, writeBufferBytes: mebibyte }, environment);
    const key = (number: number): string => `journal/${String(number).padStart(6, '0')}`;
    const noise = Buffer.from(Array.from({ length: 40_000 }, seededBytes()));
    // Parts of noise: they do not compress.
    const value = (number: number): Buffer => noise.subarray(number, number + 20_000);
    const disk = await open();
    const committer = createCommitter({}, { disk, environment: { ...environment, fatal: ended.resolve } });
    let acknowledged = 0;
    const writeOn = (): void => {
      const next = acknowledged + 1;
      void committer.commit([{ kind: 'put', key: key(next), value: value(next) }]).then(() => {
        acknowledged = next;
        writeOn();
      });
    };
    writeOn();
    const failure = await ended.promise;
    expect(failure).toMatchObject({ code: 'DISK_FULL' });
    expect(failure.message).toContain(directory);
    expect(acknowledged).toBeGreaterThan(100);
    // Nothing is written behind what may have been written in part.
    await expect(disk.write([{ kind: 'delete', key: key(1) }], { sync: false })).rejects.toMatchObject({
      code: 'DISK_FULL',
    });
    await disk.close().catch(() => undefined);

    const { bavail, bsize } = await statfs(mountPoint);
    await writeFile(join(mountPoint, 'filler'), Buffer.alloc(Math.max(0, bavail * bsize)));
    const refusal: unknown = await open().catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(DiskError);
    expect(refusal).toMatchObject({ code: 'DISK_FULL' });
    await rm(join(mountPoint, 'filler'));

    await run('mount', ['-o', 'remount,size=64m', mountPoint]);
    const again = await open();
    for (let number = 1; number <= acknowledged; number++) {
      expect(Buffer.from((await again.get(key(number))) ?? []).equals(value(number)), key(number)).toBe(true);
    }
    await again.write([{ kind: 'put', key: key(0), value: value(0) }], { sync: true });
    await again.close();

    await run('mount', ['-o', 'remount,ro', mountPoint]);
    await expect(open()).rejects.toThrow(/^DISK_IO: .*EROFS/);
    await run('mount', ['-o', 'remount,rw', mountPoint]);
    await (await open()).close();
  }, 30_000);
});
