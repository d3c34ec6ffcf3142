import { describe, expect, test } from 'vitest';
import { emptyDisk } from '../../store/consensus/index.ts';
import { Cluster } from './cluster.ts';
import { among, from, Stage, to } from './stage.ts';

const fresh = { term: 1, log: [1] };

/** n1 leads and has compacted its log up to the last of five entries; n3 has only the first. */
function withAStraggler(): Stage {
  const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
  stage.elect('n1');
  stage.propose('n1', 'a', 'b', 'c');
  stage.drop(to('n3'));
  stage.deliver();
  stage.takeSnapshot('n1');
  stage.takeLines();
  return stage;
}

function beat(stage: Stage): void {
  stage.pass(50);
  stage.tick('n1');
  stage.deliver();
}

describe('a snapshot of this node’s own (C11)', () => {
  test('is where it starts from again, with the log after it', () => {
    const stage = new Stage({ n1: fresh });
    stage.elect('n1');
    stage.propose('n1', 'a', 'b');
    stage.takeSnapshot('n1', 2);
    stage.propose('n1', 'c');
    expect(stage.logOnDisk('n1')).toBe('2 2 2');
    stage.restart('n1');
    expect(stage.raft('n1').status()).toMatchObject({ baseIndex: 2, snapshotIndex: 4, appliedIndex: 4 });
    stage.elect('n1');
    expect(stage.actor('n1').applied).toEqual(['5@2 c', '6@3 noop']);
  });

  test('lets go of entries that are applied, and of no others', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.propose('n1', 'undecided');
    const mark = stage.raft('n1').markAt(2);
    expect(() => stage.raft('n1').markAt(3)).toThrow('no snapshot can be taken at 3');
    stage.raft('n1').step({ kind: 'snapshotTaken', now: stage.now, mark, compactTo: 3 });
    expect(stage.raft('n1').status()).toMatchObject({ baseIndex: 2, lastIndex: 3, snapshotIndex: 2 });
    stage.deliver();
    expect(stage.raft('n1').status().commitIndex).toBe(3);
  });

  test('does not take the place of a newer one', () => {
    const stage = withAStraggler();
    const mark = { index: 3, term: 2, configuration: { voters: ['n1', 'n2', 'n3'], observers: [] } };
    stage.raft('n1').step({ kind: 'snapshotTaken', now: stage.now, mark, compactTo: 3 });
    expect(stage.raft('n1').status()).toMatchObject({ baseIndex: 5, snapshotIndex: 5 });
  });

  test('keeps the entries that a follower still needs within reach', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.propose('n1', 'a', 'b', 'c');
    stage.drop(to('n3'));
    stage.deliver();
    stage.takeSnapshot('n1', 2);
    beat(stage);
    expect(stage.logOnDisk('n3')).toBe('1 2 2 2 2');
    expect(stage.actor('n3').wanted).toBeUndefined();
  });
});

