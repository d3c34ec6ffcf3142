import { expect, test } from 'vitest';
import { createCommitter } from '../../store/disk/group-commit.ts';
import { restoring } from '../../store/ledger/raft-restart.ts';
import {
  decodeManifest,
  encodeManifest,
  SnapshotDigest,
  type SnapshotManifest,
} from '../../store/ledger/snapshot-manifest.ts';
import {
  decodeChunksAnswer,
  decodeManifestAnswer,
  decodeQuestion,
  encodeChunksAnswer,
  encodeManifestAnswer,
  encodeQuestion,
} from '../../store/ledger/snapshot-messages.ts';
import { SnapshotStore } from '../../store/ledger/snapshot-store.ts';
import { testEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { CountingMachine } from './cluster.ts';

const configuration = { voters: ['n1', 'n2', 'n3'], observers: ['o1'], records: 'addresses' };

function chunksOf(...names: readonly string[]): Uint8Array[] {
  return names.map((name) => Buffer.from(JSON.stringify([[name, 1]])));
}

function manifestOf(index: number, chunks: readonly Uint8Array[]): SnapshotManifest {
  const digest = new SnapshotDigest();
  for (const chunk of chunks) digest.add(chunk);
  return { mark: { index, term: 2, configuration }, appliedAt: 1.5, ...digest.end() };
}

async function world() {
  const disk = new MemoryDisk({ syncMs: 0 });
  const open = async () => {
    const environment = testEnvironment({ clock: new VirtualClock(), random: () => 0 });
    const opened = disk.open(environment.clock);
    const committer = createCommitter({}, { disk: opened, environment });
    const { log } = environment;
    return { committer, store: await SnapshotStore.open({ disk: opened, committer, log }) };
  };
  const { committer, store } = await open();
  const keep = async (index: number, ...names: readonly string[]): Promise<SnapshotManifest> => {
    const chunks = chunksOf(...names);
    const manifest = manifestOf(index, chunks);
    await store.put(index, 0, chunks);
    await committer.commit(store.countOperations(manifest));
    store.counts(manifest, { oldestIndex: 0 });
    return manifest;
  };
  const settle = () => committer.commit([]);
  return { disk, open, store, keep, settle };
}

test('two snapshots are kept, the newest first, also after a restart; the others leave nothing', async () => {
  const { disk, open, store, keep, settle } = await world();
  for (const index of [10, 20, 30, 40]) await keep(index, `a${index}`, `b${index}`);
  expect(store.kept.map(({ mark }) => mark.index)).toEqual([40, 30]);
  await settle();
  expect(disk.keys('raft/snapshot/')).toHaveLength(2 * 3);
  const again = await open();
  expect(again.store.kept).toEqual(store.kept);
  expect(again.store.at(30)?.mark.configuration).toEqual(configuration);
});

test('chunks that are intact, but of another snapshot, are not put together', async () => {
  const { store, keep } = await world();
  const manifest = await keep(10, 'a', 'b', 'c');
  const machine = new CountingMachine();
  (await restoring(manifest, { store, machine })).finish();
  expect(machine.commands).toEqual(['a', 'b', 'c']);
  await store.put(10, 1, chunksOf('x'));
  const damaged = { code: 'SNAPSHOT_DAMAGED' };
  await expect(restoring(manifest, { store, machine })).rejects.toMatchObject(damaged);
  await store.put(10, 1, [Buffer.from('not even a chunk')]);
  await expect(restoring(manifest, { store, machine })).rejects.toMatchObject(damaged);
  expect(machine.commands).toEqual(['a', 'b', 'c']);
});

test('what is here of an incoming snapshot stays, through a restart, and goes when another one comes', async () => {
  const { disk, open, store, settle } = await world();
  const [wanted, chunks] = [manifestOf(10, chunksOf('a', 'b', 'c')), chunksOf('a', 'b')];
  expect((await store.receive(wanted)).chunksHere).toBe(0);
  await store.put(10, 0, chunks);
  expect((await store.receive(wanted)).chunksHere).toBe(2);
  const again = await open();
  expect(again.store.kept).toEqual([]);
  expect((await again.store.receive(wanted)).chunksHere).toBe(2);

  // The same index and the same content, in other pieces.
  expect((await again.store.receive(manifestOf(10, chunksOf('ab', 'c')))).chunksHere).toBe(0);
  await settle();
  expect(disk.keys('raft/snapshot/')).toEqual([]);
});

test('a newer snapshot of this node’s own takes the place of what was coming in', async () => {
  const { disk, store, keep, settle } = await world();
  await store.receive(manifestOf(10, chunksOf('a', 'b')));
  await store.put(10, 0, chunksOf('a'));
  await keep(11, 'own');
  await settle();
  expect(store.incomingIndex).toBeUndefined();
  expect(disk.keys('raft/').filter((key) => key.includes('incoming') || key.includes('10/'))).toEqual([]);
});

test('manifests, questions and answers survive the wire, and what is bent does not get through', () => {
  const manifest = manifestOf(10, chunksOf('a', 'b'));
  expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest);
  expect(decodeManifestAnswer(encodeManifestAnswer(manifest))).toEqual(manifest);
  expect(decodeManifestAnswer(encodeManifestAnswer('gone'))).toBe('gone');
  const questions = [
    { kind: 'manifest', index: 10 },
    { kind: 'chunks', index: 10, digest: manifest.digest, from: 7 },
  ] as const;
  for (const question of questions) expect(decodeQuestion(encodeQuestion(question))).toEqual(question);
  const chunks = chunksOf('a', 'b');
  const answered = decodeChunksAnswer(encodeChunksAnswer(chunks));
  expect(answered === 'gone' ? [] : answered?.map((chunk) => Buffer.from(chunk))).toEqual(chunks);
  expect(decodeChunksAnswer(encodeChunksAnswer('gone'))).toBe('gone');

  const encoded = encodeManifest(manifest);
  for (let length = 0; length < encoded.length; length++) {
    expect(decodeManifest(encoded.subarray(0, length))).toBeUndefined();
  }
  // More chunks than anybody would make a list of, none, and a time that is none.
  for (const wrong of [{ chunks: 2 ** 40 }, { chunks: 0 }, { appliedAt: Number.NaN }]) {
    expect(decodeManifest(encodeManifest({ ...manifest, ...wrong }))).toBeUndefined();
  }
  for (const bent of [[], [0xc0], [0x90], [0x92, 1, 0xff], [0x94, 2, 10, 1, 1]]) {
    expect(decodeQuestion(Uint8Array.from(bent))).toBeUndefined();
  }
  expect(decodeChunksAnswer(Uint8Array.of(0x90))).toBeUndefined();
});
