import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Inbound } from '../../node/reconcilers/inbound.ts';
import { Outbound } from '../../node/reconcilers/outbound.ts';
import { createPostgres } from '../../node/reconcilers/postgres.ts';
import type { PostgresSystemOfRecord } from '../../node/reconcilers/postgres.ts';
import type { Random } from '../../store/environment.ts';
import { createLedger } from '../../store/ledger/ledger.ts';
import type { Ledger } from '../../store/ledger/port.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';
import { integerBetween, seededRandom } from '../support/random.ts';
import { CuttingProxy } from './support/cutting-proxy.ts';
import {
  databases,
  emptyDatabase,
  outcomeOf,
  product,
  realEnvironment,
  sql,
  unexplained,
} from './support/fixtures.ts';
import type { Database } from './support/fixtures.ts';
import { PendingList } from './support/pending-list.ts';

const skus = ['A', 'B', 'C'];
const opening = 40;
const steps = 60;

describe.each(databases)('inventory between the ledger and $name', ({ start }) => {
  let database: Database;
  beforeAll(async () => {
    database = await start();
  }, 60_000);
  afterAll(() => database.close());
  beforeEach(() => emptyDatabase(database.url));

  it.each([1, 2, 3, 4])(
    'is exact whatever the order of sales, restocks, deliveries, reads and cuts (seed %i)',
    async (seed) => {
      const world = await World.open(database.url, seededRandom(seed));
      for (let step = 0; step < steps; step += 1) {
        await world.step();
        await world.expectNeverOversold(step);
      }
      await world.drain();
      await world.expectExact();
      await world.close();
    },
    60_000,
  );
});

/** Two nodes that both believe to lead, one ledger, one database behind a bad line, and the shop's own work. */
class World {
  readonly #url: string;
  readonly #random: Random;
  readonly #proxy: CuttingProxy;
  readonly #sor: PostgresSystemOfRecord;
  readonly #ledger: Ledger;
  readonly #inbounds: readonly Inbound[];
  readonly #outbound: Outbound;
  readonly #restocked = new Map(skus.map((sku) => [sku, 0]));
  readonly #committed = new Map<string, Readonly<Record<string, number>>>();
  readonly #held = new Map<string, Readonly<Record<string, number>>>();
  readonly #pending = new PendingList(() => Date.now());
  #orders = 0;

