import type { Environment } from '../../store/environment.ts';
import { LedgerError } from '../../store/ledger/port.ts';
import { ReconcilerError } from '../ports/reconcilers.ts';
import type { ReconcilerReport, ReconcilerStatus } from '../ports/reconcilers.ts';
import { SystemOfRecordUnavailable } from '../ports/system-of-record.ts';
import { Breaker } from './breaker.ts';

/**
 * One reconciler as a thing that can be run: once at a time (R10), owed until it succeeded (R11), with what is
 * known of its last run. Does not own when it runs, nor what a run does.
 */
export interface JobOptions {
  readonly name: 'inbound' | 'outbound';
  /** Pause after a first failure, and the longest one. */
  readonly retryDelayMsMin: number;
  readonly retryDelayMsMax: number;
}

export interface JobObserver {
  ran(run: {
    readonly name: string;
    readonly seconds: number;
    readonly processed: number;
    readonly parked: number;
  }): void;
  /** `code` is a ReconcilerErrorCode, or INTERNAL for a bug. */
  failed(run: { readonly name: string; readonly seconds: number; readonly code: string }): void;
}

export interface JobDependencies {
  readonly environment: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly work: () => Promise<{ readonly processed: number; readonly parked: number }>;
  readonly pending: () => number;
  /** A run is over, whichever way. */
  readonly onEnd: () => void;
  readonly observer: JobObserver | undefined;
}

export class Job {
  readonly name: JobOptions['name'];
  /** A run is wanted that has not succeeded yet. */
  owed = false;
  readonly #dependencies: JobDependencies;
  readonly #breaker: Breaker;
  #running: Promise<ReconcilerReport> | undefined;
  #lastRunAt: number | undefined;
  #lastSuccessAt: number | undefined;
  #lastError: string | undefined;

  constructor(options: JobOptions, dependencies: JobDependencies) {
    this.name = options.name;
    this.#dependencies = dependencies;
    this.#breaker = new Breaker(
      { delayMsMin: options.retryDelayMsMin, delayMsMax: options.retryDelayMsMax },
      { random: dependencies.environment.random },
    );
  }

  /** Runs now, or joins the run under way. Rejects with ReconcilerError, or with what a bug threw. */
  run(): Promise<ReconcilerReport> {
    this.#running ??= this.#attempt().finally(() => {
      this.#running = undefined;
      this.#dependencies.onEnd();
    });
    return this.#running;
  }

  /** The time until it may be tried again, 0 for now; undefined when nothing is owed or a run is under way. */
  owedInMs(): number | undefined {
    if (!this.owed || this.#running !== undefined) return undefined;
    return this.#breaker.waitMs(this.#dependencies.environment.clock.monotonic());
  }

  /** Resolves when no run is under way. */
  async ended(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  get lastSuccessAt(): number | undefined {
    return this.#lastSuccessAt;
  }

  describe(): Omit<ReconcilerStatus, 'lagSeconds' | 'pending' | 'parked' | 'rejected'> {
    return {
      name: this.name,
      running: this.#running !== undefined,
      ...(this.#lastRunAt === undefined ? {} : { lastRunAt: this.#lastRunAt }),
      ...(this.#lastSuccessAt === undefined ? {} : { lastSuccessAt: this.#lastSuccessAt }),
      ...(this.#lastError === undefined ? {} : { lastError: this.#lastError }),
    };
  }

  async #attempt(): Promise<ReconcilerReport> {
    const { name } = this;
    const { environment, work, observer, pending } = this.#dependencies;
    const { clock, log } = environment;
    const startedAt = clock.now();
    const startedMonotonic = clock.monotonic();
    const seconds = (): number => (clock.monotonic() - startedMonotonic) / 1000;
    this.#lastRunAt = startedAt;
    // A wish that comes while this run is under way is met by this run, or stays owed if it fails.
    this.owed = true;
    try {
      const { processed, parked } = await work();
      const finishedAt = clock.now();
      this.owed = false;
      this.#lastSuccessAt = finishedAt;
      this.#lastError = undefined;
      this.#breaker.succeeded();
      observer?.ran({ name, seconds: seconds(), processed, parked });
      return { name, startedAt, finishedAt, processed, parked, pending: pending() };
    } catch (error) {
      const failure = asReconcilerError(error);
      const code = failure instanceof ReconcilerError ? failure.code : 'INTERNAL';
      this.#lastError = `${code}: ${failure.message}`;
      this.#breaker.failed(clock.monotonic());
      const retryInMs = Math.round(this.#breaker.waitMs(clock.monotonic()));
      log.warn({ reconciler: name, reason: this.#lastError, retryInMs }, 'a reconciler failed');
      observer?.failed({ name, seconds: seconds(), code });
      throw failure;
    }
  }
}

/** A ledger that takes no command means that this node does not lead any more, or cannot reach who does. */
export function asReconcilerError(error: unknown): Error {
  if (error instanceof SystemOfRecordUnavailable) {
    return new ReconcilerError('SYSTEM_OF_RECORD_UNAVAILABLE', error.message);
  }
  if (error instanceof LedgerError) return new ReconcilerError('NOT_LEADER', error.message);
  return error instanceof Error ? error : new Error(String(error));
}
