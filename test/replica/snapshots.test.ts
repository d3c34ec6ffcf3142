import { describe, expect, test } from 'vitest';
import { LogDamagedError } from '../../store/ledger/raft-records.ts';
import type { SnapshotOptions } from '../../store/ledger/snapshots.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { integerBetween } from '../support/random.ts';
import { ReplicaCluster, type ReplicaClusterOptions } from './cluster.ts';

/** A snapshot every ten entries, of one chunk per ten commands, one chunk per answer; next to nothing is kept. */
const tiny: Partial<SnapshotOptions> = { logEntriesMax: 10, keptEntries: 2, answerBytesMax: 1 };

const open = (options: Omit<ReplicaClusterOptions, 'replica'>): Promise<ReplicaCluster> =>
  ReplicaCluster.open({ ...options, replica: { snapshots: tiny } });

async function decideMany(cluster: ReplicaCluster, id: string, name: string, count: number): Promise<void> {
  for (let place = 0; place < count; place++) await cluster.decide(id, `${name} ${place}`);
}

const chunksOn = (cluster: ReplicaCluster, id: string, index?: number): string[] =>
  cluster
    .disk(id)
    .keys('raft/snapshot/')
    .filter((key) => key.includes('/chunk/') && (index === undefined || key.includes(String(index))));
const snapshotsOn = (cluster: ReplicaCluster, id: string): string[] =>
  cluster
    .disk(id)
    .keys('raft/snapshot/')
    .filter((key) => key.endsWith('/manifest'));
const entriesOn = (cluster: ReplicaCluster, id: string): string[] => cluster.disk(id).keys('raft/entry/');
const incomingOn = (cluster: ReplicaCluster, id: string): string[] => cluster.disk(id).keys('raft/incoming');

/** A follower that was away until the others' logs no longer reach it. */
async function withOneLeftBehind(seed: number): Promise<{
  readonly cluster: ReplicaCluster;
  readonly leader: string;
  readonly away: string;
}> {
  const cluster = await open({ seed });
  await cluster.elected();
  const [away = ''] = cluster.followers();
  cluster.kill(away);
  const leader = await cluster.elected();
  await decideMany(cluster, leader, 'meanwhile', 120);
  await cluster.clock.advance(100);
  return { cluster, leader, away };
}

/** Some chunks have come, and not all. */
async function untilHalfway(cluster: ReplicaCluster, id: string): Promise<void> {
  const isHalfway = (): boolean =>
    incomingOn(cluster, id).length === 1 &&
    chunksOn(cluster, id).length >= 4 &&
    snapshotsOn(cluster, id).length === 0;
  await cluster.clock.until(isHalfway, { withinMs: 10_000, what: 'some chunks have come' });
}

describe('a log that is shortened', () => {
  test('stays within bounds in memory and on disk, on every member, however much is decided', async () => {
    const cluster = await ReplicaCluster.open({
      seed: 1,
      observers: ['o1'],
      replica: { snapshots: { ...tiny, logEntriesMax: 40, keptEntries: 10 } },
    });
    const leader = await cluster.elected();
    for (let round = 0; round < 400; round++) {
      const submitted = Array.from({ length: 5 }, (_, place) =>
        cluster.submit(leader, `${round % 50}/${place}`),
      );
      await cluster.clock.resolve(Promise.all(submitted), { withinMs: 5_000 });
    }
    await cluster.settled();
    await cluster.clock.advance(1_000);
    for (const [id, { replica }] of cluster.running) {
      expect(replica.status().lastIndex).toBeGreaterThan(400);
      expect(replica.stats().logEntries).toBeLessThan(3 * 40);
      expect(entriesOn(cluster, id).length).toBe(replica.stats().logEntries);
      expect(snapshotsOn(cluster, id)).toHaveLength(2);
      expect(replica.stats().snapshotBytes).toBeGreaterThan(0);
    }
  });

  test('is read again from the snapshot on, with time that goes on', async () => {
    const cluster = await ReplicaCluster.open({
      seed: 2,
      voters: ['n1'],
      wallSkewMs: { n1: 0 },
      replica: { snapshots: tiny },
    });
    await cluster.elected();
    await decideMany(cluster, 'n1', 'command', 55);
    const { machine, replica } = cluster.life('n1');
    const [before, asOf] = [[...machine.commands], replica.freshness().asOf];
    cluster.losePower('n1');
    const restarted = await cluster.start('n1');
    expect(restarted.machine.commands.length).toBeGreaterThanOrEqual(40);
    restarted.clock.jumpWall(-1_000_000);
    await cluster.elected();
    expect(restarted.machine.commands).toEqual(before);
    expect(restarted.replica.freshness().asOf).toBe(asOf);
    await cluster.decide('n1', 'afterwards');
    expect(machine.stamps).toEqual(machine.stamps.toSorted((left, right) => left - right));
    expect(restarted.replica.freshness().asOf).toBeGreaterThanOrEqual(asOf);
  });

  test('loses nothing when the power goes anywhere, at any time around a snapshot', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const cluster = await open({ seed, syncMs: 1 });
      await cluster.elected();
      const told: string[] = [];
      for (let life = 0; life < 3; life++) {
        for (let place = integerBetween(cluster.random, 10, 40); place > 0; place--) {
          const name = `${life} ${place}`;
          void cluster.submit(cluster.ids[place % 3] ?? 'n1', name).then(
            () => told.push(name),
            () => undefined,
          );
          await cluster.clock.advance(integerBetween(cluster.random, 0, 4));
        }
        for (const id of cluster.ids) cluster.losePower(id);
        for (const id of cluster.ids) await cluster.start(id);
        await cluster.elected();
      }
      const applied = new Set(await cluster.settled());
      expect(told.length).toBeGreaterThan(20);
      expect(told.filter((name) => !applied.has(name))).toEqual([]);
      for (const [, { environment }] of cluster.running) expect(environment.fatalErrors).toEqual([]);
    }
  });
});

