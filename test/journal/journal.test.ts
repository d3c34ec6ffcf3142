import { expect, test } from 'vitest';
import { JournalError } from '../../store/journal/port.ts';
import { entryKey } from '../../store/journal/records.ts';
import { channels, decodePush, encodeHeld } from '../../store/journal/wire.ts';
import { bytes, TestCluster } from './cluster.ts';

test('a quorum append reaches every member, once and in order', async () => {
  const cluster = await TestCluster.open({ seed: 1, size: 3 });
  const journal = cluster.journal('n1');
  const appended = Array.from({ length: 200 }, (_, index) =>
    journal.append(bytes(`entry ${index + 1}`), { durability: 'quorum' }),
  );
  expect(appended.map(({ position }) => position.sequence)).toEqual(appended.map((_, index) => index + 1));
  await cluster.clock.resolve(Promise.all(appended.map(({ durable }) => durable)), { withinMs: 1_000 });
  await cluster.converge();
  for (const id of cluster.ids) {
    expect(cluster.node(id).heard.map(({ origin, sequence }) => `${origin}:${sequence}`)).toEqual(
      appended.map((_, index) => `n1:${index + 1}`),
    );
    expect(await cluster.contents(id)).toEqual(
      appended.map((_, index) => `n1:${index + 1}=entry ${index + 1}`),
    );
  }
  await cluster.clock.advance(50);
  expect(journal.replication()).toEqual([
    { peer: 'n2', acknowledged: 200, lag: 0 },
    { peer: 'n3', acknowledged: 200, lag: 0 },
  ]);
});

test('one claim has one winner; the others learn its holder, the next are told at once', async () => {
  const cluster = await TestCluster.open({ seed: 2, size: 3 });
  const first = await cluster.clock.resolve(
    cluster.journal('n1').register('order', bytes('a'), { timeoutMs: 1_000 }),
    { withinMs: 1_000 },
  );
  expect(first).toEqual({ position: { origin: 'n1', sequence: 1 }, verdict: { kind: 'won' } });
  await cluster.converge();
  const second = await cluster.clock.resolve(
    cluster.journal('n2').register('order', bytes('b'), { timeoutMs: 1_000 }),
    { withinMs: 1_000 },
  );
  expect(second).toEqual({ verdict: { kind: 'lost', holder: { origin: 'n1', sequence: 1 } } });
  const holders = cluster.journal('n3').holders('order', { timeoutMs: 1_000 });
  const held = { kind: 'held', holder: { origin: 'n1', sequence: 1 } };
  expect(await cluster.clock.resolve(holders, { withinMs: 1_000 })).toEqual(
    new Map(cluster.ids.map((id) => [id, held])),
  );
  const unclaimed = cluster.journal('n3').holders('another', { timeoutMs: 1_000 });
  expect(await cluster.clock.resolve(unclaimed, { withinMs: 1_000 })).toEqual(
    new Map(cluster.ids.map((id) => [id, { kind: 'free' }])),
  );
});

test('without a majority nothing is durable or won; both replicate as soon as there is one', async () => {
  const cluster = await TestCluster.open({ seed: 3, size: 3 });
  cluster.network.partition([['n1'], ['n2', 'n3']]);
  const journal = cluster.journal('n1');
  const { durable } = journal.append(bytes('alone'), { durability: 'quorum', timeoutMs: 500 });
  const registered = journal.register('order', bytes('alone too'), { timeoutMs: 500 });
  const failure = durable.then(
    () => 'durable',
    (error: unknown) => (error as JournalError).code,
  );
  expect(await cluster.clock.resolve(failure, { withinMs: 1_000 })).toBe('UNAVAILABLE');
  const { verdict } = await cluster.clock.resolve(registered, { withinMs: 1_000 });
  expect(verdict).toEqual({ kind: 'unavailable' });
  cluster.network.heal();
  await cluster.converge();
  expect(await cluster.contents('n3')).toEqual(['n1:1=alone', 'n1:2=alone too']);
});

test('a vote that was lost on the way is asked for again', async () => {
  const cluster = await TestCluster.open({ seed: 4, size: 3 });
  // Pushes arrive, acknowledgements do not.
  cluster.network.cutSilently('n2', 'n1');
  cluster.network.cutSilently('n3', 'n1');
  const registered = cluster.journal('n1').register('order', bytes('a'), { timeoutMs: 5_000 });
  await cluster.clock.advance(300);
  expect(cluster.journal('n2').vector()).toEqual({ n1: 1 });
  cluster.network.heal();
  const { verdict } = await cluster.clock.resolve(registered, { withinMs: 4_000 });
  expect(verdict).toEqual({ kind: 'won' });
});

