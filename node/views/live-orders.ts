import type { ParkedDelivery } from '../orders/fold.ts';
import type { OrderState } from '../orders/order.ts';
import type { LiveOrder } from './live-order.ts';
import { STATES } from './table-layout.ts';

/**
 * The orders in memory, which of them are open, and how many there are in each state, in memory or not. Owns what
 * stays in memory; does not own rows.
 *
 * M1  An order that is open, or that the table does not have as it is, stays. Of the others, the `cacheOrdersMax`
 *     latest do.
 */
export class LiveOrders {
  readonly open = new Set<string>();
  /** Orders whose outcome the system of record refuses, in memory or not. */
  readonly parked = new Map<string, ParkedDelivery>();
  readonly #cacheOrdersMax: number;
  readonly #orders = new Map<string, LiveOrder>();
  #counts = new Map<OrderState, number>(STATES.map((state) => [state, 0]));

  constructor(options: { readonly cacheOrdersMax: number }) {
    this.#cacheOrdersMax = options.cacheOrdersMax;
  }

  get(id: string): LiveOrder | undefined {
    return this.#orders.get(id);
  }

  has(id: string): boolean {
    return this.#orders.has(id);
  }

  all(): Iterable<LiveOrder> {
    return this.#orders.values();
  }

  remember(live: LiveOrder): LiveOrder {
    this.#orders.set(live.id, live);
    return live;
  }

  /** `stored` is the row of what began in memory. */
  absorb(live: LiveOrder, stored: LiveOrder): void {
    live.absorb(stored);
    if (stored.counted === undefined) return;
    // The row is counted already.
    if (live.counted === undefined) live.counted = stored.counted;
    else this.count(stored.counted, -1);
  }

  /** How many orders there are in each state. */
  get counts(): ReadonlyMap<OrderState, number> {
    return this.#counts;
  }

  count(state: OrderState, change: number): void {
    this.#counts.set(state, (this.#counts.get(state) ?? 0) + change);
  }

  /** Starts again from what the table lists; what memory knows better is put on top. */
  recount(listed: ReadonlyMap<OrderState, number>): void {
    this.#counts = new Map(STATES.map((state) => [state, listed.get(state) ?? 0]));
    for (const live of this.#orders.values()) {
      if (live.listed?.kind === 'order') this.count(live.listed.state, -1);
      if (live.counted !== undefined) this.count(live.counted, 1);
    }
  }

  /** Its events have changed: counts it and opens or closes it. */
  refresh(live: LiveOrder): void {
    const folded = live.folded;
    const state = folded?.order.state;
    if (state !== live.counted) {
      if (live.counted !== undefined) this.count(live.counted, -1);
      if (state !== undefined) this.count(state, 1);
      live.counted = state;
    }
    if (folded?.parked !== undefined) this.parked.set(live.id, folded.parked);
    else if (live.healing === undefined) this.parked.delete(live.id);
    if (folded?.open === true) this.open.add(live.id);
    else if (live.healing === undefined) this.open.delete(live.id);
  }

  /** It is no order of this node any more. */
  drop(live: LiveOrder): void {
    if (live.counted !== undefined) this.count(live.counted, -1);
    live.counted = undefined;
    this.open.delete(live.id);
    this.parked.delete(live.id);
    if (this.#orders.get(live.id) === live) this.#orders.delete(live.id);
  }

  /** M1. Oldest in memory first. */
  evict(): void {
    let excess = this.#orders.size - this.open.size - this.#cacheOrdersMax;
    for (const [id, live] of this.#orders) {
      if (excess <= 0) return;
      if (this.open.has(id) || !live.settled) continue;
      this.#orders.delete(id);
      excess -= 1;
    }
  }
}
