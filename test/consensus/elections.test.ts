import { describe, expect, test } from 'vitest';
import { emptyDisk } from '../../store/consensus/index.ts';
import { among, from, Stage } from './stage.ts';

const fresh = { term: 1, log: [1] };

describe('an election', () => {
  test('asks first, then votes, then opens the term with a no-op', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.pass(200);
    stage.tick('n1');
    stage.deliver(among('n1', 'n2'));
    expect(stage.takeLines()).toEqual([
      'n1 > n2 preVoteRequest t2 log 1@1',
      'n2 > n1 preVoteAnswer t2 remembering',
      'n1 > n2 voteRequest t2 log 1@1',
      'n2 > n1 voteAnswer t2 remembering',
      'n1 > n2 append t2 after 1@1 [] commit 0',
      'n2 > n1 appendAnswer t2 has 1',
      'n1 > n2 append t2 after 1@1 [2@2 noop] commit 0',
      'n2 > n1 appendAnswer t2 has 2',
    ]);
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', term: 2, commitIndex: 2 });
  });

  test('is not won with the shorter or the older log (C5)', () => {
    const stage = new Stage({ n1: { term: 3, log: [1, 1, 1] }, n2: { term: 3, log: [1, 2] }, n3: fresh });
    stage.pass(200);
    stage.tick('n1');
    stage.deliver(among('n1', 'n2'));
    expect(stage.takeLines()).toEqual([
      'n1 > n2 preVoteRequest t4 log 3@1',
      'n2 > n1 preVoteAnswer t3 refused',
    ]);
  });

  test('is repeated after another wait when it ends in a tie', () => {
    const stage = new Stage({ n1: fresh, n2: fresh });
    stage.pass(200);
    stage.tick('n1');
    stage.tick('n2');
    stage.deliver(({ kind }) => kind.startsWith('preVote'));
    stage.deliver();
    expect(stage.raft('n1').status().leader).toBeUndefined();
    stage.pass(400);
    stage.tick('n1');
    stage.deliver();
    expect(stage.raft('n2').status().leader).toBe('n1');
  });

  test('of a single voter is its own affair', () => {
    const stage = new Stage({ n1: fresh });
    stage.pass(200);
    stage.tick('n1');
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', term: 2, commitIndex: 2 });
    expect(stage.raft('n1').isLinearizable(stage.now + 1_000_000)).toBe(true);
  });

  test('is nothing that an observer begins', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, o1: fresh });
    stage.pass(1_000);
    stage.tick('o1');
    expect(stage.mail).toEqual([]);
    expect(stage.raft('o1').wakeAt()).toBe(Infinity);
  });
});

describe('PreVote', () => {
  test('keeps a node that was cut off from unseating the leader when it comes back (C8)', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    // n3 hears nothing and asks in vain, again and again.
    for (let round = 0; round < 20; round++) {
      stage.pass(50);
      stage.tick('n1');
      stage.tick('n3');
      stage.drop((message) => message.to === 'n3' || message.from === 'n3');
      stage.deliver();
    }
    expect(stage.raft('n3').status()).toMatchObject({ role: 'preCandidate', term: 2 });

    // Then its question gets through.
    while (!stage.mail.some(from('n3'))) {
      stage.pass(50);
      stage.tick('n1');
      stage.deliver(among('n1', 'n2'));
      stage.tick('n3');
    }
    stage.takeLines();
    stage.deliver(({ kind }) => kind.startsWith('preVote'));
    expect(stage.takeLines()).toEqual([
      'n3 > n1 preVoteRequest t3 log 2@2',
      'n3 > n2 preVoteRequest t3 log 2@2',
      'n1 > n3 preVoteAnswer t2 refused',
      'n2 > n3 preVoteAnswer t2 refused',
    ]);
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', term: 2 });
  });

  test('tells a node that has fallen behind which term it is', () => {
    const stage = new Stage({ n1: { term: 7, log: [1, 7] }, n2: { term: 7, log: [1, 7] }, n3: fresh });
    stage.pass(200);
    stage.tick('n3');
    stage.deliver(among('n1', 'n3'));
    expect(stage.takeLines()).toEqual([
      'n3 > n1 preVoteRequest t2 log 1@1',
      'n1 > n3 preVoteAnswer t7 refused',
    ]);
    expect(stage.raft('n3').status().term).toBe(7);
  });
});

