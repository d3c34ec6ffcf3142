import type { Cancel, Clock } from '../../store/environment.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import type { Deadline } from '../ports/deadline.ts';
import type { Views } from './ports.ts';

/**
 * Requests that wait until something is known of an order. Owns who waits; knows nothing of what for.
 *
 * I1  Who waits hears once: when it is known, when the time is over, when nobody waits for the answer any more, or when all
 *     are released. However it ends, the answer is what is known then.
 * I2  Who has heard leaves nothing behind: no timer, no listener, no entry.
 */
export interface WaitingDependencies {
  readonly clock: Clock;
  readonly views: Pick<Views, 'get' | 'peek' | 'onChange'>;
}

interface Waiter {
  readonly look: (folded: FoldedOrder) => void;
  readonly end: () => void;
}

export class Waiting {
  readonly #dependencies: WaitingDependencies;
  /** By order: thousands may wait at once, and a change concerns those of its order. None is empty. */
  readonly #waiters = new Map<string, Set<Waiter>>();

  constructor(dependencies: WaitingDependencies) {
    this.#dependencies = dependencies;
    dependencies.views.onChange((orderId, folded) => {
      for (const waiter of this.#waiters.get(orderId) ?? []) waiter.look(folded);
    });
  }

  /** Requests that wait now. */
  get size(): number {
    return [...this.#waiters.values()].reduce((sum, waiters) => sum + waiters.size, 0);
  }

  /**
   * Resolves with the order as it is known when the waiting ends; undefined when it is not known here. Without time, as
   * soon as it is known what there is.
   */
  until(
    orderId: string,
    when: (folded: FoldedOrder) => boolean,
    patience: { readonly timeoutMs: number; readonly deadline: Deadline },
  ): Promise<FoldedOrder | undefined> {
    const { views, clock } = this.#dependencies;
    const { timeoutMs, deadline } = patience;
    return new Promise((resolve, reject) => {
      const stops: Cancel[] = [];
      let found: FoldedOrder | undefined;
      let isOver = false;
      const stop = (): void => {
        isOver = true;
        for (const cancel of stops) cancel();
        this.#remove(orderId, waiter);
      };
      const done = (folded: FoldedOrder | undefined): void => {
        stop();
        resolve(folded);
      };
      const waiter: Waiter = {
        look: (folded) => {
          if (when(folded)) done(folded);
        },
        end: () => {
          done(views.peek(orderId) ?? found);
        },
      };
      // It may have to be read, or derived again, which is no reason to wait longer than asked for (I1).
      this.#add(orderId, waiter);
      if (timeoutMs > 0) stops.push(clock.after(timeoutMs, waiter.end));
      stops.push(deadline.onGivenUp(waiter.end));
      views.get(orderId).then(
        (folded) => {
          if (isOver) return;
          found = folded;
          if (timeoutMs <= 0 || (folded !== undefined && when(folded))) done(folded);
        },
        (error: unknown) => {
          stop();
          reject(error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
  }

  /** Nobody is kept waiting any longer. */
  release(): void {
    for (const waiters of [...this.#waiters.values()]) for (const waiter of [...waiters]) waiter.end();
  }

  #add(orderId: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(orderId);
    if (waiters === undefined) this.#waiters.set(orderId, new Set([waiter]));
    else waiters.add(waiter);
  }

  #remove(orderId: string, waiter: Waiter): void {
    const waiters = this.#waiters.get(orderId);
    waiters?.delete(waiter);
    if (waiters?.size === 0) this.#waiters.delete(orderId);
  }
}
