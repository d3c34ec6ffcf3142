import { describe, expect, test } from 'vitest';
import {
  emptyDisk,
  encodeConfiguration,
  Raft,
  type Configuration,
  type ConfigurationChange,
  type NodeId,
} from '../../store/consensus/index.ts';
import { testOptions } from './cluster.ts';
import { among, from, Stage, to } from './stage.ts';

const fresh = { term: 1, log: [1] };
const empty = { term: 0, log: [], recovering: true };

function beat(stage: Stage, leader: NodeId, others?: readonly NodeId[]): void {
  stage.pass(50);
  stage.tick(leader);
  if (others === undefined) stage.deliver();
  else {
    stage.deliver(among(leader, ...others));
    stage.drop();
  }
}

const voters = (stage: Stage, id: NodeId): string => stage.raft(id).status().configuration.voters.join(' ');

/** n1 leads n2 and n3, and j1 has joined as an observer, is filled and remembers. */
function withAnObserver(): Stage {
  const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh, j1: empty });
  stage.elect('n1');
  stage.change('n1', { kind: 'addObserver', node: 'j1' });
  stage.deliver();
  for (let round = 0; round < 3; round++) beat(stage, 'n1');
  stage.takeLines();
  return stage;
}

describe('who takes part', () => {
  test('is written into the log by the first leader, and overrules every file from then on (C18)', () => {
    const stage = new Stage({ n1: empty, n2: empty, n3: empty });
    stage.elect('n1');
    beat(stage, 'n1');
    expect(stage.actor('n2').applied).toEqual(['1@1 voters n1 n2 n3']);

    const { disk } = stage.actor('n2');
    const edited: Configuration = { voters: ['n2'], observers: [] };
    const raft = new Raft(
      { ...testOptions, self: 'n2', configuration: edited },
      { random: () => 0 },
      { restored: disk, now: 0 },
    );
    expect(raft.status().configuration.voters).toEqual(['n1', 'n2', 'n3']);
  });

  test('is in force as soon as it is in the log, decided or not (C18)', () => {
    const stage = new Stage({ n1: fresh, n2: fresh });
    stage.elect('n1');
    stage.change('n1', { kind: 'remove', node: 'n2' });
    // n1 needs nobody any more, so it is decided as soon as it is written.
    expect(stage.raft('n1').status()).toMatchObject({ commitIndex: 3, configurationIndex: 3 });
    expect(stage.raft('n1').leaseValid(stage.now + 10_000)).toBe(true);
  });

  test('is what it was when the entry that changed it is replaced (C18)', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.change('n1', { kind: 'remove', node: 'n3' });
    expect(voters(stage, 'n1')).toBe('n1 n2');
    stage.drop();
    stage.pass(200);
    stage.tick('n2');
    stage.deliver(among('n2', 'n3'));
    beat(stage, 'n2');
    expect(voters(stage, 'n1')).toBe('n1 n2 n3');
    stage.restart('n1');
    expect(voters(stage, 'n1')).toBe('n1 n2 n3');
  });

  test('travels with a snapshot, as it was at that place', () => {
    const stage = withAnObserver();
    const before = stage.raft('n1').status().appliedIndex;
    stage.change('n1', { kind: 'promote', node: 'j1', records: 'j1 lives there' });
    expect(stage.raft('n1').markAt(before).configuration).toMatchObject({ observers: ['j1'] });
    stage.deliver();
    beat(stage, 'n1');
    stage.takeSnapshot('n1');
    stage.actor('n3').disk = emptyDisk;
    stage.restart('n3');
    beat(stage, 'n1');
    stage.fetchSnapshot('n3');
    const expected = { voters: ['n1', 'n2', 'n3', 'j1'], observers: [], records: 'j1 lives there' };
    expect(stage.raft('n3').status().configuration).toEqual(expected);
    stage.restart('n3');
    expect(stage.raft('n3').status().configuration).toEqual(expected);
  });

  test('keeps what is recorded about members until a change says otherwise', () => {
    const stage = withAnObserver();
    const change = (asked: ConfigurationChange): string | undefined => {
      stage.change('n1', asked);
      stage.deliver();
      return stage.raft('n1').status().configuration.records;
    };
    expect(change({ kind: 'describe', records: 'first' })).toBe('first');
    expect(change({ kind: 'promote', node: 'j1' })).toBe('first');
    expect(change({ kind: 'demote', node: 'j1', records: 'second' })).toBe('second');
    expect(voters(stage, 'n1')).toBe('n1 n2 n3');
  });
});