describe('loyalty (C8)', () => {
  test('lasts an election time-out after the leader was heard, whatever the term', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    const request = {
      kind: 'voteRequest',
      cause: 'timeout',
      from: 'n3',
      to: 'n2',
      lastIndex: 9,
      lastTerm: 2,
    } as const;
    stage.pass(149);
    stage.hand({ ...request, term: 3 });
    expect(stage.mail).toEqual([]);
    expect(stage.raft('n2').status().term).toBe(2);
    stage.pass(1);
    stage.hand({ ...request, term: 3 });
    expect(stage.raft('n2').status().term).toBe(3);
    expect(stage.mail).toMatchObject([{ kind: 'voteAnswer', vote: 'remembering' }]);
  });

  test('holds in a term that the node learned of from elsewhere', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    // A late answer to an old question carries n2 into n3's term, without n1's time being over.
    stage.hand({ kind: 'voteAnswer', from: 'n3', to: 'n2', term: 3, vote: 'refused' });
    stage.hand({
      kind: 'voteRequest',
      cause: 'timeout',
      from: 'n3',
      to: 'n2',
      term: 3,
      lastIndex: 9,
      lastTerm: 2,
    });
    expect(stage.mail).toEqual([]);
    expect(stage.raft('n1').leaseValid(stage.now)).toBe(true);
  });

  test('outlives a restart: a node may have promised it before it went down', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.restart('n2');
    stage.hand({
      kind: 'voteRequest',
      cause: 'timeout',
      from: 'n3',
      to: 'n2',
      term: 3,
      lastIndex: 9,
      lastTerm: 2,
    });
    expect(stage.mail).toEqual([]);
    expect(stage.raft('n1').leaseValid(stage.now)).toBe(true);
  });

  test('binds the leader itself while a majority answers it', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.pass(100);
    stage.hand({
      kind: 'voteRequest',
      cause: 'timeout',
      from: 'n3',
      to: 'n1',
      term: 3,
      lastIndex: 9,
      lastTerm: 2,
    });
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', term: 2 });
  });

  test('does not lock out a node whose term is ahead: the leader gives way to it', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: { term: 9, log: [1] } });
    stage.pass(200);
    stage.tick('n1');
    stage.deliver(among('n1', 'n2'));
    stage.takeLines();
    stage.deliver(({ kind, to: receiver }) => kind === 'append' && receiver === 'n3');
    stage.deliver(({ kind }) => kind === 'appendAnswer');
    expect(stage.takeLines()).toContain('n3 > n1 appendAnswer t9 lacks 0, try 0@0');
    expect(stage.raft('n1').status()).toMatchObject({ role: 'follower', term: 9 });
    stage.elect('n1');
    expect(stage.raft('n3').status()).toMatchObject({ leader: 'n1', term: 10 });
  });
});

describe('CheckQuorum (C7)', () => {
  test('ends the rule of a leader that no majority answers', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    const electedAt = stage.now;
    while (stage.now < electedAt + 140) {
      stage.pass(10);
      stage.tick('n1');
      stage.drop();
    }
    expect(stage.raft('n1').status().role).toBe('leader');
    stage.pass(10);
    stage.tick('n1');
    expect(stage.raft('n1').status()).toMatchObject({ role: 'follower', term: 2, leader: undefined });
    stage.propose('n1', 'too late');
    expect(stage.lines).toEqual(['n1 cannot take a command: notLeader']);
  });

  test('is content with one follower of two, and not with observers', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh, o1: fresh, o2: fresh });
    stage.elect('n1');
    const leadsFor = (ms: number, ids: string[]): boolean => {
      for (const end = stage.now + ms; stage.now < end;) {
        stage.pass(50);
        stage.tick('n1');
        stage.deliver(among('n1', ...ids));
        stage.drop();
      }
      return stage.raft('n1').status().role === 'leader';
    };
    expect(leadsFor(1_000, ['n2'])).toBe(true);
    expect(leadsFor(150, ['o1', 'o2'])).toBe(false);
  });
});

