import { describe, expect, test } from 'vitest';
import { integerBetween } from '../support/random.ts';
import { calm, Cluster, rough, type Faults } from './cluster.ts';

/**
 * The promises of Raft under random faults. The cluster checks them after every step: one leader per term, log
 * matching, leader completeness, one decision per index, decided means on a majority of disks, and reads under
 * the lease see all that is decided. Here the faults are chosen, and liveness is checked once they end.
 */

/** One run of random faults, then quiet: everything decided must reach everyone again. */
function storm(
  seed: number,
  options: {
    voters: number;
    observers: number;
    /** Who come and go: then members change at random, between three and five of them voters. */
    joiners?: number;
    wipes: boolean;
    pauses?: boolean;
    faults?: Faults;
  },
): Cluster {
  const cluster = new Cluster({ seed, faults: rough, ...options });
  const { random } = cluster;
  const ids = [...cluster.nodes.keys()];
  const pick = (): string => ids[integerBetween(random, 0, ids.length - 1)] ?? 'n1';

  for (let act = 0; act < 60; act++) {
    if (options.pauses === true && random() < 0.3) {
      if (random() < 0.5) cluster.pause(pick());
      else for (const id of ids) cluster.resume(id);
    }
    if (options.joiners !== undefined && random() < 0.5) changeMembers(cluster, pick());
    if (random() < 0.1) cluster.transfer(random() < 0.5 ? pick() : undefined);
    if (random() < 0.2) cluster.takeSnapshot(pick(), integerBetween(random, 0, 6));
    const chance = random();
    if (chance < 0.5) for (let count = integerBetween(random, 1, 4); count > 0; count--) cluster.propose();
    else if (chance < 0.6) cluster.crash(pick());
    else if (chance < 0.75) cluster.start(pick());
    else if (chance < 0.8) cluster.partition(splitAtRandom(ids, random));
    else if (chance < 0.85) cluster.cut(pick(), pick());
    else if (chance < 0.95) cluster.heal();
    else if (options.wipes) wipeOne(cluster, pick());
    cluster.run(integerBetween(random, 1, options.pauses === true && random() < 0.2 ? 900 : 150));
  }

  cluster.faults = { ...calm, drift: rough.drift };
  cluster.heal();
  for (const id of ids) {
    cluster.resume(id);
    cluster.start(id);
  }
  cluster.runUntil(() => cluster.leader() !== undefined, 5_000, `seed ${seed}: a leader after the storm`);
  cluster.propose();
  cluster.runUntil(() => cluster.isSettled(), 5_000, `seed ${seed}: agreement after the storm`);
  return cluster;
}

function splitAtRandom(ids: readonly string[], random: () => number): string[][] {
  const groups: string[][] = [[], []];
  for (const id of ids) groups[random() < 0.5 ? 0 : 1]?.push(id);
  return groups;
}

/** Within the fault model: one disk is lost at a time, and the rest of those that ever knew something remember. */
function wipeOne(cluster: Cluster, id: string): void {
  const others = [...cluster.nodes.values()].filter(
    (node) => node.id !== id && (node.hasRemembered || cluster.voters.includes(node.id)),
  );
  if (others.some(({ disk }) => disk.hardState.recovering)) return;
  cluster.wipe(id);
}

/** Whatever `id` is, it becomes something else. */
function changeMembers(cluster: Cluster, id: string): void {
  const { voters = [], observers = [] } = cluster.leader()?.raft?.status().configuration ?? {};
  const isFalling = cluster.random() < 0.5;
  if (voters.includes(id)) {
    if (voters.length > 3) cluster.change({ kind: isFalling ? 'remove' : 'demote', node: id });
  } else if (observers.includes(id)) {
    if (isFalling && cluster.random() < 0.5) cluster.change({ kind: 'remove', node: id });
    else if (voters.length < 5) cluster.change({ kind: 'promote', node: id });
  } else {
    cluster.change({ kind: 'addObserver', node: id });
  }
}

describe('under crashes, partitions, loss, duplication, reordering and drifting clocks', () => {
  test.each([
    { voters: 3, observers: 0, seeds: 400 },
    { voters: 5, observers: 0, seeds: 200 },
    { voters: 3, observers: 2, seeds: 150 },
    { voters: 2, observers: 0, seeds: 100 },
    { voters: 1, observers: 1, seeds: 50 },
  ])('$voters voters and $observers observers agree, for $seeds seeds', ({ voters, observers, seeds }) => {
    let decided = 0;
    let reads = 0;
    let installs = 0;
    let transfers = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const cluster = storm(seed * 1_000 + voters * 10 + observers, { voters, observers, wipes: false });
      decided += cluster.decided.length;
      reads += cluster.linearizableReads;
      installs += cluster.installs;
      transfers += cluster.transfers;
    }
    // A storm in which nothing is ever decided, read, handed over or brought up by a snapshot would prove nothing.
    if (voters > 1) expect(transfers).toBeGreaterThan(seeds / 5);
    // Of two voters, both have in their logs what is decided.
    if (voters !== 2) expect(installs).toBeGreaterThan(seeds / 5);
    expect(decided).toBeGreaterThan(seeds * 5);
    expect(reads).toBeGreaterThan(seeds * 10);
  });

  test.each([
    { voters: 3, seeds: 400 },
    { voters: 5, seeds: 200 },
  ])('$voters voters keep what was decided when disks are emptied one at a time', ({ voters, seeds }) => {
    for (let seed = 1; seed <= seeds; seed++) storm(seed * 7_919, { voters, observers: 0, wipes: true });
  });
});

