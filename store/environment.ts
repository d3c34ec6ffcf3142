/**
 * Everything the store and the order flow may not take for themselves: time and chance.
 * The program injects the machine's; the simulator injects its own.
 */

/** A node's name inside its cluster, such as `n1`. */
export type NodeId = string;

/** Stops what it was returned for. Calling it twice does no harm. */
export type Cancel = () => void;

export interface Clock {
  /** Wall-clock time in ms since the Unix epoch. May jump; only ever recorded, never measured with. */
  now(): number;
  /** Monotonic ms from an arbitrary start; what durations and leases are measured with. */
  monotonic(): number;
  /** Calls `callback` once, `delayMs` from now. */
  after(delayMs: number, callback: () => void): Cancel;
}

/** Uniform in [0, 1). */
export type Random = () => number;

/** One structured line. Levels as in pino; `fields` must not hold personal data or secrets. */
export interface Log {
  debug(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
}

export interface Environment {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /**
   * Called when going on could break a promise (a failed fsync, a broken invariant). The program stops the
   * process with a clear message; the simulator records a crash. The caller makes no further progress.
   */
  fatal(error: Error): void;
}

/** Crashes on a broken invariant: a bug, not an expected failure. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${message}`);
}
