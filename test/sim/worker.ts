import type { RunOptions, RunResult } from './run.ts';
import { mutants } from './mutants.ts';
import { mutate } from './mutate.ts';

/**
 * One process of a simulation: runs what its parent asks for, one seed after the other. A process of its own keeps the
 * other core busy, and a mutant to itself.
 *
 * Argument: the name of a mutant, or nothing.
 */
const [, , mutantName] = process.argv;
if (mutantName !== undefined) {
  const mutant = mutants.find(({ name }) => name === mutantName);
  if (mutant === undefined) throw new Error(`no mutant is called ${mutantName}`);
  mutate(mutant);
}
// Only now: what is imported from here on is the mutant's program.
const { runSeed } = await import('./run.ts');

export type WorkerAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'result'; readonly result: RunResult; readonly trace: readonly string[] };

export type WorkerRequest = RunOptions & { readonly trace?: boolean; readonly filter?: string };

function tell(answer: WorkerAnswer): void {
  process.send?.(answer);
}

process.on('message', (request: WorkerRequest) => {
  void runSeed(request).then(({ result, trace }) => {
    tell({ kind: 'result', result, trace: request.trace === true ? trace.lines(request.filter) : [] });
  });
});
process.on('disconnect', () => process.exit());
tell({ kind: 'ready' });
