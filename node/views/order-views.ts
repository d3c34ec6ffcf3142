import type { RecordedEvent } from '../orders/events.ts';
import type { FoldedOrder, ParkedDelivery } from '../orders/fold.ts';
import type { Order, OrderState } from '../orders/order.ts';
import type { OutcomeRecord } from '../ports/system-of-record.ts';
import { invariant, type Environment } from '../../store/environment.ts';
import { JournalError, type Entry, type Journal, type Position } from '../../store/journal/port.ts';
import type { Table } from '../../store/tables.ts';
import { Applied } from './applied.ts';
import { decodeEntry } from './codec.ts';
import { Forgetting } from './forgetting.ts';
import { Healing } from './healing.ts';
import type { LiveOrder } from './live-order.ts';
import { OrderShelf } from './order-shelf.ts';
import { OrderTable } from './order-table.ts';
import { TableCheck } from './table-check.ts';
import {
  CLOSED,
  createdAtOfAge,
  openPrefix,
  orderIdOfAge,
  OUTCOMES,
  parkedPrefix,
  statePrefix,
  STATES,
  timePrefix,
} from './table-layout.ts';

/**
 * Orders as this node knows them: the journal folded into one record per order, with indexes to list them.
 * Owns nothing that the journal could not give again; the table is a cache that survives restarts. Here the journal is
 * followed and questions are answered; what is in memory and what in the table is the shelf's (order-shelf.ts).
 *
 * V1  Every journal entry up to the checkpoint is in the table, or about an order that is forgotten (V5): both are
 *     written in one batch.
 * V2  The table holds no event that the journal does not have on the disk: its place could be given to another
 *     event after a crash.
 * V3  An order that is open (O4), or that the table does not have as it is, stays in memory.
 *     Beyond these, no more than `cacheOrdersMax` do, whatever is asked for; orders nobody has heard of never do.
 * V4  Applying an entry again changes nothing (O1), so a replay may start anywhere before its end.
 * V5  An order that was created before the horizon is not here: it is not read, listed, counted or driven, whatever
 *     arrives about it and in whatever state it was known. Its rows go in the background. Facts without a
 *     registration are judged by the latest of them. An order that came later under the same name is another one, and
 *     stays.
 * V6  A damaged row is not taken for an order that is not there: it is derived again from the journal, and until then
 *     those who ask for the order wait (healing.ts, table-check.ts).
 */

export interface OrderViewsOptions {
  /** Longest time a change stays in memory only; 200 by default. */
  readonly flushEveryMs?: number;
  /** Orders kept in memory for quick answers beyond those V3 demands; 10,000 by default. */
  readonly cacheOrdersMax?: number;
}

export interface OrderViewsDependencies {
  readonly environment: Environment;
  readonly journal: Pick<Journal, 'subscribe' | 'read' | 'vector' | 'bases' | 'horizon' | 'onHorizon'>;
  readonly table: Table;
  readonly observer?: ViewsObserver;
}

/** Hears what happens inside, for metrics. Must not throw. */
export interface ViewsObserver {
  /** So many orders were forgotten (V5). */
  forgotten(orders: number): void;
}

/** Told after each change to an order that stands, with its fold. Must not throw. */
export type ChangeListener = (orderId: string, folded: FoldedOrder) => void;

export interface ListQuery {
  readonly state?: OrderState;
  readonly after?: string;
  readonly limit: number;
}

/** An order that is open, or that the system of record is not known to have. */
export interface Unclosed {
  readonly orderId: string;
  readonly createdAt: number;
}

const PAGE = 1_000;

export class OrderViews {
  readonly #flushEveryMs: number;
  readonly #environment: Environment;
  readonly #journal: OrderViewsDependencies['journal'];
  readonly #table: OrderTable;

  readonly #shelf: OrderShelf;
  readonly #applied = new Applied();
  readonly #healing: Healing;
  readonly #forgetting: Forgetting;
  readonly #listeners = new Set<ChangeListener>();
  #inbox: Entry[] = [];
  #applying: Promise<void> | undefined;
  #cancelTimer: () => void = () => undefined;
  #unsubscribe: () => void = () => undefined;
  #closed = false;

