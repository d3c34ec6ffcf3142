import { expect, it } from 'vitest';
import type { InventorySnapshot } from '../../node/ports/system-of-record.ts';
import { Inbound } from '../../node/reconcilers/inbound.ts';
import { createLedger } from '../../store/ledger/ledger.ts';
import type { Ledger, SaleRules, StockSync } from '../../store/ledger/port.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';
import { product, realEnvironment } from './support/fixtures.ts';

function realLedger(): Ledger {
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

/** A node's inbound reconciler whose read is given and whose command arrives when the test says so. */
function node(ledger: Ledger) {
  let snapshot: InventorySnapshot = { takenAt: 0, products: [], applied: [] };
  const sent: StockSync[] = [];
  let arrives: Promise<void> = Promise.resolve();
  const inbound = new Inbound({
    environment: realEnvironment(),
    sor: { readInventory: async () => snapshot },
    ledger: {
      ...ledger,
      sync: async (sync) => {
        sent.push(sync);
        await arrives;
        return ledger.sync(sync);
      },
    },
  });
  return {
    sent,
    run: (
      takenAt: number,
      units: Readonly<Record<string, number>>,
      applied: readonly string[] = [],
      rules: SaleRules = {},
    ) => {
      const products = Object.entries(units).map(([sku, onHand]) => ({ ...product(sku, onHand), ...rules }));
      snapshot = { takenAt, products, applied };
      return inbound.run();
    },
    delay: () => {
      const gate = Promise.withResolvers<void>();
      arrives = gate.promise;
      return gate.resolve;
    },
  };
}

async function sell(ledger: Ledger, orderId: string, sku: string, quantity: number): Promise<void> {
  const order = { orderId, createdAt: 0 };
  await ledger.hold({ ...order, fingerprint: 'f', lines: [{ sku, quantity }], ttlMs: 1_000 });
  await ledger.commit(order);
}

it('sends all rows first, then those that changed and those that sell', async () => {
  const ledger = realLedger();
  const { run, sent } = node(ledger);
  await run(1, { A: 5, B: 5, C: 5 });
  await sell(ledger, 'o1', 'C', 1);
  await run(2, { A: 5, B: 7, C: 5 });
  await run(3, { B: 7, C: 4, D: 1 }, ['o1', 'of another shop']);
  expect(sent.map((sync) => sync.products.map(({ sku }) => sku))).toEqual([
    ['A', 'B', 'C'],
    ['B', 'C'],
    ['C', 'D'],
  ]);
  expect(sent[2]).toMatchObject({ removed: ['A'], applied: ['o1'] });
  expect(ledger.stock('C')).toMatchObject({ onHand: 4, sold: 0, available: 4 });
});

it('sends a product whose rules of sale changed, or went', async () => {
  const ledger = realLedger();
  const n1 = node(ledger);
  await n1.run(1, { A: 5 });
  for (const [index, rules] of [{ holdMs: 60_000 }, { holdMs: 60_000, maxPerOrder: 2 }, {}].entries()) {
    await n1.run(2 + index, { A: 5 }, [], rules);
    const { holdMs, maxPerOrder } = ledger.stock('A') ?? {};
    expect({ holdMs, maxPerOrder }).toEqual({ holdMs: undefined, maxPerOrder: undefined, ...rules });
  }
});

it('stays exact when an older read of another node arrives between its read and its command', async () => {
  const ledger = realLedger();
  const here = node(ledger);
  const there = node(ledger);
  await here.run(1, { A: 8 });
  // There: the shop has put two units in.
  const arriveThere = there.delay();
  const late = there.run(2, { A: 10 });
  await sell(ledger, 'o1', 'A', 2);
  // Here: the sale is in the books, so the figure is what it was.
  const arriveHere = here.delay();
  const newest = here.run(3, { A: 8 }, ['o1']);
  await Promise.resolve();
  arriveThere();
  await late;
  arriveHere();
  await newest;
  expect(ledger.stock('A')).toMatchObject({ onHand: 8, sold: 0, available: 8 });
});

it('sends everything again after another node has synced', async () => {
  const ledger = realLedger();
  const here = node(ledger);
  await here.run(1, { A: 5, B: 5 });
  await node(ledger).run(2, { A: 9, B: 5 });
  await here.run(3, { A: 5, B: 5 });
  expect(here.sent[1]?.products).toHaveLength(2);
  expect(ledger.stock('A')?.onHand).toBe(5);
});

it('keeps a correction that the shop has entered too', async () => {
  const ledger = realLedger();
  const { run } = node(ledger);
  await run(1, { A: 10 });
  await ledger.adjust({ id: 'count', sku: 'A', delta: -2 });
  await run(2, { A: 8 });
  expect(ledger.stock('A')?.available).toBe(8);
});

it('reports what is promised beyond what there is, and takes nothing back', async () => {
  const ledger = realLedger();
  const { run } = node(ledger);
  await run(1, { A: 5, B: 5 });
  await sell(ledger, 'o1', 'A', 4);
  expect((await run(2, { A: 1, B: 5 })).shortfalls).toEqual([{ sku: 'A', missing: 3 }]);
  expect(ledger.stock('A')).toMatchObject({ sold: 4, available: -3 });
  expect((await run(3, { A: 4, B: 5 })).shortfalls).toEqual([]);
});

it('does not empty the shop because the catalogue is empty', async () => {
  const ledger = realLedger();
  const { run } = node(ledger);
  await expect(run(1, {})).resolves.toMatchObject({ processed: 0 });
  await run(2, { A: 5 });
  await expect(run(3, {})).rejects.toThrow('empty');
  expect(ledger.stock('A')?.available).toBe(5);
});

it('counts a read that was overtaken as done', async () => {
  const ledger = realLedger();
  const here = node(ledger);
  await node(ledger).run(5, { A: 3 });
  await here.run(4, { A: 9 });
  expect(ledger.stock('A')?.onHand).toBe(3);
});

it('leaves out a row that nothing can be sold by, says why, and takes in the others', async () => {
  const ledger = realLedger();
  const { run } = node(ledger);
  await run(1, { A: 5, B: 5 });
  await sell(ledger, 'o1', 'A', 2);
  const long = 'L'.repeat(65);
  const { processed, rejected } = await run(2, { 'A ': 1, [long]: 1, '': 1, B: 7, C: 0.5, D: 3 }, ['o1']);
  expect(processed).toBe(2);
  expect(rejected.map(({ sku, reason }) => [sku, reason.split(':')[0]])).toEqual([
    ['A ', 'INVALID_SKU'],
    [long, 'SKU_TOO_LONG'],
    ['', 'INVALID_SKU'],
    ['C', 'INVALID_ON_HAND'],
  ]);
  expect(ledger.stock('B')).toMatchObject({ onHand: 7 });
  expect(ledger.stock('D')).toMatchObject({ onHand: 3 });
  expect(ledger.stock('C')).toBeUndefined();
});

it('stops selling a product whose row went bad, for its figure is not known any more', async () => {
  const ledger = realLedger();
  const { run } = node(ledger);
  await run(1, { A: 5, B: 5 });
  await sell(ledger, 'o1', 'A', 2);
  // The sale is applied, and the figure that contains it cannot be read: 5 would be too many.
  await run(2, { A: Number.NaN, B: 5 }, ['o1']);
  expect(ledger.stock('A')).toBeUndefined();
  await run(3, { A: 3, B: 5 });
  expect(ledger.stock('A')).toMatchObject({ onHand: 3, sold: 0, available: 3 });
});
