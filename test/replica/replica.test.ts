import { describe, expect, test } from 'vitest';
import { LedgerError } from '../../store/ledger/port.ts';
import { ReplicaCluster } from './cluster.ts';

const codeOf = (error: unknown): string => (error instanceof LedgerError ? error.code : String(error));

describe('three replicas', () => {
  test('decide a command wherever it is submitted, once, in one order', async () => {
    const cluster = await ReplicaCluster.open({ seed: 1 });
    const leader = await cluster.elected();
    const [follower = ''] = cluster.followers();
    expect(await cluster.decide(leader, 'a')).toBe(1);
    expect(await cluster.decide(follower, 'b')).toBe(2);
    // The same command again is the machine's affair: it gives the same answer.
    expect(await cluster.decide(follower, 'a')).toBe(1);
    expect(await cluster.settled()).toEqual(['a', 'b', 'a']);
  });

  test('gather what comes while a round is under way', async () => {
    const cluster = await ReplicaCluster.open({ seed: 2 });
    const leader = await cluster.elected();
    const before = cluster.life(leader).replica.status().lastIndex;
    const submitted = cluster.ids.flatMap((id) =>
      Array.from({ length: 200 }, (_, place) => cluster.submit(id, `${id} ${place}`)),
    );
    await cluster.clock.resolve(Promise.all(submitted), { withinMs: 5_000 });
    const entries = cluster.life(leader).replica.status().lastIndex - before;
    expect(entries).toBeLessThanOrEqual(12);
    const applied = await cluster.settled();
    expect(new Set(applied).size).toBe(600);
    expect(applied).toHaveLength(600);
  });

  test('do not take a jump of the leader’s wall clock for time, and say so', async () => {
    const cluster = await ReplicaCluster.open({ seed: 5 });
    const leader = await cluster.elected();
    const { clock, machine, environment } = cluster.life(leader);
    await cluster.decide(leader, 'a');
    clock.jumpWall(365 * 86_400_000);
    await cluster.decide(leader, 'b');
    clock.jumpWall(-365 * 86_400_000);
    await cluster.decide(leader, 'c');
    const [first = 0, ...later] = machine.stamps;
    for (const stamp of later) expect(stamp - first).toBeLessThan(5_000);
    expect(
      environment.lines.filter(({ message }) => message.startsWith('the wall clock jumped')),
    ).toHaveLength(1);
  });

  test('stamp with a time that never goes back, though the new leader’s clock is behind', async () => {
    const wallSkewMs = { n1: 0, n2: -60_000, n3: 60_000 };
    const cluster = await ReplicaCluster.open({ seed: 3, wallSkewMs });
    for (let round = 0; round < 4; round++) {
      const leader = await cluster.elected();
      await cluster.decide(leader, `round ${round}`);
      await cluster.settled();
      cluster.kill(leader);
      const next = await cluster.elected();
      await cluster.decide(next, `after round ${round}`);
      await cluster.start(leader);
      await cluster.settled();
      // Its recovery, begun when it died in the cluster's first moments, ends within a few round trips.
      await cluster.clock.advance(100);
    }
    for (const [, { machine, replica }] of cluster.running) {
      expect(machine.stamps).toEqual(machine.stamps.toSorted((left, right) => left - right));
      expect(replica.freshness().asOf).toBe(machine.stamps.at(-1));
    }
  });

  test('have the leader propose what is due', async () => {
    const cluster = await ReplicaCluster.open({ seed: 4 });
    await cluster.elected();
    const dueAt = cluster.clock.now() + 3_000;
    for (const [, { machine }] of cluster.running) machine.dueAt = dueAt;
    await cluster.clock.advance(2_900);
    expect(await cluster.settled()).toEqual([]);
    await cluster.clock.advance(1_100);
    expect(await cluster.settled()).toEqual([`due at ${dueAt}`]);
  });

  test('tell each node when it begins and ceases to lead, and never two at once', async () => {
    const cluster = await ReplicaCluster.open({ seed: 5 });
    const first = await cluster.elected();
    const { leadership, replica } = cluster.life(first);
    expect(leadership).toEqual([true]);
    const heardLate: boolean[] = [];
    replica.onLeadership((leading) => heardLate.push(leading));
    expect(heardLate).toEqual([true]);

    cluster.network.partition([[first], cluster.followers()], { noticed: false });
    let bothLead = false;
    await cluster.clock.until(
      () => {
        const leading = cluster.running.filter(([, life]) => life.leadership.at(-1) === true);
        bothLead ||= leading.length > 1;
        return leading.length > 0 && leading[0]?.[0] !== first;
      },
      { withinMs: 10_000 },
    );
    expect(bothLead).toBe(false);
    expect(leadership).toEqual([true, false]);
  });

  test('bring an observer up to date, which decides nothing', async () => {
    const cluster = await ReplicaCluster.open({ seed: 6, observers: ['o1'] });
    await cluster.elected();
    expect(await cluster.decide('o1', 'from afar')).toBe(1);
    await cluster.settled();
    expect(cluster.life('o1').machine.commands).toEqual(['from afar']);
    expect(cluster.life('o1').replica.status()).toMatchObject({ role: 'observer', leader: cluster.leader() });

    const [one = '', other = ''] = cluster.followers().filter((id) => id !== 'o1');
    cluster.kill(one);
    cluster.kill(other);
    const refused = cluster.decide('o1', 'without a majority', 3_000);
    await expect(refused.catch(codeOf)).resolves.toBe('TIMEOUT');
  });

  test('say on the leader what each member holds', async () => {
    const cluster = await ReplicaCluster.open({ seed: 7, observers: ['o1'] });
    const leader = await cluster.elected();
    await cluster.decide(leader, 'a');
    await cluster.settled();
    const { match, lastIndex } = cluster.life(leader).replica.status();
    await cluster.clock.until(
      () => Object.values(cluster.life(leader).replica.status().match).every((index) => index === lastIndex),
      { withinMs: 1_000 },
    );
    expect(Object.keys(match).sort()).toEqual(['n1', 'n2', 'n3', 'o1']);
  });
});