  constructor(options: OrderViewsOptions, dependencies: OrderViewsDependencies) {
    const { environment, journal, observer } = dependencies;
    const applied = this.#applied;
    this.#flushEveryMs = options.flushEveryMs ?? 200;
    this.#environment = environment;
    this.#journal = journal;
    const table = new OrderTable({ table: dependencies.table }, () => check.begin());
    const shelf = new OrderShelf(
      { cacheOrdersMax: options.cacheOrdersMax ?? 10_000 },
      {
        table,
        applied,
        takenIn: () => this.#takenIn(),
        derive: (orderId) => this.#healing.eventsOf(orderId),
        healed: (orderId, as) => check.healed(orderId, as),
        changed: (live) => this.#tell(live),
        forgotten: () => observer?.forgotten(1),
      },
    );
    const check = new TableCheck({ shelf, table, applied, readJournal: () => this.#healing.checkAll() });
    this.#table = table;
    this.#shelf = shelf;
    this.#forgetting = new Forgetting({ environment, shelf, table });
    this.#healing = new Healing({
      environment,
      journal,
      decode: decodeEntry,
      check: (events) => check.look(events),
      checked: () => check.finish(),
      healed: () => shelf.recount(),
    });
  }

  /** Loads what is open, replays the journal from the checkpoint on, then follows it. */
  async start(): Promise<void> {
    this.#applied.restore(await this.#table.checkpoint());
    this.forget(this.#journal.horizon());
    this.#applied.jump(this.#journal.bases());
    await this.#loadListings();

    // First listen, then replay up to what was there: the overlap is harmless (V4), a gap would not be.
    const unsubscribe = this.#journal.subscribe((entries) => this.#receive(entries));
    const unsubscribeHorizon = this.#journal.onHorizon((horizon) => {
      this.#applied.jump(this.#journal.bases());
      this.forget(horizon);
    });
    // And what was given up while the listings were loaded.
    this.#applied.jump(this.#journal.bases());
    this.forget(this.#journal.horizon());
    this.#unsubscribe = () => {
      unsubscribe();
      unsubscribeHorizon();
    };
    for (const [origin, last] of Object.entries(this.#journal.vector())) {
      for (let from = this.#applied.of(origin) + 1; from <= last;) {
        const entries = await this.#readFrom(origin, from);
        if (entries.length === 0) break;
        this.#receive(entries);
        await this.flush();
        from = (entries.at(-1)?.sequence ?? from) + 1;
      }
    }
    this.#scheduleFlush();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe();
    this.#forgetting.stop();
    this.#healing.stop();
    this.#cancelTimer();
    await this.flush();
    this.#cancelTimer();
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async get(orderId: string): Promise<FoldedOrder | undefined> {
    return (await this.#shelf.loadWhole([orderId]))[0]?.folded;
  }

  /** What is in memory: every order that is open, and some that are not. */
  peek(orderId: string): FoldedOrder | undefined {
    return this.#shelf.peek(orderId)?.folded;
  }

  /** Sorted by time, then id. Undefined when no such order stands. */
  async events(orderId: string): Promise<readonly RecordedEvent[] | undefined> {
    const [live] = await this.#shelf.loadWhole([orderId]);
    return live?.folded === undefined ? undefined : live.events;
  }

  /** Whether this entry of the journal has been folded in, with all before it; one of a forgotten order has. */
  async hasTakenIn({ origin, sequence }: Position): Promise<boolean> {
    await this.#takenIn();
    return this.#applied.of(origin) >= sequence;
  }

  /**
   * Takes an own event in at once; it will be met again on its way through the journal (V4). Only then is it
   * seen when its order has left the memory meanwhile: an order with this event alone would replace the table's.
   */
  record(event: RecordedEvent): void {
    const known = this.#shelf.peek(event.orderId);
    if (known === undefined && event.type !== 'registered') return;
    const live = known ?? this.#shelf.begin(event.orderId);
    if (live.addAhead(event)) this.#shelf.changed(live);
  }

  /** Orders that somebody has to drive (O4). */
  open(): ReadonlySet<string> {
    return this.#shelf.open;
  }

  counts(): ReadonlyMap<OrderState, number> {
    return this.#shelf.counts;
  }

  /** Ended orders that the system of record does not have, as far as this node knows. */
  pendingCount(): number {
    return OUTCOMES.reduce((sum, outcome) => sum + (this.counts().get(outcome) ?? 0), 0);
  }

  /** The oldest of them by creation, at most `limit`, without those in `except`. */
  async pending(limit: number, except: ReadonlySet<string>): Promise<readonly OutcomeRecord[]> {
    await this.flush();
    const ages: string[] = [];
    for (const outcome of OUTCOMES) {
      let found = 0;
      for await (const age of this.#table.ages(statePrefix(outcome), 'oldest first')) {
        if (except.has(orderIdOfAge(age))) continue;
        ages.push(age);
        found += 1;
        if (found === limit) break;
      }
    }
    const orders = await this.#shelf.load(ages.toSorted().slice(0, limit).map(orderIdOfAge));
    return orders.flatMap((live) => outcomeOf(live) ?? []);
  }

  /** Undefined when the order has not ended, or needs no delivery any more. */
  async pendingOne(orderId: string): Promise<OutcomeRecord | undefined> {
    const [live] = await this.#shelf.loadWhole([orderId]);
    return live === undefined ? undefined : outcomeOf(live);
  }

  /** Orders whose outcome the system of record refuses, as far as this node knows. */
  parked(): ReadonlyMap<string, ParkedDelivery> {
    return this.#shelf.parked;
  }

  /** Orders whose outcome was discarded, oldest first. */
  async discarded(): Promise<readonly string[]> {
    await this.flush();
    const orderIds: string[] = [];
    for await (const age of this.#table.ages(statePrefix('discarded'), 'oldest first')) {
      orderIds.push(orderIdOfAge(age));
    }
    return orderIds;
  }

  /** Newest first. `after` is the `next` of the page before. */
  async page(query: ListQuery): Promise<{ readonly orders: readonly FoldedOrder[]; readonly next?: string }> {
    await this.flush();
    const ages: string[] = [];
    const prefix = query.state === undefined ? timePrefix() : statePrefix(query.state);
    for await (const age of this.#table.ages(prefix, 'newest first', query.after)) {
      ages.push(age);
      if (ages.length > query.limit) break;
    }
    const page = ages.slice(0, query.limit);
    const orders = (await this.#shelf.loadWhole(page.map(orderIdOfAge))).flatMap((live) => live.folded ?? []);
    const last = page.at(-1);
    return ages.length > page.length && last !== undefined ? { orders, next: last } : { orders };
  }

  /** The same, without what is known of an order beyond itself. */
  async list(query: ListQuery): Promise<{ readonly orders: readonly Order[]; readonly next?: string }> {
    const page = await this.page(query);
    return { ...page, orders: page.orders.map(({ order }) => order) };
  }

  // What retention asks.

  /** V5, from here on: every order created before `horizon` (ms) has ended, at whatever node. Never goes back. */
  forget(horizon: number): void {
    if (horizon <= this.#shelf.horizon) return;
    const open = this.#shelf.forget(horizon);
    if (open > 0) {
      const before = new Date(horizon).toISOString();
      this.#environment.log.warn(
        { orders: open, before },
        'orders that were open here ended elsewhere long ago',
      );
    }
    this.#forgetting.start();
  }

  /**
   * The oldest order that is not closed, with all that the journal has told by now. One whose registration is not settled
   * counts by the earliest that may be it: it may be older than it seems, and even lie behind the horizon.
   */
  async oldestUnclosed(): Promise<Unclosed | undefined> {
    await this.flush();
    const prefixes = [openPrefix(), ...STATES.filter((state) => !CLOSED.includes(state)).map(statePrefix)];
    const oldest = await Promise.all(
      prefixes.map((prefix) => this.#table.oldest(prefix, this.#shelf.horizon)),
    );
    const [age] = oldest.filter((found) => found !== undefined).toSorted();
    let found =
      age === undefined ? undefined : { orderId: orderIdOfAge(age), createdAt: createdAtOfAge(age) };
    // All of these are open, so they are in memory (V3).
    for (const orderId of this.#shelf.open) {
      const createdAt = this.peek(orderId)?.mayDateFrom;
      if (createdAt !== undefined && createdAt < (found?.createdAt ?? Infinity))
        found = { orderId, createdAt };
    }
    return found;
  }

  /** No damage is known that is not healed yet (V6): what was read is all there is. */
  isWhole(): boolean {
    return this.#shelf.unwell === 0 && !this.#healing.isAtWork;
  }

  /** Which of `orderIds` are here, as orders or as facts without one. A row that is damaged counts as one. */
  async kept(orderIds: readonly string[]): Promise<ReadonlySet<string>> {
    const { there, damaged } = await this.#table.look(orderIds);
    for (const orderId of damaged) this.#shelf.mend(orderId);
    const kept = new Set(there);
    for (const orderId of orderIds) if (this.#shelf.peek(orderId) !== undefined) kept.add(orderId);
    return kept;
  }

  /** The last entry of `origin` that is in the table together with all before it. */
  flushedUpTo(origin: string): number {
    return this.#applied.flushed(origin);
  }

  /** Applies what was received and writes what changed, with the checkpoint (V1, V2). */
  async flush(): Promise<void> {
    await this.#shelf.flush();
  }

  async #readFrom(origin: string, from: number): Promise<readonly Entry[]> {
    for (let next = from; ;) {
      next = Math.max(next, (this.#journal.bases()[origin]?.sequence ?? 0) + 1);
      try {
        return await this.#journal.read(origin, next, PAGE);
      } catch (error) {
        if (!(error instanceof JournalError) || error.code !== 'COMPACTED') throw error;
      }
    }
  }

  #receive(entries: readonly Entry[]): void {
    this.#inbox.push(...entries);
    this.#applying ??= this.#applyAll().finally(() => {
      this.#applying = undefined;
    });
  }

  async #applyAll(): Promise<void> {
    while (this.#inbox.length > 0) {
      const entries = this.#inbox;
      this.#inbox = [];
      const events = entries.map(decodeEntry);
      const orders = await this.#shelf.load(events.map((event) => event.orderId));
      const touched = new Set<LiveOrder>();
      for (const [index, event] of events.entries()) {
        const entry = entries[index];
        const loaded = orders[index];
        invariant(entry !== undefined && loaded !== undefined, 'an event has an entry and an order');
        const live = this.#shelf.keep(loaded);
        if (live.add(event)) touched.add(live);
        this.#applied.add(entry);
      }
      for (const live of touched) this.#shelf.changed(live);
    }
  }

  /** Until nothing that was received is left to be applied. */
  async #takenIn(): Promise<void> {
    while (this.#applying !== undefined) await this.#applying;
  }

  #tell({ id, folded }: LiveOrder): void {
    if (folded === undefined) return;
    for (const listener of this.#listeners) listener(id, folded);
  }

  async #loadListings(): Promise<void> {
    await this.#shelf.recount();
    const open: string[] = [];
    for await (const age of this.#table.ages(openPrefix(), 'oldest first')) {
      if (createdAtOfAge(age) >= this.#shelf.horizon) open.push(orderIdOfAge(age));
    }
    await this.#shelf.loadOpen(open);
    for await (const page of this.#table.pages(parkedPrefix(), 'oldest first')) {
      await this.#shelf.loadParked(page.map(orderIdOfAge));
    }
  }

  #scheduleFlush(): void {
    if (this.#closed) return;
    this.#cancelTimer = this.#environment.clock.after(this.#flushEveryMs, () => {
      void this.flush().then(
        () => this.#scheduleFlush(),
        (error: unknown) => this.#environment.fatal(error as Error),
      );
    });
  }
}

function outcomeOf(live: LiveOrder): OutcomeRecord | undefined {
  const order = live.folded?.order;
  if (order?.outcome === undefined || CLOSED.includes(order.state)) return undefined;
  return { order, outcome: order.outcome, revision: 1, events: live.events };
}
