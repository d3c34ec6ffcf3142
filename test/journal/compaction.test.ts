import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../store/environment.ts';
import type { JournalError } from '../../store/journal/port.ts';
import { baseKey, claimKey, entryKey, stateKey } from '../../store/journal/records.ts';
import { channels } from '../../store/journal/wire.ts';
import { integerBetween } from '../support/random.ts';
import { bytes, text, TestCluster } from './cluster.ts';

const small = { frameBytesMax: 800, pageBytesMax: 1_500, recentBytesMax: 3_000, deletedPerBatch: 7 };

async function append(cluster: TestCluster, id: NodeId, count: number, word = 'entry'): Promise<void> {
  const { journal } = cluster.node(id);
  const before = journal.vector()[id] ?? 0;
  const kept = Array.from({ length: count }, (_, index) =>
    journal.append(bytes(`${word} ${before + index + 1}`), { durability: 'local' }),
  );
  await cluster.clock.resolve(Promise.all(kept.map(({ durable }) => durable)), { withinMs: 10_000 });
}

async function register(cluster: TestCluster, id: NodeId, claim: string): Promise<string> {
  const registered = cluster.journal(id).register(claim, bytes(claim), { timeoutMs: 3_000 });
  return (await cluster.clock.resolve(registered, { withinMs: 4_000 })).verdict.kind;
}

async function compact(
  cluster: TestCluster,
  id: NodeId,
  upTo: Record<NodeId, number>,
  horizon: number,
): Promise<void> {
  await cluster.clock.resolve(cluster.journal(id).compact({ upTo, horizon }), { withinMs: 1_000 });
}

async function codeOf(cluster: TestCluster, asked: Promise<unknown>): Promise<string> {
  const code = asked.then(
    () => 'answered',
    (error: unknown) => (error as JournalError).code,
  );
  return cluster.clock.resolve(code, { withinMs: 10_000 });
}

const entriesOnDisk = (cluster: TestCluster, id: NodeId, origin: NodeId): number =>
  cluster.disk(id).keys(`journal/entry/${origin}/`).length;

