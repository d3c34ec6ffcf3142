import type { Environment } from '../../store/environment.ts';
import type { Admission, Lane } from './admission.ts';
import type { Breaker } from './breaker.ts';
import { failedCallOf, type FailedCall } from './stripe-answers.ts';

/**
 * One request to Stripe at a time through everything that stands before it: circuit, budget, queue. Owns what a failure
 * does to them. Does not own what is asked, nor what an answer means for an order.
 *
 *   N1  Never rejects: what the provider or the network does is an answer.
 *   N2  After a 429 nothing is sent for as long as it says; where it does not say, for twice as long each time in a row.
 */
export type Called<Value> =
  { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly failed: FailedCall };

const pauseMsMin = 1_000;
const pauseMsMax = 30_000;

export class StripeLine {
  readonly #admission: Admission;
  readonly #breaker: Breaker;
  readonly #log: Environment['log'];
  /** 429s in a row that did not say for how long. */
  #refusals = 0;

  constructor(dependencies: {
    readonly admission: Admission;
    readonly breaker: Breaker;
    readonly log: Environment['log'];
  }) {
    this.#admission = dependencies.admission;
    this.#breaker = dependencies.breaker;
    this.#log = dependencies.log;
  }

  async call<Value>(lane: Lane, request: () => Promise<Value>): Promise<Called<Value>> {
    // Before the queue, so that nobody waits in line for a closed door; and again behind it.
    const blockedForMs = this.#breaker.blockedForMs();
    if (blockedForMs > 0) return notNow('CIRCUIT_OPEN', blockedForMs);
    const admitted = await this.#admission.enter(lane);
    if (admitted.kind === 'turnedAway') return notNow(admitted.reason, admitted.retryAfterMs);
    try {
      if (!this.#breaker.begin()) return notNow('CIRCUIT_OPEN', this.#breaker.blockedForMs());
      try {
        const value = await request();
        this.#breaker.report('ok');
        this.#refusals = 0;
        return { ok: true, value };
      } catch (error) {
        return { ok: false, failed: this.#failed(failedCallOf(error)) };
      }
    } finally {
      this.#admission.leave();
    }
  }

  #failed(failed: FailedCall): FailedCall {
    this.#breaker.report(failed.outcome);
    if (failed.complaint !== undefined) {
      this.#log.error({ code: failed.complaint, reason: reasonOf(failed.answer) }, 'payment provider');
    }
    if (failed.throttled === undefined) return failed;
    const { retryAfterMs = Math.min(pauseMsMax, pauseMsMin * 2 ** this.#refusals) } = failed.throttled;
    if (failed.throttled.retryAfterMs === undefined) this.#refusals = Math.min(this.#refusals + 1, 10);
    this.#admission.pause(retryAfterMs);
    return { ...failed, answer: { kind: 'postponed', reason: 'RATE_LIMITED', retryAfterMs } };
  }
}

function notNow(reason: string, retryAfterMs: number): { readonly ok: false; readonly failed: FailedCall } {
  const answer = { kind: 'postponed', reason, retryAfterMs } as const;
  return { ok: false, failed: { answer, outcome: 'neutral', isKeySpent: false } };
}

function reasonOf(answer: FailedCall['answer']): string {
  return answer.kind === 'refused' ? answer.code : answer.reason;
}
