import type { RecordedEvent } from '../orders/events.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import type { Order, OrderState, Outcome } from '../orders/order.ts';
import type { OutcomeRecord } from '../ports/system-of-record.ts';
import { invariant, type Environment } from '../../store/environment.ts';
import type { Entry, Journal } from '../../store/journal/port.ts';
import type { Table } from '../../store/tables.ts';
import { decodeEntry, decodeJson, encodeJson } from './codec.ts';
import { LiveOrder } from './live-orders.ts';
import {
  CHECKPOINT_KEY,
  openPrefix,
  orderIdOfAge,
  orderKey,
  statePrefix,
  timePrefix,
  within,
  writesOf,
} from './table-layout.ts';

/**
 * Orders as this node knows them: the journal folded into one record per order, with indexes to list them.
 * Owns nothing that the journal could not give again; the table is a cache that survives restarts.
 *
 * V1  Every journal entry up to the checkpoint is in the table: both are written in one batch.
 * V2  The table holds no event that the journal does not have on the disk: its place could be given to another
 *     event after a crash.
 * V3  An order that is open (O4), or that the table does not have as it is, stays in memory.
 *     Beyond these, no more than `cacheOrdersMax` do, whatever is asked for; orders nobody has heard of never do.
 * V4  Applying an entry again changes nothing (O1), so a replay may start anywhere before its end.
 */

export interface OrderViewsOptions {
  /** Longest time a change stays in memory only; 200 by default. */
  readonly flushEveryMs?: number;
  /** Orders kept in memory for quick answers beyond those V3 demands; 10,000 by default. */
  readonly cacheOrdersMax?: number;
}

export interface OrderViewsDependencies {
  readonly environment: Environment;
  readonly journal: Pick<Journal, 'subscribe' | 'read' | 'vector'>;
  readonly table: Table;
}

/** Told after each change to an order that stands, with its fold. Must not throw. */
export type ChangeListener = (orderId: string, folded: FoldedOrder) => void;

const PAGE = 1_000;
const OUTCOMES: readonly Outcome[] = ['fulfilled', 'refunded', 'failed', 'cancelled'];
const STATES: readonly OrderState[] = ['registered', 'paid', 'reserved', ...OUTCOMES, 'synced'];

export class OrderViews {
  readonly #flushEveryMs: number;
  readonly #cacheOrdersMax: number;
  readonly #environment: Environment;
  readonly #journal: OrderViewsDependencies['journal'];
  readonly #table: Table;

  readonly #live = new Map<string, LiveOrder>();
  readonly #open = new Set<string>();
  readonly #counts = new Map<OrderState, number>(STATES.map((state) => [state, 0]));
  readonly #listeners = new Set<ChangeListener>();
  /** Per order: thousands may wait at once, and a change concerns only those who wait for that order. */
  readonly #waiters = new Map<string, Set<(folded: FoldedOrder) => void>>();
  /** Per origin, the last entry applied together with all before it. */
  readonly #applied = new Map<string, number>();
  /** Per origin, what was applied beyond that. */
  readonly #ahead = new Map<string, Set<number>>();
  #inbox: Entry[] = [];
  #applying: Promise<void> | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #cancelTimer: () => void = () => undefined;
  #unsubscribe: () => void = () => undefined;

  constructor(options: OrderViewsOptions, dependencies: OrderViewsDependencies) {
    this.#flushEveryMs = options.flushEveryMs ?? 200;
    this.#cacheOrdersMax = options.cacheOrdersMax ?? 10_000;
    this.#environment = dependencies.environment;
    this.#journal = dependencies.journal;
    this.#table = dependencies.table;
  }

