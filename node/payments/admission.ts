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
 *   A4  Within any second no more calls start than the budget allows; at least one does, where that is less.
 *   A5  A smaller share of the cluster's budget holds at once, a larger one only after `growAfterMs`: by then whoever has
 *       less now has heard of it, so that the shares never sum up to more than there is. (A newcomer has its share before
 *       the others have heard of it, for as long as that takes.)
 */
export interface AdmissionOptions {
  readonly maxConcurrent: number;
  readonly requestsPerSecond: number;
  readonly maxQueue: number;
  readonly maxWaitMs: number;
  /** 10 s by default. */
  readonly growAfterMs?: number;
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
/** What may go out at once, as time in which it flows in. */
const burstSeconds = 0.25;
const growAfterMsUsual = 10_000;
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
  #cancelGrowth: Cancel = () => undefined;
  #closed = false;

  constructor(options: AdmissionOptions, dependencies: { readonly clock: Clock }) {
    this.#options = options;
    this.#clock = dependencies.clock;
    this.#requestsPerSecond = options.requestsPerSecond;
    this.#bucket = new TokenBucket(rateOf(options.requestsPerSecond), this.#clock.monotonic());
  }

  /** Another share of the budget (A5). */
  changeBudget(requestsPerSecond: number): void {
    this.#cancelGrowth();
    if (requestsPerSecond <= this.#requestsPerSecond) this.#setBudget(requestsPerSecond);
    else {
      const { growAfterMs = growAfterMsUsual } = this.#options;
      this.#cancelGrowth = this.#clock.after(growAfterMs, () => this.#setBudget(requestsPerSecond));
    }
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
    this.#cancelGrowth();
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

  #setBudget(requestsPerSecond: number): void {
    this.#requestsPerSecond = requestsPerSecond;
    this.#bucket.changeRate(rateOf(requestsPerSecond), this.#clock.monotonic());
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

/** A4: the fullest second has one burst and what flows in during it. */
function rateOf(requestsPerSecond: number): { readonly perSecond: number; readonly burst: number } {
  const perSecond = requestsPerSecond / (1 + burstSeconds);
  return { perSecond, burst: perSecond * burstSeconds };
}
