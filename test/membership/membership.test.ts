/** Whole stores on simulated disks and links, whose members come and go. */
import { afterEach, describe, expect, test } from 'vitest';
import { assembleStore, type AssembledStore } from '../../store/assemble.ts';
import type { Disk } from '../../store/disk/port.ts';
import type { NodeId } from '../../store/environment.ts';
import { MembershipError, type MemberChange, type MemberRecord } from '../../store/membership/port.ts';
import { createIdentity, peerIdOf } from '../../store/peers/identity.ts';
import type { MemberNetwork } from '../../store/peers/port.ts';
import { testEnvironment, type TestEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryNetwork } from '../support/memory-network.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock, type NodeClock } from '../support/virtual-clock.ts';

const ids = ['n1', 'n2', 'n3', 'n4', 'n5'];
const peerIds = new Map(
  await Promise.all(ids.map(async (id) => [id, peerIdOf(await createIdentity())] as const)),
);

const record = (id: NodeId, voter = true): MemberRecord => ({
  id,
  peerId: peerIds.get(id) ?? '',
  zone: 'main',
  address: { host: id, port: 9_000 },
  voter,
});

interface Life {
  readonly store: AssembledStore;
  readonly network: MemberNetwork;
  readonly clock: NodeClock;
  readonly environment: TestEnvironment;
}

class StoreCluster {
  readonly clock = new VirtualClock();
  readonly random = seededRandom(7);
  readonly network = new MemoryNetwork({ members: ids }, { clock: this.clock, random: this.random });
  readonly disks = new Map<NodeId, MemoryDisk>();
  readonly lives = new Map<NodeId, Life>();

  /**
   * `listed`: the members in this node's own file. `found`: whether it may found a cluster with them.
   * `journalReadMs`: what each page of its journal takes to be read.
   */
  async start(
    id: NodeId,
    listed: readonly MemberRecord[],
    { found = true, journalReadMs = 0 }: { readonly found?: boolean; readonly journalReadMs?: number } = {},
  ): Promise<void> {
    const clock = this.clock.node();
    const environment = testEnvironment({ clock, random: this.random });
    const memory = this.disks.get(id) ?? new MemoryDisk({ syncMs: 0.2 });
    this.disks.set(id, memory);
    const network = this.network.join(id);
    // As the program does: nobody is reached before the list is known.
    network.setMembers(listed);
    const disk = memory.open(clock);
    const opening = assembleStore(
      { self: id, zone: 'main', members: listed, found, ledger: { heartbeatMs: 50, electionTimeoutMs: 300 } },
      { environment, disk: journalReadMs === 0 ? disk : slowly(disk, clock, journalReadMs), network },
    );
    const store = await this.clock.resolve(opening, { withinMs: 10_000 });
    this.lives.set(id, { store, network, clock, environment });
  }

  /** Kills it and takes its disk. */
  wipe(id: NodeId): void {
    this.kill(id);
    this.disks.delete(id);
  }

  kill(id: NodeId): void {
    this.lives.get(id)?.clock.stop();
    this.lives.delete(id);
    this.network.leave(id);
    this.disks.get(id)?.killProcess();
  }

  life(id: NodeId): Life {
    const life = this.lives.get(id);
    if (life === undefined) throw new Error(`${id} is not running`);
    return life;
  }

  store(id: NodeId): AssembledStore {
    return this.life(id).store;
  }

  async opened(...which: readonly NodeId[]): Promise<void> {
    const all = Promise.all(which.map((id) => this.store(id).journal.opened()));
    await this.clock.resolve(all, { withinMs: 60_000 });
  }

  get leader(): NodeId | undefined {
    return [...this.lives].find(([, { store }]) => store.ledger.freshness().linearizable)?.[0];
  }

  async led(): Promise<NodeId> {
    await this.clock.until(() => this.leader !== undefined, { withinMs: 20_000, what: 'somebody leads' });
    return this.leader ?? '';
  }

  /** What became of a change that `id` was asked for: the voters and (observers), or the code of the refusal. */
  async change(id: NodeId, change: MemberChange): Promise<string> {
    const asked = this.store(id)
      .membership.change(change)
      .then(
        ({ members }) => members.map((one) => (one.voter ? one.id : `(${one.id})`)).join(' '),
        (error: unknown) => (error instanceof MembershipError ? error.code : String(error)),
      );
    return this.clock.resolve(asked, { withinMs: 60_000 });
  }

  /** Asks until it is no longer refused for a reason that passes. */
  async promote(id: NodeId, whom: NodeId): Promise<string> {
    for (;;) {
      const outcome = await this.change(id, { kind: 'promote', id: whom });
      if (outcome !== 'NOT_CAUGHT_UP' && outcome !== 'JOURNAL_BEHIND') return outcome;
      await this.clock.advance(500);
    }
  }

