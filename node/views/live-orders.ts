import { byTimeThenId, foldOrder, type FoldedOrder } from '../orders/fold.ts';
import type { RecordedEvent } from '../orders/events.ts';
import type { OrderState } from '../orders/order.ts';

/** Where the table's indexes list an order. */
export interface Listing {
  readonly state: OrderState;
  readonly createdAt: number;
  readonly open: boolean;
}

/** One order in memory: its events, and their fold, made when asked for. */
export class LiveOrder {
  readonly id: string;
  /** Where the table lists it; undefined when it does not. */
  listed: Listing | undefined;
  /** Has events that the table lacks. */
  dirty = false;
  /** The state it was last counted under. */
  counted: OrderState | undefined;

  readonly #events = new Map<string, RecordedEvent>();
  /** Own events taken in ahead of the journal: not known to be on the disk. */
  readonly #ahead = new Set<string>();
  #folded: FoldedOrder | undefined;
  #stale = false;

  constructor(id: string, stored: readonly RecordedEvent[]) {
    this.id = id;
    for (const event of stored) this.#events.set(event.id, event);
    this.#stale = stored.length > 0;
    this.listed = listingOf(this.folded);
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

  /** Takes in an own event that is on its way to the disk. False when it was there already. */
  addAhead(event: RecordedEvent): boolean {
    if (this.#events.has(event.id)) return false;
    this.#events.set(event.id, event);
    this.#ahead.add(event.id);
    this.#stale = true;
    return true;
  }

  get folded(): FoldedOrder | undefined {
    if (this.#stale) {
      this.#folded = foldOrder(this.#events.values());
      this.#stale = false;
    }
    return this.#folded;
  }

  get events(): readonly RecordedEvent[] {
    return [...this.#events.values()].toSorted(byTimeThenId);
  }

  /** What the table may keep: only events that the journal has on the disk. */
  durable(): { readonly events: readonly RecordedEvent[]; readonly listing: Listing | undefined } {
    if (this.#ahead.size === 0)
      return { events: [...this.#events.values()], listing: listingOf(this.folded) };
    const events = [...this.#events.values()].filter((event) => !this.#ahead.has(event.id));
    return { events, listing: listingOf(foldOrder(events)) };
  }

  get settled(): boolean {
    return !this.dirty && this.#ahead.size === 0;
  }
}

function listingOf(folded: FoldedOrder | undefined): Listing | undefined {
  if (folded === undefined) return undefined;
  const { state, createdAt } = folded.order;
  return { state, createdAt, open: folded.open };
}
