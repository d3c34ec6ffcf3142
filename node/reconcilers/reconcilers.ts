import type { Cancel, Environment } from '../../store/environment.ts';
import type { Ledger } from '../../store/ledger/port.ts';
import type { Effect, TimerInput } from '../orders/effects.ts';
import { NO_DEADLINE, type Deadline } from '../ports/deadline.ts';
import type { TimerFunction } from '../ports/functions.ts';
import { ReconcilerError } from '../ports/reconcilers.ts';
import type {
  ReconcilerReport,
  ReconcilerStatus,
  Reconcilers,
  RejectedRow,
  RetriedOrder,
} from '../ports/reconcilers.ts';
import type { SystemOfRecord } from '../ports/system-of-record.ts';
import { Inbound } from './inbound.ts';
import type { InboundResult } from './inbound.ts';
import { asReconcilerError, Job } from './job.ts';
import type { JobObserver } from './job.ts';
import { Outbound } from './outbound.ts';
import type { PendingOutcomes } from './outbound.ts';
import { Schedule } from './schedule.ts';

/**
 * Runs the two reconcilers where the ledger is led: when a timer function says so, on demand, once on coming to
 * lead, and again after a failure. Owns when and whether; what a run does is inbound.ts and outbound.ts.
 * DESIGN.md has the reasons.
 *
 *   R9   A run starts only on the node that leads. Two leaders at once (one not knowing yet) are harmless.
 *   R10  A reconciler runs once at a time; whoever asks meanwhile joins that run.
 *   R11  A run that failed stays owed: it is tried again after a growing pause, until it succeeds.
 *   R12  A node that comes to lead reads the inventory at once, whatever the timers say.
 *   R13  Nothing is asked of the system of record before its schema was brought up to date by this process.
 */
export interface ReconcilersOptions {
  readonly timers: readonly TimerFunction[];
  /** Outcomes per transaction when nobody says otherwise. Default 200. */
  readonly batchSize?: number;
  /** Pause after a first failure, and the longest one. Defaults 500 ms and 60 s. */
  readonly retryDelayMsMin?: number;
  readonly retryDelayMsMax?: number;
  /** Default 5 minutes. */
  readonly parkedRetryMs?: number;
  /** Default 10,000. */
  readonly parkedMax?: number;
  /** Default 20 ms: at most 50 batches a second. */
  readonly batchIntervalMs?: number;
}

/** What metrics count. None may throw. */
export interface ReconcilersObserver extends JobObserver {
  /** One batch of outcomes went to the system of record. */
  delivered?(batch: { readonly size: number; readonly parked: number; readonly seconds: number }): void;
  /** After each inbound run; empty when everything promised is there. */
  shortfalls?(shortfalls: InboundResult['shortfalls']): void;
}

export interface ReconcilersDependencies {
  readonly environment: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly sor: SystemOfRecord;
  readonly ledger: Pick<
    Ledger,
    'sync' | 'unappliedSales' | 'stocks' | 'lastSyncAt' | 'onLeadership' | 'status'
  >;
  readonly pending: PendingOutcomes & {
    /** Ended orders that are not to be delivered, though units of theirs were sold. */
    discarded(): Promise<readonly string[]>;
    /** Resolves once a majority has noted it. Rejects with ReconcilerError. */
    discard(orderId: string, decision: { readonly reason: string; readonly by: string }): Promise<void>;
  };
  /** Calls the timer's function. Rejections are logged; the next tick asks again. */
  readonly decide: (
    name: string,
    input: Pick<TimerInput, 'scheduledAt' | 'pendingOrders'>,
  ) => Promise<readonly Effect[]>;
  /** Once before the first run, such as filling an empty catalogue; after `sor.migrate()`. */
  readonly prepare?: () => Promise<void>;
  readonly observer?: ReconcilersObserver;
}

export interface RunningReconcilers extends Reconcilers {
  start(): void;
  /** Resolves when what is under way has ended; it is not cut short, but goes on to no further batch. */
  stop(): Promise<void>;
}

const shownMax = 100;

export function createReconcilers(
  options: ReconcilersOptions,
  dependencies: ReconcilersDependencies,
): RunningReconcilers {
  return new LedReconcilers(options, dependencies);
}

class LedReconcilers implements RunningReconcilers {
  readonly #dependencies: ReconcilersDependencies;
  readonly #schedule: Schedule;
  readonly #inbound: Inbound;
  readonly #outbound: Outbound;
  readonly #jobs: { readonly inbound: Job; readonly outbound: Job };
  readonly #deciding = new Map<string, Promise<void>>();
  #batchSize: number;
  #rejected: readonly RejectedRow[] = [];
  #started = false;
  #leading = false;
  #leadingSince: number | undefined;
  #prepared = false;
  #preparing: Promise<void> | undefined;
  /** The end of the last piece of work against the system of record: the next one waits for it. */
  #turn: Promise<unknown> = Promise.resolve();
  #cancelRetry: Cancel | undefined;
  #cancelLeadership: Cancel | undefined;

