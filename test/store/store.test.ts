/** Three whole stores in one process: real LevelDB in temporary directories, real libp2p on loopback. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeId } from '../../store/environment.ts';
import { openStore, type Store, type StoreOptions } from '../../store/index.ts';
import { eventually } from '../support/eventually.ts';
import { PeersCluster, realEnvironment } from '../support/peers-cluster.ts';

const ids = ['n1', 'n2', 'n3'];

class StoreCluster {
  readonly #root: string;
  readonly #peers: PeersCluster;
  readonly #stores = new Map<NodeId, Store>();
  readonly fsyncs: number[] = [];

  private constructor(root: string, peers: PeersCluster) {
    this.#root = root;
    this.#peers = peers;
  }

  static async create(): Promise<StoreCluster> {
    return new StoreCluster(await mkdtemp(join(tmpdir(), 'freehold-store-')), await PeersCluster.of(ids));
  }

  options(self: NodeId): StoreOptions {
    return {
      self,
      zone: 'eu',
      dataDirectory: join(this.#root, self),
      identity: this.#peers.identity(self),
      listen: { host: '127.0.0.1', port: this.#peers.port(self) },
      members: this.#peers.members.map((member) => ({ ...member, zone: 'eu', voter: true })),
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
    await rm(join(this.#root, id), { recursive: true });
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#stores.keys()].map((id) => this.close(id)));
    await rm(this.#root, { recursive: true });
  }
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe('three stores', () => {
  let cluster: StoreCluster;
  beforeEach(async () => {
    cluster = await StoreCluster.create();
    await cluster.open(...ids);
    await cluster.ready();
  }, 30_000);
  afterEach(() => cluster.destroy());

  const onAll = (condition: (store: Store) => boolean, what: string) =>
    eventually(() => cluster.all.every(condition), { withinMs: 15_000, what });

  const sell = async (at: Store, orderId: string, quantity: number) => {
    const lines = [{ sku: 'mug', quantity }];
    const held = await at.ledger.hold({ orderId, createdAt: 0, fingerprint: 'f', lines, ttlMs: 60_000 });
    const committed = await at.ledger.commit({ orderId, createdAt: 0 });
    return [held.kind, committed.kind];
  };
  const stockUp = (at: Store, onHand: number) =>
    at.ledger.sync({
      takenAt: 1,
      products: [{ sku: 'mug', name: 'Mug', unitPrice: 500, currency: 'EUR', onHand }],
      removed: [],
      applied: [],
    });

  test('keep an entry at a majority and show it to all, and let one of two registrations win', async () => {
    const [n1, n2] = [cluster.store('n1'), cluster.store('n2')];
    const heard = new Map<NodeId, string[]>(ids.map((id) => [id, []]));
    for (const store of cluster.all) {
      store.journal.subscribe((entries) => {
        for (const entry of entries) heard.get(store.self)?.push(Buffer.from(entry.payload).toString());
      });
    }
    const { position, durable } = n1.journal.append(bytes('hello'), { durability: 'quorum' });
    expect(position).toEqual({ origin: 'n1', sequence: 1 });
    await durable;
    await eventually(() => [...heard.values()].every((lines) => lines.includes('hello')), {
      withinMs: 10_000,
      what: 'all hear it',
    });

    const won = await n1.journal.register('order-1', bytes('first'), { timeoutMs: 5_000 });
    expect(won.verdict.kind).toBe('won');
    const lost = await n2.journal.register('order-1', bytes('second'), { timeoutMs: 5_000 });
    expect(lost.verdict).toEqual({ kind: 'lost', holder: won.position });
    expect(cluster.fsyncs.length).toBeGreaterThan(0);
  });

  test('sell what there is once, whoever is asked, and agree on what is left', async () => {
    await stockUp(cluster.store('n1'), 10);
    const sold = await Promise.all(
      Array.from({ length: 15 }, (_, index) =>
        cluster.store(ids[index % 3] ?? '').ledger.hold({
          orderId: `order-${index}`,
          createdAt: 0,
          fingerprint: 'f',
          lines: [{ sku: 'mug', quantity: 1 }],
          ttlMs: 60_000,
        }),
      ),
    );
    expect(sold.filter(({ kind }) => kind === 'held')).toHaveLength(10);
    expect(sold.filter(({ kind }) => kind === 'refused')).toHaveLength(5);
    await onAll((store) => store.ledger.stock('mug')?.held === 10, 'all see ten units held');
    for (const store of cluster.all) expect(store.ledger.conservationResidual()).toBe(0);
  });

  test.each([
    ['its disk', false],
    ['an empty disk', true],
  ])(
    'go on without one of them, which catches up when it comes back with %s',
    async (_, wiped) => {
      await stockUp(cluster.store('n1'), 100);
      expect(await sell(cluster.store('n1'), 'before', 1)).toEqual(['held', 'committed']);
      // The leader, so that the others have to find another one.
      const gone = cluster.store('n1').ledger.status().leader ?? '';
      const [one, other] = ids.filter((id) => id !== gone);
      if (one === undefined || other === undefined) throw new Error('three members');
      await cluster.close(gone);
      await cluster.ready();

      expect(
        cluster
          .store(one)
          .members()
          .find(({ id }) => id === gone)?.reachable,
      ).toBe(false);
      await cluster.store(one).journal.append(bytes('meanwhile'), { durability: 'quorum' }).durable;
      expect(await sell(cluster.store(other), 'meanwhile', 2)).toEqual(['held', 'committed']);

      if (wiped) await cluster.wipe(gone);
      await cluster.open(gone);
      await cluster.ready();
      await onAll(
        (store) =>
          JSON.stringify(store.journal.vector()[one]) === '1' && store.ledger.stock('mug')?.sold === 3,
        'all have the entry and the sales',
      );
      await cluster.store(gone).journal.append(bytes('back'), { durability: 'quorum' }).durable;
      expect(await sell(cluster.store(gone), 'after', 3)).toEqual(['held', 'committed']);
      await onAll((store) => store.ledger.stock('mug')?.available === 94, 'all see every sale');
    },
    60_000,
  );

  test('keep derived tables over a restart', async () => {
    await cluster
      .store('n1')
      .table('view')
      .write([{ kind: 'put', key: 'k', value: bytes('v') }]);
    await cluster.close('n1');
    await cluster.open('n1');
    expect(Buffer.from((await cluster.store('n1').table('view').get('k')) ?? []).toString()).toBe('v');
  });

  test('close twice without harm, and promise nothing afterwards', async () => {
    const store = cluster.store('n3');
    await Promise.all([store.close(), store.close()]);
    expect(() => store.journal.append(bytes('x'), { durability: 'local' })).toThrow(/CLOSED/);
    await expect(sell(store, 'late', 1)).rejects.toMatchObject({ name: 'LedgerError' });
  });
});

test('a store that does not open gives back what it took', async () => {
  const cluster = await StoreCluster.create();
  try {
    await cluster.open('n1');
    const environment = realEnvironment();
    await expect(openStore(cluster.options('n1'), { environment })).rejects.toMatchObject({
      code: 'DISK_LOCKED',
    });
    const taken = { ...cluster.options('n2'), listen: cluster.options('n1').listen };
    await expect(openStore(taken, { environment })).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
    await cluster.open('n2');
  } finally {
    await cluster.destroy();
  }
});
