import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { parseFaultPlan } from './fault-plan.ts';
import type { FaultPlan } from './fault-plan.ts';

/** The fault plan in force, in a file of its own, so that a provider that is killed on a bad day comes back on one. */
export interface PlanFile {
  readonly kept: FaultPlan | undefined;
  keep(plan: FaultPlan): Promise<void>;
}

/** In `directory`, which exists; without one, nothing is kept. Throws FaultPlanError when the file was changed so. */
export async function openPlanFile(directory: string | undefined): Promise<PlanFile> {
  if (directory === undefined) return { kept: undefined, keep: () => Promise.resolve() };
  const path = join(directory, 'faults.json');
  return {
    kept: await read(path),
    async keep(plan) {
      await writeFile(`${path}.new`, `${JSON.stringify(plan, undefined, 2)}\n`);
      await rename(`${path}.new`, path);
    },
  };
}

async function read(path: string): Promise<FaultPlan | undefined> {
  let content: string;
  try {
    content = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return parseFaultPlan(JSON.parse(content));
}
