import { parseFaultPlan } from './fault-plan.ts';
import type { FaultPlan } from './fault-plan.ts';

/**
 * Every fault there is, at rates at which most orders meet one and all can come to their end: the provider as a shop
 * meets it on its worst day, but all day long. Delays are short, so that a test sees their ends.
 */
export function hostilePlan(seed: number): FaultPlan {
  return parseFaultPlan({
    seed,
    rules: [
      { fault: 'dropRequest', probability: 0.03 },
      { fault: 'dropReply', probability: 0.05 },
      { fault: 'lateReply', probability: 0.04, delayMs: 300 },
      { fault: 'lateReply', probability: 0.002, delayMs: 12_000 },
      { fault: 'rateLimit', probability: 0.02 },
      { fault: 'rateLimit', probability: 0.01, retryAfterSeconds: 1 },
      { fault: 'serverErrorOnce', probability: 0.02 },
      { fault: 'serverErrorOnce', probability: 0.01, status: 500 },
      { fault: 'serverError', probability: 0.02, done: true },
      { fault: 'serverError', probability: 0.01, done: false },
      { fault: 'forgetKeys', probability: 1, keyWindowMs: 86_400_000 },
      { fault: 'requiresAction', probability: 0.02 },
      { fault: 'processing', probability: 0.03, settlesAfterMs: 1_500, to: 'succeeded' },
      { fault: 'processing', probability: 0.01, settlesAfterMs: 1_500, to: 'failed' },
      { fault: 'authorizationExpires', probability: 0.005, afterMs: 20_000 },
      { fault: 'captureFails', probability: 0.01 },
      { fault: 'refundPending', probability: 0.1, settlesAfterMs: 1_500, then: 'succeeded' },
      { fault: 'refundPending', probability: 0.03, settlesAfterMs: 1_500, then: 'failed' },
      { fault: 'refundFails', probability: 0.03 },
      { fault: 'refundFails', probability: 0.03, afterMs: 1_500 },
      { fault: 'searchLags', probability: 0.3, lagMs: 2_000 },
      { fault: 'dropped', probability: 0.1 },
      { fault: 'duplicated', probability: 0.1, copies: 2, afterMs: 200 },
      { fault: 'reordered', probability: 0.1, withinMs: 1_000 },
      { fault: 'late', probability: 0.05, delayMs: 5_000 },
      { fault: 'badlySigned', probability: 0.02, how: 'otherSecret' },
      { fault: 'badlySigned', probability: 0.02, how: 'staleTime' },
      { fault: 'badlySigned', probability: 0.02, how: 'alteredBody' },
      { fault: 'replayed', probability: 0.05 },
    ],
  });
}