  private constructor(url: string, random: Random, proxy: CuttingProxy, sor: PostgresSystemOfRecord) {
    this.#url = url;
    this.#random = random;
    this.#proxy = proxy;
    this.#sor = sor;
    const machine = createStockMachine();
    let at = 0;
    this.#ledger = createLedger(
      { commandTimeoutMs: 1_000 },
      {
        machine,
        environment: realEnvironment(),
        log: {
          submit: async (command) => machine.apply((at += 1), command),
          status: () => ({
            role: 'leader',
            term: 1,
            lastIndex: 0,
            commitIndex: 0,
            appliedIndex: 0,
            match: {},
          }),
          freshness: () => ({ linearizable: true, asOf: at }),
          onLeadership: () => () => undefined,
        },
      },
    );
    const environment = realEnvironment();
    const ledger: Ledger = {
      ...this.#ledger,
      // The command is on its way for a while, and may be overtaken.
      sync: async (sync) => {
        await this.#aWhile(40);
        return this.#ledger.sync(sync);
      },
    };
    this.#inbounds = [0, 1].map(() => new Inbound({ environment, sor, ledger }));
    this.#outbound = new Outbound(
      { parkedRetryMs: 0, parkedMax: 10, batchIntervalMs: 0 },
      {
        environment,
        sor,
        pending: this.#pending.port,
        mayContinue: () => true,
        exclusively: (work) => work(),
        onBatch: ({ parked }) => expect(parked).toBe(0),
      },
    );
  }

  static async open(url: string, random: Random): Promise<World> {
    const proxy = await CuttingProxy.start(url);
    const sor = createPostgres({ url: proxy.url }, { environment: realEnvironment() });
    await sor.migrate();
    await sor.fillCatalog(skus.map((sku) => product(sku, opening)));
    const world = new World(url, random, proxy, sor);
    await world.#inbounds[0]?.run();
    return world;
  }

  async close(): Promise<void> {
    await this.#sor.close();
    await this.#proxy.close();
  }

  async step(): Promise<void> {
    if (this.#chance(0.2)) await this.#restock();
    if (this.#chance(0.2)) await this.#shrink();
    if (this.#chance(0.4)) {
      this.#proxy.cutAt({
        at: integerBetween(this.#random, 1, 60),
        when: this.#chance(0.5) ? 'before' : 'after',
      });
    }
    const underWay = [
      ...this.#inbounds.filter(() => this.#chance(0.5)).map((inbound) => inbound.run()),
      ...(this.#chance(0.5) ? [this.#outbound.run(integerBetween(this.#random, 1, 5))] : []),
      ...(this.#chance(0.2) ? [this.#adjust()] : []),
      this.#sell(),
    ];
    await Promise.allSettled(underWay);
    this.#proxy.cutAt(undefined);
  }

  /** The ledger may know of fewer units than there are, never of more. */
  async expectNeverOversold(step: number): Promise<void> {
    const rows = await sql<{ sku: string; on_hand: number }>(this.#url, 'SELECT sku, on_hand FROM inventory');
    const applied = await this.#appliedOrders();
    for (const { sku, on_hand } of rows) {
      const notThere = [...this.#committed].filter(([orderId]) => !applied.has(orderId));
      const promised = [...notThere.map(([, units]) => units), ...this.#held.values()];
      const units = promised.reduce((sum, order) => sum + (order[sku] ?? 0), 0);
      expect(this.#ledger.stock(sku)?.available, `step ${step}, ${sku}`).toBeLessThanOrEqual(on_hand - units);
    }
    for (const { available, held, sold, onHand } of this.#ledger.stocks()) {
      expect(available + held + sold).toBe(onHand);
    }
    expect(this.#ledger.conservationResidual()).toBe(0);
    expect(await unexplained(this.#url), `step ${step}`).toEqual({});
  }

  async drain(): Promise<void> {
    for (const orderId of this.#held.keys()) await this.#commit(orderId);
    await this.#outbound.run(50);
    // The first read asks about what the ledger still counts as sold; nothing was sold since.
    await this.#inbounds[0]?.run();
  }

  async expectExact(): Promise<void> {
    const rows = await sql<{ sku: string; on_hand: number }>(this.#url, 'SELECT sku, on_hand FROM inventory');
    const lines = await sql<{ sku: string; units: number }>(
      this.#url,
      `SELECT sku, sum(quantity)::integer AS units FROM order_lines JOIN orders USING (order_id, revision)
        WHERE outcome = 'fulfilled' GROUP BY sku`,
    );
    const appliedSales = new Map(lines.map(({ sku, units }) => [sku, units]));
    for (const { sku, on_hand } of rows) {
      const sold = [...this.#committed.values()].reduce((sum, units) => sum + (units[sku] ?? 0), 0);
      expect(sold, 'the test must sell something').toBeGreaterThan(0);
      expect(appliedSales.get(sku), sku).toBe(sold);
      expect(opening + (this.#restocked.get(sku) ?? 0) - on_hand, sku).toBe(sold);
      expect(this.#ledger.stock(sku), sku).toMatchObject({
        sold: 0,
        held: 0,
        onHand: on_hand,
        available: on_hand,
      });
    }
    expect(this.#pending.outcomes).toEqual([]);
    expect(this.#ledger.unappliedSales()).toEqual([]);
  }

  async #sell(): Promise<void> {
    for (let count = integerBetween(this.#random, 1, 8); count > 0; count -= 1) {
      await this.#aWhile(10);
      const orderId = `order-${(this.#orders += 1)}`;
      const units = Object.fromEntries(
        skus.filter(() => this.#chance(0.5)).map((sku) => [sku, integerBetween(this.#random, 1, 3)]),
      );
      const lines = Object.entries(units).map(([sku, quantity]) => ({ sku, quantity }));
      if (lines.length === 0) continue;
      const { kind } = await this.#ledger.hold({
        orderId,
        createdAt: 0,
        fingerprint: 'f',
        lines,
        ttlMs: 1_000_000,
      });
      if (kind !== 'held') continue;
      this.#held.set(orderId, units);
      if (this.#chance(0.1)) continue;
      if (this.#chance(0.8)) {
        await this.#commit(orderId);
      } else {
        await this.#ledger.release({ orderId, createdAt: 0, reason: 'cancelled' });
        this.#held.delete(orderId);
        this.#pending.outcomes.push(outcomeOf(orderId, units, { outcome: 'cancelled' }));
      }
    }
  }

  async #commit(orderId: string): Promise<void> {
    const units = this.#held.get(orderId) ?? {};
    expect(await this.#ledger.commit({ orderId, createdAt: 0 })).toEqual({ kind: 'committed' });
    this.#held.delete(orderId);
    this.#committed.set(orderId, units);
    this.#pending.outcomes.push(outcomeOf(orderId, units));
  }

  async #restock(): Promise<void> {
    await this.#change(this.#anySku(), integerBetween(this.#random, 1, 15));
  }

  /** Units are found missing: taken out of the ledger at once, and then out of the books. */
  async #shrink(): Promise<void> {
    const sku = this.#anySku();
    const missing = integerBetween(this.#random, 1, 3);
    if ((this.#ledger.stock(sku)?.available ?? 0) < missing) return;
    await this.#ledger.adjust({ id: `missing-${this.#random()}`, sku, delta: -missing });
    await this.#change(sku, -missing);
  }

  /** Through the line that is cut, as often as it takes: it counts once. */
  async #adjust(): Promise<void> {
    const sku = this.#anySku();
    const delta = integerBetween(this.#random, 1, 9);
    const adjustment = { id: `adjust-${this.#random()}`, sku, delta, reason: 'delivery', by: 'ada' };
    for (;;) {
      const answer = await this.#sor.adjust({ ...adjustment, kind: 'restock' }).catch(() => undefined);
      if (answer === undefined) continue;
      expect(answer.kind).toBe('adjusted');
      break;
    }
    this.#restocked.set(sku, (this.#restocked.get(sku) ?? 0) + delta);
  }

  async #change(sku: string, units: number): Promise<void> {
    this.#restocked.set(sku, (this.#restocked.get(sku) ?? 0) + units);
    await sql(this.#url, 'UPDATE inventory SET on_hand = on_hand + $2 WHERE sku = $1', [sku, units]);
  }

  async #appliedOrders(): Promise<ReadonlySet<string>> {
    const rows = await sql<{ order_id: string }>(
      this.#url,
      `SELECT order_id FROM orders WHERE outcome = 'fulfilled'`,
    );
    return new Set(rows.map((row) => row.order_id));
  }

  #anySku(): string {
    return skus[integerBetween(this.#random, 0, skus.length - 1)] ?? 'A';
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  /** Some turns of the event loop, in which others get on with their work. */
  async #aWhile(turnsMax: number): Promise<void> {
    for (let turns = integerBetween(this.#random, 0, turnsMax); turns > 0; turns -= 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
