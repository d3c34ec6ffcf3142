import type { RecordedEvent } from '../orders/events.ts';
import type { FoldedOrder, ParkedDelivery } from '../orders/fold.ts';
import type { Order, OrderState } from '../orders/order.ts';
import type { OutcomeRecord } from '../ports/system-of-record.ts';
import { invariant, type Environment } from '../../store/environment.ts';
import { JournalError, type Entry, type Journal, type Position } from '../../store/journal/port.ts';
import type { Table } from '../../store/tables.ts';
import { Applied } from './applied.ts';
import { decodeEntry } from './codec.ts';
import { Healing } from './healing.ts';
import { LiveOrder } from './live-order.ts';
import { LiveOrders } from './live-orders.ts';
import { OrderTable } from './order-table.ts';
import {
  CLOSED,
  createdAtOfAge,
  deletesOf,
  deletesOfAny,
  keysOf,
  listingsOfAny,
  openPrefix,
  orderIdOfAge,
  orphanPrefix,
  OUTCOMES,
  parkedPrefix,
  statePrefix,
  STATES,
  timePrefix,
  writesOf,
  type TableOperation,
} from './table-layout.ts';

/**
 * Orders as this node knows them: the journal folded into one record per order, with indexes to list them.
 * Owns nothing that the journal could not give again; the table is a cache that survives restarts.
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
 *     those who ask for the order wait (healing.ts).
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
/** Orders forgotten at a time, between other work. */
const FORGOTTEN_PAGE = 200;
/** Orders healed at once; what a check finds beyond them, the next one finds. */
const UNWELL_MAX = 5_000;

export class OrderViews {
  readonly #flushEveryMs: number;
  readonly #environment: Environment;
  readonly #journal: OrderViewsDependencies['journal'];
  readonly #table: OrderTable;
  readonly #observer: ViewsObserver | undefined;

  readonly #live: LiveOrders;
  readonly #applied = new Applied();
  readonly #healing: Healing;
  readonly #listeners = new Set<ChangeListener>();
  /** Orders created before it are forgotten (V5). */
  #horizon = 0;
  /** What takes forgotten orders out of the table, for the next flush. */
  readonly #deletions = new Map<string, readonly TableOperation[]>();
  /** Orders that are being taken out of the table. */
  #leaving: ReadonlySet<string> = new Set();
  /** Batches written to the table: what was read before one may not be there any more. */
  #writes = 0;
  #forgetting = false;
  /** Rows went of which nobody knows any more what they were counted as. */
  #isMiscounted = false;
  /** Orders that are being healed. */
  #unwell = 0;
  /** Found without a row, or with a damaged one, and forgotten: a check shall not come back to them. */
  readonly #rightlyAbsent = new Set<string>();
  #inbox: Entry[] = [];
  #applying: Promise<void> | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #cancelTimer: () => void = () => undefined;
  #unsubscribe: () => void = () => undefined;
  #closed = false;

