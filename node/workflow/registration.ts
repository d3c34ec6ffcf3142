/**
 * Which of several registrations of one order is the one, as far as the votes of the voters tell. Pure.
 *
 * Each voter gives one vote per order, to the first registration that it meets, for ever; one that a majority voted for
 * may have been answered `201`. So what is settled on may be one that nobody was answered with only if none can have
 * been, and none will be:
 *
 * B1  Nothing is settled while a registration that is not known here could have won or could win: of the votes that are
 *     not known, there are too few for a majority; or none is still to be given, and all that a majority's disks hold is
 *     known here, where one that won would be.
 * B2  Of the registrations known here, the only one that can have won is the one. What its own node said of it
 *     (`withdrawn`, or `deferred`: its client was answered 503, or nothing) is as good as a vote against it.
 * B3  When several can have won, the votes of those who are away would tell, so they are waited for.
 *
 * When none can have won, whichever has most votes is proposed, and the ledger has the last word: its first `claim` for
 * an order stands.
 *
 * Limit: several can have won, and everybody has been asked, but some forgot. That takes two lost disks: one that voted for
 * the winner, before anything that its home built on it was anywhere else (a moment; W8 in driver.ts), and that of the
 * home of another registration of the same key, which could have said that it told nobody (S7 in settlement.ts). Then it
 * may be that other one.
 */

/** What became of a voter's vote, among the registrations that count here. */
export type Vote =
  | { readonly kind: 'for'; readonly registration: string }
  /** It goes to none of them, and did not. */
  | { readonly kind: 'none' }
  /** It is still to be given. */
  | { readonly kind: 'free' }
  /** It may have gone to any, and is not to be given any more. */
  | { readonly kind: 'forgot' };

export interface Survey {
  readonly voters: readonly string[];
  /** Of those voters that answered. */
  readonly votes: ReadonlyMap<string, Vote>;
  /** Registrations known here that may have been answered `201`, as far as their own nodes said; the likeliest first. */
  readonly standing: readonly string[];
  /** Whether all that a majority's disks hold is known here. */
  readonly knowsAll: boolean;
}

export type Judgement =
  /** Undefined: there is no vote, and none that stands. */
  | { readonly kind: 'settled'; readonly registration: string | undefined }
  /** `vote`: one is on its way. `voter`: one that is away would tell. `knowledge`: of all that a majority holds. */
  | { readonly kind: 'open'; readonly wants: 'vote' | 'voter' | 'knowledge' };

export function judgeRegistrations({ voters, votes, standing, knowsAll }: Survey): Judgement {
  const majority = Math.floor(voters.length / 2) + 1;
  const given = new Map<string, number>();
  const counts = { none: 0, free: 0, forgot: 0, away: 0 };
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote?.kind === 'for') given.set(vote.registration, (given.get(vote.registration) ?? 0) + 1);
    else counts[vote?.kind ?? 'away'] += 1;
  }
  const likeliness = (registration: string): number => {
    const place = standing.indexOf(registration);
    return place < 0 ? standing.length : place;
  };
  const [most] = [...given].toSorted(
    ([a, m], [b, n]) => n - m || likeliness(a) - likeliness(b) || (a < b ? -1 : 1),
  );
  if (most !== undefined && most[1] >= majority) return { kind: 'settled', registration: most[0] };

  // B1.
  const hidden = counts.free + counts.forgot + counts.away;
  if (hidden >= majority && counts.free > 0) return { kind: 'open', wants: 'vote' };
  if (hidden >= majority && !knowsAll) return { kind: 'open', wants: 'knowledge' };

  const contenders = standing.filter((one) => (given.get(one) ?? 0) + hidden >= majority);
  const [only, ...others] = contenders;
  // B2.
  if (only !== undefined && others.length === 0) return { kind: 'settled', registration: only };
  // B3.
  if (others.length > 0 && counts.free > 0) return { kind: 'open', wants: 'vote' };
  if (others.length > 0 && counts.away > 0) return { kind: 'open', wants: 'voter' };
  return { kind: 'settled', registration: most?.[0] ?? standing[0] };
}
