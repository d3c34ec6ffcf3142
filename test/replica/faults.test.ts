import { describe, expect, test } from 'vitest';
import { LogDamagedError } from '../../store/ledger/raft-records.ts';
import type { SnapshotOptions } from '../../store/ledger/snapshots.ts';
import { integerBetween } from '../support/random.ts';
import { ReplicaCluster } from './cluster.ts';

describe('when the leader dies', () => {
  test('what a follower forwarded is decided by the next one, within the caller’s patience', async () => {
    const cluster = await ReplicaCluster.open({ seed: 21 });
    const leader = await cluster.elected();
    const [follower = ''] = cluster.followers();
    await cluster.decide(follower, 'before');
    const submitted = Array.from({ length: 50 }, (_, place) => cluster.submit(follower, `during ${place}`));
    await cluster.clock.advance(0.6);
    cluster.kill(leader);
    const killedAt = cluster.clock.monotonic();
    await cluster.clock.resolve(Promise.all(submitted), { withinMs: 5_000 });
    expect(cluster.clock.monotonic() - killedAt).toBeLessThan(4_000);

    await cluster.start(leader);
    const applied = await cluster.settled();
    expect(new Set(applied).size).toBe(51);
  });

  test('it comes back as a follower and holds the same', async () => {
    const cluster = await ReplicaCluster.open({ seed: 22 });
    const leader = await cluster.elected();
    for (let place = 0; place < 20; place++) await cluster.decide(leader, `early ${place}`);
    cluster.kill(leader);
    const next = await cluster.elected();
    for (let place = 0; place < 20; place++) await cluster.decide(next, `late ${place}`);
    await cluster.start(leader);
    expect(await cluster.settled()).toHaveLength(40);
    expect(cluster.life(leader).replica.status()).toMatchObject({ role: 'follower', leader: next });
  });

  test('and is only cut off, it reads nothing as linearizable that others may have overtaken', async () => {
    const cluster = await ReplicaCluster.open({ seed: 23 });
    const stale = await cluster.elected();
    const others = cluster.followers();
    await cluster.decide(stale, 'before');
    cluster.network.partition([[stale], others], { noticed: false });
    const lost = cluster.submit(stale, 'undecided', 30_000);
    await cluster.clock.until(() => others.some((id) => id === cluster.leader()), { withinMs: 10_000 });
    expect(cluster.life(stale).replica.freshness().linearizable).toBe(false);
    const [other = ''] = others;
    await cluster.decide(other, 'meanwhile');
    expect(cluster.life(stale).machine.commands).toEqual(['before']);

    // Healed, it takes over what was decided, and has its own command decided by the new leader.
    cluster.network.heal();
    expect(await cluster.clock.resolve(lost, { withinMs: 10_000 })).toBe(3);
    expect(await cluster.settled()).toEqual(['before', 'meanwhile', 'undecided']);
  });
});

test('however much others forward, the leader’s own commands get their turn, large ones too', async () => {
  const cluster = await ReplicaCluster.open({ seed: 24, syncMs: 50 });
  const leader = await cluster.elected();
  let submitted = 0;
  let isOver = false;
  const keepBusy = async (id: string): Promise<void> => {
    while (!isOver) await cluster.submit(id, `guest ${++submitted}`, 30_000).catch(() => undefined);
  };
  for (const id of cluster.followers()) for (let count = 0; count < 3_000; count++) void keepBusy(id);
  await cluster.clock.advance(500);
  const large = cluster.submit(leader, `large ${'x'.repeat(300 * 1024)}`, 2_000);
  const small = cluster.submit(leader, 'small', 2_000);
  const own = Promise.allSettled([large, small]).then((outcomes) => outcomes.map(({ status }) => status));
  expect(await cluster.clock.resolve(own, { withinMs: 3_000 })).toEqual(['fulfilled', 'fulfilled']);
  isOver = true;
});

describe('when the power goes', () => {
  test('on all nodes at once, nothing is lost that anyone was told is decided', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const cluster = await ReplicaCluster.open({ seed, syncMs: 2 });
      await cluster.elected();
      const told: string[] = [];
      for (let place = 0; place < 40; place++) {
        const id = cluster.ids[place % 3] ?? 'n1';
        void cluster.submit(id, `${id} ${place}`).then(
          () => told.push(`${id} ${place}`),
          () => undefined,
        );
        await cluster.clock.advance(integerBetween(cluster.random, 0, 2));
      }
      for (const id of cluster.ids) cluster.losePower(id);
      expect(told.length).toBeGreaterThan(0);
      for (const id of cluster.ids) await cluster.start(id);
      await cluster.elected();
      const applied = new Set(await cluster.settled());
      expect(told.filter((name) => !applied.has(name))).toEqual([]);
    }
  });
});