describe('a follower that the log of its leader no longer reaches (C15)', () => {
  test('is offered the snapshot at the pace of heartbeats, stays loyal, and renews the lease', () => {
    const stage = withAStraggler();
    stage.deliver();
    beat(stage);
    stage.takeLines();
    const sentAt = stage.now + 50;
    stage.pass(50);
    stage.tick('n1');
    stage.drop(to('n2'));
    stage.deliver();
    expect(stage.takeLines()).toEqual(['n1 > n3 snapshotOffer t2 5@2', 'n3 > n1 appendAnswer t2 has 0']);
    expect(stage.actor('n3').wanted).toEqual({ from: 'n1', index: 5, term: 2 });
    expect(stage.raft('n3').status().leader).toBe('n1');
    expect(stage.raft('n1').leaseValid(sentAt + 130)).toBe(true);
    // No storm of offers: nothing is due before the next heartbeat.
    expect(stage.raft('n1').wakeAt()).toBeGreaterThanOrEqual(sentAt + 50);
  });

  test('takes the fetched one in place of its log, and goes on from there', () => {
    const stage = withAStraggler();
    beat(stage);
    stage.fetchSnapshot('n3');
    expect(stage.actor('n3').disk).toMatchObject({ base: { index: 5, term: 2 }, entries: [] });
    stage.propose('n1', 'd');
    beat(stage);
    beat(stage);
    expect(stage.actor('n3').applied).toEqual(['snapshot 5@2', '6@2 d']);
    expect(stage.raft('n1').status().match).toMatchObject({ n3: 6 });
  });

  test('acknowledges it only once it is on disk (C2)', () => {
    const stage = withAStraggler();
    beat(stage);
    stage.slowDisks.add('n3');
    stage.fetchSnapshot('n3');
    beat(stage);
    expect(stage.raft('n3').status().commitIndex).toBe(5);
    expect(stage.raft('n1').status().match).toMatchObject({ n3: 2 });
    stage.completeWrite('n3');
    stage.deliver();
    expect(stage.raft('n1').status().match).toMatchObject({ n3: 5 });
  });

  test('is not vouched for by a write that was under way when its log was replaced (C4, C16)', () => {
    // n3 wrote six entries of an old leader that were never decided, and is still at it.
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.slowDisks.add('n3');
    const data = new TextEncoder().encode('x');
    const entries = [2, 3, 4, 5, 6, 7].map((index) => ({ index, term: 2, kind: 'command', data }) as const);
    stage.hand({
      kind: 'append',
      from: 'n2',
      to: 'n3',
      term: 2,
      previousIndex: 1,
      previousTerm: 1,
      entries,
      commitIndex: 1,
      ends: 'nothing',
      sentAt: 0,
    });
    const mark = { index: 5, term: 3, configuration: { voters: ['n1', 'n2', 'n3'], observers: [] } };
    const offer = { kind: 'snapshotOffer', term: 3, index: 5, snapshotTerm: 3, sentAt: 0 } as const;
    stage.hand({ ...offer, from: 'n1', to: 'n3' });
    stage.raft('n3').step({ kind: 'snapshotFetched', now: stage.now, mark });
    stage.hand({ ...offer, from: 'n1', to: 'n3' });
    while (stage.actor('n3').writes.length > 1) {
      stage.completeWrite('n3');
      stage.drop();
      stage.hand({ ...offer, from: 'n1', to: 'n3' });
      expect(stage.mail).toEqual([]);
    }
    stage.completeWrite('n3');
    expect(stage.mail[0]).toMatchObject({ outcome: { kind: 'accepted', matchIndex: 5 } });
    expect(stage.actor('n3').disk).toMatchObject({ base: { index: 5, term: 3 }, entries: [] });
  });

  test('that dies before it is on disk has its old log, and is offered it again', () => {
    const stage = withAStraggler();
    beat(stage);
    stage.slowDisks.add('n3');
    stage.fetchSnapshot('n3');
    stage.restart('n3');
    stage.slowDisks.clear();
    expect(stage.raft('n3').status()).toMatchObject({ lastIndex: 2, snapshotIndex: 0 });
    beat(stage);
    expect(stage.actor('n3').wanted).toEqual({ from: 'n1', index: 5, term: 2 });
  });

  test('reads and leads only when its machine has taken the snapshot in', () => {
    const stage = withAStraggler();
    beat(stage);
    stage.slowMachines.add('n3');
    stage.fetchSnapshot('n3');
    beat(stage);
    stage.elect('n3');
    expect(stage.raft('n3').isLinearizable(stage.now)).toBe(false);
    stage.raft('n3').step({ kind: 'applied', now: stage.now, index: 6 });
    expect(stage.raft('n3').isLinearizable(stage.now)).toBe(true);
  });

  test('that lost its disk remembers again once it holds all that is decided (C12)', () => {
    const stage = withAStraggler();
    stage.actor('n3').disk = emptyDisk;
    stage.restart('n3');
    // With the other follower away, an emptied voter decides nothing, however often it answers.
    const beatAlone = (): void => {
      stage.pass(50);
      stage.tick('n1');
      stage.deliver(among('n1', 'n3'));
    };
    beatAlone();
    stage.fetchSnapshot('n3');
    stage.propose('n1', 'd');
    beatAlone();
    expect(stage.raft('n1').status()).toMatchObject({ commitIndex: 5, match: { n3: 6 } });
    expect(stage.raft('n3').status().recovering).toBe(true);
    stage.deliver();
    beat(stage);
    beat(stage);
    expect(stage.raft('n3').status()).toMatchObject({ recovering: false, commitIndex: 6 });
    expect(stage.actor('n3').disk.hardState.recovering).toBe(false);
  });
});

