import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Plan, PlannedPart } from './plan.ts';
import { partsOf } from './plan.ts';

const termGraceMs = 5_000;
const pollMs = 50;

/**
 * Stops processes of an earlier run whose supervisor died before it could (its children leave by themselves,
 * unless they were paused or hang). Tells `note` about each. A pid that was given to another program since is
 * recognized by its command line and left alone.
 */
export async function stopLeftovers(plan: Plan, note: (line: string) => void): Promise<void> {
  for (const part of [...partsOf(plan), ...plan.removed]) {
    const pid = readPid(part.pidFile);
    if (pid === undefined) continue;
    if (isOurs(pid, part)) {
      note(`${part.title} of an earlier run is still there (pid ${String(pid)}); stopping it`);
      await stopProcess(pid, part);
    }
    rmSync(part.pidFile, { force: true });
  }
}

async function stopProcess(pid: number, part: PlannedPart): Promise<void> {
  send(pid, 'SIGTERM');
  send(pid, 'SIGCONT');
  for (let waitedMs = 0; waitedMs < termGraceMs; waitedMs += pollMs) {
    if (!isOurs(pid, part)) return;
    await delay(pollMs);
  }
  send(pid, 'SIGKILL');
  while (isOurs(pid, part)) await delay(pollMs);
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone in the meantime.
  }
}

function readPid(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, 'utf8').trim());
    return Number.isInteger(pid) && pid > 1 ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** Whether `pid` runs `part`: its command line names the part's own directory. */
function isOurs(pid: number, part: PlannedPart): boolean {
  // What else it was told may differ from run to run, such as where the sandbox sends its events.
  const names = part.command.filter((argument) => argument.includes(part.directory));
  return [...part.command.slice(0, 1), ...names].every((argument) => commandLineOf(pid).includes(argument));
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    // Not Linux, or no such process.
  }
  if (process.platform === 'linux') return '';
  try {
    return execFileSync('ps', ['-p', String(pid), '-o', 'command='], { encoding: 'utf8', stdio: 'pipe' });
  } catch {
    return '';
  }
}