  constructor(options: OrderViewsOptions, dependencies: OrderViewsDependencies) {
    const { environment, journal, table, observer } = dependencies;
    this.#flushEveryMs = options.flushEveryMs ?? 200;
    this.#environment = environment;
    this.#journal = journal;
    this.#observer = observer;
    this.#live = new LiveOrders({ cacheOrdersMax: options.cacheOrdersMax ?? 10_000 });
    this.#table = new OrderTable({ table }, () => this.#checkAll());
    this.#healing = new Healing({
      environment,
      journal,
      decode: decodeEntry,
      check: (events) => this.#check(events),
      checked: () => this.#checked(),
      healed: () => this.#recount(),
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
    return (await this.#loadWhole([orderId]))[0]?.folded;
  }

  /** What is in memory: every order that is open, and some that are not. */
  peek(orderId: string): FoldedOrder | undefined {
    return this.#live.get(orderId)?.folded;
  }

  /** Sorted by time, then id. Undefined when no such order stands. */
  async events(orderId: string): Promise<readonly RecordedEvent[] | undefined> {
    const [live] = await this.#loadWhole([orderId]);
    return live?.folded === undefined ? undefined : live.events;
  }

  /** Whether this entry of the journal has been folded in, with all before it; one of a forgotten order has. */
  async hasTakenIn({ origin, sequence }: Position): Promise<boolean> {
    while (this.#applying !== undefined) await this.#applying;
    return this.#applied.of(origin) >= sequence;
  }

  /**
   * Takes an own event in at once; it will be met again on its way through the journal (V4). Only then is it
   * seen when its order has left the memory meanwhile: an order with this event alone would replace the table's.
   */
  record(event: RecordedEvent): void {
    const known = this.#live.get(event.orderId);
    if (known === undefined && event.type !== 'registered') return;
    const live = known ?? this.#live.remember(new LiveOrder(event.orderId, []));
    if (live.addAhead(event)) this.#changed(live);
  }

  /** Orders that somebody has to drive (O4). */
  open(): ReadonlySet<string> {
    return this.#live.open;
  }

  counts(): ReadonlyMap<OrderState, number> {
    return this.#live.counts;
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
    const orders = await this.#load(ages.toSorted().slice(0, limit).map(orderIdOfAge));
    return orders.flatMap((live) => outcomeOf(live) ?? []);
  }

  /** Undefined when the order has not ended, or needs no delivery any more. */
  async pendingOne(orderId: string): Promise<OutcomeRecord | undefined> {
    const [live] = await this.#loadWhole([orderId]);
    return live === undefined ? undefined : outcomeOf(live);
  }

  /** Orders whose outcome the system of record refuses, as far as this node knows. */
  parked(): ReadonlyMap<string, ParkedDelivery> {
    return this.#live.parked;
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
    const orders = (await this.#loadWhole(page.map(orderIdOfAge))).flatMap((live) => live.folded ?? []);
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
    if (horizon <= this.#horizon) return;
    this.#horizon = horizon;
    let open = 0;
    for (const live of [...this.#live.all()]) {
      if (!this.#isForgotten(live)) continue;
      if (this.#live.open.has(live.id)) open += 1;
      this.#letGo(live);
    }
    if (open > 0) {
      const before = new Date(horizon).toISOString();
      this.#environment.log.warn(
        { orders: open, before },
        'orders that were open here ended elsewhere long ago',
      );
    }
    this.#forgetRows();
  }

  /**
   * The oldest order that is not closed, with all that the journal has told by now. One whose registration is not settled
   * counts by the earliest that may be it: it may be older than it seems, and even lie behind the horizon.
   */
  async oldestUnclosed(): Promise<Unclosed | undefined> {
    await this.flush();
    const prefixes = [openPrefix(), ...STATES.filter((state) => !CLOSED.includes(state)).map(statePrefix)];
    const oldest = await Promise.all(prefixes.map((prefix) => this.#table.oldest(prefix, this.#horizon)));
    const [age] = oldest.filter((found) => found !== undefined).toSorted();
    let found =
      age === undefined ? undefined : { orderId: orderIdOfAge(age), createdAt: createdAtOfAge(age) };
    // All of these are open, so they are in memory (V3).
    for (const orderId of this.#live.open) {
      const createdAt = this.peek(orderId)?.mayDateFrom;
      if (createdAt !== undefined && createdAt < (found?.createdAt ?? Infinity))
        found = { orderId, createdAt };
    }
    return found;
  }

  /** No damage is known that is not healed yet (V6): what was read is all there is. */
  isWhole(): boolean {
    return this.#unwell === 0 && !this.#healing.isAtWork;
  }

  /** Which of `orderIds` are here, as orders or as facts without one. A row that is damaged counts as one. */
  async kept(orderIds: readonly string[]): Promise<ReadonlySet<string>> {
    const { there, damaged } = await this.#table.look(orderIds);
    for (const orderId of damaged) this.#heal(orderId);
    const kept = new Set(there);
    for (const orderId of orderIds) if (this.#live.has(orderId)) kept.add(orderId);
    return kept;
  }

  /** The last entry of `origin` that is in the table together with all before it. */
  flushedUpTo(origin: string): number {
    return this.#applied.flushed(origin);
  }

  /** Applies what was received and writes what changed, with the checkpoint (V1, V2). */
  async flush(): Promise<void> {
    await this.#alone(() => this.#flush());
  }

  /** One after the other: what reads the table to change it, and what writes to it. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#flushing.then(work);
    this.#flushing = done.then(() => undefined);
    // Whoever asked for the work hears of it; after it nothing is written any more, for what it took is lost.
    this.#flushing.catch(() => undefined);
    return done;
  }

  async #flush(): Promise<void> {
    while (this.#applying !== undefined) await this.#applying;
    const dirty = [...this.#live.all()].filter((live) => live.dirty && live.healing === undefined);
    const operations = [...this.#deletions.values()].flat();
    this.#leaving = new Set(this.#deletions.keys());
    this.#deletions.clear();
    for (const live of dirty) {
      const { events, listing } = live.durable();
      operations.push(...writesOf(live.id, events, live.listed, listing));
      live.dirty = false;
      live.listed = listing;
    }
    // While a row is being healed, what came for it is in memory only: the checkpoint waits.
    if (this.#unwell === 0) this.#applied.settle();
    if (operations.length > 0) {
      await this.#table.write(operations, this.#applied.settled);
      this.#writes += 1;
    }
    this.#leaving = new Set();
    this.#applied.onFlushed();
    this.#live.evict();
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
      const orders = await this.#load(events.map((event) => event.orderId));
      const touched = new Set<LiveOrder>();
      for (const [index, event] of events.entries()) {
        const entry = entries[index];
        const loaded = orders[index];
        invariant(entry !== undefined && loaded !== undefined, 'an event has an entry and an order');
        // An order may have been evicted since it was loaded; what is in memory, if anything is, is the newer.
        const live = this.#live.get(event.orderId) ?? this.#live.remember(loaded);
        if (live.add(event)) touched.add(live);
        this.#applied.add(entry);
      }
      for (const live of touched) {
        if (this.#isForgotten(live)) this.#letGo(live);
        else this.#changed(live);
      }
    }
  }

  #changed(live: LiveOrder): void {
    this.#live.refresh(live);
    const folded = live.folded;
    if (folded === undefined) return;
    for (const listener of this.#listeners) listener(live.id, folded);
  }

  /** Like `#load`, but those that are being healed are waited for (V6). */
  async #loadWhole(orderIds: readonly string[]): Promise<readonly LiveOrder[]> {
    for (;;) {
      const orders = await this.#load(orderIds);
      const healing = orders.flatMap((live) => live.healing ?? []);
      if (healing.length === 0) return orders;
      await Promise.all(healing);
    }
  }

  /** In the order asked for; orders nobody has heard of, and forgotten ones, come as empty. */
  async #load(orderIds: readonly string[]): Promise<readonly LiveOrder[]> {
    let missing = [...new Set(orderIds)].filter((id) => !this.#live.has(id));
    while (missing.length > 0) {
      const writes = this.#writes;
      const rows = await this.#table.rows(missing);
      missing = missing.filter((id, index) => !this.#takeUp(id, rows[index], this.#writes === writes));
    }
    return orderIds.map((id) => this.#live.get(id) ?? new LiveOrder(id, []));
  }

  /** `isFresh`: nothing was written since `row` was asked for. False when the row has to be read again. */
  #takeUp(id: string, row: readonly RecordedEvent[] | 'damaged' | undefined, isFresh: boolean): boolean {
    // Another load may have been quicker, and events may have come since.
    if (row === undefined || this.#live.has(id)) return true;
    if (row === 'damaged') {
      this.#heal(id);
      return true;
    }
    if (!isFresh) return false;
    const live = new LiveOrder(id, row);
    live.counted = live.folded?.order.state;
    if (!this.#isForgotten(live)) this.#live.remember(live);
    // Now, and as what it is: whatever comes under its name replaces its row, and nobody would uncount it.
    else if (!this.#deletions.has(id) && !this.#leaving.has(id)) this.#letGo(live);
    return true;
  }

  async #loadListings(): Promise<void> {
    await this.#recount();
    for await (const age of this.#table.ages(openPrefix(), 'oldest first')) {
      if (createdAtOfAge(age) >= this.#horizon) this.#live.open.add(orderIdOfAge(age));
    }
    await this.#load([...this.#live.open]);
    for await (const page of this.#table.pages(parkedPrefix(), 'oldest first')) {
      for (const live of await this.#load(page.map(orderIdOfAge))) {
        const { folded, id } = live;
        if (folded?.parked !== undefined && !this.#isForgotten(live))
          this.#live.parked.set(id, folded.parked);
      }
    }
  }

  // Forgetting (V5).

  #isForgotten({ age }: LiveOrder): boolean {
    return age !== undefined && age < this.#horizon;
  }

  #drop(live: LiveOrder): void {
    if (live.listed !== undefined) this.#deletions.set(live.id, deletesOf(live.id, live.listed));
    const wasCounted = live.counted !== undefined;
    this.#live.drop(live);
    if (wasCounted) this.#observer?.forgotten(1);
  }

  /** V5. It goes; what came later under its name is an order of its own. */
  #letGo(live: LiveOrder): void {
    const { successor } = live;
    this.#drop(live);
    if (successor === undefined) return;
    if (this.#isForgotten(successor)) {
      this.#letGo(successor);
      return;
    }
    this.#changed(this.#live.remember(successor));
  }

  #forgetRows(): void {
    if (this.#forgetting || this.#closed) return;
    this.#forgetting = true;
    const done = this.#forgetAllRows().finally(() => {
      this.#forgetting = false;
    });
    void done.catch((error: unknown) => this.#environment.fatal(error as Error));
  }

  async #forgetAllRows(): Promise<void> {
    for (let horizon = -1; horizon < this.#horizon;) {
      horizon = this.#horizon;
      for (const prefix of [timePrefix(), orphanPrefix()]) {
        while ((await this.#alone(() => this.#forgetPage(prefix))) && !this.#closed);
      }
    }
    if (!this.#isMiscounted || this.#closed) return;
    this.#isMiscounted = false;
    await this.#recount();
  }

  /** False when nothing was left to forget. */
  async #forgetPage(prefix: string): Promise<boolean> {
    await this.#flush();
    const ages = await this.#table.agesBefore(prefix, this.#horizon, FORGOTTEN_PAGE);
    if (ages.length === 0) return false;
    const rows = await this.#table.rows(ages.map(orderIdOfAge));
    for (const [index, age] of ages.entries()) {
      const orderId = orderIdOfAge(age);
      const row = rows[index];
      if (!this.#live.has(orderId) && !this.#deletions.has(orderId)) {
        const readable = row !== undefined && row !== 'damaged';
        const stored = new LiveOrder(orderId, readable ? row : []);
        stored.counted = stored.folded?.order.state;
        if (!readable) {
          this.#deletions.set(orderId, deletesOfAny(orderId, [createdAtOfAge(age)]));
          this.#isMiscounted = true;
        } else if (this.#isForgotten(stored)) this.#letGo(stored);
      }
      // In any case: it may be listed by what was thought of it before.
      const stray = listingsOfAny(orderId, [createdAtOfAge(age)]);
      this.#deletions.set(orderId, [...(this.#deletions.get(orderId) ?? []), ...stray]);
    }
    await this.#flush();
    return true;
  }

  // Healing (V6).

  #heal(orderId: string): void {
    const live = this.#live.remember(new LiveOrder(orderId, []));
    this.#unwell += 1;
    live.healing = this.#healing.eventsOf(orderId).then((events) => {
      this.#unwell -= 1;
      live.healing = undefined;
      for (const event of events) live.add(event);
      this.#relist(live);
      if (live.events.length === 0) {
        this.#live.drop(live);
        // The journal knows no such order: the damage is in the key, and another order lacks its row.
        this.#checkAll();
      } else if (this.#isForgotten(live)) {
        this.#letGo(live);
        this.#rightlyAbsent.add(orderId);
      } else this.#changed(live);
    });
  }

  /** To be written anew. What the table lists it by is not known, and has gone on if it changed: all that may be goes. */
  #relist(live: LiveOrder): void {
    live.listed = undefined;
    live.dirty = true;
    const ages = live.events.map(({ at }) => at);
    this.#deletions.set(live.id, [...(this.#deletions.get(live.id) ?? []), ...deletesOfAny(live.id, ages)]);
  }

  #checkAll(): void {
    this.#rightlyAbsent.clear();
    this.#healing.checkAll();
  }

  /** Finds orders that the table lacks, or does not list as it should, among those that `events` are about. */
  async #check(events: readonly RecordedEvent[]): Promise<void> {
    if (this.#unwell >= UNWELL_MAX) {
      this.#healing.checkAll();
      return;
    }
    await this.flush();
    const ids = [...new Set(events.map(({ orderId }) => orderId))];
    const rows = await this.#table.rows(ids);
    const orders = ids.map((id, index) => {
      const row = rows[index];
      const stored = row === undefined || row === 'damaged' ? undefined : new LiveOrder(id, row);
      return { id, stored, keys: keysOf(id, stored?.listed) };
    });
    const present = await this.#table.present(orders.flatMap(({ keys }) => keys));
    for (const { id, stored, keys } of orders) {
      if (stored !== undefined && this.#isForgotten(stored)) {
        // What should have listed it for its removal may be what is damaged.
        await this.#load([id]);
        continue;
      }
      if (stored !== undefined && keys.every((key) => present.has(key))) continue;
      const live = this.#live.get(id);
      if (live === undefined) {
        if (!this.#rightlyAbsent.has(id)) this.#heal(id);
      } else if (live.healing === undefined) this.#relist(live);
    }
  }

  async #checked(): Promise<void> {
    await this.#recount();
    await this.#table.clearDamage();
    await this.#table.write([], this.#applied.settled);
  }

  async #recount(): Promise<void> {
    await this.#alone(async () => {
      await this.#flush();
      this.#live.recount(await this.#table.counts());
    });
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
