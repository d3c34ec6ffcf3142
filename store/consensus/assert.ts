/** Crashes on a broken invariant: a bug in the core or its driver, never an expected failure. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`consensus invariant broken: ${message}`);
}
