import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { SystemOfRecordUnavailable } from '../../node/ports/system-of-record.ts';
import type { SystemOfRecord } from '../../node/ports/system-of-record.ts';
import { createPostgres } from '../../node/reconcilers/postgres.ts';
import type { PostgresSystemOfRecord } from '../../node/reconcilers/postgres.ts';
import { CuttingProxy } from './support/cutting-proxy.ts';
import {
  databases,
  emptyDatabase,
  onHand,
  outcomeOf,
  overHttp,
  product,
  realEnvironment,
  sql,
} from './support/fixtures.ts';
import type { Client, Database } from './support/fixtures.ts';

const opened: SystemOfRecord[] = [];
function open(url: string, timeouts: { statementTimeoutMs?: number; connectTimeoutMs?: number } = {}) {
  const sor = createPostgres({ url, ...timeouts }, { environment: realEnvironment() });
  opened.push(sor);
  return sor;
}

/** What the port promises holds for all; what is about SQL, its connections and its tables, for databases. */
describe.each([...databases, overHttp])('system of record in $name', ({ name, start }) => {
  const itInSql = it.skipIf(name === overHttp.name);
  let database: Database;
  let url: string;

  beforeAll(async () => {
    database = await start();
    ({ url } = database);
  }, 60_000);
  afterAll(() => database.close());
  beforeEach(() => emptyDatabase(url));
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((sor) => sor.close()));
  });

  async function shop(...products: ReturnType<typeof product>[]): Promise<PostgresSystemOfRecord> {
    const sor = open(url);
    await sor.migrate();
    await sor.fillCatalog(products);
    return sor;
  }

  function connect(): Client {
    if (database.connect === undefined) return open(url);
    const sor = database.connect();
    opened.push(sor);
    return sor;
  }

  async function stocked(...products: ReturnType<typeof product>[]): Promise<Client> {
    await shop(...products);
    return connect();
  }

  itInSql('lets three nodes migrate and fill the catalogue at once', async () => {
    const nodes = [open(url), open(url), open(url)];
    await Promise.all(nodes.map((node) => node.migrate()));
    const filled = await Promise.all(
      nodes.map((node) => node.fillCatalog([product('A', 5), product('B', 6)])),
    );
    expect(filled.toSorted()).toEqual([0, 0, 2]);
    expect(await nodes[0]?.productCount()).toBe(2);
    await Promise.all(nodes.map((node) => node.migrate()));
    expect(await onHand(url)).toEqual({ A: 5, B: 6 });
  });

  it('reads catalogue, inventory and applied sales as one picture', async () => {
    const sor = await stocked(product('A', 5), product('B', 6, 1999));
    await sor.applyOutcomes([
      outcomeOf('sale', { A: 2 }),
      outcomeOf('failure', { B: 1 }, { outcome: 'failed' }),
    ]);
    await sql(url, `UPDATE orders SET applied_at = applied_at - interval '1 hour'`);
    const unasked = await sor.readInventory([]);
    expect(unasked.applied).toEqual([]);
    const asked = await sor.readInventory(['failure', 'nobody', 'sale']);
    expect(asked.products).toEqual([product('A', 3), product('B', 6, 1999)]);
    expect(asked.applied).toEqual(['sale']);
    expect(asked.takenAt).toBeGreaterThan(unasked.takenAt);
    expect(Math.abs(asked.takenAt - Date.now())).toBeLessThan(60_000);
  });

  it('tells of recent sales unasked, and answers for 100,000 orders at once', async () => {
    const sor = await stocked(product('A', 5));
    await sor.applyOutcomes([outcomeOf('recent', { A: 1 })]);
    expect((await sor.readInventory([])).applied).toEqual(['recent']);
    const ids = Array.from({ length: 100_000 }, (_, index) => `${index}`.padStart(64, 'x'));
    expect((await sor.readInventory(ids)).applied).toEqual(['recent']);
  });

  it('numbers reads in the order of their snapshots, also when the clock was set back', async () => {
    const sor = await stocked(product('A', 5));
    const ahead = Date.now() + 3_600_000;
    await sql(url, `UPDATE freehold.inventory_reads SET taken_at_ms = ${ahead}`);
    const reads = await Promise.all(Array.from({ length: 8 }, () => sor.readInventory([])));
    const numbers = reads.map((read) => read.takenAt).toSorted();
    expect(numbers).toEqual(Array.from({ length: 8 }, (_, index) => ahead + 1 + index));
  });

  itInSql(
    'numbers a read that was held up anywhere below every read with a later picture',
    async () => {
      const sor = await shop(product('A', 1_000));
      const proxy = await CuttingProxy.start(url);
      const slow = open(proxy.url);
      proxy.cutAt(undefined);
      await slow.readInventory([]);
      const lengthOfWork = proxy.messages;
      await slow.close();
      for (let at = 2; at <= lengthOfWork; at += 1) {
        const line = open(proxy.url);
        proxy.holdAt(at);
        const held = line.readInventory([]);
        await vi.waitUntil(() => proxy.messages >= at);
        const others = (async () => {
          await sor.applyOutcomes([outcomeOf(`sale ${at}`, { A: 1 })]);
          return sor.readInventory([]);
        })();
        // On PGlite all wait for the one that is held; on PostgreSQL the sale gets through.
        await Promise.race([others, new Promise((resolve) => setTimeout(resolve, 60))]);
        proxy.release();
        const reads = (await Promise.all([held, others])).toSorted(
          (one, other) => one.takenAt - other.takenAt,
        );
        const [earlier, later] = reads.map(({ products }) => products[0]?.onHand ?? NaN);
        expect(earlier, `held at ${at}`).toBeGreaterThanOrEqual(later ?? NaN);
        expect(reads[0]?.takenAt).toBeLessThan(reads[1]?.takenAt ?? NaN);
        await line.close();
      }
      await proxy.close();
    },
    60_000,
  );

  it('applies each outcome once, whatever is sent how often', async () => {
    const sor = await stocked(product('A', 10), product('B', 10));
    const batch = [
      outcomeOf('1', { A: 1, B: 2 }),
      outcomeOf('2', { A: 3 }),
      outcomeOf('3', { B: 4 }, { outcome: 'refunded' }),
      outcomeOf('1', { A: 1, B: 2 }),
    ];
    for (let sending = 0; sending < 3; sending += 1) {
      const { applied, parked } = await sor.applyOutcomes(batch);
      expect(applied.map(({ orderId }) => orderId)).toEqual(['1', '2', '3', '1']);
      expect(parked).toEqual([]);
      expect(await onHand(url)).toEqual({ A: 6, B: 8 });
    }
    // Two nodes that both believe to lead.
    const more = Array.from({ length: 6 }, (_, index) =>
      outcomeOf(`more-${index}`, index % 2 ? { A: 1, B: 1 } : { B: 1, A: 1 }),
    );
    await Promise.all([sor.applyOutcomes(more), connect().applyOutcomes(more.toReversed())]);
    expect(await onHand(url)).toEqual({ A: 0, B: 2 });
    const [lines] = await sql(
      url,
      'SELECT count(*)::integer AS n, sum(quantity)::integer AS units FROM order_lines',
    );
    expect(lines).toEqual({ n: 16, units: 22 });
    const [trail] = await sql(url, 'SELECT count(*)::integer AS n FROM audit_events');
    expect(trail).toEqual({ n: 18 });
  });

  it('keeps what was sold, to whom and when', async () => {
    const sor = await stocked(product('A', 10));
    const record = outcomeOf('1', { A: 1 });
    await sor.applyOutcomes([record]);
    const [order] = await sql(
      url,
      `SELECT order_id, outcome, reason, customer_name, customer_address, total_minor::integer AS total,
              (extract(epoch FROM created_at) * 1000)::float8 AS created, (extract(epoch FROM ended_at) * 1000)::float8 AS ended
         FROM orders`,
    );
    expect(order).toEqual({
      order_id: '1',
      outcome: 'fulfilled',
      reason: null,
      customer_name: record.order.customer.name,
      customer_address: null,
      total: 500,
      created: record.order.createdAt,
      ended: record.order.updatedAt,
    });
  });

  it('takes units for one revision of an order only', async () => {
    const sor = await stocked(product('A', 10));
    await sor.applyOutcomes([outcomeOf('1', { A: 1 })]);
    const { applied, parked } = await sor.applyOutcomes([outcomeOf('1', { A: 1 }, { revision: 2 })]);
    expect(applied).toEqual([]);
    expect(parked.map(({ orderId }) => orderId)).toEqual(['1']);
    expect(parked[0]?.reason).toContain('orders_fulfilled_once');
    expect(await onHand(url)).toEqual({ A: 9 });
  });

  it('parks an order whose id another order has, and applies the rest', async () => {
    const sor = await stocked(product('A', 10));
    const first = outcomeOf('1', { A: 1 });
    await sor.applyOutcomes([first]);
    const later = { ...first, order: { ...first.order, createdAt: first.order.createdAt + 40 * 86_400_000 } };
    const { applied, parked } = await sor.applyOutcomes([later, first, outcomeOf('2', { A: 2 })]);
    expect(applied.map(({ orderId }) => orderId)).toEqual(['1', '2']);
    expect(parked.map(({ orderId, reason }) => [orderId, reason.split(':')[0]])).toEqual([
      ['1', 'ORDER_ID_TAKEN'],
    ]);
    expect(await onHand(url)).toEqual({ A: 7 });
  });

  it('parks what cannot be, with its reason, and applies the rest', async () => {
    const sor = await stocked(product('A', 3), product('B', 100));
    const { applied, parked } = await sor.applyOutcomes([
      outcomeOf('first', { A: 2 }),
      outcomeOf('unknown', { NOWHERE: 1 }),
      outcomeOf('short', { A: 2, B: 1 }),
      outcomeOf('gone but failed', { NOWHERE: 1 }, { outcome: 'failed' }),
      outcomeOf('nul', { B: 1, 'B\u0000': 1 }),
      outcomeOf('huge', { B: 2 ** 40 }),
      outcomeOf('last', { A: 1, B: 1 }),
    ]);
    expect(applied.map(({ orderId }) => orderId)).toEqual(['first', 'gone but failed', 'last']);
    expect(parked.map(({ orderId, reason }) => [orderId, reason.split(':')[0]])).toEqual([
      ['unknown', 'UNKNOWN_SKU'],
      ['short', 'ON_HAND_SHORT'],
      ['nul', '22021'],
      ['huge', 'ON_HAND_SHORT'],
    ]);
    expect(await onHand(url)).toEqual({ A: 0, B: 99 });
    // After the shop has counted again, the same outcome goes through.
    await sql(url, `UPDATE inventory SET on_hand = 5 WHERE sku = 'A'`);
    expect((await sor.applyOutcomes([outcomeOf('short', { A: 2, B: 1 })])).parked).toEqual([]);
    expect(await onHand(url)).toEqual({ A: 3, B: 98 });
  });

  itInSql('lets nobody change the audit trail', async () => {
    const sor = await shop(product('A', 3));
    await sor.applyOutcomes([outcomeOf('1', { A: 1 })]);
    for (const change of [
      'UPDATE audit_events SET node = $$x$$',
      'DELETE FROM audit_events',
      'TRUNCATE audit_events',
    ]) {
      await expect(sql(url, change)).rejects.toThrow('append-only');
    }
  });

  it('says of each audit event who wrote it, and with which others', async () => {
    const sor = await stocked(product('A', 10));
    await sor.applyOutcomes([outcomeOf('1', { A: 1 }), outcomeOf('2', { A: 2 }, { outcome: 'failed' })]);
    await sor.applyOutcomes([outcomeOf('3', { A: 3 })]);
    const batches = await sql(
      url,
      `SELECT string_agg(DISTINCT order_id, ' ' ORDER BY order_id) AS orders, min(recorded_by) AS by
         FROM audit_events GROUP BY batch ORDER BY batch`,
    );
    expect(batches).toEqual([
      { orders: '1 2', by: 'postgres' },
      { orders: '3', by: 'postgres' },
    ]);
  });

  it('explains each figure by what there was, what came and went, and what was sold', async () => {
    const sor = await stocked(product('A', 10), product('B', 4));
    await sor.applyOutcomes([
      outcomeOf('1', { A: 1, B: 1 }),
      outcomeOf('2', { A: 2 }, { outcome: 'failed' }),
    ]);
    await sql(url, `UPDATE inventory SET on_hand = on_hand + 5 WHERE sku = 'A'`);
    await sor.applyOutcomes([outcomeOf('3', { A: 3 })]);
    await sql(url, `DELETE FROM products WHERE sku = 'B'`);
    expect(await sor.book.inventory()).toEqual([
      { sku: 'A', onHand: 11, opening: 10, changed: 5, sold: 4 },
      { sku: 'B', onHand: 0, opening: 4, changed: -3, sold: 1 },
    ]);
  });

  it('has its orders in a book: newest first, page by page, each as it is now', async () => {
    const sor = await stocked(product('A', 100));
    const outcomes = Array.from({ length: 7 }, (_, index) => {
      const one = outcomeOf(`o${index}`, { A: 1 + index }, { outcome: index % 2 ? 'fulfilled' : 'failed' });
      // Two of them at once.
      return { ...one, order: { ...one.order, createdAt: one.order.createdAt + 10 * Math.max(1, index) } };
    });
    await sor.applyOutcomes(outcomes);
    await sor.applyOutcomes(
      outcomes.slice(2, 3).map((one) => ({ ...one, outcome: 'cancelled', revision: 2 })),
    );
    const booked = outcomes.map(({ order: { id, createdAt, currency, total, lines }, outcome }, index) => {
      return { orderId: id, createdAt, outcome: index === 2 ? 'cancelled' : outcome, currency, total, lines };
    });
    const read: unknown[] = [];
    let next: string | undefined;
    do {
      const after = next === undefined ? {} : { after: next };
      const page = await sor.book.page({ createdFrom: 1_700_000_000_010, limit: 2, ...after });
      expect(page.rows.length).toBeLessThanOrEqual(2);
      read.push(...page.rows);
      ({ next } = page);
    } while (next !== undefined);
    expect(read).toEqual(booked.toReversed());
    const later = await sor.book.page({ createdFrom: 1_700_000_000_045, limit: 100 });
    expect(later.rows.map(({ orderId }) => orderId)).toEqual(['o6', 'o5']);
    const asked = await sor.book.byIds(['o2', 'nobody', 'o6']);
    expect(asked.toSorted((one, other) => one.createdAt - other.createdAt)).toEqual([booked[2], booked[6]]);
  });

  it('counts a missing schema as an outage, not as a fault of the orders', async () => {
    const sor = connect();
    await expect(sor.applyOutcomes([outcomeOf('1', { A: 1 })])).rejects.toBeInstanceOf(
      SystemOfRecordUnavailable,
    );
    await expect(sor.readInventory([])).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
    await expect(sor.productCount()).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
    await open(url).migrate();
    await sor.migrate();
    expect((await sor.readInventory([])).products).toEqual([]);
  });

  itInSql(
    'applies exactly once when the line is cut at any message',
    async () => {
      const sor = await shop(product('A', 1_000_000), product('B', 1_000_000));
      const proxy = await CuttingProxy.start(url);
      const through = open(proxy.url);
      const batchOf = (name: string) => [
        outcomeOf(`${name}-1`, { A: 1, B: 2 }),
        outcomeOf(`${name}-2`, { A: 1 }, { outcome: 'cancelled' }),
        outcomeOf(`${name}-3`, { B: 1 }),
      ];
      let expected = { A: 1_000_000, B: 1_000_000 };
      const sold = (): void => void (expected = { A: expected.A - 1, B: expected.B - 3 });
      const effects = { none: 0, done: 0 };

      await through.applyOutcomes(batchOf('uncut'));
      sold();
      const lengthOfWork = proxy.messages;
      expect(lengthOfWork).toBeGreaterThan(20);
      for (const when of ['before', 'after'] as const) {
        for (let at = 1; at <= lengthOfWork; at += 1) {
          const batch = batchOf(`${when}-${at}`);
          // A new connection each time, so that the messages are numbered as in the uncut run.
          const line = createPostgres({ url: proxy.url }, { environment: realEnvironment() });
          proxy.cutAt({ at, when });
          const cut = await line.applyOutcomes(batch).then(
            () => undefined,
            (error: unknown) => error,
          );
          expect(cut, `${when} ${at}`).toBeInstanceOf(SystemOfRecordUnavailable);
          await line.close();
          const before = await onHand(url);
          const isDone = before['A'] === expected.A - 1;
          effects[isDone ? 'done' : 'none'] += 1;
          expect(before, `${when} ${at}: all or nothing`).toEqual(
            isDone ? { A: expected.A - 1, B: expected.B - 3 } : expected,
          );

          proxy.cutAt(undefined);
          const again = await through.applyOutcomes(batch);
          sold();
          expect(again.applied).toHaveLength(3);
          expect(await onHand(url), `${when} ${at}: exactly once`).toEqual(expected);
        }
      }
      // Both kinds must have been met, or the cuts were not where they should be.
      expect(effects.none).toBeGreaterThan(lengthOfWork);
      expect(effects.done).toBeGreaterThanOrEqual(1);
      const runs = 2 * lengthOfWork + 1;
      const [orders] = await sql(url, 'SELECT count(*)::integer AS n FROM orders');
      const [trail] = await sql(url, 'SELECT count(*)::integer AS n FROM audit_events');
      expect([orders, trail]).toEqual([{ n: 3 * runs }, { n: 6 * runs }]);
      await proxy.close();
      expect((await sor.readInventory([])).products).toMatchObject([
        { onHand: expected.A },
        { onHand: expected.B },
      ]);
    },
    60_000,
  );

  itInSql('notices a database that is stopped, gone or half open, and recovers by itself', async () => {
    await shop(product('A', 10));
    const proxy = await CuttingProxy.start(url);
    const sor = open(proxy.url, { statementTimeoutMs: 200, connectTimeoutMs: 200 });
    await sor.readInventory([]);

    // Its pooled connection is silent, then new ones are too.
    proxy.silence(true);
    const startedAt = performance.now();
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await expect(sor.readInventory([])).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
    }
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    proxy.silence(false);
    expect((await sor.readInventory([])).products).toHaveLength(1);

    proxy.refuse(true);
    await expect(sor.applyOutcomes([outcomeOf('1', { A: 1 })])).rejects.toBeInstanceOf(
      SystemOfRecordUnavailable,
    );
    proxy.refuse(false);
    expect((await sor.applyOutcomes([outcomeOf('1', { A: 1 })])).applied).toHaveLength(1);
    expect(await onHand(url)).toEqual({ A: 9 });

    proxy.silence(true);
    await sor.close();
    const gone = proxy.url;
    await proxy.close();
    await expect(open(gone).productCount()).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
  });
});
