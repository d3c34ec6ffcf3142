/** Journals whose voters change while everything else goes on, and goes wrong. */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../store/environment.ts';
import type { ClaimVerdict, JournalError, Position, ZoneMembers } from '../../store/journal/port.ts';
import { obstacle, type Standing } from '../../store/membership/barrier.ts';
import { changed, epochOf, foundingList } from '../../store/membership/member-list.ts';
import {
  MembershipError,
  type MemberChange,
  type MemberList,
  type MemberRecord,
} from '../../store/membership/port.ts';
import { createIdentity, peerIdOf } from '../../store/peers/identity.ts';
import { integerBetween } from '../support/random.ts';
import { bytes, TestCluster, text, type ClusterOptions } from './cluster.ts';

const rough = { loss: 0.03, duplication: 0.05, reorder: true, latencyMsMin: 0.2, latencyMsMax: 20 };
const small = { frameBytesMax: 800, pageBytesMax: 1_500, recentBytesMax: 3_000, claimsCachedMax: 4 };
const peerIds = await Promise.all(Array.from({ length: 7 }, async () => peerIdOf(await createIdentity())));

function record(id: NodeId): MemberRecord {
  const index = Number(id.slice(1));
  return {
    id,
    peerId: peerIds[index - 1] ?? '',
    zone: 'main',
    address: { host: 'h', port: index },
    voter: true,
  };
}

function zoneOf(list: MemberList): ZoneMembers {
  return { epoch: epochOf(list, 'main'), members: list.members.map(({ id, voter }) => ({ id, voter })) };
}

/**
 * A zone whose lists of members are decided one after the other and reach its nodes one by one, as they would through
 * the ledger: only a majority has heard of a list when the next one may be decided, and nobody hears of it who cannot
 * be reached by somebody who has.
 */
class ChangingZone {
  readonly cluster: TestCluster;
  readonly lists: MemberList[];
  /** Per node the newest list it was told of; on its disk, as far as the ledger there goes. */
  readonly told = new Map<NodeId, number>();
  /** Gone for good, disks included. */
  readonly buried = new Set<NodeId>();
  readonly changes: string[] = [];

  constructor(options: Omit<ClusterOptions, 'zoneOf'> & { readonly founders: readonly NodeId[] }) {
    this.lists = [foundingList(options.founders.map(record))];
    this.cluster = new TestCluster({
      ...options,
      zoneOf: (id) => zoneOf(this.lists[this.told.get(id) ?? 0] ?? this.latest),
    });
  }

  get latest(): MemberList {
    const list = this.lists.at(-1);
    if (list === undefined) throw new Error('a zone has a list');
    return list;
  }

  get memberIds(): readonly NodeId[] {
    return this.latest.members.map(({ id }) => id);
  }

  isMember(id: NodeId): boolean {
    return this.memberIds.includes(id);
  }

  /** Has a change decided, unless something real stands in its way. */
  change(change: MemberChange): boolean {
    let next: MemberList;
    try {
      next = changed(this.latest, change);
    } catch (error) {
      if (error instanceof MembershipError) return false;
      throw error;
    }
    if (next === this.latest) return false;
    const { nodes } = this.cluster;
    const index = this.lists.length - 1;
    // A leader that knows the newest list, and what it reaches.
    const leader = [...nodes.values()].find(
      ({ id }) =>
        (this.told.get(id) ?? 0) === index && next.members.some((member) => member.id === id && member.voter),
    );
    if (leader === undefined) return false;
    const reached = [...nodes.values()].filter(({ id }) => id === leader.id || leader.network.reachable(id));
    const standings = new Map<NodeId, Standing>(reached.map(({ id, journal }) => [id, journal.standing()]));
    if (obstacle(this.latest, next, standings) !== undefined) return false;
    const voters = next.members.filter(({ voter }) => voter).map(({ id }) => id);
    const majority = voters.filter((id) => standings.has(id)).slice(0, Math.floor(voters.length / 2) + 1);
    if (majority.length * 2 <= voters.length) return false;
    this.lists.push(next);
    this.changes.push(`${change.kind} ${change.kind === 'add' ? change.member.id : change.id}`);
    for (const id of majority) this.#tell(id, index + 1);
    return true;
  }