  constructor(options: ReconcilersOptions, dependencies: ReconcilersDependencies) {
    const { environment, sor, ledger, pending, observer } = dependencies;
    this.#dependencies = dependencies;
    this.#batchSize = options.batchSize ?? 200;
    this.#inbound = new Inbound({ environment, sor, ledger, discarded: () => pending.discarded() });
    this.#outbound = new Outbound(
      {
        parkedRetryMs: options.parkedRetryMs ?? 5 * 60_000,
        parkedMax: options.parkedMax ?? 10_000,
        batchIntervalMs: options.batchIntervalMs ?? 20,
      },
      {
        environment,
        sor,
        pending,
        mayContinue: () => this.#mayRun(),
        exclusively: (work) => this.#exclusively(work),
        onBatch: (batch) => observer?.delivered?.(batch),
      },
    );
    this.#schedule = new Schedule(
      { timers: options.timers },
      { environment, isLeading: () => this.#leading, onTick: (timer, at) => this.#tick(timer, at) },
    );
    const job = (name: Job['name'], work: () => Promise<{ processed: number; parked: number }>): Job =>
      new Job(
        {
          name,
          retryDelayMsMin: options.retryDelayMsMin ?? 500,
          retryDelayMsMax: options.retryDelayMsMax ?? 60_000,
        },
        {
          environment,
          observer,
          pending: () => (name === 'outbound' ? pending.count() : 0),
          onEnd: () => this.#runOwed(),
          work: async () => {
            await this.#prepareOnce();
            return work();
          },
        },
      );
    this.#jobs = {
      inbound: job('inbound', async () => {
        const { processed, shortfalls, rejected } = await this.#exclusively(() => this.#inbound.run());
        this.#rejected = rejected.slice(0, shownMax);
        observer?.shortfalls?.(shortfalls);
        return { processed, parked: 0 };
      }),
      outbound: job('outbound', () => this.#outbound.run(this.#batchSize)),
    };
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    const { ledger } = this.#dependencies;
    this.#cancelLeadership = ledger.onLeadership((leading) => this.#lead(leading));
    this.#schedule.wake();
  }

  async stop(): Promise<void> {
    this.#started = false;
    this.#cancelLeadership?.();
    this.#cancelRetry?.();
    this.#schedule.stop();
    const { inbound, outbound } = this.#jobs;
    await Promise.all([inbound.ended(), outbound.ended(), ...this.#deciding.values()]);
  }

  async run(name: string): Promise<ReconcilerReport> {
    if (name !== 'inbound' && name !== 'outbound') {
      throw new ReconcilerError('UNKNOWN_RECONCILER', `there is no reconciler "${name}"`);
    }
    if (!this.#mayRun()) throw new ReconcilerError('NOT_LEADER', this.#whoLeads());
    if (name === 'outbound') this.#outbound.retryParked();
    return this.#jobs[name].run();
  }

  parked({ after, limit }: { readonly after?: string; readonly limit: number }) {
    const all = [...this.#dependencies.pending.parked()]
      .map(([orderId, { code, detail, at }]) => ({ orderId, code, reason: `${code}: ${detail}`, at }))
      .toSorted((one, other) => other.at - one.at || (one.orderId < other.orderId ? -1 : 1));
    const from = after === undefined ? 0 : all.findIndex((order) => cursorOf(order) > after);
    if (from < 0) return { parked: [] };
    const parked = all.slice(from, from + limit);
    const last = parked.at(-1);
    return from + limit < all.length && last !== undefined ? { parked, next: cursorOf(last) } : { parked };
  }

  async retryParked(orderId: string, deadline: Deadline = NO_DEADLINE): Promise<RetriedOrder> {
    const { pending } = this.#dependencies;
    if (!this.#mayRun()) throw new ReconcilerError('NOT_LEADER', this.#whoLeads());
    if (!pending.parked().has(orderId)) throw notParked(orderId);
    await this.#prepareOnce().catch((error: unknown) => {
      throw asReconcilerError(error);
    });
    const retried = await this.#outbound.retry(orderId, deadline).catch((error: unknown) => {
      throw asReconcilerError(error);
    });
    if (retried === undefined) throw notParked(orderId);
    return retried;
  }

  async discardParked(
    orderId: string,
    decision: { readonly reason: string; readonly by: string },
  ): Promise<void> {
    const { pending, environment } = this.#dependencies;
    if (!pending.parked().has(orderId)) throw notParked(orderId);
    await pending.discard(orderId, decision);
    environment.log.warn({ orderId, ...decision }, 'an outcome will not be delivered: it was discarded');
  }

  status(): readonly ReconcilerStatus[] {
    const { inbound, outbound } = this.#jobs;
    const { parked } = this.parked({ limit: shownMax });
    return [
      {
        ...inbound.describe(),
        lagSeconds: this.#inboundLagSeconds(),
        pending: 0,
        parked: [],
        rejected: this.#rejected,
      },
      {
        ...outbound.describe(),
        lagSeconds: this.#outboundLagSeconds(),
        pending: this.#dependencies.pending.count(),
        parked,
        rejected: [],
      },
    ];
  }

  #lead(leading: boolean): void {
    if (leading === this.#leading) return;
    this.#leading = leading;
    this.#leadingSince = leading ? this.#dependencies.environment.clock.now() : undefined;
    if (leading) {
      // R12. A new cluster has no stock yet, and the former leader may have been away for long.
      this.#owe(this.#jobs.inbound);
      this.#schedule.wake();
    } else {
      for (const job of Object.values(this.#jobs)) job.owed = false;
      this.#outbound.forget();
    }
  }

  #tick(timer: TimerFunction, scheduledAt: number): void {
    // A function that takes longer than its period is not called on top of itself.
    if (this.#deciding.has(timer.name)) return;
    const deciding = this.#decideAndPerform(timer, scheduledAt).finally(() =>
      this.#deciding.delete(timer.name),
    );
    this.#deciding.set(timer.name, deciding);
  }

  async #decideAndPerform(timer: TimerFunction, scheduledAt: number): Promise<void> {
    const { decide, pending, environment } = this.#dependencies;
    try {
      for (const effect of await decide(timer.name, { scheduledAt, pendingOrders: pending.count() })) {
        this.#perform(timer, effect);
      }
    } catch (error) {
      environment.log.error(
        { timer: timer.name, reason: error instanceof Error ? error.message : String(error) },
        'a timer function failed',
      );
    }
  }

  #perform(timer: TimerFunction, effect: Effect): void {
    if (!this.#mayRun()) return;
    switch (effect.type) {
      case 'inventory.pull':
        this.#owe(this.#jobs.inbound);
        return;
      case 'orders.push':
        this.#batchSize = Math.min(500, Math.max(1, Math.trunc(effect.batch)));
        this.#owe(this.#jobs.outbound);
        return;
      default:
        this.#dependencies.environment.log.warn(
          { timer: timer.name, effect: effect.type },
          'this effect is not for timers and was not performed',
        );
    }
  }

  #owe(job: Job): void {
    job.owed = true;
    this.#runOwed();
  }

  /** R11. Starts what is owed and may be tried, and comes back for the rest. */
  #runOwed(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
    if (!this.#mayRun()) return;
    const waits: number[] = [];
    for (const job of Object.values(this.#jobs)) {
      const waitMs = job.owedInMs();
      if (waitMs === undefined) continue;
      if (waitMs > 0) waits.push(waitMs);
      // Its failure is told by status, metrics and log.
      else void job.run().catch(() => undefined);
    }
    if (waits.length === 0) return;
    this.#cancelRetry = this.#dependencies.environment.clock.after(Math.min(...waits), () => this.#runOwed());
  }

  /** R13. */
  async #prepareOnce(): Promise<void> {
    if (this.#prepared) return;
    const { sor, prepare } = this.#dependencies;
    this.#preparing ??= (async () => {
      await sor.migrate();
      await prepare?.();
      this.#prepared = true;
    })().finally(() => {
      this.#preparing = undefined;
    });
    await this.#preparing;
  }

  #exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  #mayRun(): boolean {
    return this.#started && this.#leading;
  }

  #whoLeads(): string {
    const { leader } = this.#dependencies.ledger.status();
    return leader === undefined ? 'no node leads the ledger now' : `${leader} leads the ledger: ask it`;
  }

  /** By what the ledger stands at, so that every node tells the same; until a first read, since this one leads. */
  #inboundLagSeconds(): number | null {
    const lastSyncAt = this.#dependencies.ledger.lastSyncAt();
    return this.#secondsSince(lastSyncAt === 0 ? this.#leadingSince : lastSyncAt);
  }

  /** Who does not deliver does not look at what waits, only at how much does. */
  #outboundLagSeconds(): number | null {
    if (this.#dependencies.pending.count() === 0) return 0;
    if (!this.#leading) return null;
    return this.#secondsSince(
      this.#outbound.oldestPendingAt() ?? this.#jobs.outbound.lastSuccessAt ?? this.#leadingSince,
    );
  }

  #secondsSince(at: number | undefined): number | null {
    return at === undefined ? null : Math.max(0, (this.#dependencies.environment.clock.now() - at) / 1000);
  }
}

/** Rises from the newest to the oldest. */
function cursorOf({ at, orderId }: { readonly at: number; readonly orderId: string }): string {
  return `${String(Number.MAX_SAFE_INTEGER - at).padStart(16, '0')}!${orderId}`;
}

function notParked(orderId: string): ReconcilerError {
  return new ReconcilerError(
    'NOT_PARKED',
    `the system of record refuses no outcome of ${orderId}, as known here`,
  );
}