describe('a node that joins', () => {
  test('waits to be told, and asks nobody for a vote', () => {
    const stage = new Stage({ n1: fresh, j1: empty });
    expect(stage.raft('j1').wakeAt()).toBe(Infinity);
    stage.pass(10_000);
    stage.tick('j1');
    expect(stage.mail).toEqual([]);
  });

  test('gives nobody its vote before it is told, however complete the log of who asks', () => {
    // The voters that n1 remembers have lost their disks; with all of them it would be a quorum (C12).
    const configuration: Configuration = { voters: ['n1', 'j1', 'j2'], observers: [] };
    const stage = new Stage({ n1: fresh, j1: empty, j2: empty }, { configuration });
    const { term } = stage.raft('n1').status();
    for (let attempt = 0; attempt < 3; attempt++) {
      stage.pass(10_000);
      stage.tick('n1');
      stage.deliver();
    }
    expect(stage.raft('n1').status()).toMatchObject({ leader: undefined, term });
  });

  test('receives before it counts, and counts once it is promoted', () => {
    const stage = withAnObserver();
    expect(stage.raft('j1').status()).toMatchObject({ recovering: false, commitIndex: 3 });
    stage.change('n1', { kind: 'promote', node: 'j1' });
    stage.deliver();
    // Of four voters, three decide.
    stage.propose('n1', 'a');
    stage.deliver(among('n1', 'n2'));
    expect(stage.raft('n1').status().commitIndex).toBe(4);
    stage.deliver(among('n1', 'j1'));
    expect(stage.raft('n1').status().commitIndex).toBe(5);
  });

  test('is not believed by what it said when it took part before, and may have forgotten since (C12)', () => {
    const stage = withAnObserver();
    stage.propose('n1', 'a');
    stage.deliver(to('j1'));
    const early = stage.mail.find(from('j1'));
    stage.drop(from('j1'));
    stage.deliver();
    stage.change('n1', { kind: 'remove', node: 'j1' });
    stage.drop(to('j1'));
    stage.deliver();
    stage.actor('j1').disk = emptyDisk;
    stage.restart('j1');
    stage.pass(10);
    stage.change('n1', { kind: 'addObserver', node: 'j1' });
    stage.drop(to('j1'));
    if (early === undefined) throw new Error('j1 said nothing');
    stage.hand(early);
    stage.deliver();
    expect(stage.raft('n1').status().match).toMatchObject({ j1: 0 });
  });

  test('becomes a voter only when it remembers (C19)', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh, j1: empty });
    stage.elect('n1');
    stage.change('n1', { kind: 'addObserver', node: 'j1' });
    stage.deliver(({ kind, to: receiver }) => receiver !== 'j1' || kind !== 'append');
    stage.change('n1', { kind: 'promote', node: 'j1' });
    expect(stage.takeLines()).toContain('n1 refuses: NOT_IN_CONTACT');
    // It has everything, and nobody has told it yet that this is everything.
    stage.deliver((message) => message.kind === 'append' && message.ends === 'nothing');
    stage.deliver(from('j1'));
    stage.change('n1', { kind: 'promote', node: 'j1' });
    expect(stage.takeLines()).toContain('n1 refuses: RECOVERING');
    for (let round = 0; round < 3; round++) beat(stage, 'n1');
    stage.takeLines();
    stage.change('n1', { kind: 'promote', node: 'j1' });
    expect(stage.takeLines()).toEqual([]);
    expect(voters(stage, 'n1')).toBe('n1 n2 n3 j1');
  });

  test('becomes a voter only when it is near the leader, who says how far it is', () => {
    const stage = withAnObserver();
    const commands = Array.from({ length: 12 }, (_, place) => `${place}`);
    stage.propose('n1', ...commands);
    stage.drop(to('j1'));
    stage.deliver();
    const proposed = stage.raft('n1').proposeConfiguration(stage.now, { kind: 'promote', node: 'j1' });
    expect(proposed).toEqual({ kind: 'refused', code: 'NOT_CAUGHT_UP', lag: 12, lagMax: 10 });
  });

  test('votes when it is asked, though it has not heard that it may; and is voted for likewise (C20)', () => {
    const stage = withAnObserver();
    stage.pass(1_000);
    const ask = { kind: 'voteRequest', cause: 'timeout', term: 9, lastIndex: 9, lastTerm: 9 } as const;
    stage.hand({ ...ask, from: 'n2', to: 'j1' });
    stage.hand({ ...ask, from: 'j1', to: 'n3' });
    expect(stage.mail).toMatchObject([
      { kind: 'voteAnswer', from: 'j1', vote: 'remembering' },
      { kind: 'voteAnswer', from: 'n3', vote: 'remembering' },
    ]);
  });
});

