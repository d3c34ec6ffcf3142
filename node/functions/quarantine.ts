/**
 * Keeps a function that loops at every call from taking the threads away from all others: each such call holds
 * a worker for its whole time-out. After a few time-outs in a row its calls are refused for a pause, then one
 * is let through as a probe; any end but a time-out sets it free.
 */
import type { Clock } from '../../store/environment.ts';

export interface QuarantineOptions {
  /** Time-outs in a row before calls are refused. */
  readonly timeoutsMax: number;
  readonly pauseMs: number;
}

export class Quarantine {
  readonly #options: QuarantineOptions;
  readonly #clock: Clock;
  #timeoutsInARow = 0;
  /** Monotonic ms. */
  #nextProbeAt = 0;

  constructor(options: QuarantineOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Asked as a call is about to run: why it may not, if so. Admitting one after the pause starts the next pause. */
  refusal(): string | undefined {
    if (!this.active) return undefined;
    const now = this.#clock.monotonic();
    if (now < this.#nextProbeAt) return `timed out ${this.#timeoutsInARow} times in a row`;
    this.#nextProbeAt = now + this.#options.pauseMs;
    return undefined;
  }

  get active(): boolean {
    return this.#timeoutsInARow >= this.#options.timeoutsMax;
  }

  timedOut(): void {
    this.#timeoutsInARow++;
    this.#nextProbeAt = this.#clock.monotonic() + this.#options.pauseMs;
  }

  finished(): void {
    this.#timeoutsInARow = 0;
  }
}
