import { describe, expect, test } from 'vitest';
import { decideClaim, majorityOf, quorumSequence, type Vote } from '../../store/journal/claims.ts';
import type { Position } from '../../store/journal/port.ts';

/** Every way to fill `length` places with the `choices`. */
function* arrangements<Choice>(choices: readonly Choice[], length: number): Generator<readonly Choice[]> {
  if (length === 0) {
    yield [];
    return;
  }
  for (const rest of arrangements(choices, length - 1)) for (const choice of choices) yield [...rest, choice];
}

function registration(index: number): Position {
  return { origin: `n${index + 1}`, sequence: 7 };
}

/** What registration `mine` hears from a voter whose vote went to `voted`; undefined when it hears nothing. */
type Heard = 'vote' | 'abstention' | 'nothing';

function hears(mine: number, voted: number, heard: Heard): Vote | undefined {
  if (heard === 'nothing') return undefined;
  if (heard === 'abstention') return { kind: 'abstained' };
  return voted === mine ? { kind: 'granted' } : { kind: 'refused', holder: registration(voted) };
}

describe.each([
  { voters: 1, registrations: 2 },
  { voters: 2, registrations: 3 },
  { voters: 3, registrations: 4 },
  { voters: 4, registrations: 3 },
  { voters: 5, registrations: 3 },
])('$registrations registrations of one claim, $voters voters, every vote and every view', (size) => {
  const names = Array.from({ length: size.voters }, (_, index) => `v${index}`);
  const candidates = Array.from({ length: size.registrations }, (_, index) => index);
  // Who each voter really voted for; `size.registrations` stands for one that none of the others ever met.
  const truths = [...arrangements(candidates, size.voters)];
  const views = [...arrangements<Heard>(['vote', 'abstention', 'nothing'], size.voters)];

  test('what is said fits what is true, however little of it was heard', () => {
    for (const truth of truths) {
      const winner = candidates.find(
        (one) => truth.filter((vote) => vote === one).length >= majorityOf(size.voters),
      );
      for (const mine of candidates) {
        for (const view of views) {
          const votes = new Map<string, Vote>();
          names.forEach((name, index) => {
            const vote = hears(mine, truth[index] ?? 0, view[index] ?? 'nothing');
            if (vote !== undefined) votes.set(name, vote);
          });
          const decision = decideClaim(registration(mine), names, votes);
          // C1: at most one candidate has a majority, and only it hears `won`.
          if (decision?.kind === 'won' && winner !== mine)
            throw new Error(`won against ${JSON.stringify(truth)}`);
          // C2: nobody else has a majority, so nobody can ever be told `won`. (This one may have had it, when a
          // vote for it was forgotten; but it is told `split` instead, once and for all.)
          const another = winner !== undefined && winner !== mine;
          if (decision?.kind === 'split' && another) throw new Error('split beside a winner');
          // C3: the holder is the winner.
          if (decision?.kind === 'lost' && decision.holder.origin !== registration(winner ?? -1).origin) {
            throw new Error('lost to nobody');
          }
          // All votes heard: there is an answer.
          if (view.every((heard) => heard === 'vote')) expect(decision).toBeDefined();
        }
      }
    }
  });
});

test('votes of strangers do not count', () => {
  const votes = new Map<string, Vote>([
    ['stranger', { kind: 'granted' }],
    ['v0', { kind: 'granted' }],
  ]);
  expect(decideClaim(registration(0), ['v0', 'v1', 'v2'], votes)).toBeUndefined();
});

test('a split names every registration that was met', () => {
  const votes = new Map<string, Vote>([
    ['v0', { kind: 'granted' }],
    ['v1', { kind: 'refused', holder: registration(1) }],
    ['v2', { kind: 'refused', holder: registration(2) }],
  ]);
  expect(decideClaim(registration(0), ['v0', 'v1', 'v2'], votes)).toEqual({
    kind: 'split',
    seen: [registration(0), registration(1), registration(2)],
  });
});

test('a quorum holds what its slowest member holds', () => {
  expect(quorumSequence([9])).toBe(9);
  expect(quorumSequence([9, 3])).toBe(3);
  expect(quorumSequence([9, 3, 5])).toBe(5);
  expect(quorumSequence([0, 9, 0])).toBe(0);
  expect(quorumSequence([9, 1, 5, 7, 3])).toBe(5);
});
