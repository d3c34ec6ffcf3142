import type { Cancel, Clock } from '../../store/environment.ts';

/**
 * How late the event loop is: by how much a timer misses its time, smoothed over about a second. One thread does all
 * the work of a node, so this is how long everything waits for its turn, whatever the reason.
 */
const EVERY_MS = 50;
/** The weight of a new measurement: a single pause, such as for garbage, closes no door. */
const WEIGHT = 0.1;

export class LoopDelay {
  readonly #clock: Clock;
  #ms = 0;
  #cancel: Cancel | undefined;

  constructor(dependencies: { readonly clock: Clock }) {
    this.#clock = dependencies.clock;
  }

  get ms(): number {
    return this.#ms;
  }

  start(): void {
    const due = this.#clock.monotonic() + EVERY_MS;
    this.#cancel = this.#clock.after(EVERY_MS, () => {
      const late = Math.max(0, this.#clock.monotonic() - due);
      this.#ms += WEIGHT * (late - this.#ms);
      this.start();
    });
  }

  stop(): void {
    this.#cancel?.();
  }
}