  /** Loads what is open, replays the journal from the checkpoint on, then follows it. */
  async start(): Promise<void> {
    const checkpoint = await this.#table.get(CHECKPOINT_KEY);
    const contained = checkpoint === undefined ? {} : (decodeJson(checkpoint) as Record<string, number>);
    for (const [origin, sequence] of Object.entries(contained)) this.#applied.set(origin, sequence);
    await this.#loadListings();

    // First listen, then replay up to what was there: the overlap is harmless (V4), a gap would not be.
    this.#unsubscribe = this.#journal.subscribe((entries) => this.#receive(entries));
    for (const [origin, last] of Object.entries(this.#journal.vector())) {
      for (let from = (contained[origin] ?? 0) + 1; from <= last;) {
        const entries = await this.#journal.read(origin, from, PAGE);
        if (entries.length === 0) break;
        this.#receive(entries);
        await this.flush();
        from += entries.length;
      }
    }
    this.#scheduleFlush();
  }

  async close(): Promise<void> {
    this.#unsubscribe();
    this.#cancelTimer();
    await this.flush();
    this.#cancelTimer();
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async get(orderId: string): Promise<FoldedOrder | undefined> {
    return (await this.#load([orderId]))[0]?.folded;
  }

  /** What is in memory: every order that is open, and some that are not. */
  peek(orderId: string): FoldedOrder | undefined {
    return this.#live.get(orderId)?.folded;
  }

  /** Sorted by time, then id. Undefined when no such order stands. */
  async events(orderId: string): Promise<readonly RecordedEvent[] | undefined> {
    const [live] = await this.#load([orderId]);
    return live?.folded === undefined ? undefined : live.events;
  }

  /**
   * Takes an own event in at once; it will be met again on its way through the journal (V4). Only then is it
   * seen when its order has left the memory meanwhile: an order with this event alone would replace the table's.
   */
  record(event: RecordedEvent): void {
    const known = this.#live.get(event.orderId);
    if (known === undefined && event.type !== 'registered') return;
    const live = known ?? this.#remember(new LiveOrder(event.orderId, []));
    if (live.addAhead(event)) this.#changed(live);
  }

  /** Orders that somebody has to drive (O4). */
  open(): ReadonlySet<string> {
    return this.#open;
  }

  counts(): ReadonlyMap<OrderState, number> {
    return this.#counts;
  }

  /** Ended orders that the system of record does not have, as far as this node knows. */
  pendingCount(): number {
    return OUTCOMES.reduce((sum, outcome) => sum + (this.#counts.get(outcome) ?? 0), 0);
  }

  /** The oldest of them by creation, at most `limit`, without those in `except`. */
  async pending(limit: number, except: ReadonlySet<string>): Promise<readonly OutcomeRecord[]> {
    await this.flush();
    const ages: string[] = [];
    for (const outcome of OUTCOMES) {
      let found = 0;
      for await (const age of this.#ages(statePrefix(outcome), 'oldest first')) {
        if (except.has(orderIdOfAge(age))) continue;
        ages.push(age);
        found += 1;
        if (found === limit) break;
      }
    }
    const orders = await this.#load(ages.toSorted().slice(0, limit).map(orderIdOfAge));
    return orders.flatMap((live): OutcomeRecord[] => {
      const order = live.folded?.order;
      if (order?.outcome === undefined || order.state === 'synced') return [];
      return [{ order, outcome: order.outcome, revision: 1, events: live.events }];
    });
  }

  /** Newest first. `after` is the `next` of the page before. */
  async list(query: {
    readonly state?: OrderState;
    readonly after?: string;
    readonly limit: number;
  }): Promise<{ readonly orders: readonly Order[]; readonly next?: string }> {
    await this.flush();
    const ages: string[] = [];
    const prefix = query.state === undefined ? timePrefix() : statePrefix(query.state);
    for await (const age of this.#ages(prefix, 'newest first', query.after)) {
      ages.push(age);
      if (ages.length > query.limit) break;
    }
    const page = ages.slice(0, query.limit);
    const orders = (await this.#load(page.map(orderIdOfAge))).flatMap((live) => live.folded?.order ?? []);
    const last = page.at(-1);
    return ages.length > page.length && last !== undefined ? { orders, next: last } : { orders };
  }

  /** Resolves with the order once `when` holds for it, or as it is when the time is over. */
  async waitUntil(
    orderId: string,
    when: (folded: FoldedOrder) => boolean,
    timeoutMs: number,
  ): Promise<FoldedOrder | undefined> {
    const now = await this.get(orderId);
    if (timeoutMs <= 0 || (now !== undefined && when(now))) return now;
    return new Promise((resolve) => {
      const waiters = this.#waiters.get(orderId) ?? new Set();
      const done = (folded: FoldedOrder | undefined): void => {
        stopTimer();
        waiters.delete(look);
        if (waiters.size === 0) this.#waiters.delete(orderId);
        resolve(folded);
      };
      const look = (folded: FoldedOrder): void => {
        if (when(folded)) done(folded);
      };
      const stopTimer = this.#environment.clock.after(timeoutMs, () => done(this.peek(orderId) ?? now));
      this.#waiters.set(orderId, waiters.add(look));
    });
  }

  /** Applies what was received and writes what changed, with the checkpoint (V1, V2). */
  async flush(): Promise<void> {
    this.#flushing = this.#flushing.then(async () => {
      while (this.#applying !== undefined) await this.#applying;
      const dirty = [...this.#live.values()].filter((live) => live.dirty);
      if (dirty.length === 0) {
        this.#evict();
        return;
      }
      const operations = dirty.flatMap((live) => {
        const { events, listing } = live.durable();
        const writes = writesOf(live.id, events, live.listed, listing);
        live.dirty = false;
        live.listed = listing;
        return writes;
      });
      const checkpoint = encodeJson(Object.fromEntries(this.#applied));
      await this.#table.write([...operations, { kind: 'put', key: CHECKPOINT_KEY, value: checkpoint }]);
      this.#evict();
    });
    await this.#flushing;
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
      const orders = await this.#load(events.map((event) => event.orderId));
      const touched = new Set<LiveOrder>();
      for (const [index, event] of events.entries()) {
        const entry = entries[index];
        const loaded = orders[index];
        invariant(entry !== undefined && loaded !== undefined, 'an event has an entry and an order');
        // An order may have been evicted since it was loaded; what is in memory, if anything is, is the newer.
        const live = this.#live.get(event.orderId) ?? this.#remember(loaded);
        if (live.add(event)) touched.add(live);
        this.#advance(entry);
      }
      for (const live of touched) this.#changed(live);
    }
  }

  /** The checkpoint covers what was applied without a gap: while the journal is replayed, new entries come ahead. */
  #advance({ origin, sequence }: Entry): void {
    let applied = this.#applied.get(origin) ?? 0;
    if (sequence <= applied) return;
    const ahead = this.#ahead.get(origin) ?? new Set();
    ahead.add(sequence);
    while (ahead.delete(applied + 1)) applied += 1;
    this.#applied.set(origin, applied);
    this.#ahead.set(origin, ahead);
  }

  #changed(live: LiveOrder): void {
    const folded = live.folded;
    const state = folded?.order.state;
    if (state !== live.counted) {
      if (live.counted !== undefined) this.#count(live.counted, -1);
      if (state !== undefined) this.#count(state, 1);
      live.counted = state;
    }
    if (folded?.open === true) this.#open.add(live.id);
    else this.#open.delete(live.id);
    if (folded === undefined) return;
    for (const listener of this.#listeners) listener(live.id, folded);
    for (const look of this.#waiters.get(live.id) ?? []) look(folded);
  }

  /** In the order asked for; orders nobody has heard of come as empty. */
  async #load(orderIds: readonly string[]): Promise<readonly LiveOrder[]> {
    const missing = [...new Set(orderIds)].filter((id) => !this.#live.has(id));
    if (missing.length > 0) {
      const rows = await this.#table.getMany(missing.map(orderKey));
      for (const [index, id] of missing.entries()) {
        const row = rows[index];
        // Another load may have been quicker, and events may have come since.
        if (row !== undefined && !this.#live.has(id)) this.#remember(this.#fromRow(id, row));
      }
    }
    return orderIds.map((id) => this.#live.get(id) ?? new LiveOrder(id, []));
  }

  #fromRow(orderId: string, row: Uint8Array): LiveOrder {
    const live = new LiveOrder(orderId, decodeJson(row) as RecordedEvent[]);
    live.counted = live.listed?.state;
    return live;
  }

  #remember(live: LiveOrder): LiveOrder {
    this.#live.set(live.id, live);
    return live;
  }

  #count(state: OrderState, change: number): void {
    this.#counts.set(state, (this.#counts.get(state) ?? 0) + change);
  }

  async #loadListings(): Promise<void> {
    for (const state of STATES) {
      for await (const _age of this.#ages(statePrefix(state), 'oldest first')) this.#count(state, 1);
    }
    for await (const age of this.#ages(openPrefix(), 'oldest first')) this.#open.add(orderIdOfAge(age));
    await this.#load([...this.#open]);
  }

  /** The ages listed under `prefix`; `after` excludes itself and what comes before it in this direction. */
  async *#ages(
    prefix: string,
    order: 'oldest first' | 'newest first',
    after?: string,
  ): AsyncGenerator<string> {
    let { from, to } = within(prefix);
    if (after !== undefined && order === 'newest first') to = prefix + after;
    for (;;) {
      const rows = await this.#table.range({ from, to, limit: PAGE, reverse: order === 'newest first' });
      for (const [key] of rows) yield key.slice(prefix.length);
      const last = rows.at(-1)?.[0];
      if (last === undefined || rows.length < PAGE) return;
      if (order === 'newest first') to = last;
      else from = `${last}\0`;
    }
  }

  /** V3. Oldest in memory first. */
  #evict(): void {
    let excess = this.#live.size - this.#open.size - this.#cacheOrdersMax;
    for (const [id, live] of this.#live) {
      if (excess <= 0) return;
      if (this.#open.has(id) || !live.settled) continue;
      this.#live.delete(id);
      excess -= 1;
    }
  }

  #scheduleFlush(): void {
    this.#cancelTimer = this.#environment.clock.after(this.#flushEveryMs, () => {
      void this.flush().then(
        () => this.#scheduleFlush(),
        (error: unknown) => this.#environment.fatal(error as Error),
      );
    });
  }
}