describe('giving up what is old', () => {
  test('deletes entries and their claims, keeps the rest, and says so to whoever reads there', async () => {
    const cluster = await TestCluster.open({ seed: 1, size: 3, limits: small });
    expect(await register(cluster, 'n1', 'old')).toBe('won');
    await append(cluster, 'n1', 48);
    expect(await register(cluster, 'n1', 'new')).toBe('won');
    await cluster.converge();
    await compact(cluster, 'n1', { n1: 20 }, 700);
    await cluster.clock.advance(500);

    const { journal, horizons } = cluster.node('n1');
    expect(journal.bases()).toEqual({ n1: { sequence: 20, horizon: 700 } });
    expect(journal.horizon()).toBe(700);
    expect(horizons).toEqual([{ horizon: 700, after: 50 }]);
    expect(journal.vector()).toEqual({ n1: 50 });
    expect(cluster.disk('n1').keys('journal/entry/n1/')[0]).toBe(entryKey('n1', 21));
    expect(journal.stats().deletedEntries).toBe(20);
    expect(cluster.disk('n1').keys('journal/claim/')).toEqual([claimKey('new')]);
    expect(await codeOf(cluster, journal.read('n1', 20, 1))).toBe('COMPACTED');
    const [first] = await cluster.clock.resolve(journal.read('n1', 21, 1), { withinMs: 100 });
    expect(text(first!.payload)).toBe('entry 21');
    expect(entriesOnDisk(cluster, 'n2', 'n1')).toBe(50);
  });

  test('never goes back, and leaves the last entry of each origin (J11)', async () => {
    const cluster = await TestCluster.open({ seed: 2, size: 3, limits: small });
    await append(cluster, 'n1', 10);
    await cluster.converge();
    await compact(cluster, 'n2', { n1: 500, n3: 7 }, 9);
    expect(cluster.journal('n2').bases()).toEqual({ n1: { sequence: 9, horizon: 9 } });
    await compact(cluster, 'n2', { n1: 3 }, 4);
    expect(cluster.journal('n2').bases()).toEqual({ n1: { sequence: 9, horizon: 9 } });
    await cluster.clock.advance(200);
    cluster.kill('n2');
    await cluster.start('n2');
    expect(cluster.journal('n2').vector()).toEqual({ n1: 10 });
    expect(cluster.journal('n2').horizon()).toBe(9);
  });

  test('is finished after a loss of power at any moment, and deletes nothing before the base is on the disk (J11)', async () => {
    for (let seed = 0; seed < 60; seed++) {
      const cluster = await TestCluster.open({ seed, size: 1, syncMs: 2, limits: small });
      await append(cluster, 'n1', 60);
      void cluster.journal('n1').compact({ upTo: { n1: 50 }, horizon: 5 });
      await cluster.clock.advance(cluster.random() * 20);
      cluster.losePower('n1');
      const left = entriesOnDisk(cluster, 'n1', 'n1');
      const based = cluster.disk('n1').keys(baseKey('n1')).length > 0;
      if (left < 60) expect(based).toBe(true);
      await cluster.start('n1');
      await cluster.opened();
      await cluster.clock.advance(1_000);
      expect(entriesOnDisk(cluster, 'n1', 'n1')).toBe(based ? 10 : 60);
      expect(cluster.journal('n1').vector()).toEqual({ n1: 60 });
      expect(cluster.fatalErrors()).toEqual([]);
    }
  });

  test('a claim stays as long as the entry that holds it, and is not voted upon below a base (J12, J14)', async () => {
    const cluster = await TestCluster.open({ seed: 3, size: 3, limits: small });
    // n1 registers alone, and loses to n2.
    cluster.network.partition([['n1'], ['n2', 'n3']]);
    expect(await register(cluster, 'n1', 'order')).toBe('unavailable');
    expect(await register(cluster, 'n2', 'order')).toBe('won');
    cluster.network.heal();
    await cluster.converge();
    for (const id of cluster.ids) await append(cluster, id, 3);
    await cluster.converge();

    await compact(cluster, 'n3', { n1: 1 }, 5);
    await cluster.clock.advance(200);
    const holder = { origin: 'n2', sequence: 1 };
    const asked = cluster.journal('n1').holders('order', { timeoutMs: 1_000 });
    expect((await cluster.clock.resolve(asked, { withinMs: 2_000 })).get('n3')).toEqual({
      kind: 'held',
      holder,
    });

    await compact(cluster, 'n3', { n2: 1 }, 5);
    await cluster.clock.advance(200);
    expect(cluster.disk('n3').keys('journal/claim/')).toEqual([]);
    const again = cluster.journal('n1').holders('order', { timeoutMs: 1_000 });
    expect((await cluster.clock.resolve(again, { withinMs: 2_000 })).get('n3')).toEqual({ kind: 'free' });
  });

  test('nobody votes on an entry that he gave up, though it is sent again for his vote (J12)', async () => {
    const cluster = await TestCluster.open({ seed: 12, size: 3, limits: small });
    // n3 takes the entries and cannot tell its votes; n2 hears nothing of them.
    cluster.network.cutSilently('n3', 'n1');
    cluster.network.cutSilently('n1', 'n2');
    cluster.network.cutSilently('n2', 'n3');
    const registered = cluster.journal('n1').register('order', bytes('a'), { timeoutMs: 4_000 });
    await cluster.clock.advance(5);
    await append(cluster, 'n1', 3);
    await cluster.clock.until(() => cluster.journal('n3').vector()['n1'] === 4, { withinMs: 1_000 });
    await compact(cluster, 'n3', { n1: 1 }, 5);
    await cluster.clock.advance(100);
    expect(cluster.disk('n3').keys('journal/claim/')).toEqual([]);
    cluster.network.cutSilently('n2', 'n1');
    cluster.network.cutSilently('n1', 'n2');
    cluster.network.heal();
    cluster.kill('n2');
    const { verdict } = await cluster.clock.resolve(registered, { withinMs: 5_000 });
    expect(verdict).toEqual({ kind: 'unavailable' });
    expect(cluster.disk('n3').keys('journal/claim/')).toEqual([]);
  });

  test('a claim is free once its entry is gone everywhere', async () => {
    const cluster = await TestCluster.open({ seed: 4, size: 3, limits: small });
    expect(await register(cluster, 'n1', 'order')).toBe('won');
    expect(await register(cluster, 'n2', 'order')).toBe('lost');
    await append(cluster, 'n1', 3);
    await cluster.converge();
    for (const id of cluster.ids) await compact(cluster, id, { n1: 1 }, 5);
    await cluster.clock.advance(200);
    expect(await register(cluster, 'n2', 'order')).toBe('won');
    for (const id of cluster.ids) {
      cluster.kill(id);
      await cluster.start(id);
    }
    await cluster.opened();
    expect(await register(cluster, 'n3', 'order')).toBe('lost');
  });
});