  /** The news gets on by one step, where there is a way. */
  spread(): void {
    const { nodes, random } = this.cluster;
    for (const node of nodes.values()) {
      const knows = (id: NodeId): number => this.told.get(id) ?? 0;
      const source = [...nodes.values()].find(
        ({ id }) => node.network.reachable(id) && knows(id) > knows(node.id),
      );
      if (source !== undefined && random() < 0.15) this.#tell(node.id, knows(node.id) + 1);
    }
  }

  /** Everybody hears everything. */
  spreadAll(): void {
    for (const id of this.cluster.nodes.keys()) this.#tell(id, this.lists.length - 1);
  }

  bury(id: NodeId): void {
    if (this.cluster.nodes.has(id)) this.cluster.kill(id);
    this.buried.add(id);
  }

  #tell(id: NodeId, index: number): void {
    if ((this.told.get(id) ?? 0) >= index) return;
    this.told.set(id, index);
    const list = this.lists[index];
    if (list !== undefined) this.cluster.nodes.get(id)?.journal.setMembers(zoneOf(list));
  }
}

/** One thing that an operator or fate does. At most a minority of the voters is down at a time. */
async function strike(zone: ChangingZone): Promise<void> {
  const { cluster } = zone;
  const { random, ids, nodes } = cluster;
  const pick = (among: readonly NodeId[]): NodeId => among[integerBetween(random, 0, among.length - 1)] ?? '';
  const voters = zone.latest.members.filter(({ voter }) => voter).map(({ id }) => id);
  const down = voters.filter((id) => !nodes.has(id));
  const dice = random();
  if (dice < 0.2) {
    const strangers = ids.filter((id) => !zone.isMember(id) && !zone.buried.has(id));
    const id = pick(strangers);
    if (id !== '' && zone.change({ kind: 'add', member: record(id) }) && !nodes.has(id)) {
      zone.told.set(id, zone.lists.length - 1);
      await cluster.start(id);
    }
  } else if (dice < 0.45) {
    const observers = zone.latest.members.filter(({ voter }) => !voter).map(({ id }) => id);
    zone.change({ kind: 'promote', id: pick(observers) });
  } else if (dice < 0.6) {
    const id = down.length > 0 && random() < 0.7 ? pick(down) : pick(zone.memberIds);
    // Half of those who leave take their disk with them, and none comes back.
    if (voters.length > 2 && zone.change({ kind: 'remove', id }) && random() < 0.5) zone.bury(id);
  } else if (dice < 0.75) {
    const away = ids.filter(() => random() < 0.35);
    cluster.network.partition([away, ids.filter((id) => !away.includes(id))], { noticed: random() < 0.5 });
  } else if (dice < 0.85) {
    cluster.network.heal();
  } else {
    const asleep = zone.memberIds.filter((id) => !nodes.has(id) && !zone.buried.has(id));
    if (asleep.length > 0 && random() < 0.6) await cluster.start(pick(asleep));
    else if (down.length < Math.floor((voters.length - 1) / 2)) {
      const id = pick(voters.filter((one) => nodes.has(one)));
      if (random() < 0.5) cluster.kill(id);
      else cluster.losePower(id);
    }
  }
}

async function calm(zone: ChangingZone): Promise<void> {
  const { cluster } = zone;
  cluster.network.heal();
  for (const id of zone.memberIds) {
    if (!cluster.nodes.has(id) && !zone.buried.has(id)) await cluster.start(id);
  }
  zone.spreadAll();
  for (const id of cluster.nodes.keys()) if (!zone.isMember(id)) cluster.kill(id);
  // Who is dead is taken out at last, so that those who wait for its word need not.
  for (const id of zone.buried) {
    for (let attempt = 0; attempt < 50 && zone.isMember(id); attempt++) {
      await cluster.clock.advance(500);
      zone.change({ kind: 'remove', id });
      zone.spreadAll();
    }
  }
  await cluster.opened();
  const isDone = (): boolean =>
    cluster.converged() &&
    [...cluster.nodes.values()].every(
      ({ journal }) => journal.standing().epoch === epochOf(zone.latest, 'main'),
    );
  await cluster.clock.until(isDone, { withinMs: 60_000, what: 'all members count under the last list' });
}

