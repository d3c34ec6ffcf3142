/** Three whole stores in one process. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { NodeId } from '../../store/environment.ts';
import { openStore, type Store } from '../../store/index.ts';
import { eventually } from '../support/eventually.ts';
import { realEnvironment } from '../support/peers-cluster.ts';
import { ids, StoreCluster } from './store-cluster.ts';

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
