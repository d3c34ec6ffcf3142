import { expect, test } from 'vitest';
import { ambientFaults, faultKinds } from './plan.ts';
import { runAll } from './pool.ts';
import type { RunResult } from './run.ts';
import { Tally } from './tally.ts';
import type { WorkerRequest } from './worker.ts';

/** The whole system in simulated worlds; `README.md` beside this file says what they are made of. */
const workers = 2;

async function run(requests: readonly WorkerRequest[]): Promise<readonly RunResult[]> {
  const results: RunResult[] = [];
  await runAll(requests, { workers }, ({ result }) => results.push(result));
  return results;
}

test('a seed is one history: run twice, the same happens', async () => {
  const requests = [11, 12, 13, 14].flatMap((seed): WorkerRequest[] => [
    { seed, mode: 'safety' },
    { seed, mode: 'liveness' },
  ]);
  const digests = new Map<string, Set<string>>();
  for (const { seed, mode, digest } of await run([...requests, ...requests])) {
    const name = `${mode} ${seed}`;
    digests.set(name, (digests.get(name) ?? new Set()).add(digest));
  }
  expect(digests.size).toBe(requests.length);
  expect([...digests].filter(([, different]) => different.size > 1)).toEqual([]);
}, 60_000);

test('every promise holds through 200 seeds of trouble, and every fault has struck', async () => {
  const seeds = Array.from({ length: 200 }, (_, place) => 1_000 + place);
  const results = await run(seeds.map((seed) => ({ seed, mode: seed % 2 === 0 ? 'safety' : 'liveness' })));
  const tally = new Tally();
  for (const result of results) tally.add(result);
  const broken = tally.failed.map(
    ({ seed, mode, nodes, violation }) =>
      `${violation?.checker ?? ''}: ${violation?.detail ?? ''}\n` +
      `npm run sim -- --seeds 1 --from ${seed} --mode ${mode} --nodes ${nodes} --trace`,
  );
  expect(broken).toEqual([]);
  expect(tally.runs).toBe(seeds.length);
  expect(tally.missing([...faultKinds, ...ambientFaults])).toEqual([]);
  expect(tally.forgotten).toBeGreaterThan(100);
}, 180_000);