describe('a change is refused', () => {
  test.each<[change: ConfigurationChange, code: string]>([
    [{ kind: 'addObserver', node: 'j1' }, 'ALREADY_MEMBER'],
    [{ kind: 'addObserver', node: 'n2' }, 'ALREADY_MEMBER'],
    [{ kind: 'promote', node: 'n2' }, 'ALREADY_VOTER'],
    [{ kind: 'promote', node: 'x' }, 'UNKNOWN_MEMBER'],
    [{ kind: 'demote', node: 'j1' }, 'NOT_A_VOTER'],
    [{ kind: 'demote', node: 'x' }, 'UNKNOWN_MEMBER'],
    [{ kind: 'remove', node: 'x' }, 'UNKNOWN_MEMBER'],
  ])('$0.kind $0.node: $1', (change, code) => {
    const stage = withAnObserver();
    stage.change('n1', change);
    expect(stage.takeLines()).toEqual([`n1 refuses: ${code}`]);
    expect(stage.raft('n1').status()).toMatchObject({ lastIndex: 3, configurationIndex: 3 });
  });

  test('by who does not lead: NOT_LEADER, and who does', () => {
    const stage = withAnObserver();
    const refusal = stage.raft('n2').proposeConfiguration(stage.now, { kind: 'remove', node: 'n3' });
    expect(refusal).toEqual({ kind: 'refused', code: 'NOT_LEADER', leader: 'n1' });
  });

  test('when there is too much to record: TOO_LARGE', () => {
    const stage = withAnObserver();
    stage.change('n1', { kind: 'describe', records: 'x'.repeat(70_000) });
    expect(stage.takeLines()).toEqual(['n1 refuses: TOO_LARGE']);
  });

  test('when it would leave nobody: LAST_VOTER', () => {
    const stage = new Stage({ n1: fresh, o1: fresh });
    stage.elect('n1');
    stage.change('n1', { kind: 'remove', node: 'n1' });
    stage.change('n1', { kind: 'demote', node: 'n1' });
    expect(stage.takeLines()).toEqual(['n1 refuses: LAST_VOTER', 'n1 refuses: LAST_VOTER']);
  });

  test('while an earlier one is not decided: CHANGE_UNDER_WAY (C17)', () => {
    const stage = withAnObserver();
    stage.change('n1', { kind: 'promote', node: 'j1' });
    stage.change('n1', { kind: 'remove', node: 'n3' });
    expect(stage.takeLines()).toEqual(['n1 refuses: CHANGE_UNDER_WAY']);
    stage.deliver();
    stage.takeLines();
    stage.change('n1', { kind: 'remove', node: 'n3' });
    expect(stage.takeLines()).toEqual([]);
  });

  test('while an earlier one is decided and not applied, so that nobody undoes what it recorded: CHANGE_UNDER_WAY', () => {
    const stage = withAnObserver();
    stage.slowMachines.add('n1');
    stage.change('n1', { kind: 'describe', records: 'j1 has moved' });
    stage.deliver();
    const { commitIndex, lastIndex } = stage.raft('n1').status();
    expect(commitIndex).toBe(lastIndex);
    stage.takeLines();
    stage.change('n1', { kind: 'remove', node: 'n3', records: 'as before, without n3' });
    expect(stage.takeLines()).toEqual(['n1 refuses: CHANGE_UNDER_WAY']);
    stage.raft('n1').step({ kind: 'applied', now: stage.now, index: commitIndex });
    stage.change('n1', { kind: 'remove', node: 'n3', records: 'j1 has moved, n3 has left' });
    expect(stage.takeLines()).toEqual([]);
  });

  test('before anything is decided in the leader’s term: NOT_ESTABLISHED (C17)', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.pass(200);
    stage.tick('n1');
    stage.deliver(({ kind }) => kind !== 'append');
    stage.change('n1', { kind: 'remove', node: 'n3' });
    expect(stage.lines.at(-1)).toBe('n1 refuses: NOT_ESTABLISHED');
  });

  test('while some other voter has forgotten: RECOVERING (C19)', () => {
    const stage = withAnObserver();
    stage.actor('n3').disk = emptyDisk;
    stage.restart('n3');
    stage.pass(50);
    stage.tick('n1');
    stage.deliver(among('n1', 'n3'));
    const refusal = stage.raft('n1').proposeConfiguration(stage.now, { kind: 'remove', node: 'n2' });
    expect(refusal).toEqual({ kind: 'refused', code: 'RECOVERING', node: 'n3' });
    // The one that forgot may go.
    stage.change('n1', { kind: 'remove', node: 'n3' });
    expect(voters(stage, 'n1')).toBe('n1 n2');
  });

  test('when those who are left would not be able to decide it: QUORUM_AT_RISK', () => {
    const stage = withAnObserver();
    for (let round = 0; round < 4; round++) beat(stage, 'n1', ['n2', 'j1']);
    stage.takeLines();
    stage.change('n1', { kind: 'remove', node: 'n2' });
    expect(stage.takeLines()).toEqual(['n1 refuses: QUORUM_AT_RISK']);
    stage.change('n1', { kind: 'remove', node: 'n3' });
    expect(stage.takeLines()).toEqual([]);
  });
});

