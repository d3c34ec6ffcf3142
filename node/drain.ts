import type { Clock, Log } from '../store/environment.ts';

/**
 * How a node leaves while clients use it: the order of its last steps. Who does each step is handed in (compose.ts).
 *
 * D1  A node that leaves says so before it refuses anything: whoever routes by readiness has `delayMs` to look
 *     elsewhere, and meanwhile every request is served as ever.
 * D2  What was begun comes to its end: an order that is being registered is registered before the driver comes to rest,
 *     so it is driven here; what is open then is taken over by the others.
 * D3  From then on new orders are refused (`DRAINING`), and everything else is answered until the door closes, which
 *     is last.
 * D4  Every step has a bound. One that fails or hangs is logged and does not keep the others from being taken.
 */
export interface DrainOptions {
  /** How long requests are served as ever after readiness has said no. */
  readonly delayMs: number;
  /** For orders to be registered, for the lead to be handed over, and for open orders to come to an end, each. */
  readonly stepTimeoutMs: number;
}

export interface DrainDependencies {
  readonly clock: Clock;
  readonly log: Log;
  /** Takes no new orders any more; resolves when those under way are registered. */
  readonly refuseOrders: () => Promise<unknown>;
  /** Has another node lead the ledger, if this one does. */
  readonly handOver: () => Promise<unknown>;
  /** Resolves when no order is being driven, or after this time. */
  readonly finishOrders: (timeoutMs: number) => Promise<unknown>;
  /** Closes the door, then everything else. Bounded by itself. */
  readonly stop: () => Promise<unknown>;
}

export class Drain {
  readonly #options: DrainOptions;
  readonly #dependencies: DrainDependencies;
  #leaving: Promise<void> | undefined;

  constructor(options: DrainOptions, dependencies: DrainDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Whether the node was told to leave. */
  get isLeaving(): boolean {
    return this.#leaving !== undefined;
  }

  /** Resolves when everything has stopped. Idempotent; never rejects. */
  leave(): Promise<void> {
    return (this.#leaving ??= this.#leave());
  }

  async #leave(): Promise<void> {
    const { clock, refuseOrders, handOver, finishOrders, stop } = this.#dependencies;
    const { delayMs, stepTimeoutMs } = this.#options;
    if (delayMs > 0) await new Promise<void>((resolve) => clock.after(delayMs, resolve));
    await this.#step('registering the last orders', refuseOrders);
    await this.#step('handing over the lead', handOver);
    await this.#step('finishing orders', () => finishOrders(stepTimeoutMs));
    await stop();
  }

  async #step(name: string, work: () => Promise<unknown>): Promise<void> {
    const { clock, log } = this.#dependencies;
    const late = Promise.withResolvers<never>();
    const cancel = clock.after(this.#options.stepTimeoutMs, () => late.reject(new Error('took too long')));
    try {
      await Promise.race([work(), late.promise]);
    } catch (error) {
      log.warn({ step: name, reason: error instanceof Error ? error.message : String(error) }, 'not drained');
    } finally {
      cancel();
    }
  }
}
