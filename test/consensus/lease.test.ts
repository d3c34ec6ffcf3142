import { describe, expect, test } from 'vitest';
import { among, from, Stage, to } from './stage.ts';

const fresh = { term: 1, log: [1] };
/** 150 ms of loyalty, less what a clock that runs ten per cent faster makes of it. */
const leaseMs = 150 / 1.1;

describe('the leader lease (C6)', () => {
  test('runs from the sending of what a majority answered, not from the answer', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.pass(50);
    const sentAt = stage.now;
    stage.tick('n1');
    stage.pass(40);
    stage.deliver(to('n2'));
    stage.pass(40);
    stage.deliver(from('n2'));
    expect(stage.raft('n1').leaseValid(sentAt + leaseMs - 1)).toBe(true);
    expect(stage.raft('n1').leaseValid(sentAt + leaseMs)).toBe(false);
  });

  test('has ended before the other side of a partition can elect anyone, whatever the clocks do', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.pass(50);
    const sentAt = stage.now;
    stage.tick('n1');
    stage.deliver();
    // From here on n1 is alone, and the other clocks run ten per cent faster than its own.
    const othersMs = 150;
    const ownMs = othersMs / 1.1;
    expect(stage.raft('n1').leaseValid(sentAt + ownMs)).toBe(false);

    stage.pass(othersMs);
    stage.tick('n2');
    stage.deliver(among('n2', 'n3'));
    expect(stage.raft('n2').status()).toMatchObject({ role: 'leader', term: 3 });
    expect(stage.raft('n1').status().role).toBe('leader');
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(false);
    stage.propose('n1', 'never');
    stage.drop();
    expect(stage.raft('n1').status().commitIndex).toBe(2);
  });

  test('is renewed by entries as well as by heartbeats, and by refusals too', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.propose('n1', 'lost');
    stage.drop();
    stage.pass(100);
    stage.propose('n1', 'a');
    stage.deliver();
    expect(stage.raft('n1').leaseValid(stage.now + leaseMs - 1)).toBe(true);
  });

  test('is not renewed by what comes from an earlier reign', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    const { now } = stage;
    stage.pass(500);
    const outcome = { kind: 'accepted', matchIndex: 1 } as const;
    stage.hand({
      kind: 'appendAnswer',
      standing: 'remembering',
      from: 'n2',
      to: 'n1',
      term: 1,
      sentAt: now + 500,
      outcome,
    });
    expect(stage.raft('n1').leaseValid(stage.now)).toBe(false);
  });
});

describe('a linearizable read', () => {
  test('waits for the new leader’s first decision', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.slowDisks.add('n2');
    stage.slowDisks.add('n3');
    stage.pass(200);
    stage.tick('n1');
    stage.deliver();
    for (const id of ['n2', 'n3']) stage.completeWrite(id);
    stage.deliver();
    expect(stage.raft('n1').leaseValid(stage.now)).toBe(true);
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(false);
    stage.completeWrite('n2');
    stage.deliver();
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(true);
  });

  test('waits until what is decided is applied', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    stage.slowMachines.add('n1');
    stage.propose('n1', 'a');
    stage.deliver();
    expect(stage.raft('n1').status()).toMatchObject({ commitIndex: 3, appliedIndex: 2 });
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(false);
    stage.raft('n1').step({ kind: 'applied', now: stage.now, index: 3 });
    expect(stage.raft('n1').isLinearizable(stage.now)).toBe(true);
  });

  test('is not to be had from a follower', () => {
    const stage = new Stage({ n1: fresh, n2: fresh, n3: fresh });
    stage.elect('n1');
    expect(stage.raft('n2').isLinearizable(stage.now)).toBe(false);
  });
});