describe('a voter that is removed', () => {
  test('and was dead makes room for another', () => {
    const stage = withAnObserver();
    const rest = ['n2', 'j1'];
    for (let round = 0; round < 4; round++) beat(stage, 'n1', rest);
    for (const change of [
      { kind: 'remove', node: 'n3' },
      { kind: 'promote', node: 'j1' },
    ] as const) {
      stage.change('n1', change);
      beat(stage, 'n1', rest);
    }
    expect(stage.takeLines().filter((line) => line.includes('refuses'))).toEqual([]);
    expect(voters(stage, 'j1')).toBe('n1 n2 j1');
    // And any one of the three can be missed again.
    stage.elect('j1');
    stage.propose('j1', 'a');
    stage.deliver(among('j1', 'n1'));
    expect(stage.raft('j1').status().commitIndex).toBe(stage.raft('j1').status().lastIndex);
  });

  test('hears of it, if it hears anything, and then asks nobody for a vote', () => {
    const stage = withAnObserver();
    stage.change('n1', { kind: 'remove', node: 'n3' });
    stage.deliver();
    expect(voters(stage, 'n3')).toBe('n1 n2');
    expect(stage.raft('n3').wakeAt()).toBe(Infinity);
    expect(Object.keys(stage.raft('n1').status().match)).toEqual(['n1', 'n2', 'j1']);
  });

  test('gets no last word when the log does not reach back to where it is', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.propose('n1', 'a', 'b', 'c');
    stage.drop(to('n3'));
    stage.deliver();
    stage.takeSnapshot('n1');
    for (let round = 0; round < 2; round++) beat(stage, 'n1');
    stage.change('n1', { kind: 'remove', node: 'n3' });
    stage.pass(50);
    stage.tick('n1');
    stage.deliver(to('n2', 'n3'));
    // Both answers are taken in together: the one says how far n3 is, the other decides that it leaves.
    const answers = [...stage.mail.filter(from('n3')), ...stage.mail.filter(from('n2'))];
    stage.drop();
    for (const message of answers) stage.raft('n1').step({ kind: 'message', now: stage.now, message });
    expect(stage.raft('n1').ready().sendNow.filter(to('n3'))).toEqual([]);
    expect(Object.keys(stage.raft('n1').status().match)).toEqual(['n1', 'n2']);
  });

  test('and never hears of it disturbs nobody (C8, C20)', () => {
    const stage = withAnObserver();
    stage.change('n1', { kind: 'remove', node: 'n3' });
    stage.drop(to('n3'));
    stage.deliver();
    const { term } = stage.raft('n1').status();
    for (let round = 0; round < 40; round++) {
      stage.tick('n3');
      beat(stage, 'n1');
    }
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', term });
    expect(stage.raft('n3').status()).toMatchObject({ leader: undefined, term });
    // Nor can it lead when nobody else does: its log lacks what was decided without it.
    stage.pass(1_000);
    stage.tick('n3');
    stage.deliver(among('n3', 'n2', 'j1'));
    expect(stage.raft('n3').status()).toMatchObject({ leader: undefined, term });
  });

  test('and is needed all the same leads once more, until its removal is decided', () => {
    // n1 alone has the entry that removes it; n3 has forgotten everything, so that n2 needs n1 or is stuck.
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh, n4: fresh });
    stage.elect('n1');
    stage.change('n1', { kind: 'remove', node: 'n1' });
    stage.drop();
    stage.restart('n1');
    stage.actor('n3').disk = emptyDisk;
    stage.restart('n3');
    stage.pass(1_000);
    stage.tick('n2');
    stage.deliver();
    expect(stage.raft('n2').status().role).not.toBe('leader');
    stage.pass(1_000);
    stage.tick('n1');
    stage.deliver();
    expect(stage.raft('n1').status()).toMatchObject({ role: 'follower', commitIndex: 5 });
    expect(voters(stage, 'n2')).toBe('n2 n3 n4');
    expect(stage.raft('n1').wakeAt()).toBe(Infinity);
  });

  test('and leads sees it through without counting itself, then steps down (C20)', () => {
    const stage = withAnObserver();
    stage.change('n1', { kind: 'remove', node: 'n1' });
    stage.deliver(among('n1', 'n2'));
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', commitIndex: 3 });
    stage.deliver(among('n1', 'n3'));
    expect(stage.raft('n1').status()).toMatchObject({ role: 'follower', commitIndex: 4 });
    expect(stage.actor('n1').applied.at(-1)).toBe('4@2 voters n2 n3 observers j1');
    expect(stage.raft('n1').wakeAt()).toBe(Infinity);
    stage.drop();
    stage.pass(1_000);
    stage.tick('n2');
    stage.deliver(among('n2', 'n3'));
    expect(stage.raft('n2').status()).toMatchObject({ role: 'leader', commitIndex: 5 });
  });
});

