import type { RunOptions } from './run.ts';
import type { CheckerName } from './violations.ts';

/**
 * Breaches of the design, each one small edit of a production file, as somebody might make it by mistake. A simulator
 * that does not notice them would not notice the mistake either; so each must be caught, by a checker that is named.
 *
 * `find` must occur exactly once in the file: when the code moves on, its mutant has to move with it.
 */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** What goes wrong when it is so. */
  readonly why: string;
  /** Any of these may be the first to notice. */
  readonly caughtBy: readonly CheckerName[];
  /** Where to look first: these seeds catch it. */
  readonly seeds: { readonly from: number; readonly count: number } & Pick<
    RunOptions,
    'mode' | 'nodes' | 'deck'
  >;
}