test('a claim that is asked for while it goes is free all the same', async () => {
  const cluster = await TestCluster.open({ seed: 13, size: 1, syncMs: 5, limits: small });
  expect(await register(cluster, 'n1', 'order')).toBe('won');
  await append(cluster, 'n1', 3);
  const { journal } = cluster.node('n1');
  void journal.compact({ upTo: { n1: 1 }, horizon: 5 });
  while (cluster.disk('n1').keys('journal/claim/').length > 0) {
    void journal.holders('order', { timeoutMs: 100 });
    await cluster.clock.advance(1);
  }
  await cluster.clock.advance(50);
  expect(await register(cluster, 'n1', 'order')).toBe('won');
});

describe('who lacks what is gone', () => {
  test('takes over the base from the origin that pushes, hears of the horizon first, and goes on from there', async () => {
    // Nobody pulls in time: what comes, comes by pushes.
    const limits = { ...small, pullPatienceMs: 120_000 };
    const cluster = await TestCluster.open({ seed: 5, size: 3, limits });
    await append(cluster, 'n1', 20);
    await cluster.converge();
    cluster.kill('n3');
    await append(cluster, 'n1', 200);
    await cluster.converge();
    for (const id of ['n1', 'n2']) await compact(cluster, id, { n1: 180 }, 33);
    const back = await cluster.start('n3');
    await cluster.converge();
    expect(back.journal.vector()).toEqual({ n1: 220 });
    expect(back.journal.bases()).toEqual({ n1: { sequence: 180, horizon: 33 } });
    expect(back.horizons).toEqual([{ horizon: 33, after: 0 }]);
    expect(back.heard.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 40 }, (_, index) => 181 + index),
    );
    await cluster.clock.advance(1_000);
    expect(entriesOnDisk(cluster, 'n3', 'n1')).toBe(40);
    expect(cluster.journal('n1').replication()).toEqual([
      { peer: 'n2', acknowledged: 220, lag: 0 },
      { peer: 'n3', acknowledged: 220, lag: 0 },
    ]);
  });

  test('takes it over from any member when the origin is gone', async () => {
    const cluster = await TestCluster.open({ seed: 6, size: 3, limits: small });
    cluster.kill('n3');
    await append(cluster, 'n1', 100);
    await cluster.converge();
    cluster.kill('n1');
    await compact(cluster, 'n2', { n1: 90 }, 8);
    const back = await cluster.start('n3');
    await cluster.clock.resolve(back.journal.caughtUp(10_000), { withinMs: 10_000 });
    expect(back.journal.vector()).toEqual({ n1: 100 });
    expect(back.journal.horizon()).toBe(8);
  });

  test('with an empty disk relearns what is left, uses no sequence twice, and votes for nobody twice', async () => {
    const cluster = await TestCluster.open({ seed: 7, size: 3, limits: small });
    expect(await register(cluster, 'n3', 'old')).toBe('won');
    await append(cluster, 'n3', 60);
    await append(cluster, 'n1', 60);
    expect(await register(cluster, 'n1', 'new')).toBe('won');
    await cluster.converge();
    for (const id of ['n1', 'n2']) await compact(cluster, id, { n1: 50, n3: 59 }, 12);
    await cluster.clock.advance(500);
    cluster.kill('n3');
    cluster.wipe('n3');
    const back = await cluster.start('n3');
    await cluster.opened();
    expect(back.journal.vector()).toEqual({ n1: 61, n3: 61 });
    expect(back.journal.bases()).toEqual({
      n1: { sequence: 50, horizon: 12 },
      n3: { sequence: 59, horizon: 12 },
    });
    const next = back.journal.append(bytes('second life'), { durability: 'local' });
    expect(next.position.sequence).toBe(62);
    expect(await register(cluster, 'n2', 'new')).toBe('lost');
    await cluster.converge();
    const contents = await cluster.contents('n1');
    for (const id of cluster.ids) expect(await cluster.contents(id)).toEqual(contents);
  });

  test('whose copy is damaged where others have nothing any more gives it up too (J13)', async () => {
    const cluster = await TestCluster.open({ seed: 8, size: 3, limits: small });
    await append(cluster, 'n1', 100);
    await cluster.converge();
    for (const id of ['n1', 'n2']) await compact(cluster, id, { n1: 80 }, 21);
    cluster.disk('n3').flipBit(entryKey('n1', 40), 100);
    expect(await codeOf(cluster, cluster.journal('n3').read('n1', 40, 5))).toBe('COMPACTED');
    expect(cluster.journal('n3').bases()).toEqual({ n1: { sequence: 80, horizon: 21 } });
    expect(cluster.fatalErrors()).toEqual([]);
  });

  test('whose base record is damaged takes what is there for what is left', async () => {
    const cluster = await TestCluster.open({ seed: 9, size: 3, limits: small });
    await append(cluster, 'n1', 100);
    await cluster.converge();
    for (const id of cluster.ids) await compact(cluster, id, { n1: 80 }, 21);
    await cluster.clock.advance(500);
    cluster.kill('n1');
    cluster.disk('n1').flipBit(baseKey('n1'), 50);
    await cluster.start('n1');
    await cluster.opened();
    const { journal } = cluster.node('n1');
    expect(journal.append(bytes('on'), { durability: 'local' }).position.sequence).toBe(101);
    expect(await codeOf(cluster, journal.read('n1', 80, 5))).toBe('COMPACTED');
    const [first] = await cluster.clock.resolve(journal.read('n1', 81, 1), { withinMs: 100 });
    expect(text(first!.payload)).toBe('entry 81');
    expect(cluster.fatalErrors()).toEqual([]);
  });
});

