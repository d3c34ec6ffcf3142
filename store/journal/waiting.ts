/** Callers that wait for a majority. Bounded by whoever adds to them. */
import { JournalError } from './port.ts';

interface QuorumWaiter {
  readonly sequence: number;
  readonly deadline: number;
  readonly kept: PromiseWithResolvers<void>;
  expired: boolean;
}

/** Own entries to be held by a majority, in the order of their sequences. */
export class QuorumWaiters {
  #waiters: QuorumWaiter[] = [];
  #earliestDeadline = Infinity;

  get size(): number {
    return this.#waiters.length;
  }

  /** Rejects with JournalError UNAVAILABLE after `deadline` (monotonic ms). */
  add(sequence: number, deadline: number): Promise<void> {
    const kept = Promise.withResolvers<void>();
    // Whoever appends without waiting must not crash the process by a time-out.
    kept.promise.catch(() => undefined);
    this.#waiters.push({ sequence, deadline, kept, expired: false });
    this.#earliestDeadline = Math.min(this.#earliestDeadline, deadline);
    return kept.promise;
  }

  /** A majority holds everything up to `sequence`. */
  advance(sequence: number): void {
    let done = 0;
    for (const waiter of this.#waiters) {
      if (waiter.sequence > sequence) break;
      waiter.kept.resolve();
      done++;
    }
    if (done > 0) this.#waiters.splice(0, done);
  }

  expire(now: number): void {
    if (now < this.#earliestDeadline) return;
    for (const waiter of this.#waiters) {
      if (waiter.deadline > now) continue;
      waiter.expired = true;
      waiter.kept.reject(
        new JournalError(
          'UNAVAILABLE',
          `no majority of the zone acknowledged entry ${waiter.sequence} in time`,
        ),
      );
    }
    this.#waiters = this.#waiters.filter((waiter) => !waiter.expired);
    this.#earliestDeadline = this.#waiters.reduce((least, one) => Math.min(least, one.deadline), Infinity);
  }

  close(error: Error): void {
    for (const waiter of this.#waiters) waiter.kept.reject(error);
    this.#waiters = [];
  }
}
