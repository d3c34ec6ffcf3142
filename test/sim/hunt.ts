import type { Mutant } from './mutant.ts';
import { runAll } from './pool.ts';
import type { CheckerName } from './violations.ts';
import type { WorkerRequest } from './worker.ts';

/** Looks for the first world in which a mutant is noticed by a checker that should. */
export interface Caught {
  readonly seed: number;
  readonly checker: CheckerName;
}

export interface HuntOptions {
  /** The first seed; the one that the mutant names by default. */
  readonly from?: number;
  /** How many seeds to try; as many as the mutant names by default. */
  readonly count?: number;
}

export async function hunt(mutant: Mutant, options: HuntOptions = {}): Promise<Caught | undefined> {
  const { from, count, ...world } = { ...mutant.seeds, ...options };
  const requests = Array.from({ length: count }, (_, place): WorkerRequest => {
    return { seed: from + place, ...world };
  });
  let caught: Caught | undefined;
  // One worker: the seeds are tried in their order.
  await runAll(requests, { workers: 1, mutant: mutant.name }, ({ result }, stop) => {
    const checker = result.violation?.checker;
    if (caught !== undefined || checker === undefined || !mutant.caughtBy.includes(checker)) return;
    caught = { seed: result.seed, checker };
    stop();
  });
  return caught;
}
