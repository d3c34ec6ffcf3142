import type { RecordedEvent } from '../orders/events.ts';
import type { ParkedDelivery } from '../orders/fold.ts';
import type { OrderState } from '../orders/order.ts';
import type { Applied } from './applied.ts';
import { LiveOrder } from './live-order.ts';
import { LiveOrders } from './live-orders.ts';
import type { OrderTable } from './order-table.ts';
import { deletesOf, deletesOfAny, listingsOfAny, writesOf, type TableOperation } from './table-layout.ts';

/**
 * Orders in memory and their rows in the table, kept as one. Owns which of the two an order is in, what is to be written
 * and when it may be, and what becomes of an order that is forgotten or whose row is damaged; does not own who asks, nor
 * where events come from. V1 to V6 of order-views.ts are kept here.
 */
export interface OrderShelfDependencies {
  readonly table: OrderTable;
  readonly applied: Applied;
  /** Resolves when all that was received of the journal is in memory. */
  readonly takenIn: () => Promise<void>;
  /** All that the journal has of an order whose row is damaged. */
  readonly derive: (orderId: string) => Promise<readonly RecordedEvent[]>;
  /** A row has been derived again, and this is what it turned out to be. */
  readonly healed: (orderId: string, as: Healed) => void;
  /** An order that stands has changed. */
  readonly changed: (live: LiveOrder) => void;
  /** An order that was counted is forgotten (V5). */
  readonly forgotten: () => void;
}

/** `unknown`: the journal has nothing of it, so the damage was in its key, and another order lacks its row. */
export type Healed = 'whole' | 'forgotten' | 'unknown';

export class OrderShelf {
  readonly #dependencies: OrderShelfDependencies;
  readonly #live: LiveOrders;
  /** Orders created before it are forgotten (V5). */
  #horizon = 0;
  /** What takes orders out of the table, or what it lists them by, for the next flush. */
  readonly #deletions = new Map<string, readonly TableOperation[]>();
  /** Orders that are being taken out of the table. */
  #leaving: ReadonlySet<string> = new Set();
  /** Batches written to the table: what was read before one may not be there any more. */
  #writes = 0;
  #unwell = 0;
  /** Orders that were let go. */
  #partings = 0;
  #working: Promise<void> = Promise.resolve();

  constructor(options: { readonly cacheOrdersMax: number }, dependencies: OrderShelfDependencies) {
    this.#live = new LiveOrders(options);
    this.#dependencies = dependencies;
  }

  get open(): ReadonlySet<string> {
    return this.#live.open;
  }

  /** Orders whose outcome the system of record refuses. */
  get parked(): ReadonlyMap<string, ParkedDelivery> {
    return this.#live.parked;
  }

  get counts(): ReadonlyMap<OrderState, number> {
    return this.#live.counts;
  }

  get horizon(): number {
    return this.#horizon;
  }

  /** Orders that are being healed. */
  get unwell(): number {
    return this.#unwell;
  }

  /** What is in memory. */
  peek(orderId: string): LiveOrder | undefined {
    return this.#live.get(orderId);
  }

  /** Neither in memory, nor about to be taken out of the table. */
  isInTableOnly(orderId: string): boolean {
    return !this.#live.has(orderId) && !this.#deletions.has(orderId);
  }

  /** It was loaded, or nobody has heard of it; it may have left the memory since, and what is there then is the newer. */
  keep(loaded: LiveOrder): LiveOrder {
    return this.#live.get(loaded.id) ?? this.#live.remember(loaded);
  }

  /** One that begins, for all that memory knows; what its row may have is read before anything is written in its place. */
  begin(orderId: string): LiveOrder {
    const live = new LiveOrder(orderId, []);
    live.isUnread = true;
    return this.#live.remember(live);
  }

  /** Its events are others now. */
  changed(live: LiveOrder): void {
    if (this.isForgotten(live)) {
      this.letGo(live);
      return;
    }
    this.#live.refresh(live);
    this.#dependencies.changed(live);
  }

  /** One that the table lists as open, by its own word. */
  async loadOpen(orderIds: readonly string[]): Promise<void> {
    for (const orderId of orderIds) this.#live.open.add(orderId);
    await this.load(orderIds);
  }

  async loadParked(orderIds: readonly string[]): Promise<void> {
    for (const live of await this.load(orderIds)) {
      const { folded, id } = live;
      if (folded?.parked !== undefined && !this.isForgotten(live)) this.#live.parked.set(id, folded.parked);
    }
  }