/**
 * n2 has a change in its log that nobody else has: n3 is removed. n3 leads since, with the vote of n1, and both have
 * decided something; then n1 forgets all of it.
 */
describe('a disk that is emptied while a change is not decided (C19)', () => {
  function afterwards(): Stage {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n2');
    stage.change('n2', { kind: 'remove', node: 'n3' });
    stage.drop();
    stage.pass(200);
    stage.tick('n3');
    stage.deliver(among('n1', 'n3'));
    stage.propose('n3', 'decided');
    stage.deliver(among('n1', 'n3'));
    expect(stage.raft('n3').status()).toMatchObject({ role: 'leader', commitIndex: 4 });
    stage.drop();
    stage.actor('n1').disk = emptyDisk;
    stage.restart('n1');
    return stage;
  }

  test('does not prop up the leader that it had helped to replace', () => {
    const stage = afterwards();
    expect(stage.raft('n2').status()).toMatchObject({ role: 'leader', commitIndex: 2 });
    for (let round = 0; round < 10; round++) {
      stage.pass(10);
      stage.propose('n2', 'never');
      stage.deliver(among('n1', 'n2'));
    }
    expect(stage.raft('n2').status().commitIndex).toBe(2);
    expect(stage.raft('n2').isLinearizable(stage.now)).toBe(false);
  });

  test('does not elect one that lacks what was decided', () => {
    const stage = afterwards();
    for (let round = 0; round < 5; round++) {
      stage.pass(400);
      stage.tick('n2');
      stage.deliver(among('n1', 'n2'));
      stage.drop();
    }
    expect(stage.raft('n2').status().role).not.toBe('leader');
    // With n3 there is one who has it.
    stage.restart('n3');
    stage.elect('n3');
    expect(voters(stage, 'n2')).toBe('n1 n2 n3');
  });
});

