import type { Configuration, NodeId, Standing, Vote } from './types.ts';

/** Majorities of the voters. All counting goes through here. */

export function isVoter(configuration: Configuration, node: NodeId): boolean {
  return configuration.voters.includes(node);
}

/** Whose word is asked for. */
export interface Electorate {
  /** The voters of the configuration in force: a majority of them decides. */
  readonly voters: readonly NodeId[];
  /** And those of the one before, as long as the change is not known to be decided (C19). */
  readonly everyone: readonly NodeId[];
}

/** `before` is the configuration that decides again if `inForce` comes to nothing. */
export function electorate(inForce: Configuration, before: Configuration | undefined): Electorate {
  const { voters } = inForce;
  if (before === undefined) return { voters, everyone: voters };
  return { voters, everyone: [...new Set([...voters, ...before.voters])] };
}

export function quorumSize({ voters }: Electorate): number {
  return Math.floor(voters.length / 2) + 1;
}

/** What one voter has reached, such as an index or a time, and what its word is worth. */
export interface Reached {
  readonly value: number;
  readonly standing: Standing;
}

/**
 * The largest value that a quorum has reached.
 *
 * C12: what was decided is on a majority of disks, and a quorum must contain one voter that remembers it. So a
 * majority must be made of voters that remember. Voters whose disk was empty make one too: while only a
 * minority of disks is ever lost, they can be that many only when the cluster is being formed. All voters
 * together are a quorum in any case; while a change is not decided, all of both configurations (C19).
 */
export function reachedByQuorum(
  { voters, everyone }: Electorate,
  reachedBy: (voter: NodeId) => Reached,
): number {
  const all = voters.map(reachedBy);
  const ofStanding = (standing: Standing): number[] =>
    all.filter((voter) => voter.standing === standing).map(({ value }) => value);
  return Math.max(
    nthLargest(ofStanding('remembering'), quorumSize({ voters, everyone })),
    nthLargest(ofStanding('recovering'), quorumSize({ voters, everyone })),
    Math.min(...everyone.map((voter) => reachedBy(voter).value)),
  );
}

export type Tally = 'won' | 'lost' | 'open';

/** How an election stands, by the same quorums. Votes of nodes that are not voters do not count. */
export function tally(electorate: Electorate, votes: ReadonlyMap<NodeId, Vote>): Tally {
  const { voters } = electorate;
  const refusals = voters.filter((voter) => votes.get(voter) === 'refused').length;
  const granted = reachedByQuorum(electorate, (voter) => {
    const vote = votes.get(voter) ?? 'refused';
    return vote === 'refused' ? { value: 0, standing: 'remembering' } : { value: 1, standing: vote };
  });
  if (granted === 1) return 'won';
  return voters.length - refusals < quorumSize(electorate) ? 'lost' : 'open';
}

function nthLargest(values: readonly number[], place: number): number {
  return values.toSorted((left, right) => right - left)[place - 1] ?? -Infinity;
}
