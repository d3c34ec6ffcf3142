import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SystemOfRecordUnavailable } from '../../node/ports/system-of-record.ts';
import { Inbound } from '../../node/reconcilers/inbound.ts';
import { createLedger } from '../../store/ledger/ledger.ts';
import type { Ledger, StockLine } from '../../store/ledger/port.ts';
import { createStockMachine } from '../../store/ledger/stock.ts';
import { testEnvironment } from '../support/environment.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { product } from './support/fixtures.ts';

/**
 * The reservation policy over random histories: the real stock machine and the real inbound reconciler against books
 * that are kept in the plainest way. Whatever comes when, for every SKU and after every step:
 *
 *   available + held + sold = onHand                                     in the ledger
 *   opening + restocked + adjusted − on hand = applied sales             in the system of record
 *   a hold is granted only out of what is available; one that is not over is kept, whatever the shop counts
 *   after a read that nothing overtook: the ledger's onHand is the books', and sold is what they do not have yet
 */
const skus = ['A', 'B'];
const orderIds = ['o1', 'o2', 'o3', 'o4', 'o5', 'o6'];
const opening = 6;

type Step =
  | {
      readonly do: 'hold';
      readonly orderId: string;
      readonly lines: readonly StockLine[];
      readonly ttlMs: number;
    }
  | { readonly do: 'commit' | 'cancel'; readonly orderId: string }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'adjust' | 'restock' | 'count'; readonly sku: string; readonly delta: number }
  | { readonly do: 'list'; readonly sku: string; readonly listed: boolean }
  | { readonly do: 'deliver' | 'read' | 'picture' | 'late picture' };

const sku = fc.constantFrom(...skus);
const orderId = fc.constantFrom(...orderIds);
const quantity = fc.integer({ min: 1, max: 4 });
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof<fc.WeightedArbitrary<Step>[]>(
    {
      arbitrary: fc.record({
        do: fc.constant('hold' as const),
        orderId,
        lines: fc.uniqueArray(fc.record({ sku, quantity }), {
          minLength: 1,
          maxLength: 2,
          selector: (line) => line.sku,
        }),
        ttlMs: fc.integer({ min: 1, max: 60 }),
      }),
      weight: 8,
    },
    {
      arbitrary: fc.record({ do: fc.constantFrom('commit' as const, 'cancel' as const), orderId }),
      weight: 8,
    },
    {
      arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 40 }) }),
      weight: 4,
    },
    {
      arbitrary: fc.record({
        do: fc.constantFrom('adjust' as const, 'count' as const),
        sku,
        delta: fc.integer({ min: -6, max: 6 }),
      }),
      weight: 4,
    },
    { arbitrary: fc.record({ do: fc.constant('restock' as const), sku, delta: quantity }), weight: 2 },
    { arbitrary: fc.record({ do: fc.constant('list' as const), sku, listed: fc.boolean() }), weight: 1 },
    {
      arbitrary: fc.record({
        do: fc.constantFrom('deliver' as const, 'picture' as const, 'late picture' as const),
      }),
      weight: 3,
    },
    { arbitrary: fc.record({ do: fc.constant('read' as const) }), weight: 4 },
  ),
  { minLength: 1, maxLength: 60, size: 'max' },
);

it('books and ledger agree after every step, and what is promised is kept', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (history) => {
      const shop = new Shop();
      await shop.perform({ do: 'read' });
      for (const step of history) {
        await shop.perform(step);
        shop.check();
      }
      await shop.recover();
      shop.check();
    }),
    { seed: 71, numRuns: 400 },
  );
});

interface Counted {
  onHand: number;
  adjusted: number;
  restocked: number;
  listed: boolean;
}

