/**
 * The clock of what happens by itself: one timer, for whatever is due next. For a server; a simulation asks the
 * double itself.
 */
export class Ticker {
  readonly #now: () => number;
  readonly #settle: (at: number) => void;
  readonly #nextAt: () => number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #setFor = Infinity;
  #stopped = false;

  constructor(dependencies: {
    readonly now: () => number;
    readonly settle: (at: number) => void;
    readonly nextAt: () => number | undefined;
  }) {
    this.#now = dependencies.now;
    this.#settle = dependencies.settle;
    this.#nextAt = dependencies.nextAt;
  }

  /** Something may be due earlier than it was. */
  look(): void {
    const next = this.#nextAt() ?? Infinity;
    if (this.#stopped || next === this.#setFor) return;
    clearTimeout(this.#timer);
    this.#setFor = next;
    if (next === Infinity) return;
    const delayMs = Math.min(Math.max(next - this.#now(), 0), timerMsMax);
    this.#timer = setTimeout(() => {
      this.#setFor = Infinity;
      this.#settle(this.#now());
      this.look();
    }, delayMs);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}

/** Timers take no more than 31 bits of ms. */
const timerMsMax = 2 ** 31 - 1;