test('a vote given before the link broke is asked for again, although nothing is left to push', async () => {
  const cluster = await TestCluster.open({ seed: 11, size: 3 });
  cluster.network.cutSilently('n2', 'n1');
  cluster.network.cutSilently('n3', 'n1');
  const registered = cluster.journal('n1').register('order', bytes('a'), { timeoutMs: 5_000 });
  await cluster.clock.advance(100);
  cluster.network.partition([['n1'], ['n2', 'n3']]);
  await cluster.clock.advance(100);
  cluster.network.heal();
  const { verdict } = await cluster.clock.resolve(registered, { withinMs: 2_000 });
  expect(verdict).toEqual({ kind: 'won' });
});

test('nothing leaves a node before it is on its own disk', async () => {
  let pushed = 0;
  const cluster: TestCluster = await TestCluster.open({
    seed: 12,
    size: 3,
    syncMs: 5,
    wrap: (network) => ({
      ...network,
      send: (to, channel, payload, lane) => {
        if (channel === channels.push) {
          const stored = new Set(cluster.disk(network.self).keys());
          for (const { sequence } of decodePush(payload).records) {
            expect(stored).toContain(entryKey(network.self, sequence));
            pushed++;
          }
        }
        return network.send(to, channel, payload, lane);
      },
    }),
  });
  const registered: Promise<unknown>[] = [];
  for (let step = 0; step < 40; step++) {
    cluster.journal('n1').append(bytes(`step ${step}`), { durability: 'local' });
    registered.push(cluster.journal('n1').register(`order ${step}`, bytes('a'), { timeoutMs: 5_000 }));
    await cluster.clock.advance(1);
  }
  await cluster.clock.resolve(Promise.all(registered), { withinMs: 5_000 });
  await cluster.converge();
  expect(pushed).toBeGreaterThanOrEqual(160);
  expect(cluster.fatalErrors()).toEqual([]);
});

test('who was away is brought up to date, also about members that are gone', async () => {
  const cluster = await TestCluster.open({ seed: 5, size: 3, limits: { recentBytesMax: 2_000 } });
  cluster.kill('n3');
  const appended = Array.from({ length: 2_000 }, (_, index) =>
    cluster.journal('n1').append(bytes(`entry ${index + 1}`), { durability: 'quorum' }),
  );
  await cluster.clock.resolve(Promise.all(appended.map(({ durable }) => durable)), { withinMs: 10_000 });
  cluster.kill('n1');
  const back = await cluster.start('n3');
  await cluster.clock.resolve(back.journal.caughtUp(10_000), { withinMs: 10_000 });
  expect(back.journal.vector()).toEqual({ n1: 2_000 });
  expect(back.heard.map(({ sequence }) => sequence)).toEqual(appended.map((_, index) => index + 1));
});

test('bounds are refusals with a code, and change nothing', async () => {
  const cluster = await TestCluster.open({
    seed: 6,
    size: 3,
    syncMs: 10,
    limits: { queuedEntriesMax: 5, waitingMax: 8 },
  });
  const journal = cluster.journal('n1');
  const code = (act: () => unknown): string => {
    try {
      act();
    } catch (error) {
      if (error instanceof JournalError) return error.code;
    }
    return 'taken';
  };
  expect(code(() => journal.append(new Uint8Array(64 * 1024 + 1), { durability: 'local' }))).toBe(
    'ENTRY_TOO_LARGE',
  );
  const outcomes = Array.from({ length: 8 }, () =>
    code(() => journal.append(new Uint8Array(64 * 1024), { durability: 'local' })),
  );
  expect(outcomes).toEqual([...Array<string>(5).fill('taken'), ...Array<string>(3).fill('QUEUE_FULL')]);
  await cluster.clock.until(() => journal.stats().queuedEntries === 0, { withinMs: 1_000 });
  cluster.network.partition([['n1'], ['n2', 'n3']]);
  for (let round = 0; round < 2; round++) {
    for (let index = 0; index < 4; index++) journal.append(bytes('x'), { durability: 'quorum' });
    await cluster.clock.advance(50);
  }
  expect(code(() => journal.append(bytes('x'), { durability: 'quorum' }))).toBe('QUEUE_FULL');
  expect(journal.vector()).toEqual({ n1: 13 });
});