describe.each(Array.from({ length: 24 }, (_, index) => ({ seed: 500 + index })))(
  'seed $seed, members that come and go under loss, partitions, deaths and power loss',
  ({ seed }) => {
    test('no claim is won twice, and nothing acknowledged leaves with who is removed', async () => {
      const zone = new ChangingZone({
        seed,
        size: 7,
        founders: ['n1', 'n2', 'n3'],
        faults: rough,
        limits: small,
      });
      const { cluster } = zone;
      const { random } = cluster;
      for (const id of zone.memberIds) await cluster.start(id);
      await cluster.opened();

      const acknowledged = new Map<string, string>();
      const verdicts: { claim: string; position: Position | undefined; verdict: ClaimVerdict }[] = [];
      for (let step = 0; step < 150; step++) {
        const claim = `order ${Math.floor(step / 3)}`;
        for (const { id, journal } of cluster.nodes.values()) {
          if (journal.standing().open && random() < 0.4) {
            const { position, durable } = journal.append(bytes(`${step} at ${id}`), {
              durability: 'quorum',
              timeoutMs: 2_000,
            });
            durable.then(
              () => acknowledged.set(`${position.origin}:${position.sequence}`, `${step} at ${id}`),
              () => undefined,
            );
          }
          if (random() > 0.5) continue;
          journal.register(claim, bytes(`${claim} at ${id}`), { timeoutMs: 1_000 }).then(
            ({ position, verdict }) => verdicts.push({ claim, position, verdict }),
            (error: unknown) => expect((error as JournalError).code).toBe('UNAVAILABLE'),
          );
        }
        await cluster.clock.advance(integerBetween(random, 1, 60));
        zone.spread();
        if (random() < 0.35) await strike(zone);
      }
      await calm(zone);
      await cluster.clock.advance(3_000);
      expect(cluster.fatalErrors()).toEqual([]);

      const name = ({ origin, sequence }: Position): string => `${origin}:${sequence}`;
      const winners = new Map<string, string>();
      for (const { claim, position, verdict } of verdicts) {
        if (verdict.kind !== 'won' || position === undefined) continue;
        expect([claim, winners.get(claim)]).toEqual([claim, undefined]);
        winners.set(claim, name(position));
      }
      for (const { claim, verdict } of verdicts) {
        if (verdict.kind === 'split') expect([claim, winners.get(claim)]).toEqual([claim, undefined]);
      }
      for (const id of zone.memberIds) {
        if (!cluster.nodes.has(id)) continue;
        const kept = new Set(await cluster.contents(id));
        for (const [position, payload] of acknowledged) expect(kept).toContain(`${position}=${payload}`);
        for (const [claim, winner] of winners) {
          const origin = winner.slice(0, winner.indexOf(':'));
          expect(kept).toContain(`${winner}=${claim} at ${origin}`);
        }
      }
      expect(winners.size).toBeGreaterThan(3);
      expect(acknowledged.size).toBeGreaterThan(40);
      expect(zone.changes.length).toBeGreaterThan(4);
    }, 30_000);
  },
);

