import type { Environment } from '../../store/environment.ts';
import type { ParkedOrder } from '../ports/reconcilers.ts';
import type { OutcomeRecord, SystemOfRecord } from '../ports/system-of-record.ts';

/**
 * Carries what became of orders into the system of record, oldest first, batch after batch until nothing is
 * left. Owns the list of orders that the system of record refused; does not own which orders are pending, nor
 * when it runs. The list is kept in memory only: a new leader finds the refusals again by itself.
 */
export interface PendingOutcomes {
  /** Ended orders that are not marked as synced, oldest first, at most `limit`, without those in `except`. */
  next(limit: number, except: ReadonlySet<string>): Promise<readonly OutcomeRecord[]>;
  count(): number;
  /** Resolves when `next` no longer offers them. */
  markSynced(applied: readonly { readonly orderId: string; readonly revision: number }[]): Promise<void>;
}

export interface OutboundOptions {
  /** A refused outcome is sent again by a scheduled run after this long. */
  readonly parkedRetryMs: number;
  /** More refused outcomes than this stop the delivery: something is wrong at large. */
  readonly parkedMax: number;
  /** Time from the start of one batch to the start of the next, at least: leaves room for the shop's own work. */
  readonly batchIntervalMs: number;
}

export interface OutboundDependencies {
  readonly environment: Pick<Environment, 'clock' | 'log'>;
  readonly sor: Pick<SystemOfRecord, 'applyOutcomes'>;
  readonly pending: PendingOutcomes;
  /** Whether this node may go on with the next batch. */
  readonly mayContinue: () => boolean;
  /** Runs one batch while no inbound read is under way. */
  readonly exclusively: <Result>(work: () => Promise<Result>) => Promise<Result>;
  readonly onBatch: (batch: {
    readonly size: number;
    readonly parked: number;
    readonly seconds: number;
  }) => void;
}

export interface OutboundResult {
  /** Outcomes that the system of record has now. */
  readonly processed: number;
  readonly parked: number;
}

interface Parked extends ParkedOrder {
  retryAt: number;
}

export class Outbound {
  readonly #options: OutboundOptions;
  readonly #dependencies: OutboundDependencies;
  readonly #parked = new Map<string, Parked>();
  #oldestPendingAt: number | undefined;

  constructor(options: OutboundOptions, dependencies: OutboundDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Rejects with SystemOfRecordUnavailable, or with what `pending` rejects with; running it again is safe. */
  async run(batchSize: number): Promise<OutboundResult> {
    const { environment, pending, mayContinue, exclusively } = this.#dependencies;
    const total = { processed: 0, parked: 0 };
    const parkedBefore = new Set(this.#parked.keys());
    while (mayContinue()) {
      const startedAt = environment.clock.monotonic();
      const waiting = this.#waiting();
      if (waiting.size >= this.#options.parkedMax) {
        environment.log.error({ parked: waiting.size }, 'delivery stopped: too many outcomes were refused');
        break;
      }
      const batch = await pending.next(batchSize, waiting);
      this.#oldestPendingAt = batch[0]?.order.updatedAt;
      if (batch.length === 0) {
        this.#forgetDelivered(parkedBefore);
        break;
      }
      const result = await exclusively(() => this.#deliver(batch));
      total.processed += result.processed;
      total.parked += result.parked;
      await this.#rest(startedAt);
    }
    return total;
  }

  /** What was refused may go again with the next batch. */
  retryParked(): void {
    for (const entry of this.#parked.values()) entry.retryAt = 0;
  }

  /** Newest first. */
  parked(limit: number): readonly ParkedOrder[] {
    return [...this.#parked.values()]
      .toSorted((one, other) => other.at - one.at)
      .slice(0, limit)
      .map(({ orderId, reason, at }) => ({ orderId, reason, at }));
  }

  /** ms since the epoch; undefined when the last look found nothing to send. */
  oldestPendingAt(): number | undefined {
    return this.#oldestPendingAt;
  }

  /** Another node delivers now and finds its own refusals. */
  forget(): void {
    this.#parked.clear();
    this.#oldestPendingAt = undefined;
  }

  async #deliver(batch: readonly OutcomeRecord[]): Promise<OutboundResult> {
    const { environment, sor, pending, onBatch } = this.#dependencies;
    const startedAt = environment.clock.monotonic();
    const { applied, parked } = await sor.applyOutcomes(batch);
    // Marked only after the system of record has them: a crash in between sends them again, harmlessly (R1).
    if (applied.length > 0) await pending.markSynced(applied);
    for (const { orderId } of applied) this.#parked.delete(orderId);
    for (const refusal of parked) this.#park(refusal);
    const seconds = (environment.clock.monotonic() - startedAt) / 1000;
    onBatch({ size: batch.length, parked: parked.length, seconds });
    return { processed: applied.length, parked: parked.length };
  }

  #park({ orderId, reason }: { readonly orderId: string; readonly reason: string }): void {
    const { clock, log } = this.#dependencies.environment;
    const now = clock.now();
    const known = this.#parked.get(orderId);
    if (known === undefined) log.error({ orderId, reason }, 'the system of record refused an outcome');
    this.#parked.set(orderId, {
      orderId,
      reason,
      at: known?.at ?? now,
      retryAt: clock.monotonic() + this.#options.parkedRetryMs,
    });
  }

  /** Refused orders whose time to be sent again has not come. */
  #waiting(): ReadonlySet<string> {
    const now = this.#dependencies.environment.clock.monotonic();
    return new Set(
      [...this.#parked.values()].filter(({ retryAt }) => retryAt > now).map(({ orderId }) => orderId),
    );
  }

  /** What was due again and is no longer offered has been delivered, by this node in another life or by another. */
  #forgetDelivered(parkedBefore: ReadonlySet<string>): void {
    const waiting = this.#waiting();
    for (const orderId of parkedBefore) {
      if (!waiting.has(orderId)) this.#parked.delete(orderId);
    }
  }

  async #rest(startedAt: number): Promise<void> {
    const { clock } = this.#dependencies.environment;
    const restMs = startedAt + this.#options.batchIntervalMs - clock.monotonic();
    if (restMs > 0) await new Promise<void>((resolve) => clock.after(restMs, resolve));
  }
}
