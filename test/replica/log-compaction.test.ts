import { expect, test } from 'vitest';
import type { Entry, Place } from '../../store/consensus/index.ts';
import { createCommitter } from '../../store/disk/group-commit.ts';
import { baseOperation, operationsOf, readBase } from '../../store/ledger/raft-records.ts';
import { SnapshotDigest } from '../../store/ledger/snapshot-manifest.ts';
import { SnapshotStore } from '../../store/ledger/snapshot-store.ts';
import { testEnvironment } from '../support/environment.ts';
import { ReplicaCluster } from './cluster.ts';

const syncMs = 100;
const term = 1;
const noop = (index: number): Entry => ({ index, term, kind: 'noop', data: new Uint8Array() });

interface StoppedLog {
  /** Of the entries that count as removed, the one that is left. */
  readonly left: number;
  readonly base: number;
  readonly snapshot: number;
}

/** What a node finds that was stopped while it removed entries, with an empty machine in its snapshot. */
async function putLog(cluster: ReplicaCluster, id: string, found: StoppedLog): Promise<void> {
  const { clock } = cluster;
  const memory = cluster.disk(id);
  for (const key of memory.keys()) memory.dropRecord(key);
  const disk = memory.open(clock);
  const environment = testEnvironment({ clock: clock.node(), random: cluster.random });
  const committer = createCommitter({}, { disk, environment });
  const store = await SnapshotStore.open({ disk, committer, log: environment.log });

  const covered = Array.from({ length: found.snapshot - found.base }, (_, place) => found.base + 1 + place);
  const entries = [found.left, ...covered].map(noop);
  const hardState = { term, votedFor: undefined, commitIndex: found.snapshot, recovering: false };
  const base: Place = { index: found.base, term };
  const chunk = new TextEncoder().encode('[]');
  const digest = new SnapshotDigest();
  digest.add(chunk);
  const configuration = { voters: cluster.voters, observers: [] };
  const mark = { index: found.snapshot, term, configuration };
  const written = Promise.all([
    committer.commit([
      ...operationsOf({ sequence: 1, hardState, snapshot: undefined, truncateFrom: undefined, entries }, 0),
      baseOperation(base),
    ]),
    store.put(found.snapshot, 0, [chunk]),
    committer.commit(store.countOperations({ mark, appliedAt: 1, ...digest.end() })),
  ]);
  await clock.resolve(written, { withinMs: 10 * syncMs });
}

/** Two that have a snapshot at 9,000, and one far behind, which has 6,500 entries to remove in many batches. */
async function withRemovalsUnderWay(): Promise<ReplicaCluster> {
  const cluster = await ReplicaCluster.open({ seed: 31, syncMs });
  for (const id of cluster.ids) cluster.kill(id);
  for (const id of ['n1', 'n2']) await putLog(cluster, id, { left: 9_000, base: 9_000, snapshot: 9_000 });
  await putLog(cluster, 'n3', { left: 1, base: 6_500, snapshot: 6_510 });
  for (const id of ['n1', 'n2']) await cluster.start(id);
  await cluster.elected();
  await cluster.start('n3');
  return cluster;
}

const baseOn = async (cluster: ReplicaCluster, id: string): Promise<number> =>
  (await readBase(cluster.disk(id).open(cluster.clock))).index;

test('the base never goes back when a snapshot takes the place of a log that is being shortened', async () => {
  const cluster = await withRemovalsUnderWay();
  const bases: number[] = [];
  for (let sync = 0; sync < 20; sync++) {
    await cluster.clock.advance(syncMs / 2);
    bases.push(await baseOn(cluster, 'n3'));
  }
  expect(bases).toEqual(bases.toSorted((left, right) => left - right));
  expect(new Set(bases)).toEqual(new Set([6_500, 9_000]));
});

test('power that goes at any moment of it costs nothing', async () => {
  for (let cutAfterMs = 0; cutAfterMs <= 16 * syncMs; cutAfterMs += syncMs / 2) {
    const cluster = await withRemovalsUnderWay();
    await cluster.clock.advance(cutAfterMs);
    cluster.losePower('n3');
    await cluster.start('n3');
    await cluster.settled();
    await cluster.clock.advance(16 * syncMs);
    const { replica } = cluster.life('n3');
    expect(cluster.disk('n3').keys('raft/entry/')).toHaveLength(replica.stats().logEntries);
  }
});
