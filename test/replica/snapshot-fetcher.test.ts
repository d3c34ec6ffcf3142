import { expect, test } from 'vitest';
import { createCommitter } from '../../store/disk/group-commit.ts';
import { SnapshotFetcher, type FetchedSnapshot } from '../../store/ledger/snapshot-fetcher.ts';
import { SnapshotDigest } from '../../store/ledger/snapshot-manifest.ts';
import { SnapshotServer } from '../../store/ledger/snapshot-server.ts';
import { SnapshotStore } from '../../store/ledger/snapshot-store.ts';
import { testEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryNetwork } from '../support/memory-network.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { CountingMachine } from './cluster.ts';

const index = 30;
const mark = { index, term: 2, configuration: { voters: ['n1'], observers: [] } };
const latencyMs = 1;

/** n1 serves a snapshot of five chunks, one per answer; n2 needs it until its log has come to `reached`. */
async function world() {
  const clock = new VirtualClock();
  const random = seededRandom(3);
  const faults = { latencyMsMin: latencyMs, latencyMsMax: latencyMs };
  const network = new MemoryNetwork({ members: ['n1', 'n2'], faults }, { clock, random });
  const open = async (disk: MemoryDisk) => {
    const environment = testEnvironment({ clock: clock.node(), random });
    const opened = disk.open(environment.clock);
    const committer = createCommitter({}, { disk: opened, environment });
    const { log } = environment;
    return { ...environment, committer, store: await SnapshotStore.open({ disk: opened, committer, log }) };
  };

  const origin = await open(new MemoryDisk());
  const chunks = ['a', 'b', 'c', 'd', 'e'].map((name) => Buffer.from(JSON.stringify([[name, 1]])));
  const digest = new SnapshotDigest();
  for (const chunk of chunks) digest.add(chunk);
  const manifest = { mark, appliedAt: 1, ...digest.end() };
  await origin.store.put(index, 0, chunks);
  await origin.committer.commit(origin.store.countOperations(manifest));
  origin.store.counts(manifest, { oldestIndex: 0 });
  const serving = { ...origin, network: network.join('n1'), onDamaged: () => undefined };
  new SnapshotServer({ answerBytesMax: 1, idleMs: 5_000 }, serving).start();

  const disk = new MemoryDisk();
  const follower = await open(disk);
  const log = { reached: 0 };
  const fetched: FetchedSnapshot[] = [];
  const fetcher = new SnapshotFetcher(
    { requestTimeoutMs: 1_000, pauseMsMin: 10, pauseMsMax: 20 },
    {
      ...follower,
      network: network.join('n2'),
      machine: new CountingMachine(),
      isNeeded: (place) => place > log.reached,
      onFetched: (snapshot) => fetched.push(snapshot),
    },
  );
  return { clock, disk, log, fetched, fetcher };
}

test.each([
  ['before anything has come', 0],
  ['while the manifest is on its way', 1.5 * latencyMs],
  ['when some of it is here', 5.5 * latencyMs],
])('what the log has reached %s is not fetched, and leaves nothing', async (_when, afterMs) => {
  const { clock, disk, log, fetched, fetcher } = await world();
  fetcher.want({ from: 'n1', index, term: 2 });
  await clock.advance(afterMs);
  log.reached = index;
  // From here on, a snapshot of this node's own may have the same place, and its records the same names.
  const written = new Set(disk.keys('raft/'));
  await clock.advance(100);
  expect(disk.keys('raft/').filter((key) => !written.has(key))).toEqual([]);
  expect(disk.keys('raft/')).toEqual([]);
  expect(fetched).toEqual([]);
});

test('what the log has not reached is fetched whole', async () => {
  const { clock, log, fetched, fetcher } = await world();
  log.reached = index - 1;
  fetcher.want({ from: 'n1', index, term: 2 });
  await clock.advance(100);
  expect(fetched.map(({ manifest }) => manifest.mark)).toEqual([mark]);
});