describe('votes and crashes (C2)', () => {
  test('a vote leaves only after it is on disk, and binds after a restart', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.pass(200);
    stage.slowDisks.add('n2');
    stage.hand({
      kind: 'voteRequest',
      cause: 'timeout',
      from: 'n1',
      to: 'n2',
      term: 2,
      lastIndex: 1,
      lastTerm: 1,
    });
    expect(stage.mail).toEqual([]);
    stage.completeWrite('n2');
    expect(stage.mail).toMatchObject([{ kind: 'voteAnswer', to: 'n1', vote: 'remembering' }]);

    stage.restart('n2');
    stage.pass(200);
    stage.drop();
    stage.hand({
      kind: 'voteRequest',
      cause: 'timeout',
      from: 'n3',
      to: 'n2',
      term: 2,
      lastIndex: 1,
      lastTerm: 1,
    });
    expect(stage.mail).toMatchObject([{ kind: 'voteAnswer', to: 'n3', vote: 'refused' }]);
  });

  test('a vote that did not reach the disk was never given', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.pass(200);
    stage.slowDisks.add('n2');
    stage.hand({
      kind: 'voteRequest',
      cause: 'timeout',
      from: 'n1',
      to: 'n2',
      term: 2,
      lastIndex: 1,
      lastTerm: 1,
    });
    stage.restart('n2');
    stage.slowDisks.clear();
    stage.pass(200);
    stage.hand({
      kind: 'voteRequest',
      cause: 'timeout',
      from: 'n3',
      to: 'n2',
      term: 2,
      lastIndex: 1,
      lastTerm: 1,
    });
    expect(stage.mail).toMatchObject([{ kind: 'voteAnswer', to: 'n3', vote: 'remembering' }]);
  });

  test('a candidate asks and counts its own vote only once its term is on disk', () => {
    const stage = new Stage({ n1: fresh });
    stage.slowDisks.add('n1');
    stage.pass(200);
    stage.tick('n1');
    expect(stage.raft('n1').status()).toMatchObject({ role: 'candidate', term: 2 });
    stage.completeWrite('n1');
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', term: 2, commitIndex: 0 });
  });
});