class Shop {
  readonly #clock = new VirtualClock();
  readonly #ledger: Ledger;
  readonly #inbound: Inbound;
  readonly #books = new Map<string, Counted>(
    skus.map((name) => [name, { onHand: opening, adjusted: 0, restocked: 0, listed: true }]),
  );
  /** What the ledger answered to the first hold. */
  readonly #holds = new Map<string, { readonly lines: readonly StockLine[]; readonly expiresAt: number }>();
  readonly #committed = new Map<string, readonly StockLine[]>();
  readonly #applied = new Set<string>();
  #at = 1_000;
  #pictures = 0;
  /** A read that was begun and has not arrived yet. */
  #picture: ReturnType<Shop['takePicture']> | undefined;
  /** What the inbound reconciler is given. */
  #arriving: ReturnType<Shop['takePicture']> | undefined;

  constructor() {
    const machine = createStockMachine();
    const environment = testEnvironment({ clock: this.#clock, random: () => 0.5 });
    this.#ledger = createLedger(
      { commandTimeoutMs: 1_000 },
      {
        machine,
        environment,
        log: {
          submit: async (command) => machine.apply(this.#at, command),
          status: () => ({
            role: 'leader',
            term: 1,
            lastIndex: 0,
            commitIndex: 0,
            appliedIndex: 0,
            match: {},
          }),
          freshness: () => ({ linearizable: true, asOf: this.#at }),
          onLeadership: () => () => undefined,
        },
      },
    );
    this.#inbound = new Inbound({
      environment,
      ledger: this.#ledger,
      sor: { readInventory: async () => this.#arriving ?? this.takePicture() },
    });
  }

  async perform(step: Step): Promise<void> {
    switch (step.do) {
      case 'hold':
        return this.#hold(step);
      case 'commit':
        return this.#commit(step.orderId);
      case 'cancel':
        await this.#ledger.release({ orderId: step.orderId, createdAt: 0, reason: 'cancelled' });
        if (!this.#committed.has(step.orderId)) this.#holds.delete(step.orderId);
        return;
      case 'wait':
        this.#at += step.ms;
        return;
      case 'adjust':
      case 'count':
      case 'restock':
        return this.#change(step.sku, step.do, step.delta);
      case 'list':
        this.#book(step.sku).listed = step.listed;
        return;
      case 'deliver':
        this.#deliver();
        return;
      case 'picture':
        this.#picture = this.takePicture();
        return;
      case 'late picture':
        return this.#arriveLate();
      case 'read':
        if (await this.#read(this.takePicture())) this.#checkRead();
    }
  }

  check(): void {
    for (const { available, held, sold, onHand } of this.#ledger.stocks()) {
      expect(available + held + sold).toBe(onHand);
      expect(Math.min(held, sold)).toBeGreaterThanOrEqual(0);
    }
    expect(this.#ledger.conservationResidual()).toBe(0);
    for (const [name, { onHand, adjusted, restocked }] of this.#books) {
      expect(opening + restocked + adjusted - onHand, name).toBe(
        this.#units(name, (id) => this.#applied.has(id)),
      );
      expect(onHand).toBeGreaterThanOrEqual(0);
    }
  }

  /** Stock comes in and everything is delivered: no SKU is short any more, and all sell. */
  async recover(): Promise<void> {
    for (const name of skus) {
      this.#book(name).listed = true;
      await this.#change(name, 'restock', 100);
    }
    this.#deliver();
    this.#at += 1_000;
    await this.perform({ do: 'read' });
    expect(this.#ledger.unappliedSales()).toEqual([]);
    for (const name of skus) {
      await this.#hold({ orderId: `last-${name}`, lines: [{ sku: name, quantity: 1 }], ttlMs: 1 });
      expect(this.#holds.has(`last-${name}`)).toBe(true);
    }
  }

  async #hold(asked: {
    readonly orderId: string;
    readonly lines: readonly StockLine[];
    readonly ttlMs: number;
  }) {
    const answer = await this.#ledger.hold({ ...asked, createdAt: 0, fingerprint: 'f' });
    if (answer.kind !== 'held' || this.#holds.has(asked.orderId)) return;
    this.#holds.set(asked.orderId, { lines: asked.lines, expiresAt: answer.expiresAt });
    for (const line of asked.lines) {
      expect(this.#ledger.stock(line.sku)?.available).toBeGreaterThanOrEqual(0);
    }
  }

  async #commit(id: string): Promise<void> {
    const hold = this.#holds.get(id);
    const { kind } = await this.#ledger.commit({ orderId: id, createdAt: 0 });
    if (hold === undefined) return expect(kind).not.toBe('committed');
    const isOver = hold.expiresAt <= this.#at && !this.#committed.has(id);
    expect(kind).toBe(isOver ? 'expired' : 'committed');
    if (kind === 'committed') this.#committed.set(id, hold.lines);
  }

  /** As `freehold stock adjust` does it, or by hand in the table. */
  async #change(name: string, how: 'adjust' | 'count' | 'restock', delta: number): Promise<void> {
    const book = this.#book(name);
    if (book.onHand + delta < 0) return;
    book.onHand += delta;
    if (how === 'restock') book.restocked += delta;
    else book.adjusted += delta;
    const id = `change-${(this.#pictures += 1)}`;
    if (how === 'adjust' && delta < 0) await this.#ledger.adjust({ id, sku: name, delta });
  }

  /** What the books cannot give stays parked. */
  #deliver(): void {
    for (const [id, lines] of this.#committed) {
      if (this.#applied.has(id) || lines.some((line) => this.#book(line.sku).onHand < line.quantity))
        continue;
      for (const line of lines) this.#book(line.sku).onHand -= line.quantity;
      this.#applied.add(id);
    }
  }

  takePicture() {
    return {
      takenAt: (this.#pictures += 1),
      products: [...this.#books]
        .filter(([, { listed }]) => listed)
        .map(([name, { onHand }]) => product(name, onHand)),
      applied: [...this.#applied],
    };
  }

  async #arriveLate(): Promise<void> {
    const picture = this.#picture;
    if (picture === undefined) return;
    this.#picture = undefined;
    const isOvertaken = picture.takenAt < this.#ledger.lastSyncAt();
    const before = this.#ledger.stocks();
    await this.#read(picture);
    if (isOvertaken) expect(this.#ledger.stocks()).toEqual(before);
  }

  async #read(picture: ReturnType<Shop['takePicture']>): Promise<boolean> {
    this.#arriving = picture;
    try {
      await this.#inbound.run();
      return true;
    } catch (error) {
      // An empty catalogue is not believed.
      expect(error).toBeInstanceOf(SystemOfRecordUnavailable);
      return false;
    }
  }

  #checkRead(): void {
    for (const [name, { onHand, listed }] of this.#books) {
      const level = this.#ledger.stock(name);
      if (level === undefined) expect(listed).toBe(false);
      else expect(level.onHand, name).toBe(listed ? onHand : 0);
      expect(level?.sold ?? 0, name).toBe(this.#units(name, (id) => !this.#applied.has(id)));
    }
  }

  #units(name: string, counts: (orderId: string) => boolean): number {
    return [...this.#committed]
      .filter(([id]) => counts(id))
      .flatMap(([, lines]) => lines)
      .reduce((sum, line) => sum + (line.sku === name ? line.quantity : 0), 0);
  }

  #book(name: string): Counted {
    const book = this.#books.get(name);
    if (book === undefined) throw new Error(`there is no ${name}`);
    return book;
  }
}