describe('a follower that the log no longer reaches', () => {
  test('is brought up by a snapshot while commands go on', async () => {
    const { cluster, leader, away } = await withOneLeftBehind(11);
    let submitted = 0;
    let isOver = false;
    const keepBusy = async (): Promise<void> => {
      while (!isOver) await cluster.submit(leader, `busy ${++submitted}`);
    };
    void keepBusy();
    await cluster.start(away);
    await cluster.clock.until(() => snapshotsOn(cluster, away).length > 0, { withinMs: 10_000 });
    await cluster.clock.advance(500);
    isOver = true;
    expect(submitted).toBeGreaterThan(100);
    const history = await cluster.settled();
    expect(history.length).toBeGreaterThan(220);
    const { machine, environment } = cluster.life(away);
    expect(machine.stamps).toEqual(cluster.life(leader).machine.stamps);
    expect(environment.lines.filter(({ level }) => level === 'error')).toEqual([]);
    await cluster.clock.until(() => incomingOn(cluster, away).length === 0, { withinMs: 10_000 });
  });

  test('needs none when only a few entries are missing', async () => {
    const cluster = await open({ seed: 12 });
    const leader = await cluster.elected();
    const [away = ''] = cluster.followers();
    await decideMany(cluster, leader, 'before', 20);
    cluster.kill(away);
    await decideMany(cluster, leader, 'meanwhile', 12);
    await cluster.start(away);
    await cluster.settled();
    expect(cluster.network.delivered.get('ledger/snapshot') ?? 0).toBe(0);
  });

  test.each([
    ['the link', 'link'],
    ['the process that fetches', 'away'],
    ['the power of the machine that fetches', 'power'],
    ['the process that serves', 'leader'],
  ])('goes on where it was when %s broke off', async (_what, broken) => {
    const { cluster, leader, away } = await withOneLeftBehind(13);
    await cluster.start(away);
    await untilHalfway(cluster, away);
    const firstHalf = chunksOn(cluster, away).length;
    const asked = cluster.network.delivered.get('ledger/snapshot') ?? 0;
    if (broken === 'link') {
      cluster.network.partition([[leader, ...cluster.followers().filter((id) => id !== away)], [away]]);
      await cluster.clock.advance(500);
      cluster.network.heal();
    } else if (broken === 'power') {
      cluster.losePower(away);
      await cluster.start(away);
    } else {
      const id = broken === 'leader' ? leader : away;
      cluster.kill(id);
      await cluster.start(id);
    }
    await cluster.elected();
    const history = await cluster.settled();
    expect(history).toHaveLength(120);
    if (broken === 'leader') return;
    // A question, an answer: for the manifest and for each chunk that was missing, and the one under way.
    const chunks = chunksOn(cluster, away).length;
    const askedAgain = (cluster.network.delivered.get('ledger/snapshot') ?? 0) - asked;
    expect(firstHalf).toBeGreaterThanOrEqual(4);
    expect(askedAgain / 2).toBeLessThanOrEqual(chunks - firstHalf + 3);
  });

  test('loses nothing when its power goes at any moment around the installation', async () => {
    const start = async (): Promise<{ readonly cluster: ReplicaCluster; readonly away: string }> => {
      const { cluster, away } = await withOneLeftBehind(16);
      await cluster.start(away);
      return { cluster, away };
    };
    const { cluster, away } = await start();
    const startedAt = cluster.clock.monotonic();
    await cluster.clock.until(() => snapshotsOn(cluster, away).length > 0, { withinMs: 10_000 });
    const installedAfterMs = cluster.clock.monotonic() - startedAt;
    for (let cutAfterMs = installedAfterMs - 2; cutAfterMs < installedAfterMs + 3; cutAfterMs += 0.15) {
      const another = await start();
      await another.cluster.clock.advance(cutAfterMs);
      another.cluster.losePower(away);
      await another.cluster.start(away);
      await another.cluster.settled();
      expect(another.cluster.life(away).machine.count).toBe(120);
      await another.cluster.clock.advance(50);
      expect(entriesOn(another.cluster, away).length).toBe(
        another.cluster.life(away).replica.stats().logEntries,
      );
    }
  });

  test('fetches no other one before the last counts on its slow disk', async () => {
    const { cluster, leader, away } = await withOneLeftBehind(20);
    cluster.disks.set(away, new MemoryDisk({ syncMs: 200 }));
    const { machine } = await cluster.start(away);
    await cluster.clock.until(() => machine.count > 0, { withinMs: 20_000, what: 'one is installed' });
    expect(snapshotsOn(cluster, away)).toEqual([]);
    // Before it counts the others have gone so far that it needs another one.
    await decideMany(cluster, leader, 'meanwhile', 60);
    expect(snapshotsOn(cluster, away)).toEqual([]);
    for (let step = 0; step < 1_000; step++) {
      await cluster.clock.advance(5);
      const counted = snapshotsOn(cluster, away).map((key) => key.slice(0, key.lastIndexOf('/')));
      const chunks = new Set(chunksOn(cluster, away));
      for (const root of counted) expect(chunks).toContain(`${root}/chunk/${'0'.repeat(16)}`);
    }
    expect(await cluster.settled()).toHaveLength(180);
  });

  test('asks again what it had proposed when it led, and what the snapshot hides the end of', async () => {
    const cluster = await open({ seed: 17 });
    const stale = await cluster.elected();
    const others = cluster.followers();
    cluster.network.partition([[stale], others], { noticed: false });
    const pending = Promise.all(['one', 'two', 'three'].map((name) => cluster.submit(stale, name, 60_000)));
    await cluster.clock.until(() => others.some((id) => id === cluster.leader()), { withinMs: 10_000 });
    const leader = cluster.leader() ?? '';
    await decideMany(cluster, leader, 'meanwhile', 100);
    // Nothing is decided after the snapshot that could tell.
    const { replica } = cluster.life(leader);
    for (let more = 0; replica.stats().snapshotIndex < replica.status().lastIndex; more++) {
      await cluster.decide(leader, `more ${more}`);
      await cluster.clock.advance(100);
    }
    const before = cluster.life(leader).machine.count;
    cluster.network.heal();
    await cluster.clock.until(() => snapshotsOn(cluster, stale).length > 0, { withinMs: 10_000 });
    const answers = await cluster.clock.resolve(pending, { withinMs: 2_000 });
    expect(answers).toEqual([before + 1, before + 2, before + 3]);
    await cluster.settled();
  });

  test('takes over the time of the ledger, which may be ahead of every clock', async () => {
    const voters = ['n1', 'n2', 'n3', 'n4', 'n5'];
    const first = await (await open({ seed: 18, voters })).elected();
    const cluster = await open({ seed: 18, voters, wallSkewMs: { [first]: 60_000 } });
    expect(await cluster.elected()).toBe(first);
    const [away = ''] = cluster.followers();
    cluster.kill(away);
    await decideMany(cluster, first, 'by a clock that is ahead', 5);
    cluster.kill(first);
    const next = await cluster.elected();
    await decideMany(cluster, next, 'by one that is not', 60);
    await cluster.start(away);
    await cluster.clock.until(() => snapshotsOn(cluster, away).length > 0, { withinMs: 10_000 });
    await decideMany(cluster, next, 'afterwards', 5);
    await cluster.settled();
    expect(cluster.life(away).machine.stamps).toEqual(cluster.life(next).machine.stamps);
  });

  test('follows the offer when what it was fetching is gone', async () => {
    const { cluster, leader, away } = await withOneLeftBehind(14);
    await cluster.start(away);
    await untilHalfway(cluster, away);
    cluster.network.partition([cluster.ids.filter((id) => id !== away), [away]]);
    await decideMany(cluster, leader, 'later', 60);
    cluster.network.heal();
    expect(await cluster.settled()).toHaveLength(180);
    expect(cluster.life(away).environment.fatalErrors).toEqual([]);
  });

  test('or whose disk was emptied, is filled by a snapshot, and votes again', async () => {
    const { cluster, leader, away } = await withOneLeftBehind(15);
    for (const key of cluster.disk(away).keys()) cluster.disk(away).dropRecord(key);
    await cluster.start(away);
    expect(await cluster.settled()).toHaveLength(120);
    // Its recovery ends within a few round trips; then a majority can be made with it.
    await cluster.clock.advance(500);
    const [other = ''] = cluster.followers().filter((id) => id !== away);
    cluster.kill(leader);
    await cluster.decide(other, 'by the two that are left');
    expect((await cluster.settled()).at(-1)).toBe('by the two that are left');
  });
});

