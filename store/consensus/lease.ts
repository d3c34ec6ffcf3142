import { reachedByQuorum, type Electorate } from './quorum.ts';
import { electorateOf, isSoleVoter, type Leader, type State } from './state.ts';
import type { NodeId, Standing } from './types.ts';

/**
 * What a leader may conclude from the passing of time (dissertation, 6.2 and 6.4.1).
 *
 * A follower that takes in a leader's message votes for nobody else during the next `electionTimeoutMsMin` of
 * its own clock. The message left at `sentAt` of the leader's clock, so that promise lasts at least until
 * `sentAt + electionTimeoutMsMin`, if both clocks run alike. A majority of such promises means that no other
 * leader can be elected: that is the lease. Only reads rest on it; what is decided rests on the quorum.
 */

/** Our time at the sending of the latest messages that a quorum has answered; we always hear ourselves. */
export function quorumContactAt(state: State): number {
  const { role } = state;
  return role.kind === 'leader' ? quorumContact(state, role, electorateOf(state)) : -Infinity;
}

export function quorumContact(state: State, leader: Leader, electorate: Electorate): number {
  return reachedByQuorum(electorate, (voter) =>
    voter === state.options.self
      ? { value: state.now, standing: leader.standing }
      : { value: leader.progress.get(voter)?.contactAt ?? -Infinity, standing: standingIn(leader, voter) },
  );
}

/** What a voter's word is worth in this reign. Before its first answer it has given none. */
export function standingIn(leader: Leader, voter: NodeId): Standing {
  return leader.progress.get(voter)?.recovery === undefined ? 'remembering' : 'recovering';
}

/** How long a quorum's loyalty may be counted on when its clocks run faster than ours. */
export function leaseMs(state: State): number {
  return state.options.electionTimeoutMsMin / (1 + state.options.clockDriftRatioMax);
}

export function leaseValid(state: State, now: number): boolean {
  // C21: who may be succeeded at any moment has none.
  if (state.role.kind !== 'leader' || state.role.transfer !== undefined) return false;
  if (isSoleVoter(state)) return true;
  return now < quorumContactAt(state) + leaseMs(state);
}

/** Whether this node leads, has applied everything that was decided before its term, and is not about to cease. */
export function isEstablished(state: State): boolean {
  const { role, log } = state;
  return role.kind === 'leader' && role.transfer === undefined && log.appliedIndex >= role.termStartIndex;
}

/** C6: our copy equals everything decided so far, by anyone, as long as the lease holds. */
export function isLinearizable(state: State, now: number): boolean {
  return isEstablished(state) && leaseValid(state, now) && state.log.appliedIndex >= state.log.commitIndex;
}

/** CheckQuorum: a leader that a majority has not answered for an election timeout leads nobody any more. */
export function quorumLostAt(state: State): number {
  if (state.role.kind !== 'leader' || isSoleVoter(state)) return Infinity;
  return Math.max(quorumContactAt(state), state.role.electedAt) + state.options.electionTimeoutMsMin;
}

/** C8: whether this node owes loyalty to a leader and so refuses to help elect another. */
export function isLoyal(state: State): boolean {
  const since = Math.max(state.heardLeaderAt, quorumContactAt(state));
  return state.now < since + state.options.electionTimeoutMsMin;
}