describe('when a node lags', () => {
  test('it catches up after an hour’s worth of entries', async () => {
    const cluster = await ReplicaCluster.open({ seed: 31 });
    const leader = await cluster.elected();
    const [lagging = ''] = cluster.followers();
    cluster.kill(lagging);
    for (let round = 0; round < 60; round++) {
      const submitted = Array.from({ length: 50 }, (_, place) => cluster.submit(leader, `${round}/${place}`));
      await cluster.clock.resolve(Promise.all(submitted), { withinMs: 5_000 });
    }
    await cluster.start(lagging);
    expect(await cluster.settled()).toHaveLength(3_000);
    expect(cluster.life(lagging).machine.count).toBe(3_000);
  });

  test('or comes back with an empty disk, it is filled again', async () => {
    const cluster = await ReplicaCluster.open({ seed: 32 });
    const leader = await cluster.elected();
    const [emptied = ''] = cluster.followers();
    for (let place = 0; place < 20; place++) await cluster.decide(leader, `${place}`);
    cluster.kill(emptied);
    for (const key of cluster.disk(emptied).keys()) cluster.disk(emptied).dropRecord(key);
    await cluster.start(emptied);
    expect(await cluster.settled()).toHaveLength(20);
    expect(cluster.life(emptied).machine.count).toBe(20);
  });
});

describe('when the disk lies', () => {
  const damaged = async (
    damage: (cluster: ReplicaCluster, id: string) => void,
    snapshots: Partial<SnapshotOptions> = {},
  ): Promise<unknown> => {
    const cluster = await ReplicaCluster.open({ seed: 41, replica: { snapshots } });
    const leader = await cluster.elected();
    for (let place = 0; place < 10; place++) await cluster.decide(leader, `${place}`);
    await cluster.settled();
    const [victim = ''] = cluster.followers();
    cluster.kill(victim);
    damage(cluster, victim);
    return cluster.start(victim).then(
      () => 'started',
      (error: unknown) => error,
    );
  };
  const entryKey = (cluster: ReplicaCluster, id: string, place: number): string =>
    cluster.disk(id).keys('raft/entry/').at(place) ?? '';

  test('a flipped bit in any part of an entry keeps the node from starting', async () => {
    for (const bit of [3, 30, 60, 200]) {
      const outcome = await damaged((cluster, id) => cluster.disk(id).flipBit(entryKey(cluster, id, 4), bit));
      expect(outcome).toBeInstanceOf(LogDamagedError);
    }
  });

  test('so does an entry that is missing in the middle, or at the end of what was committed', async () => {
    for (const place of [4, 0]) {
      const outcome = await damaged((cluster, id) =>
        cluster.disk(id).dropRecord(entryKey(cluster, id, place)),
      );
      expect(outcome).toBeInstanceOf(LogDamagedError);
    }
    const outcome = await damaged((cluster, id) => {
      for (let count = 0; count < 5; count++) cluster.disk(id).dropRecord(entryKey(cluster, id, -1));
    });
    expect(outcome).toBeInstanceOf(LogDamagedError);
  });

  test('so does a lost or flipped record of term and vote', async () => {
    const lost = await damaged((cluster, id) => cluster.disk(id).dropRecord('raft/state'));
    const flipped = await damaged((cluster, id) => cluster.disk(id).flipBit('raft/state', 50));
    expect([lost, flipped]).toEqual([expect.any(LogDamagedError), expect.any(LogDamagedError)]);
    // Nor does it begin anew below a machine that is restored from a snapshot.
    const withSnapshot = await damaged(
      (cluster, id) => {
        expect(cluster.disk(id).keys('raft/snapshot/')).not.toEqual([]);
        for (const key of [...cluster.disk(id).keys('raft/entry/'), 'raft/state']) {
          cluster.disk(id).dropRecord(key);
        }
      },
      { logEntriesMax: 8 },
    );
    expect(withSnapshot).toBeInstanceOf(LogDamagedError);
  });

  test('a failing disk stops the node, and the others go on', async () => {
    const cluster = await ReplicaCluster.open({ seed: 42 });
    const leader = await cluster.elected();
    cluster.disk(leader).failWrites(new Error('no space left on device'));
    const [follower = ''] = cluster.followers();
    const submitted = cluster.submit(follower, 'a', 10_000);
    await cluster.clock.until(() => cluster.life(leader).environment.fatalErrors.length > 0, {
      withinMs: 5_000,
    });
    expect(cluster.life(leader).environment.fatalErrors).toEqual([
      expect.objectContaining({ message: 'no space left on device' }),
    ]);
    cluster.kill(leader);
    await cluster.clock.resolve(submitted, { withinMs: 10_000 });
  });
});

