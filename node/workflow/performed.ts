import type { OrderFact } from '../orders/events.ts';

/** What came of one effect or errand. */
export type Performed =
  | { readonly kind: 'facts'; readonly facts: readonly OrderFact[] }
  /** The attempt before made no payment and can make none any more: there may be another. */
  | { readonly kind: 'nextAttempt'; readonly attempt: number }
  /** Not known yet: ask again. */
  | { readonly kind: 'again'; readonly code: string; readonly afterMs?: number }
  /** This can not go on by itself: seen by an operator, tried again at long intervals. */
  | { readonly kind: 'park'; readonly code: string; readonly detail: string; readonly afterMs?: number }
  /** It ended so long ago that the ledger knows it no more: whatever this node missed, nothing is left to do. */
  | { readonly kind: 'forgotten' };

export function fact(...facts: readonly OrderFact[]): Performed {
  return { kind: 'facts', facts };
}

export function again(code: string, afterMs?: number): Performed {
  return afterMs === undefined ? { kind: 'again', code } : { kind: 'again', code, afterMs };
}

export function park(code: string, detail: string, afterMs?: number): Performed {
  return afterMs === undefined ? { kind: 'park', code, detail } : { kind: 'park', code, detail, afterMs };
}
