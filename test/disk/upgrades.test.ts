import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLevelDisk } from '../../store/disk/level-disk.ts';
import type { Disk } from '../../store/disk/port.ts';
import { sealRecord } from '../../store/disk/record.ts';
import { currentFormat, stepsFrom, upgrade, upgradeSteps } from '../../store/disk/upgrades.ts';
import { encodeEntries, readLog } from '../../store/ledger/raft-records.ts';
import { pack } from '../../store/ledger/msgpack.ts';
import { restore } from '../../store/journal/restore.ts';
import { testEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { put, text } from './disk-contract.ts';

const { log } = testEnvironment({ clock: new VirtualClock(), random: Math.random });

describe('a data directory of layout 1', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'freehold-upgrade-'));
    await writeFile(join(directory, 'format'), '1\n');
    const old = new Level<string, Uint8Array>(join(directory, 'leveldb'), { valueEncoding: 'view' });
    await old.open();
    // As version 0.1.0 spelled and sealed them.
    const records: readonly (readonly [key: string, payload: Uint8Array])[] = [
      ['journal/entry/n1/0000000000000001', Buffer.from('\u0007order-1registered')],
      ['journal/entry/n1/0000000000000002', Buffer.from('\u0000paid')],
      ['journal/state', Buffer.from([1])],
      [
        'raft/entry/0000000000000001',
        encodeEntries([{ kind: 'noop', index: 1, term: 3, data: Buffer.of() }]),
      ],
      ['raft/state', pack([3, 'n2', 1, false])],
    ];
    for (const [key, payload] of records) await old.put(key, sealRecord(key, payload));
    await old.close();
  });
  afterEach(() => rm(directory, { recursive: true }));

  test('is upgraded as it opens, keeps its number from then on, and serves what it held', async () => {
    for (const life of ['first', 'second']) {
      const disk = await openLevelDisk({ directory }, { log });
      expect(await readFile(join(directory, 'format'), 'utf8'), life).toBe(`${currentFormat}\n`);
      const journal = await restore(disk);
      expect(journal.positions.get('n1')).toBe(2);
      expect(journal.damaged).toEqual([]);
      expect(journal.whole).toBe(true);
      expect(await readLog(disk, { snapshot: undefined, log })).toMatchObject({
        hardState: { term: 3, votedFor: 'n2', commitIndex: 1, recovering: false },
        entries: [{ kind: 'noop', index: 1, term: 3 }],
      });
      await disk.close();
    }
    expect((await readdir(directory)).toSorted()).toEqual(['format', 'leveldb', 'witness']);
  });
});

describe('the chain of upgrades', () => {
  const directory = '/data';

  test('leads from every known layout to the current one, a step at a time', () => {
    expect(stepsFrom(currentFormat, { directory })).toEqual([]);
    for (const { from, to } of upgradeSteps) {
      expect(to).toBe(from + 1);
      expect(stepsFrom(from, { directory }).at(-1)?.to).toBe(currentFormat);
    }
    for (const format of [0, currentFormat + 1, 99]) {
      expect(() => stepsFrom(format, { directory })).toThrow(/DISK_FORMAT_UNKNOWN/);
    }
  });

  /** Two steps that build on each other: the second fails unless the first is wholly done. */
  const steps = [
    {
      from: 1,
      to: 2,
      what: 'a becomes b',
      run: async (disk: Disk) => {
        const value = await disk.get('a');
        if (value === undefined) return;
        await disk.write([{ kind: 'put', key: 'b', value }], { sync: true });
        await disk.write([{ kind: 'delete', key: 'a' }], { sync: true });
      },
    },
    {
      from: 2,
      to: 3,
      what: 'b becomes c',
      run: async (disk: Disk) => {
        expect(await disk.get('a')).toBeUndefined();
        const value = await disk.get('b');
        if (value === undefined) return;
        await disk.write(
          [
            { kind: 'put', key: 'c', value },
            { kind: 'delete', key: 'b' },
          ],
          { sync: true },
        );
      },
    },
  ];

  test('ends the same wherever it is cut short, however often', async () => {
    // Writes and stamps count alike: the chain is cut before the first, the second, and so on.
    for (let cut = 0; cut < 8; cut++) {
      const memory = new MemoryDisk();
      const clock = new VirtualClock();
      await memory.open(clock).write([put('a', 'kept')], { sync: true });
      let format = 1;
      const run = async (actions: number): Promise<void> => {
        const spend = (): void => {
          if (actions-- <= 0) throw new Error('power loss');
        };
        const disk = memory.open(clock);
        const failing: Disk = {
          ...disk,
          write: async (operations, options) => {
            spend();
            await disk.write(operations, options);
          },
        };
        const stamp = (to: number): Promise<void> => {
          spend();
          format = to;
          return Promise.resolve();
        };
        await upgrade(stepsFrom(format, { directory, steps, to: 3 }), { disk: failing, stamp, log });
      };
      await run(cut).catch(() => undefined);
      await run(1).catch(() => undefined);
      await run(Infinity);
      expect(format).toBe(3);
      expect(memory.keys()).toEqual(['c']);
      expect(text(await memory.open(clock).get('c'))).toBe('kept');
    }
  });
});
