import { createCommitter } from '../../store/disk/group-commit.ts';
import type { NodeId, Random } from '../../store/environment.ts';
import type { SnapshotCursor, SnapshotRestore, StateMachine } from '../../store/ledger/machine.ts';
import { openReplica, type Replica, type ReplicaOptions } from '../../store/ledger/replica.ts';
import type { Network } from '../../store/peers/port.ts';
import { testEnvironment, type TestEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryNetwork, type NetworkFaults } from '../support/memory-network.ts';
import { seededRandom } from '../support/random.ts';
import { settle, VirtualClock, type NodeClock } from '../support/virtual-clock.ts';

/** Whole replicas over simulated network, disks and time; the group commit is the real one. */

/** Counts, and remembers every command in the order of its application. A result is the count. */
export class CountingMachine implements StateMachine {
  readonly commands: string[] = [];
  readonly stamps: number[] = [];
  /** Command names in here count once, as the ledger's do. */
  readonly #seen = new Map<string, number>();
  dueAt = Infinity;

  get count(): number {
    return this.#seen.size;
  }

  apply(at: number, command: Uint8Array): Uint8Array {
    const name = new TextDecoder().decode(command);
    this.commands.push(name);
    this.stamps.push(at);
    const count = this.#seen.get(name) ?? this.#seen.size + 1;
    this.#seen.set(name, count);
    if (name.startsWith('due')) this.dueAt = Infinity;
    return new TextEncoder().encode(String(count));
  }

  due(now: number): Uint8Array | undefined {
    return now >= this.dueAt ? new TextEncoder().encode(`due at ${this.dueAt}`) : undefined;
  }

  /** A chunk for each ten commands. */
  beginSnapshot(): SnapshotCursor {
    const left = this.commands.map((name, place) => [name, this.stamps[place] ?? 0] as const);
    let isOver = false;
    let isAbandoned = false;
    return {
      next: () => {
        if (isAbandoned) throw new Error('abandoned');
        if (isOver) return undefined;
        isOver = left.length <= 10;
        return new TextEncoder().encode(JSON.stringify(left.splice(0, 10)));
      },
      abandon: () => {
        isAbandoned = true;
      },
    };
  }

  beginRestore(): SnapshotRestore {
    const restored: (readonly [name: string, stamp: number])[] = [];
    return {
      add: (chunk) => {
        restored.push(...(JSON.parse(new TextDecoder().decode(chunk)) as typeof restored));
      },
      finish: () => {
        this.commands.length = 0;
        this.stamps.length = 0;
        this.#seen.clear();
        for (const [name, stamp] of restored) {
          this.commands.push(name);
          this.stamps.push(stamp);
          this.#seen.set(name, this.#seen.get(name) ?? this.#seen.size + 1);
        }
      },
    };
  }
}

export interface Life {
  readonly replica: Replica;
  readonly machine: CountingMachine;
  readonly clock: NodeClock;
  readonly environment: TestEnvironment;
  readonly network: Network;
  readonly leadership: boolean[];
}

export interface ReplicaClusterOptions {
  readonly seed: number;
  readonly voters?: readonly NodeId[];
  readonly observers?: readonly NodeId[];
  readonly faults?: Partial<NetworkFaults>;
  readonly syncMs?: number;
  readonly wallSkewMs?: Readonly<Record<NodeId, number>>;
  readonly replica?: Partial<ReplicaOptions>;
}

export class ReplicaCluster {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly network: MemoryNetwork;
  readonly disks = new Map<NodeId, MemoryDisk>();
  readonly lives = new Map<NodeId, Life>();
  readonly voters: readonly NodeId[];
  readonly observers: readonly NodeId[];
  readonly #options: ReplicaClusterOptions;

  private constructor(options: ReplicaClusterOptions) {
    this.#options = options;
    this.random = seededRandom(options.seed);
    this.voters = options.voters ?? ['n1', 'n2', 'n3'];
    this.observers = options.observers ?? [];
    this.network = new MemoryNetwork(
      { members: this.ids, faults: options.faults ?? {} },
      { clock: this.clock, random: this.random },
    );
    for (const id of this.ids) this.disks.set(id, new MemoryDisk({ syncMs: options.syncMs ?? 0.3 }));
  }

