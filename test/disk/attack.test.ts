/**
 * The disk under attack: each file of a stopped node's data directory is harmed in ways drawn from a seed. The promise: it
 * opens with everything that was synced, or it says which file is at fault and what to do. It never opens with less.
 */
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DiskError } from '../../store/disk/errors.ts';
import { openLevelDisk } from '../../store/disk/level-disk.ts';
import type { Disk, Operation } from '../../store/disk/port.ts';
import { testEnvironment } from '../support/environment.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { drawDamage, sizeOf } from './damage.ts';
import { put } from './disk-contract.ts';

const seed = Number(process.env['FREEHOLD_SEED'] ?? 7);
const casesPerFile = process.env['FREEHOLD_FULL'] === '1' ? 400 : 12;
const { log } = testEnvironment({ clock: new VirtualClock(), random: Math.random });
const open = (directory: string): Promise<Disk> =>
  // Small enough for tables on two levels and a log beside them.
  openLevelDisk({ directory, writeBufferBytes: 64 * 1024 }, { log });

/** All rows as one text, but for those with which the disk keeps count of itself. */
async function contentsOf(disk: Disk): Promise<string> {
  const lines: string[] = [];
  for (let from = ''; ;) {
    const rows = await disk.range({ from, to: '\u007f', limit: 10_000 });
    for (const [key, value] of rows) {
      if (!key.startsWith('disk/')) lines.push(`${key}=${Buffer.from(value).toString('latin1')}`);
    }
    const last = rows.at(-1);
    if (last === undefined || rows.length < 10_000) return lines.join('\n');
    from = `${last[0]}\0`;
  }
}

describe('a data directory of which one file was harmed', () => {
  let root: string;
  /** What the disk may hold: all that was synced, and of the unsynced end as much as is left. */
  const allowed = new Set<string>();

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'freehold-attack-'));
    const random = seededRandom(seed);
    const directory = join(root, 'intact');
    let sequence = 0;
    const batch = (prefix: string): Operation[] =>
      Array.from({ length: 1 + Math.floor(random() * 8) }, () => {
        const key = `${prefix}/${String(++sequence).padStart(8, '0')}`;
        // Half of it compresses, so that some blocks are packed and some are not.
        const half = Buffer.from(Array.from({ length: 150 }, () => Math.floor(random() * 256))).toString(
          'latin1',
        );
        return put(key, random() < 0.5 ? half : 'v'.repeat(300));
      });
    for (const life of [1, 2]) {
      const disk = await open(directory);
      for (let round = 0; round < 150; round++) {
        const synced = random() < 0.7;
        await disk.write(batch(synced ? 'journal' : 'table/t'), { sync: synced });
        if (round % 10 === 0) {
          const key = `journal/${String(1 + Math.floor(random() * sequence)).padStart(8, '0')}`;
          await disk.write([{ kind: 'delete', key }], { sync: true });
        }
      }
      if (life === 2) {
        await disk.write(batch('raft'), { sync: true });
        allowed.add(await contentsOf(disk));
        for (let round = 0; round < 5; round++) {
          await disk.write(batch('table/t'), { sync: false });
          allowed.add(await contentsOf(disk));
        }
      }
      await disk.close();
    }
  }, 30_000);
  afterAll(() => rm(root, { recursive: true }));

  test('opens with everything that was synced, or says what is wrong and what to do', async () => {
    const random = seededRandom(seed);
    const intact = join(root, 'intact');
    const found = await readdir(intact, { recursive: true, withFileTypes: true });
    const files = found
      .filter((entry) => entry.isFile())
      .map((entry) => relative(intact, join(entry.parentPath, entry.name)))
      .toSorted();
    const outcomes = new Map<string, Map<string, number>>();
    for (const file of files) {
      const kind = file.replace(/\d{6}/, '#');
      const tally = outcomes.get(kind) ?? new Map<string, number>();
      outcomes.set(kind, tally);
      for (let round = 0; round < casesPerFile; round++) {
        const directory = join(root, 'harmed');
        await cp(intact, directory, { recursive: true });
        const damage = drawDamage(await sizeOf(join(directory, file)), random);
        await damage.apply(join(directory, file));
        const outcome = await outcomeOf(directory, `${file}: ${damage.what} (seed ${seed})`);
        tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
        await rm(directory, { recursive: true });
      }
    }
    if (process.env['FREEHOLD_FULL'] === '1') console.log(outcomes);
    // Neither all refused nor all let through: then the attack would have missed.
    const sum = (outcome: string): number =>
      [...outcomes.values()].reduce((total, tally) => total + (tally.get(outcome) ?? 0), 0);
    expect(sum('opened')).toBeGreaterThan(casesPerFile);
    expect(sum('DISK_CORRUPT')).toBeGreaterThan(casesPerFile);
  }, 600_000);

  async function outcomeOf(directory: string, what: string): Promise<string> {
    let disk: Disk;
    try {
      disk = await open(directory);
    } catch (error) {
      if (!(error instanceof DiskError)) throw new Error(`${what}: not a coded refusal`, { cause: error });
      expect(['DISK_CORRUPT', 'DISK_FORMAT_UNKNOWN'], `${what}: ${error.message}`).toContain(error.code);
      expect(error.message, what).toMatch(/aside/);
      expect(await readdir(directory), what).not.toContain('lock');
      return error.code;
    }
    try {
      expect(allowed.has(await contentsOf(disk)), `${what}: opened with something else`).toBe(true);
      await disk.write([put('journal/after', '1')], { sync: true });
    } finally {
      await disk.close();
    }
    // What was healed stays healed.
    const again = await open(directory);
    expect(await again.get('journal/after'), what).toBeDefined();
    await again.close();
    return 'opened';
  }
});
