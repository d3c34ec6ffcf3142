import type { Cancel, Clock } from '../../store/environment.ts';
import { TokenBucket } from './token-bucket.ts';

/**
 * The door to the provider: how many calls are under way at once, how many start per second, how many wait, and
 * for how long. Owns no call and knows no provider.
 *
 *   A1  Never more than `maxConcurrent` calls under way, never more than `maxQueue` waiting.
 *   A2  Nobody waits longer than `maxWaitMs`, and nobody waits who knows to wait in vain.
 *   A3  Calls that bring an order to its end go before calls that begin one, or a rush of new orders would let
 *       the holds of paid ones expire.
 */
export interface AdmissionOptions {
  readonly maxConcurrent: number;
  readonly requestsPerSecond: number;
  readonly maxQueue: number;
  readonly maxWaitMs: number;
}

export type Lane = 'finish' | 'begin';

export type Admitted = { readonly kind: 'admitted' } | TurnedAway;

export interface TurnedAway {
  readonly kind: 'turnedAway';
  readonly reason: 'QUEUE_FULL' | 'RATE_BUDGET' | 'BUSY' | 'CLOSED';
  readonly retryAfterMs: number;
}

interface Waiting {
  readonly settle: (admitted: Admitted) => void;
  readonly cancelDeadline: Cancel;
}

const admitted: Admitted = { kind: 'admitted' };
/** The part of a second's budget that may go out at once. */
const burstSeconds = 0.25;
const retryAfterMsMin = 50;
const retryAfterMsMax = 30_000;

export class Admission {
  readonly #options: AdmissionOptions;
  readonly #clock: Clock;
  readonly #bucket: TokenBucket;
  readonly #lanes: Readonly<Record<Lane, Set<Waiting>>> = { finish: new Set(), begin: new Set() };
  readonly #emptied = Promise.withResolvers<void>();
  #requestsPerSecond: number;
  #underWay = 0;
  #wake: Cancel | undefined;
  #closed = false;

  constructor(options: AdmissionOptions, dependencies: { readonly clock: Clock }) {
    this.#options = options;
    this.#clock = dependencies.clock;
    this.#requestsPerSecond = options.requestsPerSecond;
    this.#bucket = new TokenBucket(rateOf(options.requestsPerSecond), this.#clock.monotonic());
  }

  /** Another share of the budget from now on. */
  changeBudget(requestsPerSecond: number): void {
    this.#requestsPerSecond = requestsPerSecond;
    this.#bucket.changeRate(rateOf(requestsPerSecond), this.#clock.monotonic());
  }

  /** Who is admitted calls `leave` when done. */
  enter(lane: Lane): Promise<Admitted> {
    const { maxQueue, maxWaitMs } = this.#options;
    if (this.#closed) return Promise.resolve(this.#turnAway('CLOSED'));
    if (this.waiting() === 0 && this.#start()) return Promise.resolve(admitted);
    if (this.waiting() >= maxQueue) return Promise.resolve(this.#turnAway('QUEUE_FULL'));
    if (this.#budgetWaitMs() > maxWaitMs) return Promise.resolve(this.#turnAway('RATE_BUDGET'));
    return new Promise((settle) => {
      const queue = this.#lanes[lane];
      const waiting: Waiting = {
        settle,
        cancelDeadline: this.#clock.after(maxWaitMs, () => {
          queue.delete(waiting);
          settle(this.#turnAway(this.#budgetWaitMs() > 0 ? 'RATE_BUDGET' : 'BUSY'));
        }),
      };
      queue.add(waiting);
    });
  }

  leave(): void {
    this.#underWay -= 1;
    if (this.#closed && this.#underWay === 0) this.#emptied.resolve();
    this.#admitNext();
  }

  /** The provider asked for less: nothing starts for this long. */
  pause(forMs: number): void {
    const now = this.#clock.monotonic();
    this.#bucket.pause(now, now + forMs);
  }

  waiting(): number {
    return this.#lanes.finish.size + this.#lanes.begin.size;
  }

  /** Turns everybody away who waits or comes; resolves when those under way have left. */
  close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    for (const queue of Object.values(this.#lanes)) {
      for (const waiting of queue) {
        waiting.cancelDeadline();
        waiting.settle(this.#turnAway('CLOSED'));
      }
      queue.clear();
    }
    if (this.#underWay === 0) this.#emptied.resolve();
    return this.#emptied.promise;
  }

  /** Takes a place and a token, or neither. When only the token is missing, comes back when there is one. */
  #start(): boolean {
    if (this.#underWay >= this.#options.maxConcurrent) return false;
    const waitMs = this.#budgetWaitMs();
    if (waitMs > 0) {
      this.#wake ??= this.#clock.after(waitMs, () => {
        this.#wake = undefined;
        this.#admitNext();
      });
      return false;
    }
    this.#bucket.take();
    this.#underWay += 1;
    return true;
  }

  #admitNext(): void {
    for (const queue of [this.#lanes.finish, this.#lanes.begin]) {
      for (const waiting of queue) {
        if (!this.#start()) return;
        queue.delete(waiting);
        waiting.cancelDeadline();
        waiting.settle(admitted);
      }
    }
  }

  #budgetWaitMs(): number {
    return this.#bucket.waitMs(this.#clock.monotonic());
  }

  #turnAway(reason: TurnedAway['reason']): TurnedAway {
    const backlogMs = (this.waiting() / this.#requestsPerSecond) * 1_000;
    const soonestMs = Math.max(retryAfterMsMin, backlogMs, this.#budgetWaitMs());
    return { kind: 'turnedAway', reason, retryAfterMs: Math.ceil(Math.min(retryAfterMsMax, soonestMs)) };
  }
}

function rateOf(requestsPerSecond: number): { readonly perSecond: number; readonly burst: number } {
  return { perSecond: requestsPerSecond, burst: requestsPerSecond * burstSeconds };
}
