import { readFileSync } from 'node:fs';
import { FaultPlanError, parseFaultPlan } from '../payments/sandbox/fault-plan.ts';
import type { FaultPlan } from '../payments/sandbox/fault-plan.ts';
import { UsageError } from './context.ts';

/** A fault plan that somebody wrote. Throws UsageError that says what is wrong with it, and where. */
export function readFaultPlan(file: string): FaultPlan {
  try {
    return parseFaultPlan(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    if (error instanceof FaultPlanError)
      throw new UsageError([`${file}:`, ...error.mistakes.map((mistake) => `  ${mistake}`)].join('\n'));
    throw new UsageError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