describe('a change of voters', () => {
  const quiet = async (founders: readonly NodeId[], size: number): Promise<ChangingZone> => {
    const zone = new ChangingZone({ seed: 3, size, founders });
    for (const id of founders) await zone.cluster.start(id);
    await zone.cluster.opened();
    return zone;
  };
  const settled = (zone: ChangingZone) =>
    zone.cluster.clock.until(
      () =>
        [...zone.cluster.nodes.values()].every(
          ({ id, journal }) =>
            !zone.isMember(id) || journal.standing().epoch === epochOf(zone.latest, 'main'),
        ),
      { withinMs: 10_000, what: 'everybody counts under the new list' },
    );
  const join = async (zone: ChangingZone, id: NodeId): Promise<void> => {
    expect(zone.change({ kind: 'add', member: record(id) })).toBe(true);
    zone.spreadAll();
    zone.told.set(id, zone.lists.length - 1);
    await zone.cluster.start(id);
    await zone.cluster.opened([id]);
  };

  test('leaves the majority of one list and the majority of a later one no claim to disagree about', async () => {
    // n1 hears of nothing. It and n2 are a majority of the first list, n3 and n4 of the last.
    const zone = await quiet(['n1', 'n2', 'n3'], 4);
    const { cluster } = zone;
    await join(zone, 'n4');
    const promoted = zoneOf(changed(zone.latest, { kind: 'promote', id: 'n4' }));
    for (const id of ['n2', 'n3', 'n4']) cluster.journal(id).setMembers(promoted);
    await cluster.clock.advance(1_000);
    cluster.network.partition([
      ['n1', 'n2'],
      ['n3', 'n4'],
    ]);
    const old = cluster.journal('n1').register('order', bytes('old'), { timeoutMs: 3_000 });
    const { verdict } = await cluster.clock.resolve(old, { withinMs: 5_000 });
    // n2 knows better than to help: what it holds could be outvoted by a list that n1 has never heard of.
    expect(verdict.kind).toBe('unavailable');
    const { durable } = cluster.journal('n1').append(bytes('x'), { durability: 'quorum', timeoutMs: 2_000 });
    const outcome = durable.then(
      () => 'kept',
      () => 'not promised',
    );
    expect(await cluster.clock.resolve(outcome, { withinMs: 5_000 })).toBe('not promised');
  });

  test('counts for nobody before a majority knows of it', async () => {
    const zone = await quiet(['n1', 'n2', 'n3'], 4);
    const { cluster } = zone;
    await join(zone, 'n4');
    const promoted = zoneOf(changed(zone.latest, { kind: 'promote', id: 'n4' }));
    cluster.journal('n4').setMembers(promoted);
    let isKept = false;
    const { durable } = cluster.journal('n4').append(bytes('x'), { durability: 'quorum', timeoutMs: 20_000 });
    void durable.then(() => (isKept = true));
    await cluster.clock.advance(3_000);
    expect([cluster.journal('n4').standing().epoch, isKept]).toEqual([0, false]);
    for (const id of ['n2', 'n3']) cluster.journal(id).setMembers(promoted);
    await cluster.clock.resolve(durable, { withinMs: 5_000 });
    expect(cluster.journal('n4').standing().epoch).toBe(1);
  });

  test('waits for those who would otherwise decide without the majority that decided before', async () => {
    const zone = await quiet(['n1', 'n2', 'n3'], 4);
    const { cluster } = zone;
    await join(zone, 'n4');
    // n1 and n2 decide, and n3 and n4 do not hear of it.
    cluster.network.partition(
      [
        ['n1', 'n2'],
        ['n3', 'n4'],
      ],
      { noticed: false },
    );
    const won = cluster.journal('n1').register('order', bytes('first'), { timeoutMs: 3_000 });
    expect((await cluster.clock.resolve(won, { withinMs: 5_000 })).verdict).toEqual({ kind: 'won' });
    // The links carry just long enough for three of four to have the new list in their logs.
    const promoted = changed(zone.latest, { kind: 'promote', id: 'n4' });
    zone.lists.push(promoted);
    for (const id of ['n2', 'n3', 'n4']) {
      zone.told.set(id, zone.lists.length - 1);
      cluster.journal(id).setMembers(zoneOf(promoted));
    }
    await cluster.clock.advance(3_000);
    cluster.network.partition([['n1'], ['n2'], ['n3', 'n4']]);
    // Two of the three that would be left reach each other, and know nothing of the order.
    expect(zone.change({ kind: 'remove', id: 'n1' })).toBe(false);
    cluster.network.partition([['n1'], ['n2', 'n3', 'n4']]);
    await cluster.clock.advance(3_000);
    expect(zone.change({ kind: 'remove', id: 'n1' })).toBe(true);
    zone.spreadAll();
    await settled(zone);
    for (const id of ['n3', 'n4']) {
      const late = cluster.journal(id).register('order', bytes('second'), { timeoutMs: 3_000 });
      expect((await cluster.clock.resolve(late, { withinMs: 5_000 })).verdict).toMatchObject({
        kind: 'lost',
        holder: { origin: 'n1' },
      });
    }
  });

  test('is counted under only after everything is there that was decided before', async () => {
    const zone = await quiet(['n1', 'n2', 'n3'], 4);
    const { cluster } = zone;
    await join(zone, 'n4');
    cluster.network.partition([['n1', 'n2', 'n3'], ['n4']]);
    await cluster.clock.advance(100);
    const won = cluster.journal('n1').register('order', bytes('first'), { timeoutMs: 3_000 });
    expect((await cluster.clock.resolve(won, { withinMs: 5_000 })).verdict).toEqual({ kind: 'won' });
    // It is made a voter behind its back, without what the others have decided: it counts nothing yet.
    const promoted = changed(zone.latest, { kind: 'promote', id: 'n4' });
    for (const { journal } of cluster.nodes.values()) journal.setMembers(zoneOf(promoted));
    await cluster.clock.advance(500);
    expect(cluster.journal('n4').standing().epoch).toBe(0);
    const late = cluster.journal('n4').register('order', bytes('second'), { timeoutMs: 20_000 });
    cluster.network.heal();
    const { verdict } = await cluster.clock.resolve(late, { withinMs: 20_000 });
    expect(verdict).toMatchObject({ kind: 'lost', holder: { origin: 'n1' } });
    expect(cluster.journal('n4').standing().epoch).toBe(1);
  });

  test('ends what waits for a verdict, and not what waits for a majority', async () => {
    const zone = await quiet(['n1', 'n2', 'n3'], 3);
    const { cluster } = zone;
    cluster.network.partition([['n1'], ['n2', 'n3']]);
    const journal = cluster.journal('n1');
    const registered = journal.register('order', bytes('x'), { timeoutMs: 20_000 });
    const { durable } = journal.append(bytes('y'), { durability: 'quorum', timeoutMs: 20_000 });
    await cluster.clock.advance(100);
    const next = zoneOf(changed(zone.latest, { kind: 'remove', id: 'n3' }));
    for (const node of cluster.nodes.values()) node.journal.setMembers(next);
    const { verdict } = await cluster.clock.resolve(registered, { withinMs: 100 });
    expect(verdict).toEqual({ kind: 'unavailable' });
    cluster.network.heal();
    await cluster.clock.resolve(durable, { withinMs: 10_000 });
    expect(text((await cluster.journal('n2').read('n1', 1, 1))[0]?.payload ?? bytes(''))).toBe('y');
  });

  test('is remembered over a restart, with or without anybody to ask', async () => {
    const zone = await quiet(['n1', 'n2', 'n3'], 3);
    const { cluster } = zone;
    expect(zone.change({ kind: 'remove', id: 'n3' })).toBe(true);
    zone.spreadAll();
    await settled(zone);
    await cluster.clock.advance(10);
    for (const id of ['n1', 'n2', 'n3']) cluster.losePower(id, 'everything at risk');
    // Its ledger may be behind its journal, which must not forget whose word it may count.
    zone.told.clear();
    await cluster.start('n1');
    expect(cluster.journal('n1').standing().epoch).toBe(1);
    await cluster.start('n3');
    await cluster.clock.advance(3_000);
    const alone = cluster.journal('n1').register('order', bytes('x'), { timeoutMs: 2_000 });
    expect((await cluster.clock.resolve(alone, { withinMs: 5_000 })).verdict.kind).toBe('unavailable');
    await cluster.start('n2');
    await cluster.opened(['n1', 'n2']);
    const together = cluster.journal('n2').register('another', bytes('y'), { timeoutMs: 5_000 });
    expect((await cluster.clock.resolve(together, { withinMs: 5_000 })).verdict).toEqual({ kind: 'won' });
  });

  test('gives a newcomer no vote on what it met before, and does not let it pass for one that forgot', async () => {
    const zone = await quiet(['n1', 'n2', 'n3'], 4);
    const { cluster } = zone;
    await join(zone, 'n4');
    const won = cluster.journal('n1').register('order', bytes('x'), { timeoutMs: 3_000 });
    expect((await cluster.clock.resolve(won, { withinMs: 5_000 })).verdict).toEqual({ kind: 'won' });
    await cluster.converge();
    expect(zone.change({ kind: 'promote', id: 'n4' })).toBe(true);
    zone.spreadAll();
    await settled(zone);
    const holders = cluster.journal('n2').holders('order', { timeoutMs: 1_000 });
    const held = { kind: 'held', holder: { origin: 'n1', sequence: 1 } };
    expect(Object.fromEntries(await cluster.clock.resolve(holders, { withinMs: 2_000 }))).toEqual({
      n1: held,
      n2: held,
      n3: held,
      n4: { kind: 'passed' },
    });
  });

  test('lets a newcomer begin that has heard everybody who is left', async () => {
    const zone = await quiet(['n1', 'n2', 'n3'], 4);
    const { cluster } = zone;
    zone.bury('n3');
    expect(zone.change({ kind: 'add', member: record('n4') })).toBe(true);
    zone.spreadAll();
    zone.told.set('n4', zone.lists.length - 1);
    await cluster.start('n4');
    await cluster.clock.advance(10_000);
    expect(cluster.journal('n4').stats()).toMatchObject({ phase: 'relearning', unheard: ['n3'] });
    expect(zone.change({ kind: 'promote', id: 'n4' })).toBe(false);
    expect(zone.change({ kind: 'remove', id: 'n3' })).toBe(true);
    zone.spreadAll();
    await cluster.opened(['n4']);
    await settled(zone);
    expect(zone.change({ kind: 'promote', id: 'n4' })).toBe(true);
  });
});