  listAt(id: NodeId): string {
    const { members } = this.store(id).membership.list();
    return members.map((one) => (one.voter ? one.id : `(${one.id})`)).join(' ');
  }

  async agree(list: string, ...which: readonly NodeId[]): Promise<void> {
    const all = (): boolean => which.every((id) => this.listAt(id) === list);
    await this.clock.until(all, { withinMs: 20_000, what: `all of ${which.join(', ')} know ${list}` });
  }

  async register(id: NodeId, claim: string): Promise<string> {
    const registered = this.store(id).journal.register(claim, Buffer.from(claim), { timeoutMs: 3_000 });
    return (await this.clock.resolve(registered, { withinMs: 10_000 })).verdict.kind;
  }

  /** A decision by the ledger. */
  async adjust(id: NodeId, key: string): Promise<void> {
    const asked = this.store(id).ledger.adjust({ id: key, sku: 'mug', delta: 1 });
    await this.clock.resolve(asked, { withinMs: 20_000 });
  }

  fatalErrors(): readonly string[] {
    return [...this.lives.values()].flatMap(({ environment }) => environment.fatalErrors.map(String));
  }
}

function slowly(disk: Disk, clock: NodeClock, journalReadMs: number): Disk {
  return {
    ...disk,
    async range(range) {
      if (range.from.startsWith('journal/')) {
        await new Promise<void>((resolve) => clock.after(journalReadMs, resolve));
      }
      return disk.range(range);
    },
  };
}

const founders = ['n1', 'n2', 'n3'].map((id) => record(id));
const clusters: StoreCluster[] = [];

async function founded(): Promise<StoreCluster> {
  const cluster = new StoreCluster();
  clusters.push(cluster);
  for (const { id } of founders) await cluster.start(id, founders);
  await cluster.opened('n1', 'n2', 'n3');
  await cluster.led();
  return cluster;
}

/** The newcomer's file lists the founders and itself, as no voter. */
const join = (cluster: StoreCluster, id: NodeId) => cluster.start(id, [...founders, record(id, false)]);

afterEach(() => {
  for (const cluster of clusters.splice(0)) expect(cluster.fatalErrors()).toEqual([]);
});

