import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Inbound } from '../../node/reconcilers/inbound.ts';
import { Outbound } from '../../node/reconcilers/outbound.ts';
import { createPostgres } from '../../node/reconcilers/postgres.ts';
import type { PostgresSystemOfRecord } from '../../node/reconcilers/postgres.ts';
import { createLedger } from '../../store/ledger/ledger.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';
import {
  databases,
  emptyDatabase,
  onHand,
  outcomeOf,
  product,
  realEnvironment,
  sql,
} from './support/fixtures.ts';
import type { Database } from './support/fixtures.ts';
import { PendingList } from './support/pending-list.ts';

/**
 * The process that delivers dies between any two of its steps, and another one finishes. What a cut of the line to the
 * database does, at every message, adapter.test.ts shows.
 */
class Death extends Error {}

/** Dies at the `step`-th step of those that it is asked to take, before or after it, and never does anything again. */
class Mortal {
  steps = 0;
  isDead = false;
  readonly #diesAt: number;

  constructor(diesAt: number) {
    this.#diesAt = diesAt;
  }

  readonly live = async <Result>(step: () => Promise<Result>): Promise<Result> => {
    this.#take();
    const result = await step();
    this.#take();
    return result;
  };

  #take(): void {
    this.steps += 1;
    if (this.isDead || this.steps === this.#diesAt) {
      this.isDead = true;
      throw new Death();
    }
  }
}

describe.each(databases)('a delivery to $name whose process dies between two steps', ({ start }) => {
  let database: Database;
  let sor: PostgresSystemOfRecord;
  beforeAll(async () => {
    database = await start();
  }, 60_000);
  afterAll(async () => {
    await sor.close();
    await database.close();
  });
  beforeEach(async () => {
    await emptyDatabase(database.url);
    sor = createPostgres({ url: database.url }, { environment: realEnvironment() });
    await sor.migrate();
    await sor.fillCatalog([product('A', 1_000), product('B', 1_000)]);
  });

  it('takes effect once, whichever two steps these are', async () => {
    const ledger = ledgerOf();
    const list = new PendingList(() => 1);
    const sold = { A: 0, B: 0 };
    let stepsOfAll = Infinity;
    for (let diesAt = 1; diesAt <= stepsOfAll; diesAt += 1) {
      for (const [name, units, outcome] of [
        ['sale', { A: 1, B: 2 }, 'fulfilled'],
        ['gone', { NOWHERE: 1 }, 'fulfilled'],
        ['back', { A: 1 }, 'refunded'],
        ['late', { B: 1 }, 'fulfilled'],
      ] as const) {
        const record = outcomeOf(`${name}-${diesAt}`, units, { outcome });
        list.outcomes.push(record);
        if (outcome !== 'fulfilled' || name === 'gone') continue;
        const reference = { orderId: record.order.id, createdAt: record.order.createdAt };
        await ledger.hold({ ...reference, fingerprint: 'f', lines: record.order.lines, ttlMs: 1_000_000 });
        await ledger.commit(reference);
      }
      sold.A += 1;
      sold.B += 3;

      const mortal = new Mortal(diesAt);
      await cycle(mortal, ledger, list).catch((error: unknown) => {
        if (!(error instanceof Death)) throw error;
      });
      if (!mortal.isDead) stepsOfAll = diesAt;

      // Another process goes on from what the journal and the ledger tell.
      await cycle(new Mortal(Infinity), ledger, list);
      expect(await onHand(database.url), `died at ${diesAt}`).toEqual({
        A: 1_000 - sold.A,
        B: 1_000 - sold.B,
      });
      for (const sku of ['A', 'B'] as const) {
        expect(ledger.stock(sku), `died at ${diesAt}`).toMatchObject({
          onHand: 1_000 - sold[sku],
          sold: 0,
          available: 1_000 - sold[sku],
        });
      }
      expect([...list.refusals.keys()]).toEqual([`gone-${diesAt}`]);
      expect(list.outcomes.map(({ order }) => order.id)).toEqual([`gone-${diesAt}`]);
      await list.port.discard(`gone-${diesAt}`, { reason: 'never listed', by: 'ada' });
    }
    expect(stepsOfAll).toBeGreaterThan(15);
    const [booked] = await sql(database.url, 'SELECT count(*)::integer AS n FROM orders');
    expect(booked).toEqual({ n: 3 * stepsOfAll });
  }, 60_000);

  it('counts a discarded sale as contained in the inventory, from the next read on', async () => {
    const ledger = ledgerOf();
    const list = new PendingList(() => 1);
    await cycle(new Mortal(Infinity), ledger, list);
    const record = outcomeOf('sale', { A: 4 });
    const reference = { orderId: 'sale', createdAt: record.order.createdAt };
    await ledger.hold({ ...reference, fingerprint: 'f', lines: record.order.lines, ttlMs: 1_000_000 });
    await ledger.commit(reference);
    await cycle(new Mortal(Infinity), ledger, list);
    expect(ledger.stock('A')).toMatchObject({ onHand: 1_000, sold: 4, available: 996 });
    // Somebody takes the units out by hand, and says so.
    await sql(database.url, `UPDATE inventory SET on_hand = on_hand - 4 WHERE sku = 'A'`);
    await list.port.discard('sale', { reason: 'entered by hand', by: 'ada' });
    await cycle(new Mortal(Infinity), ledger, list);
    expect(ledger.stock('A')).toMatchObject({ onHand: 996, sold: 0, available: 996 });
  });

  /** What one process does: reads, delivers in small batches, reads again. */
  async function cycle(
    mortal: Mortal,
    ledger: ReturnType<typeof ledgerOf>,
    list: PendingList,
  ): Promise<void> {
    const environment = realEnvironment();
    const { live } = mortal;
    const { port } = list;
    const inbound = new Inbound({
      environment,
      sor: { readInventory: (unapplied) => live(() => sor.readInventory(unapplied)) },
      ledger: { ...ledger, sync: (sync) => live(() => ledger.sync(sync)) },
      discarded: () => live(() => port.discarded()),
    });
    const outbound = new Outbound(
      { parkedRetryMs: 60_000, parkedMax: 1_000, batchIntervalMs: 0 },
      {
        environment,
        sor: { applyOutcomes: (outcomes) => live(() => sor.applyOutcomes(outcomes)) },
        pending: {
          ...port,
          next: (limit, except) => live(() => port.next(limit, except)),
          markSynced: (applied) => live(() => port.markSynced(applied)),
          markParked: (orderId, refusal) => live(() => port.markParked(orderId, refusal)),
        },
        mayContinue: () => !mortal.isDead,
        exclusively: (work) => work(),
        onBatch: () => undefined,
      },
    );
    await inbound.run();
    await outbound.run(2);
    await inbound.run();
  }
});

/** The real stock machine, decided by itself. */
function ledgerOf() {
  const machine = createStockMachine();
  let at = 0;
  return createLedger(
    { commandTimeoutMs: 1_000 },
    {
      machine,
      environment: realEnvironment(),
      log: {
        submit: async (command) => machine.apply((at += 1), command),
        status: () => ({ role: 'leader', term: 1, lastIndex: 0, commitIndex: 0, appliedIndex: 0, match: {} }),
        freshness: () => ({ linearizable: true, asOf: at }),
        onLeadership: () => () => undefined,
      },
    },
  );
}
