import type { Cancel } from '../../../store/environment.ts';

/**
 * The time of the simulated world: a queue of what happens next. Everything that happens in a run happens here, one
 * after another, so a run is a function of its seed.
 *
 * 1. Between two happenings all promises settle, as between two turns of a real event loop. An unhandled rejection is
 *    therefore reported before the next happening.
 * 2. What is due at one instant happens in the order in which it was asked for.
 */
interface Happening {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

export class Scheduler {
  #now = 0;
  #order = 0;
  #happened = 0;
  /** A binary heap: no happening comes before its parent, at half its place. */
  readonly #heap: Happening[] = [];

  /** ms since the world began. */
  get now(): number {
    return this.#now;
  }

  get happened(): number {
    return this.#happened;
  }

  after(delayMs: number, run: () => void): Cancel {
    const happening: Happening = { at: this.#now + Math.max(0, delayMs), order: this.#order++, run };
    this.#push(happening);
    return () => {
      happening.run = undefined;
    };
  }

  /** Lets time pass up to `untilMs`, or until `isOver` says so; it is asked after each happening. */
  async run(untilMs: number, isOver: () => boolean): Promise<void> {
    await settle();
    while (!isOver()) {
      const next = this.#heap[0];
      if (next === undefined || next.at > untilMs) break;
      this.#pop();
      if (next.run === undefined) continue;
      this.#now = next.at;
      this.#happened += 1;
      next.run();
      await settle();
    }
    if (!isOver()) this.#now = Math.max(this.#now, untilMs);
  }

  #push(happening: Happening): void {
    const heap = this.#heap;
    let place = heap.length;
    heap.push(happening);
    while (place > 0) {
      const parent = (place - 1) >>> 1;
      const above = heap[parent];
      if (above === undefined || comesBefore(above, happening)) break;
      heap[place] = above;
      place = parent;
    }
    heap[place] = happening;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = place * 2 + 1;
      let below = heap[child];
      if (below === undefined) break;
      const other = heap[child + 1];
      if (other !== undefined && comesBefore(other, below)) {
        child += 1;
        below = other;
      }
      if (comesBefore(last, below)) break;
      heap[place] = below;
      place = child;
    }
    heap[place] = last;
  }
}

function comesBefore(one: Happening, other: Happening): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}

/** A turn of the real event loop drains all microtasks first. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