describe('members of a running cluster', () => {
  test('grow from three to five and shrink again, while claims and stock are decided', async () => {
    const cluster = await founded();
    const everybody = ['n1', 'n2', 'n3', 'n4', 'n5'];
    let orders = 0;
    const work = async (...at: readonly NodeId[]): Promise<void> => {
      for (const id of at) {
        orders++;
        expect(await cluster.register(id, `order ${orders}`)).toBe('won');
        await cluster.adjust(id, `correction ${orders}`);
      }
    };
    await work('n1', 'n2', 'n3');
    for (const id of ['n4', 'n5']) {
      await join(cluster, id);
      expect(await cluster.change('n2', { kind: 'add', member: record(id) })).toContain(`(${id})`);
      await cluster.opened(id);
      await work('n1', id);
      const list = await cluster.promote('n3', id);
      expect(list).toContain(` ${id}`);
      await cluster.agree(list, 'n1', 'n2', 'n3', id);
      await work('n2', id);
    }
    await cluster.agree('n1 n2 n3 n4 n5', ...everybody);
    // Five voters do without any two.
    cluster.kill('n1');
    cluster.kill('n2');
    await cluster.led();
    await work('n3', 'n4', 'n5');
    expect(await cluster.change('n4', { kind: 'remove', id: 'n1' })).toBe('n2 n3 n4 n5');
    await cluster.agree('n2 n3 n4 n5', 'n3', 'n4', 'n5');
    expect(await cluster.change('n5', { kind: 'remove', id: 'n2' })).toBe('n3 n4 n5');
    await cluster.agree('n3 n4 n5', 'n3', 'n4', 'n5');
    await work('n3', 'n4', 'n5');

    // Nobody remembers the founders but their files.
    for (const id of ['n3', 'n4', 'n5']) cluster.kill(id);
    await cluster.start('n3', founders);
    for (const id of ['n4', 'n5']) await join(cluster, id);
    await cluster.opened('n3', 'n4', 'n5');
    await cluster.led();
    await cluster.agree('n3 n4 n5', 'n3', 'n4', 'n5');
    await work('n3', 'n4', 'n5');
    const held = (id: NodeId) =>
      Object.values(cluster.store(id).journal.vector()).reduce((sum, n) => sum + n, 0);
    await cluster.clock.until(() => ['n3', 'n4', 'n5'].every((id) => held(id) === orders), {
      withinMs: 20_000,
      what: 'every order is at every member',
    });
  });

  test('replace a voter whose machine is gone: a newcomer learns from who is left', async () => {
    const cluster = await founded();
    expect(await cluster.register('n2', 'order')).toBe('won');
    cluster.kill('n2');
    await cluster.led();
    await join(cluster, 'n4');
    expect(await cluster.change('n1', { kind: 'add', member: record('n4') })).toBe('n1 n2 n3 (n4)');
    await cluster.clock.advance(5_000);
    // n2 might know of a vote that a disk such as n4's had forgotten.
    expect(await cluster.change('n1', { kind: 'promote', id: 'n4' })).toBe('JOURNAL_BEHIND');
    expect(await cluster.change('n3', { kind: 'remove', id: 'n2' })).toBe('n1 n3 (n4)');
    await cluster.opened('n4');
    expect(await cluster.promote('n3', 'n4')).toBe('n1 n3 n4');
    await cluster.agree('n1 n3 n4', 'n1', 'n3', 'n4');
    cluster.kill('n1');
    await cluster.led();
    expect(await cluster.register('n4', 'order')).toBe('lost');
    expect(await cluster.register('n4', 'another')).toBe('won');
  });

  test('do without their leader once it is removed, and it is told', async () => {
    const cluster = await founded();
    const leader = await cluster.led();
    const others = ['n1', 'n2', 'n3'].filter((id) => id !== leader);
    expect(await cluster.change(others[0] ?? '', { kind: 'remove', id: leader })).toBe(others.join(' '));
    await cluster.agree(others.join(' '), ...others, leader);
    await cluster.clock.advance(2_000);
    for (const id of others) expect(cluster.life(leader).network.reachable(id)).toBe(false);
    const next = await cluster.led();
    expect(others).toContain(next);
    for (const id of others) expect(await cluster.register(id, `order at ${id}`)).toBe('won');
    expect(await cluster.register(leader, 'too late')).toBe('unavailable');
  });

  test('take back who was taken out, with what is on its disk', async () => {
    const cluster = await founded();
    expect(await cluster.register('n3', 'order')).toBe('won');
    const leader = await cluster.led();
    const who = leader === 'n3' ? 'n2' : 'n3';
    expect(await cluster.change(leader, { kind: 'remove', id: who })).not.toContain(who);
    await cluster.clock.until(() => !cluster.listAt(who).includes(who), {
      withinMs: 5_000,
      what: 'it knows',
    });
    cluster.kill(who);
    await cluster.clock.advance(2_000);
    // It was away while others came, and its own last word is that it is out.
    await join(cluster, 'n4');
    expect(await cluster.change(leader, { kind: 'add', member: record('n4') })).toContain('(n4)');
    await cluster.start(who, founders);
    await cluster.clock.advance(2_000);
    expect(cluster.life(who).network.reachable(leader)).toBe(false);
    expect(await cluster.change(leader, { kind: 'add', member: record(who) })).toContain(`(${who})`);
    const list = await cluster.promote(leader, who);
    await cluster.agree(list, 'n1', 'n2', 'n3', 'n4');
    expect(await cluster.register(who, 'order')).toBe('lost');
    expect(await cluster.register(who, 'another')).toBe('won');
  });

  test('refuse what cannot be or would cost the majority, whoever is asked, and change nothing', async () => {
    const cluster = await founded();
    const before = cluster.listAt('n1');
    const elsewhere = { host: 'elsewhere', port: 1 };
    for (const id of ['n1', 'n2', 'n3']) {
      expect(await cluster.change(id, { kind: 'promote', id: 'n4' })).toBe('UNKNOWN_MEMBER');
      expect(await cluster.change(id, { kind: 'remove', id: 'n4' })).toBe('UNKNOWN_MEMBER');
      expect(await cluster.change(id, { kind: 'add', member: { ...record('n1'), address: elsewhere } })).toBe(
        'ALREADY_MEMBER',
      );
      expect(await cluster.change(id, { kind: 'promote', id: 'n1' })).toBe(before);
    }
    cluster.kill('n3');
    const leader = await cluster.led();
    // Of the two that would be left one is dead.
    expect(await cluster.change(leader, { kind: 'remove', id: leader === 'n1' ? 'n2' : 'n1' })).toBe(
      'QUORUM_AT_RISK',
    );
    expect(await cluster.change('n1', { kind: 'add', member: record('n4') })).toBe('n1 n2 n3 (n4)');
    // Nobody has started it.
    expect(await cluster.change('n1', { kind: 'promote', id: 'n4' })).toBe('JOURNAL_BEHIND');
    expect(await cluster.change('n2', { kind: 'remove', id: 'n4' })).toBe(before);
    cluster.kill('n2');
    expect(await cluster.change('n1', { kind: 'remove', id: 'n2' })).toMatch(
      /^(NO_LEADER|TIMEOUT|QUORUM_AT_RISK)$/,
    );
  });

  test('miss no list that is decided while one of them opens', async () => {
    const cluster = new StoreCluster();
    clusters.push(cluster);
    const alone = founders.slice(0, 1);
    await cluster.start('n1', alone);
    await cluster.opened('n1');
    await cluster.led();
    expect(await cluster.change('n1', { kind: 'add', member: record('n4', false) })).toBe('n1 (n4)');
    // Its disk has the entry, and not yet that it is decided: as the only voter it finds that out by itself.
    cluster.kill('n1');
    await cluster.start('n1', alone, { journalReadMs: 1_000 });
    await cluster.led();
    expect(cluster.listAt('n1')).toBe('n1 (n4)');
  });

  test('hear where one of them has moved, and one that was away hears it all when it returns', async () => {
    const cluster = await founded();
    cluster.kill('n3');
    await cluster.led();
    const moved = { kind: 'move', id: 'n2', address: { host: 'elsewhere', port: 1 } } as const;
    expect(await cluster.change('n1', moved)).toBe('n1 n2 n3');
    await join(cluster, 'n4');
    expect(await cluster.change('n1', { kind: 'add', member: record('n4') })).toBe('n1 n2 n3 (n4)');
    await cluster.start('n3', founders);
    await cluster.opened('n3', 'n4');
    await cluster.agree('n1 n2 n3 (n4)', 'n1', 'n2', 'n3', 'n4');
    for (const id of ['n1', 'n2', 'n3', 'n4']) {
      const { members } = cluster.store(id).membership.list();
      expect(members.find((one) => one.id === 'n2')?.address).toEqual(moved.address);
    }
  });
});

