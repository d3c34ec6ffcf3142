import { noFaults } from '../../payments/sandbox/fault-plan.ts';
import type { FaultName, FaultPlan } from '../../payments/sandbox/fault-plan.ts';
import type { FaultReport } from '../../payments/sandbox/faults.ts';
import { hostilePlan } from '../../payments/sandbox/hostile-plan.ts';
import { CommandError, UsageError } from '../context.ts';
import { readFaultPlan } from '../fault-plan-file.ts';
import type { ControlRequest } from './control.ts';

/** `freehold dev payments`: how the payment provider of the local cluster behaves. */

const requestTimeoutMs = 10_000;

/** The plan that a request asks for; undefined when it only looks. Throws UsageError. */
export function planAskedFor({ mood, file, seed = '1' }: ControlRequest): FaultPlan | undefined {
  if (mood !== 'faults' && file !== undefined)
    throw new UsageError(`freehold dev payments: unexpected argument ${file}`);
  switch (mood) {
    case 'show':
      return undefined;
    case 'calm':
      return noFaults;
    case 'hostile':
      if (!/^\d{1,9}$/.test(seed))
        throw new UsageError(`freehold dev payments: --seed must be a whole number, not ${seed}`);
      return hostilePlan(Number(seed));
    case 'faults':
      if (file === undefined) throw new UsageError('freehold dev payments faults: FILE is missing');
      return readFaultPlan(file);
    default:
      throw new UsageError(
        `freehold dev payments: ${mood ?? ''} is not one of show, faults FILE, hostile, calm`,
      );
  }
}

/** Puts `plan` in force at the sandbox, if there is one to put, and gives what to print. Throws CommandError. */
export async function changePayments(sandboxUrl: string, plan: FaultPlan | undefined): Promise<string> {
  let response: Response;
  try {
    response = await fetch(`${sandboxUrl}/sandbox/faults`, {
      signal: AbortSignal.timeout(requestTimeoutMs),
      ...(plan === undefined
        ? {}
        : {
            method: 'PUT',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify(plan),
          }),
    });
  } catch {
    throw new CommandError(`the payment sandbox does not answer at ${sandboxUrl}`);
  }
  if (!response.ok) throw new CommandError(`the payment sandbox answers ${String(response.status)}`);
  return describe((await response.json()) as FaultReport);
}

function describe({ plan, struck, asked }: FaultReport): string {
  const names = new Set<FaultName>([
    ...plan.rules.map(({ fault }) => fault),
    ...(Object.keys(struck) as FaultName[]),
  ]);
  const rules = plan.rules.length;
  return [
    rules === 0
      ? 'the payment provider is well: no faults'
      : `${String(rules)} rules, seed ${String(plan.seed)}`,
    ...(Object.keys(asked).length === 0 ? [] : [`${'asked'.padEnd(21)} ${counts(asked)}`]),
    ...[...names].map((name) => `${name.padEnd(21)} ${counts(struck[name] ?? {})}`),
  ].join('\n');
}

function counts(byRoute: Readonly<Partial<Record<string, number>>>): string {
  const entries = Object.entries(byRoute).map(([route, count]) => `${route} ${String(count)}`);
  return entries.length === 0 ? '-' : entries.join(', ');
}
