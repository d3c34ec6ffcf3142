import { describe, expect, test } from 'vitest';
import { emptyDisk } from '../../store/consensus/index.ts';
import { integerBetween } from '../support/random.ts';
import { Cluster, rough } from './cluster.ts';
import { among, from, Stage, to } from './stage.ts';

const fresh = { term: 1, log: [1] };

function led(): Stage {
  const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
  stage.elect('n1');
  return stage;
}

describe('handing the lead over', () => {
  test('asks the successor as soon as it has everything, and nobody waits for a time-out', () => {
    const stage = led();
    stage.propose('n1', 'a');
    stage.transfer('n1', 'n2');
    expect(stage.raft('n1').status().transferringTo).toBe('n2');
    stage.deliver(among('n1', 'n2'));
    expect(stage.takeLines().filter((line) => !line.includes('append'))).toEqual([
      'n1 > n2 campaignNow t2',
      'n2 > n1 voteRequest t3 log 3@2 transfer',
      'n1 > n2 voteAnswer t3 remembering',
    ]);
    stage.deliver();
    expect(stage.raft('n2').status()).toMatchObject({ role: 'leader', term: 3, commitIndex: 4 });
    expect(stage.raft('n2').isLinearizable(stage.now)).toBe(true);
    expect(stage.raft('n1').status()).toMatchObject({ role: 'follower', leader: 'n2' });
  });

  test('goes to the voter that has most, when nobody is named', () => {
    const stage = led();
    stage.propose('n1', 'a');
    stage.deliver(among('n1', 'n3'));
    stage.transfer('n1');
    expect(stage.raft('n1').status().transferringTo).toBe('n3');
  });

  test('takes effect though all others are loyal to the old leader, and only because it says so (C8)', () => {
    const stage = led();
    const request = {
      kind: 'voteRequest',
      from: 'n2',
      to: 'n3',
      term: 3,
      lastIndex: 2,
      lastTerm: 2,
    } as const;
    stage.hand({ ...request, cause: 'timeout' });
    expect(stage.mail).toEqual([]);
    stage.hand({ ...request, cause: 'transfer' });
    expect(stage.mail).toMatchObject([{ kind: 'voteAnswer', vote: 'remembering' }]);
  });

  test('gives up the lease, and takes nothing new, before anybody is asked (C21)', () => {
    const stage = led();
    stage.propose('n1', 'a');
    stage.drop(to('n2'));
    stage.transfer('n1', 'n2');
    expect(stage.mail.some(({ kind }) => kind === 'campaignNow')).toBe(false);
    expect(stage.raft('n1').leaseValid(stage.now)).toBe(false);
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(false);
    expect(stage.raft('n1').isEstablished).toBe(false);
    stage.propose('n1', 'b');
    stage.change('n1', { kind: 'remove', node: 'n3' });
    stage.transfer('n1', 'n3');
    expect(stage.takeLines()).toEqual([
      'n1 cannot take a command: busy',
      'n1 refuses: TRANSFER_UNDER_WAY',
      'n1 refuses: TRANSFER_UNDER_WAY',
    ]);
  });

  test('is refused where there is nobody to hand over to', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh, o1: fresh });
    stage.elect('n1');
    stage.transfer('n2', 'n3');
    stage.transfer('n1', 'n1');
    stage.transfer('n1', 'o1');
    stage.transfer('n1', 'x');
    const none = 'n1 refuses: NO_SUCCESSOR';
    expect(stage.takeLines()).toEqual(['n2 refuses: NOT_LEADER', none, none, none]);
    // n3 has forgotten what it acknowledged.
    stage.actor('n3').disk = emptyDisk;
    stage.restart('n3');
    stage.pass(50);
    stage.tick('n1');
    stage.deliver(among('n1', 'n3'));
    stage.takeLines();
    stage.transfer('n1', 'n3');
    expect(stage.takeLines()).toEqual(['n1 refuses: NO_SUCCESSOR']);
    // n2 has not answered for as long as a lease lasts.
    stage.pass(90);
    stage.transfer('n1');
    expect(stage.takeLines()).toEqual(['n1 refuses: NO_SUCCESSOR']);
    expect(stage.raft('n1').isEstablished).toBe(true);
  });
});

