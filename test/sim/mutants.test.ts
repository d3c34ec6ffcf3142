import { expect, test } from 'vitest';
import { mutants, type Mutant } from './mutants.ts';
import { runAll } from './pool.ts';
import type { Violation } from './violations.ts';
import type { WorkerRequest } from './worker.ts';

/** Whether the simulator would notice: each breach of the design must be caught, and by whom it should be. */
async function firstViolation(mutant: Mutant): Promise<Violation | undefined> {
  const { from, count, mode, nodes } = mutant.seeds;
  const requests = Array.from({ length: count }, (_, place): WorkerRequest => {
    return { seed: from + place, mode, ...(nodes === undefined ? {} : { nodes }) };
  });
  let violation: Violation | undefined;
  await runAll(requests, { workers: 1, mutant: mutant.name }, ({ result }, stop) => {
    violation ??= result.violation;
    if (violation !== undefined) stop();
  });
  return violation;
}

test.concurrent.each(mutants.map((mutant) => [mutant.name, mutant] as const))(
  'it is noticed to %s',
  async (_name, mutant) => {
    const violation = await firstViolation(mutant);
    expect(violation === undefined ? 'nothing' : violation.checker, violation?.detail).toBeOneOf([
      ...mutant.caughtBy,
    ]);
  },
  120_000,
);
