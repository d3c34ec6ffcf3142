import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { StockAdjustment } from '../../node/ports/stock-adjustments.ts';
import { SystemOfRecordUnavailable } from '../../node/ports/system-of-record.ts';
import { ReconcilerError } from '../../node/ports/reconcilers.ts';
import { DeadlineExceeded, NO_DEADLINE } from '../../node/ports/deadline.ts';
import { createAdjustments } from '../../node/reconcilers/adjustments.ts';
import { createPostgres } from '../../node/reconcilers/postgres.ts';
import { LedgerError } from '../../store/ledger/port.ts';
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
  unexplained,
} from './support/fixtures.ts';
import type { Client, Database } from './support/fixtures.ts';

const found: StockAdjustment = {
  id: 'count-7',
  sku: 'A',
  kind: 'correction',
  delta: -2,
  reason: 'broken in the storeroom',
  by: 'ada',
};

describe.each([...databases, overHttp])('adjustments in $name', ({ name, start }) => {
  const itInSql = it.skipIf(name === overHttp.name);
  let database: Database;
  let url: string;
  let sor: Client;
  beforeAll(async () => {
    database = await start();
    ({ url } = database);
  }, 60_000);
  afterAll(() => database.close());
  beforeEach(async () => {
    await emptyDatabase(url);
    const inSql = createPostgres({ url }, { environment: realEnvironment() });
    await inSql.migrate();
    await inSql.fillCatalog([product('A', 5), product('B', 0)]);
    sor = database.connect?.() ?? inSql;
    if (sor !== inSql) await inSql.close();
  });
  afterEach(async () => {
    expect(await unexplained(url)).toEqual({});
    await sor.close();
  });

  const recorded = () =>
    sql<{ sku: string; kind: string; delta: number; reason: string; made_by: string }>(
      url,
      'SELECT sku, kind, delta, reason, made_by FROM inventory_adjustments ORDER BY made_at, sku, delta',
    );

  it('change the figure and its record together, once per id', async () => {
    const first = await sor.adjust(found);
    expect(first).toMatchObject({ kind: 'adjusted', onHand: 3, replayed: false });
    expect(await sor.adjust(found)).toEqual({ ...first, replayed: true });
    expect(await onHand(url)).toEqual({ A: 3, B: 0 });
    expect((await recorded())[1]).toEqual({
      sku: 'A',
      kind: 'correction',
      delta: -2,
      reason: found.reason,
      made_by: 'ada',
    });
  });

  it('are refused for an unknown SKU, for more than there is, and for an id that names another one', async () => {
    await sor.adjust(found);
    const refusals = await Promise.all([
      sor.adjust({ ...found, id: 'x', sku: 'NONE' }),
      sor.adjust({ ...found, id: 'y', delta: -4 }),
      sor.adjust({ ...found, delta: -1 }),
    ]);
    expect(refusals.map((answer) => answer.kind === 'refused' && answer.code)).toEqual([
      'SKU_NOT_FOUND',
      'ON_HAND_SHORT',
      'IDEMPOTENCY_KEY_REUSED',
    ]);
    expect(await onHand(url)).toEqual({ A: 3, B: 0 });
  });

  it('are refused for more than the figure can hold, which is said to be recorded nowhere', async () => {
    const answer = await sor.adjust({ ...found, kind: 'restock', delta: 2_147_483_643 });
    expect(answer).toMatchObject({
      kind: 'refused',
      code: 'ADJUSTMENT_REFUSED',
      detail: expect.stringMatching(
        /the 2147483647 that the inventory can hold; nothing was recorded$/,
      ) as string,
    });
    expect(await onHand(url)).toEqual({ A: 5, B: 0 });
    expect(await recorded()).toHaveLength(1);
    const most = await sor.adjust({ ...found, kind: 'restock', delta: 2_147_483_642 });
    expect(most).toMatchObject({ kind: 'adjusted', onHand: 2_147_483_647 });
  });

  itInSql('are refused by a rule of the shop’s own tables', async () => {
    await sql(url, 'ALTER TABLE inventory ADD CONSTRAINT shelf CHECK (on_hand <= 8)');
    const answer = await sor.adjust({ ...found, delta: 4 });
    expect(answer).toMatchObject({
      kind: 'refused',
      code: 'ADJUSTMENT_REFUSED',
      detail: expect.stringMatching(/shelf.*; nothing was recorded$/) as string,
    });
    expect(await onHand(url)).toEqual({ A: 5, B: 0 });
  });

  it('count once however many ask at once', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => sor.adjust(found)));
    expect(answers.filter((answer) => answer.kind === 'adjusted' && !answer.replayed)).toHaveLength(1);
    expect(await onHand(url)).toEqual({ A: 3, B: 0 });
  });

  itInSql(
    'count once wherever the line is cut, and however many ask at once',
    async () => {
      const proxy = await CuttingProxy.start(url);
      const cut = createPostgres({ url: proxy.url }, { environment: realEnvironment() });
      for (let at = 1; at < 60; at += 1) {
        proxy.cutAt({ at, when: at % 2 === 0 ? 'before' : 'after' });
        const one = { ...found, id: `cut-${at}`, kind: 'restock', delta: 1 } as const;
        await cut
          .adjust(one)
          .catch((error: unknown) => expect(error).toBeInstanceOf(SystemOfRecordUnavailable));
        proxy.cutAt(undefined);
        await Promise.all([cut.adjust(one), sor.adjust(one)]);
        expect(await onHand(url), `cut at ${at}`).toMatchObject({ A: 5 + at });
        if (at > 40) break;
      }
      await cut.close();
      await proxy.close();
    },
    30_000,
  );

  it('are not made any more once nobody waits for them, at whatever point that is', async () => {
    for (let step = 0; step < 12; step += 1) {
      // Given up the `step`-th time that somebody asks.
      let left = step;
      const deadline = {
        ...NO_DEADLINE,
        get givenUp() {
          return left-- > 0 ? undefined : ('clientGone' as const);
        },
      };
      const made = await sor
        .adjust({ ...found, id: `gone-${step}` }, deadline)
        .catch((error: unknown) => error);
      if (!(made instanceof DeadlineExceeded)) {
        expect(step).toBeGreaterThan(1);
        expect(made).toMatchObject({ kind: 'adjusted', onHand: 3 });
        return;
      }
      expect(await onHand(url)).toEqual({ A: 5, B: 0 });
    }
    expect.unreachable('the deadline was asked more often than there are steps');
  });

  it('are put in by hand as well, and what is changed by hand is recorded', async () => {
    await sql(
      url,
      `INSERT INTO inventory_adjustments (sku, kind, delta, reason) VALUES ('B', 'restock', 7, 'van')`,
    );
    expect(await onHand(url)).toEqual({ A: 5, B: 7 });
    await sql(url, `UPDATE inventory SET on_hand = on_hand - 1`);
    await sql(url, `INSERT INTO products (sku, name, price_minor, currency) VALUES ('C', 'C', 1, 'EUR')`);
    await sql(url, `INSERT INTO inventory (sku, on_hand) VALUES ('C', 9)`);
    await sql(url, `DELETE FROM products WHERE sku = 'A'`);
    expect((await recorded()).map(({ sku, kind, delta }) => `${sku} ${kind} ${delta}`)).toEqual([
      'A opening 5',
      'B restock 7',
      'A correction -1',
      'B correction -1',
      'C opening 9',
      'A correction -4',
    ]);
    expect(await unexplained(url)).toEqual({});
  });

  it('are no business of sales, which their orders explain', async () => {
    await sor.applyOutcomes([outcomeOf('sale', { A: 2 })]);
    expect(await onHand(url)).toEqual({ A: 3, B: 0 });
    expect(await recorded()).toHaveLength(1);
  });

  itInSql.each([
    `UPDATE inventory_adjustments SET delta = 1`,
    `DELETE FROM inventory_adjustments`,
    `TRUNCATE inventory_adjustments`,
    `TRUNCATE inventory`,
    `INSERT INTO inventory_adjustments (sku, delta, reason) VALUES ('NONE', 1, 'typo')`,
    `INSERT INTO inventory_adjustments (sku, delta, reason) VALUES ('A', -6, 'too many')`,
    `INSERT INTO inventory_adjustments (sku, kind, delta, reason) VALUES ('A', 'restock', -1, 'no restock')`,
  ])('cannot be falsified: %s', async (statement) => {
    await expect(sql(url, statement)).rejects.toThrow();
    expect(await onHand(url)).toEqual({ A: 5, B: 0 });
  });

  it('give the ledger what a product says of its own sale', async () => {
    await sql(url, `UPDATE products SET hold_seconds = 60, max_per_order = 2 WHERE sku = 'A'`);
    const { products } = await sor.readInventory([]);
    expect(products).toEqual([
      {
        sku: 'A',
        name: 'Product A',
        unitPrice: 500,
        currency: 'EUR',
        onHand: 5,
        holdMs: 60_000,
        maxPerOrder: 2,
      },
      { sku: 'B', name: 'Product B', unitPrice: 500, currency: 'EUR', onHand: 0 },
    ]);
  });
});

