import { describe, expect, test } from 'vitest';
import { emptyDisk } from '../../store/consensus/index.ts';
import { among, from, Stage, to } from './stage.ts';

const fresh = { term: 1, log: [1] };

describe('bringing logs in line', () => {
  test('skips a whole term of conflict per round trip (C10)', () => {
    const stage = new Stage({
      n1: { term: 6, log: [1, 1, 1, 5, 5, 5, 6, 6] },
      n2: { term: 6, log: [1, 1, 1, 2, 2, 2, 2, 2, 2, 2] },
      n3: { term: 6, log: [1, 1, 1, 5, 5, 5, 6, 6] },
    });
    stage.pass(200);
    stage.tick('n1');
    stage.deliver(among('n1', 'n3'));
    stage.takeLines();
    stage.deliver(({ kind, to: receiver }) => kind === 'append' && receiver === 'n2');
    stage.drop(({ kind }) => kind.includes('ote'));
    stage.deliver();
    expect(stage.takeLines()).toEqual([
      'n1 > n2 append t7 after 8@6 [] commit 0',
      'n2 > n1 appendAnswer t7 lacks 8, try 8@2',
      'n1 > n2 append t7 after 3@1 [] commit 9',
      'n2 > n1 appendAnswer t7 has 3',
      'n1 > n2 append t7 after 3@1 [4@5 old 4, 5@5 old 5, 6@5 old 6, 7@6 old 7, 8@6 old 8, 9@7 noop] commit 9',
      'n2 > n1 appendAnswer t7 has 9',
    ]);
    expect(stage.logOnDisk('n2')).toBe('1 1 1 5 5 5 6 6 7');
  });

  test('takes a follower with a short log to its end in one step', () => {
    const stage = new Stage({
      n1: { term: 1, log: [1, 1, 1, 1, 1, 1] },
      n2: { term: 1, log: [1] },
      n3: fresh,
    });
    stage.elect('n1');
    expect(stage.logOnDisk('n2')).toBe('1 1 1 1 1 1 2');
    expect(stage.logOnDisk('n3')).toBe('1 1 1 1 1 1 2');
  });

  test('notices lost entries by the next heartbeat and sends them again', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.propose('n1', 'a', 'b');
    stage.drop(to('n2'));
    stage.deliver();
    stage.takeLines();
    stage.pass(50);
    stage.tick('n1');
    stage.deliver(among('n1', 'n2'));
    expect(stage.takeLines()).toEqual([
      'n1 > n2 append t2 after 4@2 [] commit 4',
      'n2 > n1 appendAnswer t2 lacks 4, try 2@2',
      'n1 > n2 append t2 after 2@2 [] commit 4',
      'n2 > n1 appendAnswer t2 has 2',
      'n1 > n2 append t2 after 2@2 [3@2 a, 4@2 b] commit 4',
      'n2 > n1 appendAnswer t2 has 4',
    ]);
  });

  test('answers for what is committed even when the leader looks further back', () => {
    const stage = new Stage({ n1: { term: 2, log: [1, 2, 2], commitIndex: 2 }, n2: fresh });
    stage.hand({
      kind: 'append',
      from: 'n2',
      to: 'n1',
      term: 2,
      previousIndex: 0,
      previousTerm: 0,
      entries: [{ index: 1, term: 1, kind: 'command', data: new Uint8Array() }],
      commitIndex: 1,
      ends: 'nothing',
      sentAt: 0,
    });
    stage.deliver();
    expect(stage.takeLines()).toContain('n1 > n2 appendAnswer t2 has 2');
  });

  test('an old, overtaken append does not undo what came after it', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.propose('n1', 'a');
    const old = stage.mail.find(to('n2'));
    stage.deliver();
    stage.propose('n1', 'b', 'c');
    stage.deliver();
    if (old !== undefined) stage.hand(old);
    expect(stage.logOnDisk('n2')).toBe('1 2 2 2 2');
    expect(stage.raft('n2').status().lastIndex).toBe(5);
  });
});

