import { createCommitter } from '../../store/disk/group-commit.ts';
import type { Disk } from '../../store/disk/port.ts';
import type { NodeId, Random } from '../../store/environment.ts';
import { openJournal, type JournalOptions, type OpenJournal } from '../../store/journal/journal.ts';
import type { JournalLimits } from '../../store/journal/limits.ts';
import type { Entry, ZoneMembers } from '../../store/journal/port.ts';
import type { Network } from '../../store/peers/port.ts';
import { testEnvironment, type TestEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { MemoryNetwork, type NetworkFaults } from '../support/memory-network.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock, type NodeClock } from '../support/virtual-clock.ts';

/** The real journals of one zone on a simulated clock, network and disks. */

export interface TestNode {
  readonly id: NodeId;
  readonly journal: OpenJournal;
  readonly environment: TestEnvironment;
  readonly clock: NodeClock;
  readonly network: Network;
  /** What `subscribe` told in this process life. */
  readonly heard: Entry[];
  /** What `onHorizon` told, and how many entries had been heard by then. */
  readonly horizons: { readonly horizon: number; readonly after: number }[];
}

export interface ClusterOptions {
  readonly seed: number;
  readonly size: number;
  /** The first so many nodes vote; all do by default. */
  readonly voters?: number;
  readonly faults?: Partial<NetworkFaults>;
  readonly limits?: Partial<JournalLimits>;
  readonly syncMs?: number;
  /** The members that a starting node is told of; all of them, and `voters`, by default. */
  readonly zoneOf?: (id: NodeId) => ZoneMembers;
  /** Puts something between a journal and the network. */
  readonly wrap?: (network: Network) => Network;
}

export class TestCluster {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly network: MemoryNetwork;
  readonly ids: readonly NodeId[];
  readonly voters: readonly NodeId[];
  readonly disks = new Map<NodeId, MemoryDisk>();
  readonly nodes = new Map<NodeId, TestNode>();
  readonly #options: ClusterOptions;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.random = seededRandom(options.seed);
    this.ids = Array.from({ length: options.size }, (_, index) => `n${index + 1}`);
    this.voters = this.ids.slice(0, options.voters ?? options.size);
    this.network = new MemoryNetwork(
      { members: this.ids, ...(options.faults === undefined ? {} : { faults: options.faults }) },
      { clock: this.clock, random: this.random },
    );
    for (const id of this.ids) this.wipe(id);
  }

  static async open(options: ClusterOptions): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    for (const id of cluster.ids) await cluster.start(id);
    await cluster.opened();
    return cluster;
  }

  node(id: NodeId): TestNode {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`${id} is not running`);
    return node;
  }

  journal(id: NodeId): OpenJournal {
    return this.node(id).journal;
  }

  disk(id: NodeId): MemoryDisk {
    const disk = this.disks.get(id);
    if (disk === undefined) throw new Error(`${id} has no disk`);
    return disk;
  }

  async start(id: NodeId): Promise<TestNode> {
    const clock = this.clock.node();
    const environment = testEnvironment({ clock, random: this.random });
    const disk = storingCopies(this.disk(id).open(clock));
    const committer = createCommitter({}, { disk, environment });
    const joined = this.network.join(id);
    const network = this.#options.wrap?.(joined) ?? joined;
    const zone = this.#options.zoneOf?.(id) ?? {
      epoch: 0,
      members: this.ids.map((one) => ({ id: one, voter: this.voters.includes(one) })),
    };
    const options: JournalOptions = {
      self: id,
      zonePeers: zone.members.map((member) => member.id).filter((other) => other !== id),
      zoneVoters: zone.members.filter(({ voter }) => voter).map((member) => member.id),
      epoch: zone.epoch,
      ...this.#options.limits,
    };
    const opening = openJournal(options, { environment, disk, committer, network });
    const journal = await this.clock.resolve(opening, { withinMs: 1_000 });
    const heard: Entry[] = [];
    journal.subscribe((entries) => heard.push(...entries));
    const horizons: TestNode['horizons'] = [];
    journal.onHorizon((horizon) => horizons.push({ horizon, after: heard.length }));
    const node = { id, journal, environment, clock, network, heard, horizons };
    this.nodes.set(id, node);
    return node;
  }

  async opened(ids: readonly NodeId[] = [...this.nodes.keys()]): Promise<void> {
    const all = Promise.all(ids.map((id) => this.journal(id).opened()));
    await this.clock.resolve(all, { withinMs: 30_000 });
  }

  /** The process is gone; what was on its disk stays. */
  kill(id: NodeId): void {
    this.#stop(id);
    this.disk(id).killProcess();
  }

  /** The machine is gone until it starts again; what was not synced is lost, or part of it is. */
  losePower(id: NodeId, lost: 'some of it' | 'everything at risk' = 'some of it'): void {
    this.#stop(id);
    this.disk(id).losePower(lost === 'some of it' ? this.random : undefined);
  }

  /** Gives the node an empty disk. */
  wipe(id: NodeId): void {
    this.disks.set(id, new MemoryDisk({ syncMs: this.#options.syncMs ?? 0.2 }));
  }

  /** Every member has the same vector, with all that was appended. */
  converged(): boolean {
    if ([...this.nodes.values()].some(({ journal }) => journal.stats().queuedEntries > 0)) return false;
    const vectors = [...this.nodes.values()].map(({ journal }) => {
      return JSON.stringify(Object.entries(journal.vector()).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    });
    return new Set(vectors).size === 1;
  }

  async converge(withinMs = 60_000): Promise<void> {
    await this.clock.until(() => this.converged(), { withinMs, what: 'the vectors are equal' });
  }

  /** Per origin, the highest base that any member has. */
  highestBases(): Readonly<Record<NodeId, number>> {
    const highest: Record<NodeId, number> = {};
    for (const { journal } of this.nodes.values()) {
      for (const [origin, { sequence }] of Object.entries(journal.bases())) {
        highest[origin] = Math.max(highest[origin] ?? 0, sequence);
      }
    }
    return highest;
  }

  /** All entries of a node beyond what any member gave up, as `n1:42=payload`, read from its disk. */
  async contents(id: NodeId): Promise<readonly string[]> {
    const journal = this.journal(id);
    const bases = this.highestBases();
    const lines: string[] = [];
    for (const [origin, last] of Object.entries(journal.vector()).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const from = (bases[origin] ?? 0) + 1;
      const entries = await this.clock.resolve(journal.read(origin, from, last), { withinMs: 10_000 });
      for (const { sequence, payload } of entries) lines.push(`${origin}:${sequence}=${text(payload)}`);
    }
    return lines;
  }

  fatalErrors(): readonly string[] {
    return [...this.nodes.values()].flatMap(({ environment }) => environment.fatalErrors.map(String));
  }

  #stop(id: NodeId): void {
    const node = this.nodes.get(id);
    if (node === undefined) return;
    this.nodes.delete(id);
    this.network.leave(id);
    node.clock.stop();
  }
}

/** `Buffer.slice` shares memory, so a simulated disk that slices what it is given must be given plain arrays. */
function storingCopies(disk: Disk): Disk {
  return {
    ...disk,
    write: (operations, options) =>
      disk.write(
        operations.map((one) => (one.kind === 'put' ? { ...one, value: Uint8Array.from(one.value) } : one)),
        options,
      ),
  };
}

export function bytes(value: string): Uint8Array {
  return Buffer.from(value, 'utf8');
}

export function text(value: Uint8Array): string {
  return Buffer.from(value).toString('utf8');
}
