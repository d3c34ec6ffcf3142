import { expect, test } from 'vitest';
import type { Mutant } from './mutant.ts';
import { mutants } from './mutants.ts';
import { runAll } from './pool.ts';
import { checkers, type CheckerName } from './violations.ts';
import type { WorkerRequest } from './worker.ts';

const atOnce = 2;

/** The first of the named checkers to notice; `nobody` when none does. */
async function caughtBy(mutant: Mutant): Promise<CheckerName | 'nobody'> {
  const { from, count, ...world } = mutant.seeds;
  const requests = Array.from({ length: count }, (_, place): WorkerRequest => {
    return { seed: from + place, ...world };
  });
  let caught: CheckerName | 'nobody' = 'nobody';
  await runAll(requests, { workers: 1, mutant: mutant.name }, ({ result }, stop) => {
    const checker = result.violation?.checker;
    if (caught !== 'nobody' || checker === undefined || !mutant.caughtBy.includes(checker)) return;
    caught = checker;
    stop();
  });
  return caught;
}

/** Whether the simulator would notice: without this, that it finds nothing says nothing. */
test('every breach of the design is noticed, and every checker notices one', async () => {
  const noticed = new Map<string, CheckerName | 'nobody'>();
  const left = [...mutants];
  const work = async (): Promise<void> => {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      noticed.set(mutant.name, await caughtBy(mutant));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  expect([...noticed].filter(([, checker]) => checker === 'nobody')).toEqual([]);
  expect(checkers.filter((checker) => ![...noticed.values()].includes(checker))).toEqual([]);
}, 300_000);
