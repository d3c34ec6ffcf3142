import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  NotSupportedBySystemOfRecord,
  SystemOfRecordUnavailable,
} from '../../node/ports/system-of-record.ts';
import { createHttpSystemOfRecord } from '../../node/reconcilers/http-system-of-record.ts';
import type { HttpSystemOfRecord } from '../../node/reconcilers/http-system-of-record.ts';
import { createPostgres } from '../../node/reconcilers/postgres.ts';
import { testEnvironment } from '../support/environment.ts';
import { HttpSystemOfRecordServer, referenceToken } from '../support/http-system-of-record.ts';
import type { Fault } from '../support/http-system-of-record.ts';
import {
  databases,
  emptyDatabase,
  onHand,
  outcomeOf,
  product,
  realClock,
  realEnvironment,
  sql,
  unexplained,
} from './support/fixtures.ts';
import type { Database } from './support/fixtures.ts';

const faults: readonly Fault[] = [
  'cut before',
  'cut after',
  'late',
  '500 after',
  'not JSON',
  'cut short',
  'oversized',
  'of another batch',
  '401',
];

describe('a system of record over HTTP that lies, stalls and dies', () => {
  let database: Database;
  let server: HttpSystemOfRecordServer;
  let sor: HttpSystemOfRecord;
  let hasty: HttpSystemOfRecord;
  let aheadMs = 0;

  beforeAll(async () => {
    const start = databases.find(({ name }) => name === 'PGlite')?.start;
    if (start === undefined) throw new Error('PGlite is not among the databases');
    database = await start();
  }, 60_000);
  afterAll(() => database.close());

  beforeEach(async () => {
    await emptyDatabase(database.url);
    const shop = createPostgres({ url: database.url }, { environment: realEnvironment() });
    await shop.migrate();
    await shop.fillCatalog([product('A', 100), product('B', 100), product('C', 7)]);
    server = await HttpSystemOfRecordServer.start(shop);
    aheadMs = 0;
    const clock = { ...realClock, monotonic: () => realClock.monotonic() + aheadMs };
    const open = (timeoutMs: number): HttpSystemOfRecord =>
      createHttpSystemOfRecord(
        { url: server.url, token: referenceToken, timeoutMs, answerBytesMax: 2 ** 19, pageSize: 2 },
        { environment: testEnvironment({ clock, random: () => 0.5 }) },
      );
    sor = open(30_000);
    hasty = open(300);
  });
  afterEach(async () => {
    await Promise.all([sor.close(), hasty.close()]);
    await server.close();
  });

  it.each(faults)('applies exactly once in the end: %s', async (fault) => {
    const batch = [outcomeOf('1', { A: 1, B: 2 }), outcomeOf('2', { B: 3 }), outcomeOf('3', { NOWHERE: 1 })];
    for (let attempt = 0; attempt < 2; attempt += 1) {
      server.misbehave(fault);
      const asked = fault === 'late' ? hasty : sor;
      await expect(asked.applyOutcomes(batch)).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
    }
    server.misbehave();
    const { applied, parked } = await sor.applyOutcomes(batch);
    expect(applied.map(({ orderId }) => orderId)).toEqual(['1', '2']);
    expect(parked).toEqual([{ orderId: '3', reason: 'UNKNOWN_SKU: NOWHERE is not in the inventory' }]);
    expect(await onHand(database.url)).toEqual({ A: 99, B: 95, C: 7 });
    expect(await unexplained(database.url)).toEqual({});
  });

  it.each([...faults, '429'] as const)('reads the whole of one snapshot in the end: %s', async (fault) => {
    await sor.applyOutcomes([outcomeOf('1', { A: 1 })]);
    // Three products are two pages: the first one fails, then the second.
    for (const good of [0, 1]) {
      server.misbehave(...Array.from({ length: good }, () => 'none' as const), fault);
      const asked = fault === 'late' ? hasty : sor;
      await expect(asked.readInventory([])).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
      aheadMs += 10_000;
      await sql(database.url, 'UPDATE inventory SET on_hand = on_hand - 1');
    }
    server.misbehave();
    const { products, applied } = await sor.readInventory(['1', 'nobody']);
    expect(products.map(({ sku, onHand: units }) => [sku, units])).toEqual([
      ['A', 97],
      ['B', 98],
      ['C', 5],
    ]);
    expect(applied).toEqual(['1']);
  });

  it('is told only what changed since its cursor, and knows the whole', async () => {
    const first = await sor.readInventory([]);
    await sql(database.url, `UPDATE inventory SET on_hand = 50 WHERE sku = 'B'`);
    await sql(database.url, `DELETE FROM products WHERE sku = 'C'`);
    server.seen.length = 0;
    const second = await sor.readInventory([]);
    expect(second.products).toEqual([product('A', 100), product('B', 50)]);
    expect(second.takenAt).toBeGreaterThan(first.takenAt);
    expect(server.seen).toEqual(['/shop/changes']);
  });

  it('begins anew when its cursor is not known any more, and gives up when it never is', async () => {
    await sor.readInventory([]);
    await sql(database.url, `DELETE FROM products WHERE sku = 'C'`);
    server.misbehave('410');
    expect((await sor.readInventory([])).products).toEqual([product('A', 100), product('B', 100)]);
    server.misbehave('410', '410');
    await expect(sor.readInventory([])).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
  });

  it('sends nothing while it is asked for a pause', async () => {
    server.misbehave('429');
    for (let attempt = 0; attempt < 3; attempt += 1)
      await expect(sor.applyOutcomes([outcomeOf('1', { A: 1 })])).rejects.toThrow(/429|pause/);
    expect(server.seen).toHaveLength(1);
    aheadMs += 2_000;
    expect((await sor.applyOutcomes([outcomeOf('1', { A: 1 })])).applied).toHaveLength(1);
  });

  it('looks for the culprit of a batch that is refused as a whole, and parks it with its reason', async () => {
    server.misbehave('422', 'none', '422');
    const batch = [outcomeOf('1', { A: 1 }), outcomeOf('2', { A: 2 }), outcomeOf('3', { B: 1 })];
    expect(await sor.applyOutcomes(batch)).toEqual({
      applied: [
        { orderId: '1', revision: 1 },
        { orderId: '2', revision: 1 },
      ],
      parked: [{ orderId: '3', reason: 'NOT_TAKEN: it cannot be' }],
    });
    expect(await onHand(database.url)).toEqual({ A: 97, B: 100, C: 7 });
  });

  it.each(faults)('makes an adjustment exactly once in the end: %s', async (fault) => {
    const adjustment = { id: 'x', sku: 'A', kind: 'correction', delta: -7, reason: 'r', by: 'b' } as const;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      server.misbehave('none', fault);
      const asked = fault === 'late' ? hasty : sor;
      await expect(asked.adjust(adjustment)).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
    }
    server.misbehave();
    expect(await sor.adjust(adjustment)).toMatchObject({ kind: 'adjusted', onHand: 93 });
    expect(await onHand(database.url)).toEqual({ A: 93, B: 100, C: 7 });
  });

  it('tells that an adjustment breaks a rule of the service, in its words', async () => {
    const adjustment = { id: 'x', sku: 'A', kind: 'restock', delta: 1, reason: 'r', by: 'b' } as const;
    server.misbehave('none', '422');
    expect(await sor.adjust(adjustment)).toEqual({
      kind: 'refused',
      code: 'ADJUSTMENT_REFUSED',
      detail: 'NOT_TAKEN: it cannot be',
    });
  });

  it.each([...faults, '429', '422', '410'] as const)('reads no book halfway: %s', async (fault) => {
    await sor.applyOutcomes([outcomeOf('1', { A: 1 }), outcomeOf('2', { B: 1 })]);
    const asked = fault === 'late' ? hasty : sor;
    const away = (read: Promise<unknown>) => expect(read).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
    // Health comes first; of three products, the second page fails.
    server.misbehave('none', 'none', fault);
    await away(asked.book.inventory());
    aheadMs += 10_000;
    server.misbehave('none', fault);
    await away(asked.book.page({ createdFrom: 0, limit: 1 }));
    aheadMs += 10_000;
    server.misbehave(fault);
    await away(asked.book.byIds(['1']));
  });

  type Rows = { readonly orders: readonly object[]; readonly inventory: readonly object[] };
  const lies: readonly [string, string, (answer: Rows, asked: number) => object][] = [
    ['orders that are not newest first', '/orders', ({ orders }) => ({ orders: orders.toReversed() })],
    [
      'a newer order on a later page',
      '/orders',
      ({ orders: [one], ...page }, n) => ({ ...page, orders: [{ ...one, createdAt: 1_000 + 500 * n }] }),
    ],
    ['an order that is too old', '/orders', ({ orders: [one] }) => ({ orders: [{ ...one, createdAt: 0 }] })],
    ['an order without its total', '/orders', ({ orders: [one] }) => ({ orders: [{ ...one, total: '' }] })],
    ['a page of nothing that goes on', '/orders', () => ({ orders: [], next: 'x' })],
    ['orders that nobody asked for', '/orders/lookup', ({ orders: [a, b] }) => ({ orders: [a, b, a] })],
    ['an inventory of two snapshots', '/inventory', (page, n) => ({ ...page, takenAt: 1 + n })],
    ['an inventory that does not end', '/inventory', (page) => ({ ...page, inventory: [], next: '1.0' })],
    ['a figure that is no number', '/inventory', (page) => ({ ...page, inventory: [{ sku: 'A' }] })],
  ];
  it.each(lies)('does not believe %s', async (_what, path, lie) => {
    const later = (id: string, createdAt: number) => {
      const one = outcomeOf(id, { A: 1 });
      return { ...one, order: { ...one.order, createdAt } };
    };
    await sor.applyOutcomes([later('1', 2_000), later('2', 1_000)]);
    const read = async () => {
      await sor.book.page({ createdFrom: 1_000, limit: 3 });
      const { next = '' } = await sor.book.page({ createdFrom: 1_000, limit: 1 });
      await sor.book.page({ createdFrom: 1_000, limit: 1, after: next });
      expect(await sor.book.byIds(['1', '2'])).toHaveLength(2);
      expect(await sor.book.inventory()).toHaveLength(3);
    };
    await read();
    let asked = 0;
    server.bend = (at, answer) => (at === path ? lie(answer as Rows, (asked += 1)) : answer);
    await expect(read()).rejects.toBeInstanceOf(SystemOfRecordUnavailable);
  });

  it('says clearly what it does not offer', async () => {
    server.offers = ['something else'];
    const adjustment = { id: 'x', sku: 'A', kind: 'correction', delta: 1, reason: 'r', by: 'b' } as const;
    await expect(sor.adjust(adjustment)).rejects.toBeInstanceOf(NotSupportedBySystemOfRecord);
    expect(await onHand(database.url)).toEqual({ A: 100, B: 100, C: 7 });
    await expect(sor.book.inventory()).rejects.toBeInstanceOf(NotSupportedBySystemOfRecord);
    await expect(sor.book.page({ createdFrom: 0, limit: 1 })).rejects.toBeInstanceOf(
      NotSupportedBySystemOfRecord,
    );
  });
});
