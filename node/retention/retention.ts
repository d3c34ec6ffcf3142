import type { Cancel, Environment } from '../../store/environment.ts';
import { JournalError, type Journal } from '../../store/journal/port.ts';
import { LedgerError, type Ledger } from '../../store/ledger/port.ts';
import type { Horizon, RetentionStatus } from '../ports/retention.ts';
import { Fence } from './fence.ts';
import { proposeHorizon, type Proposed } from './horizon.ts';
import type { SubjectOf, Views } from './ports.ts';
import { Trimming } from './trimming.ts';

/**
 * Lets old orders go: the leader proposes the horizon (horizon.ts), every node drops what lies behind it from its
 * views and then from its journal (trimming.ts), and a node that may have missed a horizon drives nothing (fence.ts).
 * Owns when these run; the ledger forgets by itself what it has decided to.
 *
 * Without an end (`retainFor: 0`) nothing is proposed; a horizon that others decided holds all the same.
 */
export interface RetentionOptions {
  /** 0: for ever. */
  readonly retainForMs: number;
  /** Whether all members are in one zone: no node knows the orders of another. */
  readonly isOneZone: boolean;
}

export interface RetentionDependencies {
  readonly environment: Environment;
  readonly journal: Pick<
    Journal,
    'covers' | 'vector' | 'bases' | 'read' | 'compact' | 'horizon' | 'onHorizon'
  >;
  readonly ledger: Pick<Ledger, 'forget' | 'horizon' | 'onHorizon' | 'freshness' | 'onLeadership'>;
  readonly views: Views;
  readonly subjectOf: SubjectOf;
}

/** A twentieth of what is kept, within these bounds: what is old waits no longer than that to go. */
const RUN_SHARE = 1 / 20;
const RUN_EVERY_MS_MIN = 500;
const RUN_EVERY_MS_MAX = 600_000;
const COVERS_TIMEOUT_MS = 5_000;

export class Retention implements Horizon {
  readonly #options: RetentionOptions;
  readonly #dependencies: RetentionDependencies;
  readonly #fence: Fence;
  readonly #trimming: Trimming;
  readonly #stop: Cancel[] = [];
  #cancelTimer: Cancel = () => undefined;
  #proposed: Proposed | undefined;
  #leading = false;
  #stopped = false;

  constructor(options: RetentionOptions, dependencies: RetentionDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#fence = new Fence(options, dependencies);
    this.#trimming = new Trimming(dependencies);
  }

  /** To be called before anything is driven. */
  start(): void {
    const { environment, ledger, journal, views } = this.#dependencies;
    const { retainForMs, isOneZone } = this.#options;
    if (retainForMs > 0 && !isOneZone) {
      environment.log.warn({}, 'orders are kept for ever: there is more than one zone');
    }
    this.#stop.push(
      ledger.onHorizon((horizon) => views.forget(horizon)),
      journal.onHorizon((horizon) => views.forget(horizon)),
      ledger.onLeadership((leading) => {
        this.#leading = leading;
        if (!leading) this.#proposed = undefined;
      }),
    );
    this.#fence.start();
    this.#runLater();
  }

  stop(): void {
    this.#stopped = true;
    this.#fence.stop();
    this.#cancelTimer();
    for (const cancel of this.#stop.splice(0)) cancel();
  }

  horizon(): number {
    const { ledger, journal } = this.#dependencies;
    return Math.max(ledger.horizon(), journal.horizon());
  }

  isCurrent(): boolean {
    return this.#fence.isCurrent();
  }

  doubt(): void {
    this.#fence.doubt();
  }

  /** Of this node; what holds the horizon up is known to the leader only. */
  status(): RetentionStatus {
    const horizon = this.horizon();
    const ageMs = this.#dependencies.environment.clock.now() - horizon;
    return { horizon, ...(horizon === 0 ? {} : { ageMs }), ...this.#proposed };
  }

  /** For the log: operators have to find the order that keeps all others. */
  #tellWhatHoldsUp(proposed: Proposed | undefined): void {
    const before = this.#proposed?.heldUpBy?.orderId;
    const { heldUpBy } = proposed ?? {};
    this.#proposed = proposed;
    if (heldUpBy === undefined || heldUpBy.orderId === before) return;
    const { orderId, createdAt } = heldUpBy;
    this.#dependencies.environment.log.warn(
      { orderId, createdAt: new Date(createdAt).toISOString() },
      'this order has not closed: it and all later ones are kept until it does',
    );
  }

  #runLater(): void {
    if (this.#stopped) return;
    const { clock } = this.#dependencies.environment;
    const share = this.#options.retainForMs * RUN_SHARE || RUN_EVERY_MS_MAX;
    const delayMs = Math.min(RUN_EVERY_MS_MAX, Math.max(RUN_EVERY_MS_MIN, share));
    this.#cancelTimer = clock.after(delayMs, () => {
      void this.#run().then(
        () => this.#runLater(),
        (error: unknown) => this.#dependencies.environment.fatal(error as Error),
      );
    });
  }

  async #run(): Promise<void> {
    const { environment } = this.#dependencies;
    const { retainForMs, isOneZone } = this.#options;
    try {
      if (this.#leading && retainForMs > 0 && isOneZone) {
        const options = { retainForMs, stepMs: retainForMs / 100, coversTimeoutMs: COVERS_TIMEOUT_MS };
        this.#tellWhatHoldsUp(await proposeHorizon(options, this.#dependencies));
      }
      const horizon = this.horizon();
      if (horizon > 0) await this.#trimming.run(horizon);
    } catch (error) {
      if (!(error instanceof LedgerError) && !(error instanceof JournalError)) throw error;
      environment.log.debug({ error: error.message }, 'old orders stay for now');
    }
  }
}
