/**
 * Who has a claim, judged from the votes one registration collected. Pure.
 *
 * Each voter gives its one vote per claim to the first registration that it persists, and keeps to it. So at most
 * one registration of a claim collects a majority, and:
 *
 * C1  `won` is said to at most one registration of a claim.
 * C2  `split` is said only when no registration of the claim can ever be told `won`: then the ledger may decide.
 * C3  `lost` names a holder that a majority voted for, never one that merely might still get there: two
 *     registrations each waiting for the other would leave an order without a home.
 */
import type { NodeId } from '../environment.ts';
import type { ClaimVerdict, Position } from './port.ts';

export type Vote =
  | { readonly kind: 'granted' }
  /** The voter's vote went to `holder`. */
  | { readonly kind: 'refused'; readonly holder: Position }
  /** The voter lost its disk and cannot tell whom its vote went to; it has none left for this claim. */
  | { readonly kind: 'abstained' };

/** Undefined while more votes could change the answer. Never `unavailable`: that is the caller's patience. */
export type ClaimDecision = Exclude<ClaimVerdict, { readonly kind: 'unavailable' }> | undefined;

export function majorityOf(voters: number): number {
  return Math.floor(voters / 2) + 1;
}

export function decideClaim(
  registration: Position,
  voters: readonly NodeId[],
  votes: ReadonlyMap<NodeId, Vote>,
): ClaimDecision {
  const majority = majorityOf(voters.length);
  const refusals = new Map<string, { readonly holder: Position; count: number }>();
  let granted = 0;
  let abstained = 0;
  let unanswered = 0;

  for (const voter of voters) {
    const vote = votes.get(voter);
    switch (vote?.kind) {
      case undefined:
        unanswered++;
        break;
      case 'granted':
        granted++;
        break;
      case 'abstained':
        abstained++;
        break;
      case 'refused': {
        const name = `${vote.holder.origin}:${vote.holder.sequence}`;
        const refusal = refusals.get(name);
        if (refusal === undefined) refusals.set(name, { holder: vote.holder, count: 1 });
        else refusal.count++;
        break;
      }
    }
  }

  if (granted >= majority) return { kind: 'won' };
  for (const { holder, count } of refusals.values()) {
    if (count >= majority) return { kind: 'lost', holder };
  }
  // An abstained vote may once have been another's: it keeps their hopes alive, never ours.
  const hidden = unanswered + abstained;
  const stillPossible =
    granted + unanswered >= majority ||
    hidden >= majority ||
    [...refusals.values()].some(({ count }) => count + hidden >= majority);
  if (stillPossible) return undefined;
  return { kind: 'split', seen: [registration, ...[...refusals.values()].map(({ holder }) => holder)] };
}

/** The last sequence that a majority of the voters hold, given what each holds. */
export function quorumSequence(held: readonly number[]): number {
  const descending = held.toSorted((one, other) => other - one);
  return descending[majorityOf(held.length) - 1] ?? 0;
}