describe('who asks a majority', () => {
  test('has what was durable when it asked, and does not count answers that were on their way by then', async () => {
    let delayMs = 0;
    const cluster: TestCluster = await TestCluster.open({
      seed: 10,
      size: 3,
      // What peers answer is old by the time it arrives at n3.
      wrap: (network) =>
        network.self !== 'n3'
          ? network
          : {
              ...network,
              request: async (...asked) => {
                const answer = await network.request(...asked);
                if (delayMs > 0) await new Promise<void>((resolve) => cluster.clock.after(delayMs, resolve));
                return answer;
              },
            },
    });
    cluster.network.cutSilently('n1', 'n3');
    delayMs = 300;
    const { journal } = cluster.node('n1');
    for (let round = 1; round <= 10; round++) {
      const early = cluster.journal('n3').covers(5_000);
      await cluster.clock.advance(30);
      const { durable } = journal.append(bytes(`round ${round}`), { durability: 'quorum' });
      await cluster.clock.resolve(durable, { withinMs: 2_000 });
      const covers = cluster.journal('n3').covers(5_000);
      expect(await cluster.clock.resolve(covers, { withinMs: 6_000 })).toBe(true);
      expect(cluster.journal('n3').vector()['n1']).toBe(round);
      expect(await cluster.clock.resolve(early, { withinMs: 6_000 })).toBe(true);
    }
  });

  test('does not take the word of a disk that has not relearned yet for that of the one it lost', async () => {
    const cluster = await TestCluster.open({ seed: 13, size: 3 });
    // n3 hears nothing of what n1 and n2 promise; then the one dies, and the other loses its disk.
    cluster.network.partition([['n1', 'n2'], ['n3']]);
    const { durable } = cluster.journal('n1').append(bytes('promised'), { durability: 'quorum' });
    await cluster.clock.resolve(durable, { withinMs: 2_000 });
    cluster.kill('n1');
    cluster.kill('n2');
    cluster.wipe('n2');
    cluster.network.heal();
    await cluster.start('n2');
    await cluster.clock.advance(2_000);
    expect(cluster.journal('n2').stats().phase).toBe('relearning');
    expect(await cluster.clock.resolve(cluster.journal('n3').covers(1_000), { withinMs: 1_500 })).toBe(false);
    expect(await cluster.clock.resolve(cluster.journal('n2').covers(1_000), { withinMs: 1_500 })).toBe(false);
    await cluster.start('n1');
    expect(await cluster.clock.resolve(cluster.journal('n3').covers(5_000), { withinMs: 5_500 })).toBe(true);
    expect(cluster.journal('n3').vector()['n1']).toBe(1);
  });

  test('hears that it may lack something when no majority answers', async () => {
    const cluster = await TestCluster.open({ seed: 11, size: 3 });
    cluster.network.partition([['n1'], ['n2', 'n3']]);
    expect(await cluster.clock.resolve(cluster.journal('n1').covers(1_000), { withinMs: 1_500 })).toBe(false);
    cluster.network.heal();
    expect(await cluster.clock.resolve(cluster.journal('n1').covers(3_000), { withinMs: 3_500 })).toBe(true);
  });
});

