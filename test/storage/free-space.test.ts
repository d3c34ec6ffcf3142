import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { FreeSpace, freeBytesOf } from '../../node/storage/free-space.ts';
import { testEnvironment } from '../support/environment.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const mebibyte = 1024 * 1024;

async function watched(reserveBytes: number) {
  const world = { free: 1_000 * mebibyte, broken: false };
  const clock = new VirtualClock();
  const environment = testEnvironment({ clock, random: () => 0 });
  const space = new FreeSpace(
    { reserveBytes },
    {
      environment,
      measure: () => (world.broken ? Promise.reject(new Error('EIO')) : Promise.resolve(world.free)),
    },
  );
  await space.start();
  const next = async (): Promise<void> => {
    await clock.advance(5_000);
  };
  return { world, environment, space, next };
}

describe('free space', () => {
  test('is low below the reserve, and enough again only well above it', async () => {
    const { world, environment, space, next } = await watched(512 * mebibyte);
    const seen: boolean[] = [];
    for (const free of [600, 512, 511, 512, 600, 640, 600, 100]) {
      world.free = free * mebibyte;
      await next();
      seen.push(space.isLow);
    }
    expect(seen).toEqual([false, false, true, true, true, false, false, true]);
    expect(space.freeBytes).toBe(100 * mebibyte);
    expect(environment.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
  });

  test('that cannot be measured changes nothing, and is told once', async () => {
    const { world, environment, space, next } = await watched(512 * mebibyte);
    world.free = 1;
    await next();
    world.broken = true;
    await next();
    await next();
    expect([space.isLow, space.freeBytes]).toEqual([true, 1]);
    expect(environment.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    world.broken = false;
    world.free = 1_000 * mebibyte;
    await next();
    expect(space.isLow).toBe(false);
  });

  test('is not watched any more once it was stopped, and never low without a reserve', async () => {
    const { world, space, next } = await watched(0);
    world.free = 0;
    await next();
    expect([space.isLow, space.freeBytes]).toEqual([false, 0]);
    space.stop();
    world.free = 7;
    await next();
    expect(space.freeBytes).toBe(0);
  });

  test('of a real directory is what the system says', async () => {
    expect(await freeBytesOf(tmpdir())).toBeGreaterThan(0);
  });
});