  static async open(options: ReplicaClusterOptions): Promise<ReplicaCluster> {
    const cluster = new ReplicaCluster(options);
    for (const id of cluster.ids) await cluster.start(id);
    return cluster;
  }

  get ids(): readonly NodeId[] {
    return [...this.voters, ...this.observers];
  }

  life(id: NodeId): Life {
    const life = this.lives.get(id);
    if (life === undefined) throw new Error(`${id} is not running`);
    return life;
  }

  disk(id: NodeId): MemoryDisk {
    const disk = this.disks.get(id);
    if (disk === undefined) throw new Error(`no disk ${id}`);
    return disk;
  }

  async start(id: NodeId): Promise<Life> {
    const clock = this.clock.node({ wallSkewMs: this.#options.wallSkewMs?.[id] ?? 0 });
    const environment = testEnvironment({ clock, random: this.random });
    const disk = this.disk(id).open(clock);
    const committer = createCommitter({}, { disk, environment });
    const network = this.network.join(id);
    const machine = new CountingMachine();
    const opening = openReplica(
      { self: id, voters: this.voters, observers: this.observers, ...this.#options.replica },
      { environment, disk, committer, network, machine },
    );
    try {
      const replica = await opening;
      const leadership: boolean[] = [];
      const life: Life = { replica, machine, clock, environment, network, leadership };
      replica.onLeadership((leading) => leadership.push(leading));
      this.lives.set(id, life);
      return life;
    } catch (error) {
      this.network.leave(id);
      clock.stop();
      throw error;
    }
  }

  /** `kill -9`: what the process wrote stays. */
  kill(id: NodeId): void {
    this.#end(id);
    this.disk(id).killProcess();
  }

  losePower(id: NodeId): void {
    this.#end(id);
    this.disk(id).losePower(this.random);
  }

  get running(): readonly [NodeId, Life][] {
    return [...this.lives];
  }

  /** The one that leads and knows it. */
  leader(): NodeId | undefined {
    return this.running.find(([, { replica }]) => replica.freshness().linearizable)?.[0];
  }

  async elected(): Promise<NodeId> {
    await this.clock.until(() => this.leader() !== undefined, { withinMs: 20_000, what: 'a leader' });
    const leader = this.leader();
    if (leader === undefined) throw new Error('no leader');
    return leader;
  }

  followers(): readonly NodeId[] {
    const leader = this.leader();
    return this.running.map(([id]) => id).filter((id) => id !== leader);
  }

  /** Submits by name, and gives the count. */
  async submit(id: NodeId, name: string, timeoutMs = 5_000): Promise<number> {
    const command = new TextEncoder().encode(name);
    const result = await this.life(id).replica.submit(command, { timeoutMs });
    return Number(new TextDecoder().decode(result));
  }

  /** Submits, and moves time until the answer is there. */
  decide(id: NodeId, name: string, timeoutMs = 5_000): Promise<number> {
    return this.clock.resolve(this.submit(id, name, timeoutMs), { withinMs: timeoutMs + 1_000 });
  }

  /** Everyone running has applied the same, and all that was decided. */
  async settled(): Promise<readonly string[]> {
    const isSettled = (): boolean => {
      const leader = this.leader();
      if (leader === undefined) return false;
      const { commitIndex, lastIndex } = this.life(leader).replica.status();
      return (
        commitIndex === lastIndex &&
        this.running.every(([, { replica }]) => replica.status().appliedIndex === commitIndex)
      );
    };
    await this.clock.until(isSettled, { withinMs: 20_000, what: 'everyone has applied everything' });
    const [first, ...others] = this.running.map(([, { machine }]) => machine.commands);
    for (const other of others) {
      if (JSON.stringify(other) !== JSON.stringify(first))
        throw new Error('replicas applied different things');
    }
    return first ?? [];
  }

  async closeAll(): Promise<void> {
    for (const [id, { replica }] of this.running) {
      await replica.close();
      this.#end(id);
    }
    await settle();
  }

  #end(id: NodeId): void {
    this.network.leave(id);
    this.life(id).clock.stop();
    this.lives.delete(id);
  }
}