describe.each(
  Array.from({ length: 8 }, (_, index) => ({ seed: 300 + index, size: index % 2 === 0 ? 3 : 5 })),
)(
  'seed $seed, $size nodes that give up what is old, under loss, partitions, deaths, power loss and emptied disks',
  ({ seed, size }) => {
    test('nothing young is lost, whoever jumps hears why first, and all end up equal', async () => {
      const faults = { loss: 0.05, duplication: 0.05, reorder: true, latencyMsMin: 0.2, latencyMsMax: 30 };
      const cluster = await TestCluster.open({ seed, size, faults, limits: small });
      const { random, ids } = cluster;
      const acknowledged = new Map<string, number>();
      const stepOf = new Map<string, number>();
      let down: NodeId | undefined;
      for (let step = 0; step < 80; step++) {
        for (const { journal } of cluster.nodes.values()) {
          if (journal.stats().phase !== 'open') continue;
          for (let count = integerBetween(random, 0, 3); count > 0; count--) {
            const { position, durable } = journal.append(bytes(`${step}`), {
              durability: 'quorum',
              timeoutMs: 2_000,
            });
            const name = `${position.origin}:${position.sequence}`;
            stepOf.set(name, step);
            durable.then(
              () => acknowledged.set(name, step),
              () => undefined,
            );
          }
          // Everything of ten steps ago is old, as far as this node has it without a younger entry before it.
          const horizon = step - 10;
          if (horizon > 0 && random() < 0.1) {
            const upTo: Record<NodeId, number> = {};
            for (const [origin, last] of Object.entries(journal.vector())) {
              let sequence = 0;
              while (sequence < last && (stepOf.get(`${origin}:${sequence + 1}`) ?? step) < horizon)
                sequence++;
              upTo[origin] = sequence;
            }
            journal.compact({ upTo, horizon }).catch(() => undefined);
          }
        }
        await cluster.clock.advance(integerBetween(random, 1, 200));
        const dice = random();
        if (dice < 0.1) {
          const away = ids.filter(() => random() < 0.4);
          cluster.network.partition([away, ids.filter((other) => !away.includes(other))]);
        } else if (dice < 0.25) {
          cluster.network.heal();
        } else if (down !== undefined && dice < 0.35) {
          await cluster.start(down);
          down = undefined;
        } else if (down === undefined && dice < 0.45 && cluster.converged()) {
          down = ids[integerBetween(random, 0, ids.length - 1)] ?? '';
          const how = random();
          if (how < 0.4) cluster.kill(down);
          else cluster.losePower(down);
          if (how > 0.7) cluster.wipe(down);
        }
        for (const { heard, horizons } of cluster.nodes.values()) {
          checkJumps(heard, horizons, stepOf);
        }
      }
      cluster.network.heal();
      if (down !== undefined) await cluster.start(down);
      await cluster.opened();
      await cluster.converge();
      expect(cluster.fatalErrors()).toEqual([]);

      const contents = await cluster.contents('n1');
      for (const id of ids) expect(await cluster.contents(id)).toEqual(contents);
      const kept = new Set(contents);
      const horizon = Math.max(...[...cluster.nodes.values()].map(({ journal }) => journal.horizon()));
      for (const [name, step] of acknowledged) {
        if (step >= horizon) expect(kept).toContain(`${name}=${step}`);
      }
      expect(horizon).toBeGreaterThan(10);

      await cluster.clock.advance(2_000);
      for (const id of ids) {
        expect(cluster.disk(id).keys(stateKey)).toHaveLength(1);
        for (const [origin, { sequence }] of Object.entries(cluster.journal(id).bases())) {
          const [first = ''] = cluster.disk(id).keys(`journal/entry/${origin}/`);
          expect(first >= entryKey(origin, sequence + 1)).toBe(true);
        }
      }
    });
  },
);