describe('a snapshot whose records are damaged', () => {
  async function stopped(seed: number): Promise<{ readonly cluster: ReplicaCluster; readonly id: string }> {
    const cluster = await open({ seed });
    const leader = await cluster.elected();
    await decideMany(cluster, leader, 'command', 64);
    await cluster.settled();
    await cluster.clock.advance(1_000);
    const [id = ''] = cluster.followers();
    cluster.kill(id);
    return { cluster, id };
  }

  test('in any place, is not used: the one before it and the log give the same', async () => {
    const { cluster, id } = await stopped(21);
    const [, newest = ''] = snapshotsOn(cluster, id);
    const root = newest.slice(0, -'manifest'.length);
    const records = cluster.disk(id).keys(root);
    expect(records.length).toBeGreaterThan(5);
    for (const [place, key] of records.entries()) {
      const another = await stopped(21);
      another.cluster.disk(id).flipBit(key, 17 + 31 * place);
      const { machine, environment } = await another.cluster.start(id);
      expect(environment.lines.some(({ fields }) => JSON.stringify(fields).includes('raft/snapshot'))).toBe(
        true,
      );
      await another.cluster.settled();
      expect(machine.count).toBe(64);
    }
  });

  test('and the one before it too, keeps the node down: the log does not reach back', async () => {
    const { cluster, id } = await stopped(22);
    for (const key of snapshotsOn(cluster, id)) cluster.disk(id).flipBit(key, 99);
    await expect(cluster.start(id)).rejects.toBeInstanceOf(LogDamagedError);
    // It stays so, and what is left is left.
    await expect(cluster.start(id)).rejects.toBeInstanceOf(LogDamagedError);
  });

  test('is not served: another one is taken at once, and fetched', async () => {
    const { cluster, leader, away } = await withOneLeftBehind(23);
    for (const id of cluster.lives.keys()) {
      for (const key of chunksOn(cluster, id)) if (key.endsWith('3')) cluster.disk(id).flipBit(key, 333);
    }
    await cluster.start(away);
    await cluster.clock.until(() => incomingOn(cluster, away).length === 1, { withinMs: 10_000 });
    await cluster.decide(leader, 'one more');
    expect(await cluster.settled()).toHaveLength(121);
    expect(cluster.life(away).machine.count).toBe(121);
  });

  test('among the entries that it covers is no harm; after them it is', async () => {
    const { cluster, id } = await stopped(24);
    const [, newest = ''] = snapshotsOn(cluster, id);
    const index = newest.split('/')[2] ?? '';
    const covered = entriesOn(cluster, id).filter((key) => key <= `raft/entry/${index}`);
    expect(covered.length).toBeGreaterThan(3);
    cluster.disk(id).flipBit(covered[2] ?? '', 70);
    await cluster.start(id);
    await cluster.settled();
    await cluster.clock.advance(100);
    expect(entriesOn(cluster, id).filter((key) => key <= `raft/entry/${index}`)).toEqual([]);
    cluster.kill(id);
    cluster.disk(id).flipBit(entriesOn(cluster, id).at(-1) ?? '', 70);
    await expect(cluster.start(id)).rejects.toBeInstanceOf(LogDamagedError);
  });
});

test('what a crash leaves of a snapshot is removed at the next start', async () => {
  const cluster = await open({ seed: 31, syncMs: 3 });
  const leader = await cluster.elected();
  await decideMany(cluster, leader, 'command', 61);
  const isUnderWay = (): boolean =>
    new Set(chunksOn(cluster, leader).map((key) => key.split('/')[2])).size > 2;
  void cluster.submit(leader, 'one more');
  void decideMany(cluster, leader, 'and more', 12).catch(() => undefined);
  await cluster.clock.until(isUnderWay, { withinMs: 5_000, what: 'a third snapshot is being written' });
  cluster.kill(leader);
  await cluster.start(leader);
  await cluster.clock.advance(100);
  const counted = new Set(snapshotsOn(cluster, leader).map((key) => key.split('/')[2]));
  for (const key of chunksOn(cluster, leader)) expect(counted).toContain(key.split('/')[2]);
  expect(counted.size).toBe(2);
});