test('a peer that does not answer costs a bounded number of frames of a bounded size', async () => {
  const frames: { channel: string; bytes: number }[] = [];
  const limits = { frameBytesMax: 4_000, framesInFlightMax: 3, pageBytesMax: 5_000, recentBytesMax: 20_000 };
  const cluster = await TestCluster.open({
    seed: 7,
    size: 2,
    voters: 1,
    limits,
    wrap: (network) => ({
      ...network,
      send: (to, channel, payload, lane) => {
        frames.push({ channel, bytes: payload.byteLength });
        return network.send(to, channel, payload, lane);
      },
    }),
  });
  cluster.network.cutSilently('n2', 'n1');
  const appended = Array.from({ length: 500 }, (_, index) =>
    cluster.journal('n1').append(new Uint8Array(index % 10 === 0 ? 10_000 : 100), { durability: 'quorum' }),
  );
  await cluster.clock.resolve(Promise.all(appended.map(({ durable }) => durable)), { withinMs: 1_000 });
  await cluster.clock.advance(400);
  const pushed = frames.filter(({ channel }) => channel === 'journal/push');
  expect(pushed).toHaveLength(limits.framesInFlightMax);
  cluster.network.heal();
  await cluster.converge();
  for (const frame of frames) expect(frame.bytes).toBeLessThan(10_000 + 200);
  expect(frames.filter((frame) => frame.bytes > limits.frameBytesMax + 200).length).toBeGreaterThan(0);
});

test('what the network does not take is offered again', async () => {
  let refuse = false;
  const cluster = await TestCluster.open({
    seed: 8,
    size: 3,
    wrap: (network) => ({
      ...network,
      send: (to, channel, payload, lane) => !refuse && network.send(to, channel, payload, lane),
    }),
  });
  refuse = true;
  const { durable } = cluster.journal('n1').append(bytes('held back'), { durability: 'quorum' });
  await cluster.clock.advance(200);
  expect(cluster.journal('n2').vector()).toEqual({});
  refuse = false;
  await cluster.clock.resolve(durable, { withinMs: 2_000 });
});

test('frames that make no sense, are damaged, or come from elsewhere change nothing', async () => {
  const cluster = new TestCluster({ seed: 9, size: 3 });
  const outsider = cluster.network.join('n3');
  await cluster.start('n1');
  await cluster.start('n2');
  const { journal } = cluster.node('n2');
  outsider.onRequest('journal/vector', async () => encodeHeld(0, {}, { isWhole: true }));
  await cluster.opened();
  const before = journal.stats().rejectedFrames;
  for (const frame of [
    [],
    [9],
    [1, 0, 1],
    [1, 0, 1, 1, 3, 1, 2, 3],
    [1, 255, 255, 255, 255, 255, 255, 255, 255, 9],
  ]) {
    outsider.send('n2', 'journal/push', Uint8Array.from(frame));
  }
  await cluster.clock.advance(100);
  expect(journal.stats().rejectedFrames).toBe(before + 5);
  expect(journal.vector()).toEqual({});
  expect(cluster.fatalErrors()).toEqual([]);
});

test('a closed journal refuses, and nobody waits for ever', async () => {
  const cluster = await TestCluster.open({ seed: 10, size: 3 });
  cluster.network.partition([['n1'], ['n2', 'n3']]);
  const { journal } = cluster.node('n1');
  const waiting = [
    journal.append(bytes('a'), { durability: 'quorum' }).durable,
    journal.register('order', bytes('b'), { timeoutMs: 60_000 }),
    journal.caughtUp(60_000).then(() => Promise.reject(new JournalError('CLOSED', 'resolved'))),
  ].map((promise) =>
    promise.then(
      () => 'kept',
      (error: unknown) => (error as JournalError).code,
    ),
  );
  await journal.close();
  expect(await cluster.clock.resolve(Promise.all(waiting), { withinMs: 10 })).toEqual([
    'CLOSED',
    'CLOSED',
    'CLOSED',
  ]);
  expect(() => journal.append(bytes('c'), { durability: 'local' })).toThrow('CLOSED');
});
