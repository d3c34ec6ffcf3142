import type { Random } from '../../store/environment.ts';

/**
 * Decides when a failing thing may be tried again: after each failure in a row twice as long as before, up to a
 * bound, less a random part, so that nodes and reconcilers do not knock together. Holds no timer; times are
 * monotonic ms.
 */
export interface BreakerOptions {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
}

export class Breaker {
  readonly #options: BreakerOptions;
  readonly #random: Random;
  #failuresInARow = 0;
  #closedUntil = 0;

  constructor(options: BreakerOptions, dependencies: { readonly random: Random }) {
    this.#options = options;
    this.#random = dependencies.random;
  }

  /** How long to leave it alone; 0 when it may be tried now. */
  waitMs(now: number): number {
    return Math.max(0, this.#closedUntil - now);
  }

  succeeded(): void {
    this.#failuresInARow = 0;
    this.#closedUntil = 0;
  }

  failed(now: number): void {
    const { delayMsMin, delayMsMax } = this.#options;
    const delayMs = Math.min(delayMsMax, delayMsMin * 2 ** this.#failuresInARow);
    // Past the bound the exponent means nothing more.
    if (delayMs < delayMsMax) this.#failuresInARow += 1;
    this.#closedUntil = now + delayMs * (0.5 + this.#random() / 2);
  }
}