test('a malformed frame is dropped and logged', async () => {
  const cluster = await ReplicaCluster.open({ seed: 51 });
  const leader = await cluster.elected();
  const [follower = ''] = cluster.followers();
  const { network } = cluster.life(follower);
  for (const frame of [[], [0xc1], [0x93, 1, 2, 3], [0x97, 5, 1, 2, 3, 4, 5, 6], [0x92, 99, 1]]) {
    network.send(leader, 'raft', Uint8Array.from(frame));
  }
  expect(await cluster.decide(follower, 'a')).toBe(1);
  expect(cluster.life(leader).environment.lines.length).toBeGreaterThanOrEqual(4);
  expect(cluster.life(leader).environment.fatalErrors).toEqual([]);
});

/** A snapshot every few entries, fetched piece by piece. */
const tinySnapshots = { logEntriesMax: 6, keptEntries: 2, answerBytesMax: 200 };

/** Random kills, power cuts, partitions, links that work one way and clocks that jump, under load: whoever was told a result was told the truth, for ever. */
test('through a storm of faults, one history, and every answer is in it', async () => {
  let answers = 0;
  let questions = 0;
  for (let seed = 1; seed <= 25; seed++) {
    const faults = { loss: 0.02, duplication: 0.02, latencyMsMax: 8, reorder: seed % 2 === 0 };
    const cluster = await ReplicaCluster.open({
      seed,
      observers: ['o1'],
      syncMs: 1,
      faults,
      replica: { snapshots: seed % 3 === 0 ? {} : tinySnapshots },
    });
    const { random } = cluster;
    const told = new Map<string, number>();
    let submitted = 0;
    for (let act = 0; act < 60; act++) {
      const id = cluster.ids[integerBetween(random, 0, 3)] ?? 'n1';
      const chance = random();
      if (chance < 0.6) {
        for (const [member] of cluster.running) {
          const name = `command ${++submitted}`;
          void cluster.submit(member, name, 4_000).then(
            (count) => told.set(name, count),
            () => undefined,
          );
        }
      } else if (chance < 0.75) {
        if (!cluster.lives.has(id)) await cluster.start(id);
      } else if (chance < 0.82) {
        if (cluster.lives.has(id)) cluster.losePower(id);
      } else if (chance < 0.88) {
        if (cluster.lives.has(id)) cluster.kill(id);
      } else if (chance < 0.9) {
        if (cluster.lives.has(id)) cluster.life(id).clock.jumpWall(integerBetween(random, -100_000, 100_000));
      } else if (chance < 0.92) {
        const deaf = cluster.ids.find((other) => other !== id) ?? 'n1';
        cluster.network.cutSilently(id, deaf);
      } else if (chance < 0.95) {
        cluster.network.partition([[id], cluster.ids.filter((other) => other !== id)], {
          noticed: random() < 0.5,
        });
      } else {
        cluster.network.heal();
      }
      await cluster.clock.advance(integerBetween(random, 1, 1_000));
    }
    cluster.network.heal();
    cluster.network.setFaults({ loss: 0, duplication: 0, reorder: false });
    for (const id of cluster.ids) if (!cluster.lives.has(id)) await cluster.start(id);
    await cluster.elected();
    const history = await cluster.settled();
    const counts = new Map([...new Set(history)].map((name, place) => [name, place + 1]));
    for (const [name, count] of told) {
      if (counts.get(name) !== count)
        throw new Error(`seed ${seed}: ${name} was told ${count}, is ${counts.get(name)}`);
    }
    answers += told.size;
    questions += cluster.network.delivered.get('ledger/snapshot') ?? 0;
    for (const [, { environment }] of cluster.running) expect(environment.fatalErrors).toEqual([]);
    // Clocks jumped, but what the machines were told of time is one history too, and never goes back.
    const [stamps = [], ...others] = cluster.running.map(([, { machine }]) => machine.stamps);
    expect(stamps).toEqual(stamps.toSorted((left, right) => left - right));
    for (const other of others) expect(other).toEqual(stamps);
  }
  expect(answers).toBeGreaterThan(25 * 20);
  expect(questions, 'snapshots were fetched').toBeGreaterThan(50);
}, 60_000);