describe('a fetched snapshot that is not needed any more (C16)', () => {
  test('changes nothing when the log is further', () => {
    const stage = withAStraggler();
    beat(stage);
    const mark = stage.actor('n1').disk.snapshot;
    stage.fetchSnapshot('n3');
    stage.propose('n1', 'd');
    beat(stage);
    beat(stage);
    if (mark === undefined) throw new Error('n1 has no snapshot');
    stage.raft('n3').step({ kind: 'snapshotFetched', now: stage.now, mark });
    expect(stage.raft('n3').ready()).toMatchObject({ install: undefined, persist: undefined });
    expect(stage.raft('n3').status()).toMatchObject({ lastIndex: 6, commitIndex: 6 });
  });

  test('leaves the entries alone when the log has the place already: it only tells that they are decided', () => {
    const stage = new Stage({
      n1: { term: 2, log: [1, 2, 2, 2], commitIndex: 1 },
      n2: { term: 2, log: [1] },
    });
    const mark = { index: 3, term: 2, configuration: { voters: ['n1', 'n2'], observers: [] } };
    stage.raft('n1').step({ kind: 'snapshotFetched', now: stage.now, mark });
    const ready = stage.raft('n1').ready();
    expect(ready.install).toBeUndefined();
    expect(ready.committed.map(({ index }) => index)).toEqual([1, 2, 3]);
    expect(stage.raft('n1').status().lastIndex).toBe(4);
  });

  test('nor is one wanted where the log agrees with the offer', () => {
    const stage = new Stage({
      n1: { term: 2, log: [1, 2, 2, 2], commitIndex: 1 },
      n2: { term: 2, log: [1] },
    });
    stage.hand({
      kind: 'snapshotOffer',
      from: 'n2',
      to: 'n1',
      term: 2,
      index: 3,
      snapshotTerm: 2,
      sentAt: 0,
    });
    stage.deliver(from('n1'));
    expect(stage.takeLines()).toContain('n1 > n2 appendAnswer t2 has 3');
    expect(stage.actor('n1').wanted).toBeUndefined();
  });
});

test('votes that were given for a log do not count for the snapshot that took its place', () => {
  const stage = new Stage({ n1: { term: 4, log: [1, 4, 4], commitIndex: 1 }, n2: fresh, n3: fresh });
  stage.pass(200);
  stage.tick('n1');
  stage.deliver(({ kind }) => kind.startsWith('preVote'));
  expect(stage.raft('n1').role).toBe('candidate');
  const mark = { index: 2, term: 3, configuration: { voters: ['n1', 'n2', 'n3'], observers: [] } };
  stage.raft('n1').step({ kind: 'snapshotFetched', now: stage.now, mark });
  stage.deliver();
  expect(stage.raft('n1').status()).toMatchObject({ role: 'follower', lastIndex: 2 });
});

describe('while snapshots go round', () => {
  test('a leader that compacts again during a transfer offers the newer one, and takes the older one too', () => {
    const stage = withAStraggler();
    beat(stage);
    const older = stage.actor('n1').disk.snapshot;
    stage.propose('n1', 'd', 'e', 'f');
    beat(stage);
    beat(stage);
    stage.takeSnapshot('n1', 6);
    beat(stage);
    expect(stage.actor('n3').wanted).toEqual({ from: 'n1', index: 8, term: 2 });
    // What it had begun to fetch comes first. The leader's log reaches back no further than 6.
    if (older === undefined) throw new Error('n1 has no snapshot');
    stage.raft('n3').step({ kind: 'snapshotFetched', now: stage.now, mark: older });
    beat(stage);
    expect(stage.raft('n1').status().match).toMatchObject({ n3: 5 });
    expect(stage.actor('n3').wanted).toEqual({ from: 'n1', index: 8, term: 2 });
    stage.fetchSnapshot('n3');
    beat(stage);
    beat(stage);
    expect(stage.raft('n3').status()).toMatchObject({ commitIndex: 8, snapshotIndex: 8 });
  });

  test('an older one is enough where the leader’s log reaches back to it', () => {
    const stage = withAStraggler();
    beat(stage);
    const older = stage.actor('n1').disk.snapshot;
    stage.propose('n1', 'd', 'e', 'f');
    beat(stage);
    if (older === undefined) throw new Error('n1 has no snapshot');
    stage.takeSnapshot('n1', 5);
    stage.raft('n3').step({ kind: 'snapshotFetched', now: stage.now, mark: older });
    beat(stage);
    beat(stage);
    expect(stage.raft('n3').status()).toMatchObject({ commitIndex: 8, snapshotIndex: 5 });
  });

  test('a follower that was cut off for long comes back by one, and the others serve all the while', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const cluster = new Cluster({ seed, voters: 3 });
      cluster.runUntil(() => cluster.isSettled(), 2_000, 'the first leader');
      const leader = cluster.leader()?.id ?? '';
      const straggler = cluster.voters.find((id) => id !== leader) ?? '';
      cluster.partition([cluster.voters.filter((id) => id !== straggler), [straggler]]);
      const serve = (rounds: number): void => {
        for (let round = 0; round < rounds; round++) {
          const before = cluster.decided.length;
          cluster.propose();
          cluster.runUntil(() => cluster.decided.length > before, 100, `seed ${seed}: a decision`);
          if (round % 10 === 9) for (const id of cluster.voters) cluster.takeSnapshot(id, 3);
        }
      };
      serve(50);
      cluster.heal();
      serve(50);
      cluster.runUntil(() => cluster.isSettled(), 1_000, `seed ${seed}: the straggler has caught up`);
      expect(cluster.installs).toBeGreaterThan(0);
      expect(cluster.leader()?.id).toBe(leader);
    }
  });
});