describe('an empty disk', () => {
  /** n4 and n5 have taken the place of `gone`; the files of the founders still say what they said at first. */
  async function successors(...gone: readonly NodeId[]): Promise<StoreCluster> {
    const cluster = await founded();
    for (const id of ['n4', 'n5']) {
      await join(cluster, id);
      await cluster.change('n3', { kind: 'add', member: record(id) });
      await cluster.promote('n3', id);
    }
    await cluster.agree('n1 n2 n3 n4 n5', 'n1', 'n2', 'n3', 'n4', 'n5');
    for (const id of gone) {
      cluster.kill(id);
      expect(await cluster.change(await cluster.led(), { kind: 'remove', id })).not.toContain(id);
    }
    return cluster;
  }

  const restart = async (
    cluster: StoreCluster,
    found: boolean,
    ...which: readonly NodeId[]
  ): Promise<void> => {
    for (const id of which) await cluster.start(id, founders, { found });
    await cluster.clock.advance(30_000);
  };

  const leaders = (cluster: StoreCluster, ...which: readonly NodeId[]) =>
    which.filter((id) => cluster.store(id).ledger.status().leader !== undefined);

  test('founds no second cluster with another one, where both files name their founders', async () => {
    const cluster = await successors('n1', 'n2');
    for (const id of ['n3', 'n4', 'n5']) cluster.kill(id);
    for (const id of ['n1', 'n2']) cluster.disks.delete(id);
    await restart(cluster, false, 'n1', 'n2');
    expect(leaders(cluster, 'n1', 'n2')).toEqual([]);
    for (const id of ['n1', 'n2']) {
      expect(cluster.store(id).membership.isWaiting).toBe(true);
      expect(await cluster.register(id, 'order')).toBe('unavailable');
    }
    // Told to, they do: nothing on their disks could keep them from it.
    for (const id of ['n1', 'n2']) cluster.wipe(id);
    await restart(cluster, true, 'n1', 'n2');
    expect(leaders(cluster, 'n1', 'n2')).toEqual(['n1', 'n2']);
  });

  test('gives no vote to one that remembers the founders, whoever takes part by now', async () => {
    const cluster = await founded();
    cluster.kill('n1');
    await cluster.led();
    for (const id of ['n2', 'n3']) cluster.wipe(id);
    await cluster.start('n1', founders);
    await restart(cluster, false, 'n2', 'n3');
    expect(leaders(cluster, 'n1', 'n2', 'n3')).toEqual([]);
  });

  test('is filled by its cluster, whatever its file says of founders, and decides again', async () => {
    const cluster = await founded();
    expect(await cluster.register('n2', 'order')).toBe('won');
    cluster.wipe('n2');
    await cluster.led();
    await cluster.start('n2', founders, { found: false });
    expect(cluster.store('n2').membership.isWaiting).toBe(true);
    await cluster.opened('n2');
    expect(cluster.store('n2').membership.isWaiting).toBe(false);
    await cluster.agree('n1 n2 n3', 'n1', 'n2', 'n3');
    // Its word completes a majority now.
    const other = (await cluster.led()) === 'n1' ? 'n1' : 'n3';
    cluster.kill(other);
    await cluster.led();
    expect(await cluster.register('n2', 'order')).toBe('lost');
    expect(await cluster.register('n2', 'another')).toBe('won');
  });
});
