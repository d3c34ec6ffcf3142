import type { Configuration, NodeId, Standing, Vote } from './types.ts';

/**
 * Majorities of the voters. All counting goes through here, so that joint configurations have one place to
 * come to.
 */

export function isVoter(configuration: Configuration, node: NodeId): boolean {
  return configuration.voters.includes(node);
}

export function quorumSize(configuration: Configuration): number {
  return Math.floor(configuration.voters.length / 2) + 1;
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
 * together are a quorum in any case.
 */
export function reachedByQuorum(configuration: Configuration, reachedBy: (voter: NodeId) => Reached): number {
  const all = configuration.voters.map(reachedBy);
  const ofStanding = (standing: Standing): number[] =>
    all.filter((voter) => voter.standing === standing).map(({ value }) => value);
  return Math.max(
    nthLargest(ofStanding('remembering'), quorumSize(configuration)),
    nthLargest(ofStanding('recovering'), quorumSize(configuration)),
    Math.min(...all.map(({ value }) => value)),
  );
}

export type Tally = 'won' | 'lost' | 'open';

/** How an election stands, by the same quorums. Votes of nodes that are not voters do not count. */
export function tally(configuration: Configuration, votes: ReadonlyMap<NodeId, Vote>): Tally {
  const count = (vote: Vote): number =>
    configuration.voters.filter((voter) => votes.get(voter) === vote).length;
  const granted = reachedByQuorum(configuration, (voter) => {
    const vote = votes.get(voter) ?? 'refused';
    return vote === 'refused' ? { value: 0, standing: 'remembering' } : { value: 1, standing: vote };
  });
  if (granted === 1) return 'won';
  return configuration.voters.length - count('refused') < quorumSize(configuration) ? 'lost' : 'open';
}

function nthLargest(values: readonly number[], place: number): number {
  return values.toSorted((left, right) => right - left)[place - 1] ?? -Infinity;
}