describe('an adjustment on its way to the ledger', () => {
  function parts(over: { readonly startedAt?: readonly number[]; readonly away?: boolean } = {}) {
    const told: unknown[] = [];
    const starts = [...(over.startedAt ?? [Number.MAX_SAFE_INTEGER])];
    const adjustments = createAdjustments({
      environment: realEnvironment(),
      sor: {
        adjust: async (adjustment) => {
          told.push('recorded');
          return { kind: 'adjusted', adjustment, at: 1, onHand: 3, replayed: false };
        },
      },
      ledger: {
        adjust: async ({ delta }) => {
          if (over.away === true) throw new LedgerError('NO_LEADER', 'none');
          told.push(delta);
          return { applied: true };
        },
      },
      reconcilers: {
        run: async (name) => {
          if (over.away === true) throw new ReconcilerError('NOT_LEADER', 'n2 leads');
          told.push(name);
          const startedAt = starts.shift() ?? 0;
          return { name, startedAt, finishedAt: startedAt, processed: 1, parked: 0, pending: 0 };
        },
      },
    });
    return { told, adjustments };
  }

  it('a loss is told at once, a gain with the next read (R16)', async () => {
    const { told, adjustments } = parts({ startedAt: [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER] });
    await adjustments.adjust(found);
    await adjustments.adjust({ ...found, kind: 'restock', delta: 4 });
    expect(told).toEqual(['recorded', -2, 'inbound', 'recorded', 'inbound']);
  });

  it('a read that was under way already is not taken for one that has it', async () => {
    const { told, adjustments } = parts({ startedAt: [0, Number.MAX_SAFE_INTEGER] });
    await adjustments.adjust({ ...found, delta: 4 });
    expect(told).toEqual(['recorded', 'inbound', 'inbound']);
  });

  it('is made all the same where nobody leads, or another node does', async () => {
    const { told, adjustments } = parts({ away: true });
    expect(await adjustments.adjust(found)).toMatchObject({ kind: 'adjusted' });
    expect(told).toEqual(['recorded']);
  });
});
