import type { Cancel, Environment } from '../../store/environment.ts';
import { LedgerError, type Ledger } from '../../store/ledger/port.ts';
import type { Views } from './ports.ts';

/**
 * Keeps a node that was away from driving orders that the others have forgotten. Owns how fresh this node's knowledge
 * of the horizon is.
 *
 * Why it is needed. What a node may have missed is that an order ended: somebody took it over, gave the money back or
 * sold the goods, and after `retainFor` everybody dropped it. To a node that returns with the order open, the ledger
 * says so: `forgotten`. But the payment provider is asked before the ledger is, and a provider that has forgotten the
 * idempotency key as well would authorize anew for an order that is long over. So a node first asks the ledger for the
 * horizon, drops what lies behind it, and only then drives anything.
 *
 *   Q1  Nothing is done for an order unless the horizon was asked for, through the log, within a quarter of
 *       `retainFor`; and an order that was ahead of the horizon then can not have been forgotten since, unless it was
 *       already three quarters of `retainFor` old. In that case too the ledger answers before goods or units move.
 *   Q2  The age of what was asked is the larger of what the wall clock and the monotonic clock say: neither a machine
 *       that slept nor a clock that was set makes it look younger.
 *
 * What is left: a process that is stopped between this check and its next call to the provider, for a quarter of
 * `retainFor` or more, and then goes on. With the default of 30 days that is a week.
 */
export interface FenceOptions {
  /** 0: from now on nothing is forgotten. What was before, under another setting or by others, is asked for once. */
  readonly retainForMs: number;
}

export interface FenceDependencies {
  readonly environment: Environment;
  readonly ledger: Pick<Ledger, 'forget'>;
  readonly views: Pick<Views, 'forget'>;
}

const VALID_SHARE = 1 / 4;
const RENEWED_SHARE = 1 / 16;
const RETRY_AFTER_MS = 250;

export class Fence {
  readonly #options: FenceOptions;
  readonly #dependencies: FenceDependencies;
  #asked: { readonly monotonic: number; readonly wall: number } | undefined;
  #asking = false;
  #cancel: Cancel = () => undefined;
  #stopped = false;

  constructor(options: FenceOptions, dependencies: FenceDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  start(): void {
    this.#ask();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** Q1. */
  isCurrent(): boolean {
    const { retainForMs } = this.#options;
    return retainForMs === 0 ? this.#asked !== undefined : this.#ageMs() < retainForMs * VALID_SHARE;
  }

  /** Not current until asked again. */
  doubt(): void {
    this.#asked = undefined;
    this.#ask();
  }

  /** Q2. */
  #ageMs(): number {
    const { clock } = this.#dependencies.environment;
    if (this.#asked === undefined) return Infinity;
    return Math.max(clock.monotonic() - this.#asked.monotonic, clock.now() - this.#asked.wall);
  }

  #ask(): void {
    if (this.#asking || this.#stopped) return;
    this.#asking = true;
    this.#cancel();
    const { environment, ledger, views } = this.#dependencies;
    const { clock, log } = environment;
    const asked = { monotonic: clock.monotonic(), wall: clock.now() };
    // Raises nothing: the answer says what holds, as linearizable as any command.
    ledger
      .forget(0)
      .then(({ horizon }) => {
        views.forget(horizon);
        this.#asked = asked;
        return this.#options.retainForMs === 0 ? undefined : this.#options.retainForMs * RENEWED_SHARE;
      })
      .catch((error: unknown) => {
        if (!(error instanceof LedgerError)) environment.fatal(error as Error);
        log.debug({ error: String(error) }, 'the ledger did not say what is forgotten');
        return RETRY_AFTER_MS;
      })
      .then((delayMs) => {
        this.#asking = false;
        if (this.#stopped || delayMs === undefined) return;
        this.#cancel = clock.after(Math.max(RETRY_AFTER_MS, delayMs), () => this.#ask());
      })
      .catch((error: unknown) => environment.fatal(error as Error));
  }
}
