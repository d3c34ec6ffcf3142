import type { Cancel, Clock } from '../../store/environment.ts';

/**
 * Time that stands still until a test moves it. One `VirtualClock` is the time of the whole simulated world;
 * each node gets a view of it with `node()`, which can be skewed, run fast or slow, and be stopped with its
 * node: a dead process's timers never fire.
 *
 * Between two timers all promises settle, as they do between two turns of a real event loop, so asynchronous
 * code runs under it unchanged. Code that waits for real I/O does not: it takes time that is not simulated.
 */

interface Timer {
  readonly at: number;
  /** Timers of one instant fire in the order in which they were set. */
  readonly order: number;
  readonly callback: () => void;
  cancelled: boolean;
}

export interface NodeClock extends Clock {
  /** Cancels what is pending and ignores what is set later: the process is dead. */
  stop(): void;
  /** Moves this node's wall clock; its monotonic time is untouched. */
  jumpWall(byMs: number): void;
}

/** Lets every promise that can settle do so. A turn of the real event loop drains all microtasks. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class VirtualClock implements Clock {
  readonly #startWallMs: number;
  #elapsedMs = 0;
  #order = 0;
  /** Sorted by (at, order), the next one last. */
  readonly #timers: Timer[] = [];

  constructor(options: { readonly startWallMs?: number } = {}) {
    this.#startWallMs = options.startWallMs ?? 1_700_000_000_000;
  }

  now(): number {
    return this.#startWallMs + Math.floor(this.#elapsedMs);
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, callback: () => void): Cancel {
    const timer: Timer = {
      at: this.#elapsedMs + Math.max(0, delayMs),
      order: this.#order++,
      callback,
      cancelled: false,
    };
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#timers[middle];
      if (other !== undefined && other.at > timer.at) low = middle + 1;
      else high = middle;
    }
    this.#timers.splice(low, 0, timer);
    return () => {
      timer.cancelled = true;
    };
  }

  /** Timers that are set and neither fired nor cancelled, of the whole world. */
  get pending(): number {
    return this.#timers.filter(({ cancelled }) => !cancelled).length;
  }

  /** A node's own view: `rate` 1.01 runs one per cent fast, `wallSkewMs` shifts only the wall clock. */
  node(options: { readonly rate?: number; readonly wallSkewMs?: number } = {}): NodeClock {
    const rate = options.rate ?? 1;
    let wallSkewMs = options.wallSkewMs ?? 0;
    let stopped = false;
    return {
      now: () => this.now() + wallSkewMs,
      monotonic: () => this.#elapsedMs * rate,
      after: (delayMs, callback) => {
        if (stopped) return () => undefined;
        return this.after(delayMs / rate, () => {
          if (!stopped) callback();
        });
      },
      stop: () => {
        stopped = true;
      },
      jumpWall: (byMs) => {
        wallSkewMs += byMs;
      },
    };
  }

  /** Moves time by `ms`, firing what falls due on the way. */
  async advance(ms: number): Promise<void> {
    const target = this.#elapsedMs + ms;
    await settle();
    for (;;) {
      const next = this.#timers.at(-1);
      if (next === undefined || next.at > target) break;
      this.#timers.pop();
      if (next.cancelled) continue;
      this.#elapsedMs = Math.max(this.#elapsedMs, next.at);
      next.callback();
      await settle();
    }
    this.#elapsedMs = target;
  }

  /** Moves time until `condition` holds; throws when it does not within `withinMs` of virtual time. */
  async until(
    condition: () => boolean,
    options: { readonly withinMs: number; readonly what?: string },
  ): Promise<void> {
    const deadline = this.#elapsedMs + options.withinMs;
    await settle();
    while (!condition()) {
      const next = this.#timers.at(-1);
      if (next === undefined || next.at > deadline) {
        throw new Error(`not within ${options.withinMs} virtual ms: ${options.what ?? condition.toString()}`);
      }
      await this.advance(next.at - this.#elapsedMs);
    }
  }

  /** Moves time until `promise` settles, and gives what it gave. */
  async resolve<Value>(promise: Promise<Value>, options: { readonly withinMs: number }): Promise<Value> {
    let settled = false;
    const mark = (): void => {
      settled = true;
    };
    promise.then(mark, mark);
    await this.until(() => settled, { withinMs: options.withinMs, what: 'the promise settles' });
    return promise;
  }
}