describe('a transfer that fails', () => {
  test('before anybody was asked leaves the leader where it was', () => {
    const stage = led();
    stage.propose('n1', 'a');
    stage.transfer('n1', 'n2');
    const heartbeats = (): void => {
      stage.pass(50);
      stage.tick('n1');
      stage.drop(among('n1', 'n2'));
      stage.deliver();
    };
    heartbeats();
    heartbeats();
    expect(stage.raft('n1').leaseValid(stage.now)).toBe(false);
    expect(stage.raft('n1').wakeAt()).toBeLessThanOrEqual(stage.now + 50);
    heartbeats();
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', term: 2, transferringTo: undefined });
    expect(stage.raft('n1').leaseValid(stage.now)).toBe(true);
    stage.propose('n1', 'b');
    expect(stage.takeLines().filter((line) => line.includes('cannot'))).toEqual([]);
  });

  test('after the successor was asked costs the time-out, and the old leader leads again in a new term', () => {
    const stage = led();
    stage.transfer('n1', 'n2');
    stage.drop(({ kind }) => kind === 'campaignNow');
    stage.pass(75);
    stage.tick('n1');
    stage.deliver();
    stage.pass(75);
    stage.tick('n1');
    stage.deliver();
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', term: 3 });
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(true);
  });

  test('cannot succeed late: who was asked in the old term has no majority left in the next (C21)', () => {
    const stage = led();
    stage.transfer('n1', 'n2');
    const late = stage.mail.find(({ kind }) => kind === 'campaignNow');
    stage.drop();
    stage.pass(75);
    stage.tick('n1');
    stage.deliver();
    stage.pass(75);
    stage.tick('n1');
    // n2 hears nothing of the new term.
    stage.deliver(among('n1', 'n3'));
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(true);
    if (late === undefined) throw new Error('n2 was never asked');
    stage.drop();
    stage.hand(late);
    stage.deliver(({ kind }) => kind.startsWith('vote'));
    expect(stage.raft('n2').status()).toMatchObject({ role: 'follower', term: 3 });
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', term: 3 });
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(true);
  });
});

test('a leader that leaves asks for its succession, so that nobody waits for a time-out (C20)', () => {
  const stage = led();
  stage.change('n1', { kind: 'remove', node: 'n1' });
  stage.deliver();
  expect(stage.raft('n1').status().role).toBe('follower');
  const leaders = ['n2', 'n3'].filter((id) => stage.raft(id).status().role === 'leader');
  expect(leaders).toHaveLength(1);
  stage.deliver(from('n1'));
});

test('under load nothing is lost, and reads go on at the successor within a few round trips', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const cluster = new Cluster({ seed, voters: 3 });
    cluster.runUntil(() => cluster.isSettled(), 2_000, 'the first leader');
    const first = cluster.leader()?.id ?? '';
    for (let round = 0; round < 20; round++) {
      cluster.propose();
      cluster.run(1);
    }
    const { lastIndex = 0 } = cluster.leader()?.raft?.status() ?? {};
    cluster.transfer();
    const isHandedOver = (): boolean => {
      const { id = first } = cluster.leader() ?? {};
      return id !== first && cluster.isLinearizableAt(id);
    };
    cluster.runUntil(isHandedOver, 60, `seed ${seed}: a new leader`);
    expect(cluster.decided.length).toBeGreaterThan(lastIndex);
    expect(cluster.leaders.size).toBe(2);
  }
});

test('however often it is tried, and whatever the old leader hears of it, no read is stale (C21)', () => {
  let reads = 0;
  for (let seed = 1; seed <= 100; seed++) {
    const faults = { ...rough, delayMsMax: 12, writeMsMax: 4, lateness: 0.3 };
    const cluster = new Cluster({ seed, voters: 3, faults });
    for (let round = 0; round < 40; round++) {
      cluster.propose();
      cluster.run(integerBetween(cluster.random, 1, 60));
      const old = cluster.leader()?.id;
      if (old === undefined || round % 2 === 0) continue;
      cluster.transfer();
      cluster.run(integerBetween(cluster.random, 0, 10));
      // It does not hear who succeeds it, nor whether anyone does.
      for (const other of cluster.voters) if (other !== old) cluster.cut(other, old);
      cluster.propose();
      cluster.run(integerBetween(cluster.random, 20, 200));
      cluster.heal();
    }
    reads += cluster.linearizableReads;
  }
  expect(reads).toBeGreaterThan(5_000);
});
