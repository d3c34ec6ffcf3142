import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where a node's time goes, from the CPU profile that V8 wrote: self time by module. */

export interface ModuleTime {
  /** A file of ours, a package, `node:…`, or V8's own such as `(garbage collector)`. */
  readonly module: string;
  readonly ms: number;
  /** Of the time that was not idle. */
  readonly share: number;
}

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
  }[];
  readonly samples: readonly number[];
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[];
}

/** One summary per thread that ran in `directory`'s process, the busiest first. */
export function summarizeProfiles(directory: string, root: string): readonly (readonly ModuleTime[])[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.cpuprofile'))
    .map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as CpuProfile)
    .map((profile) => summarize(profile, root))
    .toSorted((left, right) => total(right) - total(left));
}

export function summarize(profile: CpuProfile, root: string): readonly ModuleTime[] {
  const moduleOfNode = new Map(profile.nodes.map(({ id, callFrame }) => [id, moduleOf(callFrame, root)]));
  const microseconds = new Map<string, number>();
  for (const [index, id] of profile.samples.entries()) {
    const module = moduleOfNode.get(id) ?? '(unknown)';
    // A sample stands for the time until the next one.
    microseconds.set(module, (microseconds.get(module) ?? 0) + (profile.timeDeltas[index + 1] ?? 0));
  }
  microseconds.delete('(idle)');
  const busy = Math.max(
    1,
    [...microseconds.values()].reduce((sum, value) => sum + value, 0),
  );
  return [...microseconds]
    .map(([module, value]) => ({ module, ms: value / 1_000, share: value / busy }))
    .toSorted((left, right) => right.ms - left.ms);
}

function moduleOf({ functionName, url }: { functionName: string; url: string }, root: string): string {
  if (url === '') return functionName.startsWith('(') ? functionName : '(native)';
  if (!url.startsWith('file:'))
    return url.startsWith('node:internal/') ? `node:${url.split('/')[1] ?? ''}` : url;
  const path = fileURLToPath(url);
  const inPackage = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path);
  if (inPackage?.[1] !== undefined) return inPackage[1];
  return path.startsWith(`${root}/`) ? path.slice(root.length + 1) : path;
}

function total(times: readonly ModuleTime[]): number {
  return times.reduce((sum, { ms }) => sum + ms, 0);
}