describe('pipelining', () => {
  test('sends on before answers come, up to the window, in bounded messages', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    const commands = Array.from({ length: 40 }, (_, place) => `command number ${100 + place}`);
    stage.propose('n1', ...commands);
    const inFlight = stage.mail.filter(to('n2'));
    expect(inFlight).toHaveLength(4);
    for (const message of inFlight) {
      if (message.kind !== 'append') throw new Error(message.kind);
      expect(message.entries.length).toBeGreaterThan(1);
      expect(message.entries.reduce((sum, { data }) => sum + data.byteLength, 0)).toBeLessThanOrEqual(256);
    }
    stage.deliver();
    expect(stage.raft('n1').status()).toMatchObject({ commitIndex: 42, match: { n2: 42, n3: 42 } });
  });

  test('an entry larger than a message travels alone', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.propose('n1', 'x'.repeat(2_000), 'y'.repeat(2_000));
    stage.deliver();
    expect(stage.raft('n1').status().commitIndex).toBe(4);
  });

  test('too much that is undecided is refused', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.propose('n1', 'x'.repeat(9_000));
    stage.propose('n1', 'one too many');
    expect(stage.takeLines()).toEqual(['n1 cannot take a command: busy']);
    stage.deliver();
    stage.propose('n1', 'now');
    stage.deliver();
    expect(stage.raft('n1').status().commitIndex).toBe(4);
  });

  test('the news of a commit comes soon, even when nothing else is sent', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.pass(20);
    stage.tick('n1');
    stage.deliver();
    stage.propose('n1', 'a');
    stage.deliver();
    expect(stage.raft('n2').status().commitIndex).toBe(2);
    expect(stage.raft('n1').wakeAt()).toBe(stage.now + 10);
    stage.pass(10);
    stage.tick('n1');
    stage.deliver();
    expect(stage.raft('n2').status().commitIndex).toBe(3);
  });
});

describe('counting', () => {
  test('a leader counts itself only once it is told that it has the entry on disk (C3)', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.slowDisks.add('n1');
    stage.propose('n1', 'a');
    expect(stage.mail.filter(from('n1'))).toHaveLength(2);
    stage.deliver(among('n1', 'n2'));
    expect(stage.raft('n1').status().commitIndex).toBe(2);
    stage.completeWrite('n1');
    expect(stage.raft('n1').status().commitIndex).toBe(3);
  });

  test('two followers are a majority without the leader’s disk', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.slowDisks.add('n1');
    stage.propose('n1', 'a');
    stage.deliver();
    expect(stage.raft('n1').status().commitIndex).toBe(3);
  });

  test('a follower acknowledges only what is on its disk (C2)', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.slowDisks.add('n2');
    stage.propose('n1', 'a');
    stage.drop(to('n3'));
    stage.deliver();
    expect(stage.raft('n1').status().match['n2']).toBe(2);
    // The same entries once more, while the write is under way: still no promise.
    stage.restart('n1');
    stage.completeWrite('n2');
    stage.deliver();
    expect(stage.logOnDisk('n2')).toBe('1 2 2');
  });

  test('an entry of an earlier term is not decided by counting (C5)', () => {
    // Figure 3.7 of the dissertation: entry 2 of term 2 is on a majority, but n3's entry of term 3 could
    // still replace it, so it may not count as decided before something of term 4 is.
    const stage = new Stage({
      n1: { term: 3, log: [1, 2], commitIndex: 1 },
      n2: { term: 3, log: [1], commitIndex: 1 },
      n3: { term: 3, log: [1, 3], commitIndex: 1 },
    });
    stage.pass(200);
    stage.slowDisks.add('n1');
    stage.tick('n1');
    stage.deliver(among('n1', 'n2'));
    stage.completeWrite('n1');
    // n2 gets no further than entry 2.
    while (stage.raft('n1').status().match['n2'] !== 2) {
      const next = stage.mail.find(among('n1', 'n2'));
      if (next === undefined) throw new Error('n2 never got entry 2');
      stage.drop((message) => message === next);
      stage.hand(
        next.kind === 'append' ? { ...next, entries: next.entries.filter(({ index }) => index <= 2) } : next,
      );
    }
    expect(stage.raft('n1').status()).toMatchObject({ role: 'leader', commitIndex: 1 });
    stage.pass(50);
    stage.tick('n1');
    stage.deliver(among('n1', 'n2'));
    stage.slowDisks.clear();
    stage.completeWrite('n1');
    expect(stage.raft('n1').status().commitIndex).toBe(3);
  });

  test('a write that was overtaken does not vouch for the entries that replaced its own (C4)', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.slowDisks.add('n3');
    const append = {
      kind: 'append',
      to: 'n3',
      previousIndex: 1,
      previousTerm: 1,
      commitIndex: 0,
      ends: 'nothing',
      sentAt: 0,
    } as const;
    const data = new TextEncoder().encode('x');
    const entry = (index: number, term: number) => ({ index, term, kind: 'command', data }) as const;
    stage.hand({ ...append, from: 'n1', term: 2, entries: [entry(2, 2), entry(3, 2)] });
    // n3 enters term 3 by a vote, then gets other entries in place of the first ones.
    stage.pass(200);
    stage.hand({
      kind: 'voteRequest',
      cause: 'timeout',
      from: 'n2',
      to: 'n3',
      term: 3,
      lastIndex: 9,
      lastTerm: 2,
    });
    stage.hand({ ...append, from: 'n2', term: 3, entries: [entry(2, 3), entry(3, 3)] });
    stage.completeWrite('n3');
    stage.completeWrite('n3');
    stage.drop();
    // Term and vote are on disk, and so are two entries with these indexes, but not these entries.
    stage.hand({ ...append, from: 'n2', term: 3, entries: [entry(2, 3), entry(3, 3)] });
    expect(stage.mail).toEqual([]);
    stage.completeWrite('n3');
    expect(stage.mail).toMatchObject([{ kind: 'appendAnswer' }, { kind: 'appendAnswer' }]);
    expect(stage.logOnDisk('n3')).toBe('1 3 3');
  });

  test('observers get everything and count for nothing (C9)', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh, o1: { term: 0, log: [], recovering: true } });
    stage.elect('n1');
    stage.propose('n1', 'a');
    stage.deliver(among('n1', 'o1'));
    expect(stage.raft('n1').status()).toMatchObject({ commitIndex: 2, match: { o1: 3 } });
    stage.deliver();
    stage.pass(10);
    stage.tick('n1');
    stage.deliver();
    expect(stage.actor('o1').applied).toEqual(['1@1 voters n1 n2 n3 observers o1', '2@2 noop', '3@2 a']);
  });
});

