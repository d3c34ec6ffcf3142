/**
 * A rate budget: `perSecond` tokens flow in, at most `burst` wait. Pure arithmetic on monotonic ms; one token per
 * call.
 */
export class TokenBucket {
  #perMs: number;
  #burst: number;
  #tokens: number;
  /** Up to when tokens have flowed in; in the future during a pause. */
  #filledAt: number;

  constructor(options: { readonly perSecond: number; readonly burst: number }, now: number) {
    this.#perMs = options.perSecond / 1_000;
    this.#burst = Math.max(1, options.burst);
    this.#tokens = this.#burst;
    this.#filledAt = now;
  }

  /** How long, in ms, until there is a token; 0 when there is one. */
  waitMs(now: number): number {
    if (now > this.#filledAt) {
      this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filledAt) * this.#perMs);
      this.#filledAt = now;
    }
    // A wait computed from fractions may end a hair early: that hair is not worth another timer.
    if (this.#tokens >= 1 - 1e-6) return 0;
    return this.#filledAt - now + (1 - this.#tokens) / this.#perMs;
  }

  /** Takes the token that `waitMs` found. */
  take(): void {
    this.#tokens -= 1;
  }

  /** Another budget from now on; what has flowed in stays, as far as there is room for it. */
  changeRate(rate: { readonly perSecond: number; readonly burst: number }, now: number): void {
    this.waitMs(now);
    this.#perMs = rate.perSecond / 1_000;
    this.#burst = Math.max(1, rate.burst);
    this.#tokens = Math.min(this.#tokens, this.#burst);
  }

  /** The other side asked for less: tokens flow again from `until` on. */
  pause(now: number, until: number): void {
    if (until <= now) return;
    this.#tokens = Math.min(this.#tokens, 0);
    this.#filledAt = Math.max(this.#filledAt, until);
  }
}