  /** In the order asked for; orders nobody has heard of, and forgotten ones, come as empty. */
  async load(orderIds: readonly string[]): Promise<readonly LiveOrder[]> {
    let missing = [...new Set(orderIds)].filter((id) => this.#isUnread(id));
    while (missing.length > 0) {
      const writes = this.#writes;
      const rows = await this.#dependencies.table.rows(missing);
      missing = missing.filter((id, index) => !this.#takeUp(id, rows[index], this.#writes === writes));
    }
    return orderIds.map((id) => this.#live.get(id) ?? new LiveOrder(id, []));
  }

  /** Like `load`, but those that are being healed are waited for (V6). */
  async loadWhole(orderIds: readonly string[]): Promise<readonly LiveOrder[]> {
    for (;;) {
      const orders = await this.load(orderIds);
      const healing = orders.flatMap((live) => live.healing ?? []);
      if (healing.length === 0) return orders;
      await Promise.all(healing);
    }
  }

  /** `isFresh`: nothing was written since `row` was asked for. False when the row has to be read again. */
  #takeUp(id: string, row: readonly RecordedEvent[] | 'damaged' | undefined, isFresh: boolean): boolean {
    // Another load may have been quicker, and events may have come since.
    if (!this.#isUnread(id)) return true;
    if (row === 'damaged') {
      this.#heal(id);
      return true;
    }
    if (!isFresh) return false;
    const live = this.#live.get(id);
    if (live !== undefined) live.isUnread = false;
    if (row === undefined) return true;
    const stored = storedOrder(id, row);
    const isLeaving = this.#deletions.has(id) || this.#leaving.has(id);
    if (live !== undefined) {
      if (isLeaving) return true;
      this.#live.absorb(live, stored);
      this.changed(live);
    } else if (!this.isForgotten(stored)) this.#live.remember(stored);
    // Now, and as what it is: whatever comes under its name replaces its row, and nobody would uncount it.
    else if (!isLeaving) this.letGo(stored);
    return true;
  }

  /** Its row, if there is one, has more of it than memory. */
  #isUnread(id: string): boolean {
    return this.#live.get(id)?.isUnread ?? true;
  }

  // Writing.

  /** One after the other: what reads the table to change it, and what writes to it. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#working.then(work);
    this.#working = done.then(() => undefined);
    // Whoever asked for the work hears of it; after it nothing is written any more, for what it took is lost.
    this.#working.catch(() => undefined);
    return done;
  }

  /** Applies what was received and writes what changed, with the checkpoint (V1, V2). */
  flush(): Promise<void> {
    return this.alone(() => this.write());
  }

  /** The same, for whoever is alone already. */
  async write(): Promise<void> {
    const { table, applied, takenIn } = this.#dependencies;
    await takenIn();
    await this.load([...this.#live.all()].flatMap(({ id, isUnread }) => (isUnread ? [id] : [])));
    const dirty = [...this.#live.all()].filter((live) => live.dirty && live.isReadable);
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
    if (this.#unwell === 0) applied.settle();
    if (operations.length > 0) {
      await table.write(operations, applied.settled);
      this.#writes += 1;
    }
    this.#leaving = new Set();
    applied.onFlushed();
    this.#live.evict();
  }

  /** Counts anew what the table lists and memory knows. */
  async recount(): Promise<void> {
    await this.alone(async () => {
      for (let partings = -1; partings !== this.#partings;) {
        partings = this.#partings;
        await this.write();
        const listed = await this.#dependencies.table.counts();
        // What went meanwhile was counted, and nobody would uncount it.
        if (partings === this.#partings) this.#live.recount(listed);
      }
    });
  }

  // Forgetting (V5).

  /** Of what is in memory; the rest is for Forgetting. Says how many of them were open. */
  forget(horizon: number): number {
    this.#horizon = horizon;
    let open = 0;
    for (const live of [...this.#live.all()]) {
      if (!this.isForgotten(live)) continue;
      if (this.#live.open.has(live.id)) open += 1;
      this.letGo(live);
    }
    return open;
  }

  isForgotten({ age }: LiveOrder): boolean {
    return age !== undefined && age < this.#horizon;
  }

  /** It goes; what came later under its name is an order of its own. */
  letGo(live: LiveOrder): void {
    const { successor } = live;
    this.#partings += 1;
    if (live.listed !== undefined) this.#deletions.set(live.id, deletesOf(live.id, live.listed));
    const wasCounted = live.counted !== undefined;
    this.#live.drop(live);
    if (wasCounted) this.#dependencies.forgotten();
    if (successor !== undefined) this.changed(this.#live.remember(successor));
  }

  /** Takes a row out that cannot be read, and what may list it. */
  takeOut(orderId: string, createdAt: number): void {
    this.#alsoDelete(orderId, deletesOfAny(orderId, [createdAt]));
  }

  /** Takes out what may list an order by what was thought of it before. */
  unlist(orderId: string, createdAt: number): void {
    this.#alsoDelete(orderId, listingsOfAny(orderId, [createdAt]));
  }

  #alsoDelete(orderId: string, operations: readonly TableOperation[]): void {
    this.#deletions.set(orderId, [...(this.#deletions.get(orderId) ?? []), ...operations]);
  }

  // Healing (V6).

  /** Its row was found to be damaged or missing. In memory it may be whole. */
  mend(orderId: string): void {
    const live = this.#live.get(orderId);
    if (live?.isReadable === true) this.#relist(live);
    else this.#heal(orderId);
  }

  /** Until it is derived again, the order is in memory and does not say what it is. */
  #heal(orderId: string): void {
    const live = this.#live.get(orderId) ?? this.#live.remember(new LiveOrder(orderId, []));
    if (live.healing !== undefined) return;
    live.isUnread = false;
    this.#unwell += 1;
    live.healing = this.#dependencies.derive(orderId).then((events) => {
      this.#unwell -= 1;
      live.healing = undefined;
      for (const event of events) live.add(event);
      this.#relist(live);
      this.#dependencies.healed(orderId, this.#healedAs(live));
    });
  }

  #healedAs(live: LiveOrder): Healed {
    if (live.events.length === 0) {
      this.#live.drop(live);
      return 'unknown';
    }
    const isForgotten = this.isForgotten(live);
    this.changed(live);
    return isForgotten ? 'forgotten' : 'whole';
  }

  /** To be written anew. What the table lists it by is not known, and has gone on if it changed: all that may be goes. */
  #relist(live: LiveOrder): void {
    live.listed = undefined;
    live.dirty = true;
    const ages = live.events.map(({ at }) => at);
    this.#alsoDelete(live.id, deletesOfAny(live.id, ages));
  }
}

/** An order as its row has it, counted as what that says. */
export function storedOrder(orderId: string, row: readonly RecordedEvent[]): LiveOrder {
  const live = new LiveOrder(orderId, row);
  live.counted = live.folded?.order.state;
  return live;
}