describe('when processes also stop for longer than a lease, and frames arrive seconds late', () => {
  test.each([
    { voters: 3, observers: 0, wipes: false, seeds: 150 },
    { voters: 5, observers: 1, wipes: false, seeds: 60 },
    { voters: 3, observers: 0, wipes: true, seeds: 100 },
    { voters: 5, observers: 0, wipes: true, seeds: 50 },
  ])(
    '$voters voters agree (disks emptied: $wipes), for $seeds seeds',
    ({ voters, observers, wipes, seeds }) => {
      const faults = { ...rough, lateness: 0.1 };
      for (let seed = 1; seed <= seeds; seed++) {
        storm(seed * 104_729 + voters, { voters, observers, wipes, pauses: true, faults });
      }
    },
  );
});

describe('while members come and go', () => {
  test.each([
    { voters: 3, wipes: false, seeds: 300 },
    { voters: 5, wipes: false, seeds: 150 },
    { voters: 3, wipes: true, seeds: 300 },
    { voters: 5, wipes: true, seeds: 150 },
  ])('three to five of seven nodes agree (disks emptied: $wipes), for $seeds seeds', (options) => {
    const changes = new Map<string, number>();
    for (let seed = 1; seed <= options.seeds; seed++) {
      const cluster = storm(seed * 15_485_863 + options.voters, {
        ...options,
        observers: 0,
        joiners: 7 - options.voters,
        pauses: seed % 3 === 0,
        faults: { ...rough, lateness: 0.1 },
      });
      for (const [what, count] of cluster.changes) changes.set(what, (changes.get(what) ?? 0) + count);
    }
    for (const kind of [
      'addObserver',
      'promote',
      'demote',
      'remove',
      'CHANGE_UNDER_WAY',
      'NOT_ESTABLISHED',
    ]) {
      expect(changes.get(kind) ?? 0, kind).toBeGreaterThan(options.seeds / 20);
    }
  });
});

/** Every way in which the six directed links of three voters can be cut, with each of them leading before. */
test('two voters that hear each other decide, whatever else is cut', () => {
  const ids = ['n1', 'n2', 'n3'];
  const links = ids.flatMap((from) => ids.filter((to) => to !== from).map((to) => [from, to] as const));
  for (let cuts = 0; cuts < 1 << links.length; cuts++) {
    const cut = links.filter((_, place) => (cuts & (1 << place)) !== 0);
    const isOpen = (from: string, to: string): boolean =>
      !cut.some(([source, target]) => source === from && target === to);
    const pairs = ids.flatMap((from) => ids.filter((to) => from < to).map((to) => [from, to] as const));
    if (!pairs.some(([from, to]) => isOpen(from, to) && isOpen(to, from))) continue;
    for (let seed = 1; seed <= 3; seed++) {
      const cluster = new Cluster({ seed: seed * 64 + cuts, voters: 3 });
      cluster.runUntil(() => cluster.isSettled(), 2_000, 'the first leader');
      for (const [from, to] of cut) cluster.cut(from, to);
      cluster.run(2_000);
      const before = cluster.decided.length;
      cluster.propose();
      const what = `a decision with ${cut.map((link) => link.join('>')).join(' ')} cut, seed ${seed}`;
      cluster.runUntil(() => cluster.decided.length > before, 3_000, what);
    }
  }
});

test('one seed gives one history', () => {
  const history = (): unknown => {
    const cluster = storm(41, { voters: 3, observers: 1, wipes: true });
    return [cluster.decided.map((entry) => entry.term), [...cluster.leaders]];
  };
  expect(history()).toEqual(history());
});

test('a quiet cluster keeps its first leader', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const cluster = new Cluster({ seed, voters: 3 });
    cluster.runUntil(() => cluster.isSettled(), 2_000, 'the first leader');
    const first = cluster.leader()?.id;
    cluster.run(10_000);
    expect(cluster.leader()?.id).toBe(first);
    expect(cluster.leaders.size).toBeLessThanOrEqual(2);
  }
});
