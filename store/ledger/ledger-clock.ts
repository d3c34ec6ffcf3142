import type { Clock, Log } from '../environment.ts';

/**
 * Ledger time as this node would stamp it: its wall clock, but without its jumps. Replicas take the largest stamp
 * so far for the time (a stamp never goes back), so a single wrong second of a leader's clock would expire every
 * hold at once, and hold all later time fast at that second.
 *
 * 1. Time runs with the monotonic clock from the last reading that was believed.
 * 2. A reading is believed when it is within `toleratedMs` of that: drift and slewing are followed, jumps are not.
 * 3. A clock that stays elsewhere is told once per jump, and again when it is back.
 *
 * Not covered: a clock that was already wrong when the process started.
 */
export class LedgerClock {
  readonly #toleratedMs: number;
  readonly #clock: Pick<Clock, 'now' | 'monotonic'>;
  readonly #log: Log;
  #wallMs: number;
  #monotonicMs: number;
  #isAstray = false;

  constructor(
    options: { readonly toleratedMs: number },
    dependencies: { readonly clock: Pick<Clock, 'now' | 'monotonic'>; readonly log: Log },
  ) {
    this.#toleratedMs = options.toleratedMs;
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
    this.#wallMs = this.#clock.now();
    this.#monotonicMs = this.#clock.monotonic();
  }

  /** ms since the epoch. To be called often enough that drift between two calls stays within what is tolerated. */
  now(): number {
    const read = this.#clock.now();
    const monotonicMs = this.#clock.monotonic();
    const expected = this.#wallMs + (monotonicMs - this.#monotonicMs);
    const offMs = Math.round(read - expected);
    const isAstray = Math.abs(offMs) > this.#toleratedMs;
    if (isAstray !== this.#isAstray) {
      this.#isAstray = isAstray;
      if (isAstray)
        this.#log.error(
          { offMs },
          'the wall clock jumped: the ledger goes on without it until it is back or the node restarts',
        );
      else this.#log.info({ offMs }, 'the wall clock is back where the ledger expects it');
    }
    if (!isAstray) {
      this.#wallMs = read;
      this.#monotonicMs = monotonicMs;
      return read;
    }
    return Math.round(expected);
  }
}
