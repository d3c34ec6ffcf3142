import type { Cancel, Clock, Random } from '../../store/environment.ts';

/**
 * Wakes what waits, one after another: all at once would be the next rush on whoever has just come back. Owns who is
 * still to be woken, and when; not who waits.
 *
 * E1  At most one is woken in half of `everyMs`, and one in `everyMs` on average, with chance in between: several nodes
 *     that begin together do not go on in step.
 * E2  A new list takes the place of the one before. Nobody is woken after `stop`.
 */
export interface AwakeningOptions {
  readonly everyMs: number;
}

export interface AwakeningDependencies {
  readonly clock: Clock;
  readonly random: Random;
  /** False when it does not wait any more: the next one is woken in its place. */
  readonly wake: (id: string) => boolean;
}

export class Awakening {
  readonly #options: AwakeningOptions;
  readonly #dependencies: AwakeningDependencies;
  #waiting: readonly string[] = [];
  #cancel: Cancel = () => undefined;

  constructor(options: AwakeningOptions, dependencies: AwakeningDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  start(ids: readonly string[]): void {
    this.#cancel();
    this.#waiting = ids;
    this.#next();
  }

  stop(): void {
    this.#cancel();
  }

  #next(): void {
    const { clock, random, wake } = this.#dependencies;
    const delayMs = this.#options.everyMs * (0.5 + random());
    this.#cancel = clock.after(delayMs, () => {
      const place = this.#waiting.findIndex((id) => wake(id));
      if (place < 0) return;
      this.#waiting = this.#waiting.slice(place + 1);
      this.#next();
    });
  }
}
