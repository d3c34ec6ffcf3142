import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCommitter } from '../../store/disk/group-commit.ts';
import type { Disk, Operation } from '../../store/disk/port.ts';
import { testEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { put, text } from './disk-contract.ts';

function world(options: { syncMs?: number; batchBytesMax?: number } = {}) {
  const clock = new VirtualClock();
  const environment = testEnvironment({ clock, random: seededRandom(1) });
  const memory = new MemoryDisk({ syncMs: options.syncMs ?? 10 });
  const handle = memory.open(clock);
  const batches: (readonly Operation[])[] = [];
  const disk: Disk = {
    ...handle,
    write: (operations, how) => {
      expect(how.sync).toBe(true);
      batches.push(operations);
      return handle.write(operations, how);
    },
  };
  const seconds: number[] = [];
  const committer = createCommitter(
    {
      ...(options.batchBytesMax === undefined ? {} : { batchBytesMax: options.batchBytesMax }),
      observer: { fsync: (duration) => seconds.push(duration) },
    },
    { disk, environment },
  );
  return { clock, environment, memory, disk, committer, batches, seconds };
}

describe('group commit', () => {
  test('a burst is one batch, and what comes during its write is the next one', async () => {
    const { clock, committer, batches, memory, seconds } = world();
    const first = [1, 2, 3].map((index) => committer.commit([put(`a${index}`, '')]));
    await clock.advance(5);
    const second = [1, 2].map((index) => committer.commit([put(`b${index}`, '')]));
    await clock.resolve(Promise.all(first), { withinMs: 5 });
    expect(memory.syncs).toBe(1);
    await clock.resolve(Promise.all(second), { withinMs: 10 });
    expect(batches.map((batch) => batch.map(({ key }) => key))).toEqual([
      ['a1', 'a2', 'a3'],
      ['b1', 'b2'],
    ]);
    expect(seconds).toEqual([0.01, 0.01]);
    expect(committer.stats()).toMatchObject({
      batches: 2,
      operations: 5,
      pendingCommits: 0,
      pendingBytes: 0,
    });
  });

  test('is acknowledged only when power loss can no longer take it', async () => {
    const { clock, committer, memory } = world();
    const acknowledged: number[] = [];
    for (let index = 0; index < 20; index++) {
      void committer.commit([put(`k${index}`, 'v')]).then(() => acknowledged.push(index));
      await clock.advance(3);
    }
    memory.losePower();
    expect(acknowledged.length).toBeGreaterThan(3);
    const after = memory.open(clock);
    for (const index of acknowledged) expect(text(await after.get(`k${index}`))).toBe('v');
  });

  test('keeps call order and never splits a commit, whatever the sizes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.nat({ max: 60 }), { maxLength: 5 }), { maxLength: 20 }),
        async (sizes) => {
          const { clock, committer, batches } = world({ batchBytesMax: 100 });
          let operation = 0;
          const commits = sizes.map((commit) =>
            commit.map((size) => put(String(operation++), 'x'.repeat(size))),
          );
          await clock.resolve(Promise.all(commits.map((commit) => committer.commit(commit))), {
            withinMs: 1e6,
          });
          expect(batches.flat()).toEqual(commits.flat());
          for (const commit of commits.filter(({ length }) => length > 0)) {
            expect(batches.some((batch) => commit.every((one) => batch.includes(one)))).toBe(true);
          }
          for (const batch of batches) {
            const owners = commits.filter((commit) => commit.some((one) => batch.includes(one)));
            const bytes = batch.reduce(
              (sum, one) => sum + one.key.length + (one.kind === 'put' ? one.value.length : 0),
              0,
            );
            expect(owners.length === 1 || bytes <= 100).toBe(true);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  test('a failed write is fatal, and nothing is acknowledged ever after', async () => {
    const { clock, committer, environment, memory } = world();
    memory.failWrites(new Error('no space'));
    let acknowledged = 0;
    void committer.commit([put('a', '')]).then(() => acknowledged++);
    await clock.advance(1);
    memory.failWrites(undefined);
    void committer.commit([put('b', '')]).then(() => acknowledged++);
    await clock.advance(100);
    expect(environment.fatalErrors.map(({ message }) => message)).toEqual(['no space']);
    expect(acknowledged).toBe(0);
    expect(memory.keys()).toEqual([]);
    await committer.close();
  });

  test('close waits for what was asked for', async () => {
    const { clock, committer, memory } = world();
    void committer.commit([put('a', '')]);
    await clock.advance(1);
    void committer.commit([put('b', '')]);
    await clock.resolve(committer.close(), { withinMs: 50 });
    expect(memory.keys()).toEqual(['a', 'b']);
  });
});
