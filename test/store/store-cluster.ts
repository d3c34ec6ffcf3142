import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeId } from '../../store/environment.ts';
import { openStore, type Store, type StoreOptions } from '../../store/index.ts';
import { eventually } from '../support/eventually.ts';
import { PeersCluster, realEnvironment } from '../support/peers-cluster.ts';

export const ids: readonly NodeId[] = ['n1', 'n2', 'n3'];

/** Whole stores in one process: real LevelDB in temporary directories, real libp2p on loopback. */
export class StoreCluster {
  readonly #root: string;
  readonly #peers: PeersCluster;
  readonly #stores = new Map<NodeId, Store>();
  readonly #wiped = new Set<NodeId>();
  readonly fsyncs: number[] = [];

  private constructor(root: string, peers: PeersCluster) {
    this.#root = root;
    this.#peers = peers;
  }

  static async create(): Promise<StoreCluster> {
    return new StoreCluster(await mkdtemp(join(tmpdir(), 'freehold-store-')), await PeersCluster.of(ids));
  }

  directory(id: NodeId): string {
    return join(this.#root, id);
  }

  options(self: NodeId): StoreOptions {
    return {
      self,
      zone: 'eu',
      dataDirectory: this.directory(self),
      identity: this.#peers.identity(self),
      listen: { host: '127.0.0.1', port: this.#peers.port(self) },
      members: this.#peers.members.map((member) => ({ ...member, zone: 'eu', voter: true })),
      found: !this.#wiped.has(self),
    };
  }

  async open(...selves: readonly NodeId[]): Promise<void> {
    await Promise.all(
      selves.map(async (self) => {
        const observer = { fsync: (seconds: number) => this.fsyncs.push(seconds) };
        const store = await openStore(this.options(self), { environment: realEnvironment(), observer });
        this.#stores.set(self, store);
      }),
    );
  }

  store(id: NodeId): Store {
    const store = this.#stores.get(id);
    if (store === undefined) throw new Error(`${id} is not open`);
    return store;
  }

  get all(): readonly Store[] {
    return [...this.#stores.values()];
  }

  /** Everyone that is open may append, and all know the same leader. */
  async ready(): Promise<void> {
    await Promise.all(this.all.map((store) => store.journal.opened()));
    await eventually(
      () => {
        const leaders = new Set(this.all.map((store) => store.ledger.status().leader));
        const [leader] = leaders;
        return leaders.size === 1 && leader !== undefined && this.#stores.has(leader);
      },
      { withinMs: 20_000, what: 'all know one living leader' },
    );
  }

  async close(id: NodeId): Promise<void> {
    const store = this.store(id);
    this.#stores.delete(id);
    await store.close();
  }

  async wipe(id: NodeId): Promise<void> {
    this.#wiped.add(id);
    await rm(this.directory(id), { recursive: true });
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#stores.keys()].map((id) => this.close(id)));
    await rm(this.#root, { recursive: true });
  }
}
