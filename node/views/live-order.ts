import { byTimeThenId, foldOrder, type FoldedOrder } from '../orders/fold.ts';
import type { RecordedEvent } from '../orders/events.ts';
import type { OrderState } from '../orders/order.ts';

/** Where the table's indexes list an order; or facts whose registration is not known here (yet). */
export type Listing =
  | {
      readonly kind: 'order';
      readonly state: OrderState;
      readonly createdAt: number;
      readonly open: boolean;
      readonly parked: boolean;
    }
  | { readonly kind: 'orphan'; readonly at: number };

/** One order in memory: its events, and their fold, made when asked for. */
export class LiveOrder {
  readonly id: string;
  /** Where the table lists it; undefined when it does not. */
  listed: Listing | undefined;
  /** Has events that the table lacks. */
  dirty = false;
  /** The state it was last counted under. */
  counted: OrderState | undefined;
  /** Its row is damaged and being derived again: until that is done it does not say what it is. */
  healing: Promise<void> | undefined;
  /** It began in memory, and nobody has looked yet whether the table has a row of it. */
  isUnread = false;

  readonly #events = new Map<string, RecordedEvent>();
  /** Own events taken in ahead of the journal: not known to be on the disk. */
  readonly #ahead = new Set<string>();
  #folded: FoldedOrder | undefined;
  #stale = false;

  constructor(id: string, stored: readonly RecordedEvent[]) {
    this.id = id;
    for (const event of stored) this.#events.set(event.id, event);
    this.#stale = stored.length > 0;
    this.listed = listingOf(this.folded, stored);
  }

  /** Takes in an event from the journal. False when it was there already. */
  add(event: RecordedEvent): boolean {
    const confirmed = this.#ahead.delete(event.id);
    if (confirmed) this.dirty = true;
    if (this.#events.has(event.id)) return false;
    this.#events.set(event.id, event);
    this.#stale = true;
    this.dirty = true;
    return true;
  }

  /** Takes in what its row has. Everything else came after. */
  absorb(stored: LiveOrder): void {
    for (const event of stored.events) this.#events.set(event.id, event);
    this.listed = stored.listed;
    this.#stale = true;
  }

  /** Takes in an own event that is on its way to the disk. False when it was there already. */
  addAhead(event: RecordedEvent): boolean {
    if (this.#events.has(event.id)) return false;
    this.#events.set(event.id, event);
    this.#ahead.add(event.id);
    this.#stale = true;
    return true;
  }

  get folded(): FoldedOrder | undefined {
    if (this.healing !== undefined) return undefined;
    if (this.#stale) {
      this.#folded = foldOrder(this.#events.values());
      this.#stale = false;
    }
    return this.#folded;
  }

  get events(): readonly RecordedEvent[] {
    return [...this.#events.values()].toSorted(byTimeThenId);
  }

  /** What it is judged by when old orders are forgotten; undefined while that cannot be told. */
  get age(): number | undefined {
    if (this.healing !== undefined) return undefined;
    const listing = listingOf(this.folded, this.#events.values());
    return listing?.kind === 'order' ? listing.createdAt : listing?.at;
  }

  /**
   * What came under this name after the order that it stands for: an idempotency key that was used again once that order
   * was forgotten. Undefined when there is none. A registration from before that order's last fact is not one, but
   * another attempt to register the same.
   */
  get successor(): LiveOrder | undefined {
    const registration = this.folded?.order.registration;
    if (registration === undefined) return undefined;
    const ofRegistrations = (ids: ReadonlySet<string>): RecordedEvent[] =>
      [...this.#events.values()].filter((event) => ids.has(event.registration ?? event.id));
    const lastAt = Math.max(...ofRegistrations(new Set([registration])).map(({ at }) => at));
    const later = [...this.#events.values()].filter(({ type, at }) => type === 'registered' && at > lastAt);
    if (later.length === 0) return undefined;
    const successor = new LiveOrder(this.id, []);
    for (const event of ofRegistrations(new Set(later.map(({ id }) => id)))) {
      if (this.#ahead.has(event.id)) successor.addAhead(event);
      else successor.add(event);
    }
    return successor;
  }

  /** What the table may keep: only events that the journal has on the disk. */
  durable(): { readonly events: readonly RecordedEvent[]; readonly listing: Listing | undefined } {
    const all = [...this.#events.values()];
    if (this.#ahead.size === 0) return { events: all, listing: listingOf(this.folded, all) };
    const events = all.filter((event) => !this.#ahead.has(event.id));
    return { events, listing: listingOf(foldOrder(events), events) };
  }

  /** Nothing of it is missing here. */
  get isReadable(): boolean {
    return this.healing === undefined && !this.isUnread;
  }

  /** The table has it as it is. */
  get settled(): boolean {
    return !this.dirty && this.#ahead.size === 0 && this.isReadable;
  }
}

function listingOf(folded: FoldedOrder | undefined, events: Iterable<RecordedEvent>): Listing | undefined {
  if (folded !== undefined) {
    const { state, createdAt } = folded.order;
    const { open, parked } = folded;
    return { kind: 'order', state, createdAt, open, parked: parked !== undefined };
  }
  let at = -Infinity;
  for (const event of events) at = Math.max(at, event.at);
  return at === -Infinity ? undefined : { kind: 'orphan', at };
}