describe('a disk that was emptied (C12)', () => {
  const remembers = { term: 4, log: [1, 4] };
  const lags = { term: 4, log: [1] };
  const forgot = { term: 0, log: [], recovering: true };

  test('does not help to elect a leader that lacks what it once acknowledged', () => {
    // n1 and n3 had decided entry 2; then n3 lost its disk and n1 is away.
    const stage = new Stage({ n1: remembers, n2: lags, n3: forgot });
    for (let round = 0; round < 5; round++) {
      stage.pass(400);
      stage.tick('n2');
      stage.deliver(among('n2', 'n3'));
      stage.tick('n3');
      stage.deliver(among('n2', 'n3'));
      stage.drop();
    }
    expect(stage.raft('n2').status().leader).toBeUndefined();
    expect(stage.raft('n3').status().leader).toBeUndefined();

    // With n1 back, everything is there again, and n3 is a full voter once it has it.
    stage.elect('n1');
    for (let round = 0; round < 3; round++) {
      stage.pass(50);
      stage.tick('n1');
      stage.deliver();
    }
    expect(stage.raft('n3').status()).toMatchObject({ recovering: false, commitIndex: 3 });
    expect(stage.actor('n3').disk.hardState.recovering).toBe(false);
  });

  test('does not prop up a leader whose successor it helped to elect and forgot', () => {
    const stage = new Stage({
      n1: { term: 1, log: [1] },
      n2: { term: 1, log: [1] },
      n3: { term: 1, log: [1] },
    });
    stage.elect('n1');
    // n1 is paused. n2 and n3 go on without it and decide something; then n3 loses its disk.
    stage.pass(200);
    stage.tick('n2');
    stage.deliver(among('n2', 'n3'));
    stage.propose('n2', 'decided');
    stage.deliver(among('n2', 'n3'));
    expect(stage.raft('n2').status()).toMatchObject({ role: 'leader', commitIndex: 4 });
    stage.actor('n3').disk = emptyDisk;
    stage.restart('n3');
    stage.drop();
    // n1 wakes up, still believes to lead, and meets only n3, which has forgotten everything.
    stage.propose('n1', 'lost');
    for (let round = 0; round < 20; round++) {
      stage.pass(7);
      stage.deliver(among('n1', 'n3'));
      stage.propose('n1', 'again');
    }
    expect(stage.raft('n1').status().commitIndex).toBe(2);
    expect(stage.raft('n3').status()).toMatchObject({ recovering: true, leader: 'n1' });
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(false);
  });

  test('is not believed by an acknowledgement that was sent before', () => {
    const stage = new Stage({ n1: remembers, n2: remembers, n3: remembers });
    stage.elect('n1');
    stage.propose('n1', 'a');
    const early = stage.mail.find(({ to }) => to === 'n3');
    if (early?.kind !== 'append') throw new Error('nothing was sent to n3');
    stage.drop();
    stage.actor('n3').disk = emptyDisk;
    stage.restart('n3');
    stage.pass(50);
    stage.tick('n1');
    stage.deliver(among('n1', 'n3'));
    // What n3 said before it forgot turns up late.
    stage.hand({
      kind: 'appendAnswer',
      from: 'n3',
      to: 'n1',
      term: early.term,
      standing: 'remembering',
      sentAt: early.sentAt,
      outcome: { kind: 'accepted', matchIndex: 4 },
    });
    // Whatever makes n1 count again must not count that.
    stage.propose('n1', 'b');
    expect(stage.raft('n1').status().commitIndex).toBe(3);
    stage.pass(50);
    stage.tick('n1');
    stage.deliver(among('n1', 'n3'));
    expect(stage.raft('n1').status().commitIndex).toBe(3);
    expect(stage.raft('n3').status().recovering).toBe(true);
  });

  test('is no hindrance to forming a cluster, even from a mere majority', () => {
    const stage = new Stage({ n1: forgot, n2: forgot, n3: forgot });
    const beats = (count: number, ids: string[]): void => {
      for (let round = 0; round < count; round++) {
        stage.pass(50);
        stage.tick('n2');
        stage.deliver(among('n2', ...ids));
        stage.drop();
      }
    };
    stage.pass(200);
    stage.tick('n2');
    stage.deliver(among('n1', 'n2'));
    stage.propose('n2', 'a');
    beats(5, ['n1']);
    // Two have formed it, and any two could go on: nobody has changed over while one is missing.
    expect(stage.raft('n2').status()).toMatchObject({ role: 'leader', commitIndex: 2, recovering: true });
    // The third one comes: now they change over, all together.
    beats(1, ['n1', 'n3']);
    beats(3, ['n1', 'n3']);
    for (const id of ['n1', 'n2', 'n3']) expect(stage.actor(id).disk.hardState.recovering).toBe(false);
    stage.propose('n2', 'b');
    stage.deliver(among('n2', 'n3'));
    expect(stage.raft('n2').status().commitIndex).toBe(3);
  });

  test('can be any one’s while the cluster is being formed: the leader may die at every step of it', () => {
    for (let steps = 1; steps < 60; steps++) {
      const stage = new Stage({ n1: forgot, n2: forgot, n3: forgot });
      stage.pass(200);
      stage.tick('n1');
      for (let step = 0; step < steps; step++) {
        const next = stage.mail.shift();
        if (next !== undefined) stage.hand(next);
        else {
          stage.pass(50);
          stage.tick('n1');
        }
      }
      const isHalfway = ['n2', 'n3'].filter((id) => stage.actor(id).disk.hardState.recovering).length === 1;
      // Between one heartbeat and the next but one, and the messages of one round are on their way together.
      if (isHalfway) stage.deliver(({ kind, from: sender }) => kind === 'append' && sender === 'n1');
      stage.drop();
      stage.pass(1_000);
      stage.tick('n2');
      stage.deliver(among('n2', 'n3'));
      stage.pass(1_000);
      stage.tick('n3');
      stage.deliver(among('n2', 'n3'));
      const { leader } = stage.raft('n2').status();
      expect(leader).toBeDefined();
      expect(leader).not.toBe('n1');
    }
  });

  test('is no hindrance when every voter agrees', () => {
    const stage = new Stage({ n1: { term: 1, log: [1] }, n2: { ...forgot, term: 1 } });
    stage.elect('n1');
    expect(stage.raft('n2').status().leader).toBe('n1');
  });
});