test('a claim that is voted on when its entry comes once more goes with that entry as well (T3)', async () => {
  const muted = { isMuted: false };
  const cluster = await TestCluster.open({
    seed: 1,
    size: 3,
    wrap: (network) => ({
      ...network,
      send: (peer, channel, frame, lane) =>
        (muted.isMuted && peer === 'n2' && channel === channels.acknowledge) ||
        network.send(peer, channel, frame, lane),
    }),
  });
  const { clock } = cluster;
  const standingAt = async (id: NodeId) => {
    const asked = cluster.journal('n1').holders('c', { timeoutMs: 500 });
    return (await clock.resolve(asked, { withinMs: 1_000 })).get(id)?.kind;
  };
  expect(await register(cluster, 'n1', 'c')).toBe('won');
  await append(cluster, 'n1', 1);
  await cluster.converge();
  await compact(cluster, 'n2', { n1: 1 }, 5);
  await clock.advance(100);
  // n2 makes a new order of it. What the others say gets lost, until one of them has given the old one up as well.
  muted.isMuted = true;
  const again = cluster.journal('n2').register('c', bytes('c'), { timeoutMs: 2_000 });
  await clock.advance(20);
  await compact(cluster, 'n3', { n1: 1 }, 5);
  await clock.advance(100);
  muted.isMuted = false;
  await clock.resolve(again, { withinMs: 5_000 });
  expect(await standingAt('n3')).toBe('held');
  await append(cluster, 'n2', 1);
  await cluster.converge();
  for (const id of ['n1', 'n2', 'n3']) await compact(cluster, id, { n1: 1, n2: 1 }, 6);
  await clock.advance(1_000);
  expect([await standingAt('n2'), await standingAt('n3')]).toEqual(['free', 'free']);
});

/** Gaps in what a node was told, each of which must be explained by a horizon that it was told before (J13). */
function checkJumps(
  heard: readonly { readonly origin: NodeId; readonly sequence: number }[],
  horizons: readonly { readonly horizon: number; readonly after: number }[],
  stepOf: ReadonlyMap<string, number>,
): void {
  const last = new Map<NodeId, number>();
  heard.forEach(({ origin, sequence }, index) => {
    const expected = (last.get(origin) ?? sequence - 1) + 1;
    expect(sequence).toBeGreaterThanOrEqual(expected);
    last.set(origin, sequence);
    if (sequence === expected) return;
    const told = Math.max(0, ...horizons.filter(({ after }) => after <= index).map(({ horizon }) => horizon));
    for (let missing = expected; missing < sequence; missing++) {
      expect(stepOf.get(`${origin}:${missing}`) ?? 0).toBeLessThan(told);
    }
  });
}
