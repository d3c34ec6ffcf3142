import { expect, test } from 'vitest';
import { hunt } from './hunt.ts';
import { mutants } from './mutants.ts';
import { checkers, type CheckerName } from './violations.ts';

const atOnce = 2;

/** Whether the simulator would notice: without this, that it finds nothing says nothing. */
test('every breach of the design is noticed, and every checker notices one', async () => {
  const noticed = new Map<string, CheckerName | 'nobody'>();
  const left = [...mutants];
  const work = async (): Promise<void> => {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) {
      noticed.set(mutant.name, (await hunt(mutant))?.checker ?? 'nobody');
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  expect([...noticed].filter(([, checker]) => checker === 'nobody')).toEqual([]);
  expect(checkers.filter((checker) => ![...noticed.values()].includes(checker))).toEqual([]);
}, 300_000);
