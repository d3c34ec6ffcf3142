/**
 * How a data directory of an older version of the program becomes one of this version: a chain of steps, each from
 * one layout to the next. Owns the numbers of the layouts and what is done between them.
 *
 *   1  journal entries, claims and state; the whole ledger log; tables
 *   2  besides, what the log and the journal leave behind when they are shortened: snapshots and bases
 *
 * 1. A step runs on the open disk and may be cut short anywhere: run again from its beginning, it ends the same.
 * 2. The directory takes its new number after the step's last write is on disk, and before anybody else writes.
 * 3. A layout without a step that leads on from it is refused, and left as it is.
 */
import type { Log } from '../environment.ts';
import { DiskError } from './errors.ts';
import type { Disk } from './port.ts';

export interface UpgradeStep {
  readonly from: number;
  readonly to: number;
  /** For the log of the node that is upgraded. */
  readonly what: string;
  /** Its writes are synced when it resolves. */
  run(disk: Disk): Promise<void>;
}

export const currentFormat = 2;

export const upgradeSteps: readonly UpgradeStep[] = [
  {
    from: 1,
    to: 2,
    what: 'the log and the journal may be shortened from now on',
    // Nothing moves. The number alone keeps a program away that would take a shortened log for a damaged one.
    run: () => Promise.resolve(),
  },
];

/** The steps that lead from `format` to `to`. Throws DiskError when there is no such way. */
export function stepsFrom(
  format: number,
  {
    directory,
    steps = upgradeSteps,
    to = currentFormat,
  }: { readonly directory: string; readonly steps?: readonly UpgradeStep[]; readonly to?: number },
): readonly UpgradeStep[] {
  const way: UpgradeStep[] = [];
  for (let at = format; at !== to;) {
    const step = steps.find(({ from }) => from === at);
    if (step === undefined || step.to <= at) {
      throw new DiskError(
        'DISK_FORMAT_UNKNOWN',
        directory,
        `${directory} has layout ${format}, this program knows ${to} and those it can upgrade; run the version ` +
          'that wrote it, or move the directory aside',
      );
    }
    way.push(step);
    at = step.to;
  }
  return way;
}

/** Runs `steps` in order; `stamp` makes the directory's number durable. */
export async function upgrade(
  steps: readonly UpgradeStep[],
  {
    disk,
    stamp,
    log,
  }: { readonly disk: Disk; readonly stamp: (format: number) => Promise<void>; readonly log: Log },
): Promise<void> {
  for (const step of steps) {
    await step.run(disk);
    await stamp(step.to);
    const { from, to, what } = step;
    log.info({ from, to, what }, 'data directory upgraded');
  }
}