test('two changes from one configuration never both decide (C17)', () => {
  // Ongaro's counterexample of 2015. n1 has appended that j1 votes, and only j1 has heard of it.
  const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh, n4: fresh, j1: empty });
  stage.elect('n1');
  stage.change('n1', { kind: 'addObserver', node: 'j1' });
  stage.deliver();
  for (let round = 0; round < 3; round++) beat(stage, 'n1');
  stage.change('n1', { kind: 'promote', node: 'j1' });
  stage.deliver(among('n1', 'j1'));
  stage.drop();
  // n2 leads the others. Before it may remove n1 it decides something, which n3 or n4 then holds against n1.
  stage.pass(1_000);
  stage.tick('n2');
  stage.deliver(({ kind, from: sender, to: receiver }) => {
    return kind !== 'append' && [sender, receiver].every((id) => ['n2', 'n3', 'n4'].includes(id));
  });
  expect(stage.raft('n2').role).toBe('leader');
  stage.change('n2', { kind: 'remove', node: 'n1' });
  expect(stage.lines.at(-1)).toBe('n2 refuses: NOT_ESTABLISHED');
  stage.deliver(among('n2', 'n3', 'n4'));
  stage.change('n2', { kind: 'remove', node: 'n1' });
  stage.deliver(among('n2', 'n3'));
  expect(stage.raft('n2').status()).toMatchObject({ configurationIndex: 5, commitIndex: 5 });
  stage.drop();
  for (let round = 0; round < 5; round++) {
    stage.pass(1_000);
    stage.tick('n1');
    stage.deliver(among('n1', 'n4', 'j1'));
  }
  expect(stage.raft('n1').status().role).not.toBe('leader');
});

test('an entry that holds no configuration is a broken invariant, not a guess', () => {
  const entry = { index: 1, term: 1, kind: 'configuration', data: new Uint8Array([1]) } as const;
  const raft = (data: Uint8Array): Raft => {
    const restored = {
      ...emptyDisk,
      hardState: { ...emptyDisk.hardState, term: 1 },
      entries: [{ ...entry, data }],
    };
    const configuration = { voters: ['n1'], observers: [] };
    return new Raft({ ...testOptions, self: 'n1', configuration }, { random: () => 0 }, { restored, now: 0 });
  };
  expect(() => raft(entry.data)).toThrow('entry 1 holds a configuration');
  expect(() => raft(encodeConfiguration({ voters: [], observers: [] }))).toThrow();
  expect(raft(encodeConfiguration({ voters: ['n2'], observers: [] })).status().configuration.voters).toEqual([
    'n2',
  ]);
});
