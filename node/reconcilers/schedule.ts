import { Cron } from 'croner';
import type { Cancel, Environment } from '../../store/environment.ts';
import type { TimerFunction } from '../ports/functions.ts';

/**
 * Tells when timers tick. Owns the waiting; does not own what a tick does.
 *
 *   S1  A tick is told once; ticks that were missed (the node was down, asleep, or not leading) are told as one,
 *       the latest.
 *   S2  A singleton ticks only while this node leads; its ticks are not used up while it does not.
 *   S3  A clock that jumps forward causes one tick at most; one that is set back causes none.
 *
 * Cron patterns are read in UTC: a shop's nodes need not share a time zone, and no hour is missing or doubled.
 */
export interface ScheduleDependencies {
  readonly environment: Pick<Environment, 'clock'>;
  readonly isLeading: () => boolean;
  /** Must not throw and must not block. */
  readonly onTick: (timer: TimerFunction, scheduledAt: number) => void;
}

interface Entry {
  readonly timer: TimerFunction;
  readonly cron: Cron;
  /** The tick told last, ms. */
  handledAt?: number;
}

/** Waiting is measured by a monotonic clock; looking up now and then notices that the wall clock was moved. */
const sleepMsMax = 30_000;

export class Schedule {
  readonly #dependencies: ScheduleDependencies;
  readonly #entries: readonly Entry[];
  #cancel: Cancel | undefined;

  /** Throws when a pattern makes no sense. */
  constructor(options: { readonly timers: readonly TimerFunction[] }, dependencies: ScheduleDependencies) {
    this.#dependencies = dependencies;
    this.#entries = options.timers.map((timer) => ({
      timer,
      cron: new Cron(timer.cron, { mode: '5-or-6-parts', timezone: 'UTC' }),
    }));
  }

  /** Tells what is due, now and from now on. Also to be called when this node comes to lead. */
  wake(): void {
    this.stop();
    const { clock } = this.#dependencies.environment;
    const now = clock.now();
    for (const entry of this.#entries) this.#tellIfDue(entry, now);
    this.#cancel = clock.after(this.#sleepMs(now), () => this.wake());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #tellIfDue(entry: Entry, now: number): void {
    const { timer } = entry;
    if (timer.singleton && !this.#dependencies.isLeading()) return;
    // The reference is excluded by croner: a tick of this very millisecond is due.
    const latest = entry.cron.previousRuns(1, new Date(now + 1))[0]?.getTime();
    if (latest === undefined) return;
    const { handledAt } = entry;
    entry.handledAt = latest;
    if (handledAt === undefined || latest > handledAt) this.#dependencies.onTick(timer, latest);
  }

  #sleepMs(now: number): number {
    const reference = new Date(now);
    const next = this.#entries.flatMap(({ cron }) => cron.nextRun(reference)?.getTime() ?? []);
    return Math.max(1, Math.min(sleepMsMax, ...next.map((at) => at - now)));
  }
}
