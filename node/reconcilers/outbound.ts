import type { Environment } from '../../store/environment.ts';
import type { ParkedDelivery } from '../orders/fold.ts';
import { demandInterest, type Deadline } from '../ports/deadline.ts';
import type { RetriedOrder } from '../ports/reconcilers.ts';
import type { OutcomeRecord, SystemOfRecord } from '../ports/system-of-record.ts';

/**
 * Carries what became of orders into the system of record, oldest first, batch after batch until nothing is
 * left. Owns when refused outcomes are sent again; does not own which orders are pending or refused, which the
 * journal tells, nor when it runs.
 *
 * That an outcome was refused is a fact of its order: every node can tell, and a new leader knows from the beginning.
 * It cannot be kept in the system of record, which may refuse everything.
 */
export interface PendingOutcomes {
  /** Ended orders that are not marked as synced, oldest first, at most `limit`, without those in `except`. */
  next(limit: number, except: ReadonlySet<string>): Promise<readonly OutcomeRecord[]>;
  count(): number;
  /** Undefined when nothing of it is to be delivered. */
  one(orderId: string): Promise<OutcomeRecord | undefined>;
  /** Those of them that the system of record refuses. */
  parked(): ReadonlyMap<string, ParkedDelivery>;
  /** Resolves when `parked` tells of it. */
  markParked(orderId: string, refusal: { readonly code: string; readonly detail: string }): Promise<void>;
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

export class Outbound {
  readonly #options: OutboundOptions;
  readonly #dependencies: OutboundDependencies;
  /** When to send a refused outcome again, monotonic ms; at once when it is not here. */
  readonly #retryAt = new Map<string, number>();
  #oldestPendingAt: number | undefined;

  constructor(options: OutboundOptions, dependencies: OutboundDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Rejects with SystemOfRecordUnavailable, or with what `pending` rejects with; running it again is safe. */
  async run(batchSize: number): Promise<OutboundResult> {
    const { environment, pending, mayContinue, exclusively } = this.#dependencies;
    const total = { processed: 0, parked: 0 };
    while (mayContinue()) {
      const startedAt = environment.clock.monotonic();
      const waiting = this.#waiting();
      if (waiting.size >= this.#options.parkedMax) {
        environment.log.error({ parked: waiting.size }, 'delivery stopped: too many outcomes were refused');
        break;
      }
      const batch = await pending.next(batchSize, waiting);
      this.#oldestPendingAt = batch[0]?.order.updatedAt;
      if (batch.length === 0) break;
      const result = await exclusively(() => this.#deliver(batch));
      total.processed += result.processed;
      total.parked += result.refused.length;
      await this.#rest(startedAt);
    }
    return total;
  }

  /** What was refused may go again with the next batch. */
  retryParked(): void {
    this.#retryAt.clear();
  }

  /** Sends one that was refused, if its turn comes in time; undefined when nothing of it is to be delivered. */
  async retry(orderId: string, deadline: Deadline): Promise<RetriedOrder | undefined> {
    const record = await this.#dependencies.pending.one(orderId);
    if (record === undefined) return undefined;
    const { refused } = await this.#dependencies.exclusively(() => {
      demandInterest(deadline);
      return this.#deliver([record]);
    });
    const [refusal] = refused;
    return refusal === undefined
      ? { orderId, delivered: true }
      : { orderId, delivered: false, reason: refusal.reason };
  }

  /** ms since the epoch; undefined when the last look found nothing to send. */
  oldestPendingAt(): number | undefined {
    return this.#oldestPendingAt;
  }

  /** Another node delivers now. */
  forget(): void {
    this.#retryAt.clear();
    this.#oldestPendingAt = undefined;
  }

  async #deliver(batch: readonly OutcomeRecord[]): Promise<{
    readonly processed: number;
    readonly refused: readonly { readonly orderId: string; readonly reason: string }[];
  }> {
    const { environment, sor, pending, onBatch } = this.#dependencies;
    const startedAt = environment.clock.monotonic();
    const { applied, parked } = await sor.applyOutcomes(batch);
    // Marked only after the system of record has them: a crash in between sends them again, harmlessly (R1).
    if (applied.length > 0) await pending.markSynced(applied);
    for (const { orderId } of applied) this.#retryAt.delete(orderId);
    for (const { orderId, reason } of parked) await this.#park(orderId, reason);
    const seconds = (environment.clock.monotonic() - startedAt) / 1000;
    onBatch({ size: batch.length, parked: parked.length, seconds });
    return { processed: applied.length, refused: parked };
  }

  /** Noted once for each code in a row: the words of a refusal may change with every figure. */
  async #park(orderId: string, reason: string): Promise<void> {
    const { environment, pending } = this.#dependencies;
    const { clock, log } = environment;
    const [code = '', ...words] = reason.split(': ');
    this.#retryAt.set(orderId, clock.monotonic() + this.#options.parkedRetryMs);
    if (pending.parked().get(orderId)?.code === code) return;
    log.error({ orderId, reason }, 'the system of record refused an outcome');
    await pending.markParked(orderId, { code, detail: words.join(': ') });
  }

  /** Refused orders whose time to be sent again has not come. */
  #waiting(): ReadonlySet<string> {
    const now = this.#dependencies.environment.clock.monotonic();
    for (const [orderId, retryAt] of this.#retryAt) if (retryAt <= now) this.#retryAt.delete(orderId);
    return new Set(this.#retryAt.keys());
  }

  async #rest(startedAt: number): Promise<void> {
    const { clock } = this.#dependencies.environment;
    const restMs = startedAt + this.#options.batchIntervalMs - clock.monotonic();
    if (restMs > 0) await new Promise<void>((resolve) => clock.after(restMs, resolve));
  }
}