describe('restart', () => {
  test('hands out what was known to be committed, again and in order', () => {
    const stage = new Stage({ n1: { term: 2, log: [1, 1, 2], commitIndex: 2 }, n2: fresh });
    stage.restart('n1');
    expect(stage.actor('n1').applied).toEqual(['1@1 voters n1 n2', '2@1 old 2']);
  });

  test('a follower whose disk was emptied is filled again by the same leader', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.propose('n1', 'a', 'b');
    stage.deliver();
    stage.actor('n3').disk = emptyDisk;
    stage.restart('n3');
    stage.pass(50);
    stage.tick('n1');
    stage.deliver();
    expect(stage.logOnDisk('n3')).toBe('1 2 2 2');
  });
});

describe('a compacted log (C11)', () => {
  const compacted = { term: 3, log: [3, 3], snapshot: { index: 100, term: 2 }, commitIndex: 101 };

  test('counts on from where its snapshot ends', () => {
    const stage = new Stage({ n1: compacted, n2: compacted, n3: compacted });
    stage.elect('n1');
    stage.propose('n1', 'a');
    stage.deliver();
    expect(stage.raft('n1').status()).toMatchObject({ lastIndex: 104, commitIndex: 104, appliedIndex: 104 });
    expect(stage.logOnDisk('n2')).toBe('3 3 4 4');
  });

  test('reaches a follower whose log ends at the snapshot, and waits for one that needs more', () => {
    const stage = new Stage({
      n1: compacted,
      n2: { term: 3, log: [], snapshot: { index: 100, term: 2 } },
      n3: { term: 1, log: [1, 1], commitIndex: 2 },
    });
    stage.elect('n1');
    expect(stage.logOnDisk('n2')).toBe('3 3 4');
    expect(stage.logOnDisk('n3')).toBe('1 1');
    // No storm of probes: it hears a heartbeat now and then, and stays loyal.
    expect(stage.mail).toEqual([]);
    stage.pass(50);
    stage.tick('n1');
    expect(stage.mail.filter(to('n3'))).toHaveLength(1);
    stage.deliver();
    expect(stage.raft('n3').status().leader).toBe('n1');
  });
});