test('a single voter decides alone', async () => {
  const cluster = await ReplicaCluster.open({ seed: 8, voters: ['n1'] });
  await cluster.elected();
  expect(await cluster.decide('n1', 'a')).toBe(1);
  cluster.losePower('n1');
  await cluster.start('n1');
  await cluster.elected();
  expect(await cluster.settled()).toEqual(['a']);
});

describe('a submitter hears', () => {
  test('NO_LEADER when nobody leads, and its command was never sent', async () => {
    const cluster = await ReplicaCluster.open({ seed: 9 });
    cluster.network.partition([]);
    const refused = cluster.decide('n1', 'a', 2_000);
    await expect(refused.catch(codeOf)).resolves.toBe('NO_LEADER');
    cluster.network.heal();
    await cluster.elected();
    expect(await cluster.settled()).toEqual([]);
  });

  test('TIMEOUT when the fate of its command is unknown; it may take effect later', async () => {
    const cluster = await ReplicaCluster.open({ seed: 10 });
    const leader = await cluster.elected();
    cluster.network.partition([[leader]], { noticed: false });
    const refused = cluster.decide(leader, 'a', 500);
    await expect(refused.catch(codeOf)).resolves.toBe('TIMEOUT');
  });

  test('QUEUE_FULL beyond the bound, at once and without effect', async () => {
    const cluster = await ReplicaCluster.open({ seed: 11, replica: { pendingMax: 10 } });
    const leader = await cluster.elected();
    const outcomes = await cluster.clock.resolve(
      Promise.all(Array.from({ length: 15 }, (_, place) => cluster.submit(leader, `${place}`).catch(codeOf))),
      { withinMs: 5_000 },
    );
    expect(outcomes.filter((outcome) => outcome === 'QUEUE_FULL')).toHaveLength(5);
    expect(await cluster.settled()).toHaveLength(10);
  });

  test('CLOSED when its node closes, and from then on', async () => {
    const cluster = await ReplicaCluster.open({ seed: 12 });
    const waiting = cluster.submit('n1', 'a').catch(codeOf);
    await cluster.life('n1').replica.close();
    await expect(waiting).resolves.toBe('CLOSED');
    await expect(cluster.submit('n1', 'b').catch(codeOf)).resolves.toBe('CLOSED');
  });
});

describe('a leader that is asked to hand over', () => {
  /** Past the first moments, in which nobody remembers enough to be asked to succeed (C12). */
  const formed = async (seed: number): Promise<{ cluster: ReplicaCluster; leader: string }> => {
    const cluster = await ReplicaCluster.open({ seed });
    await cluster.elected();
    await cluster.clock.advance(500);
    return { cluster, leader: await cluster.elected() };
  };

  test('is succeeded within a few round trips, while everything that is asked is decided once', async () => {
    const { cluster, leader } = await formed(21);
    const names = Array.from({ length: 300 }, (_, place) => `command ${place}`);
    const decided = Promise.all(
      names.map((name, place) => cluster.submit(cluster.ids[place % 3] ?? '', name)),
    );
    const before = cluster.clock.now();
    const handedOver = cluster.life(leader).replica.handOver();
    expect(await cluster.clock.resolve(handedOver, { withinMs: 1_000 })).toBe(true);
    // Far less than the shortest election time-out.
    expect(cluster.clock.now() - before).toBeLessThan(300);
    await cluster.clock.resolve(decided, { withinMs: 5_000 });
    expect(await cluster.elected()).not.toBe(leader);
    expect((await cluster.settled()).toSorted()).toEqual(names.toSorted());
  });

  test('says so when nobody can take over, and leads on', async () => {
    const { cluster, leader } = await formed(22);
    const [one = '', other = ''] = cluster.followers();
    cluster.kill(one);
    cluster.kill(other);
    const handedOver = cluster.life(leader).replica.handOver();
    expect(await cluster.clock.resolve(handedOver, { withinMs: 3_000 })).toBe(false);
    await cluster.start(one);
    await cluster.elected();
    expect(await cluster.decide(one, 'afterwards')).toBe(1);
  });

  test('has nothing to do when it does not lead', async () => {
    const { cluster } = await formed(23);
    const [follower = ''] = cluster.followers();
    expect(await cluster.life(follower).replica.handOver()).toBe(true);
  });
});
