import { leaseMs } from './lease.ts';
import type { Progress } from './progress.ts';
import { configurationOf, send, type Leader, type State } from './state.ts';
import type { NodeId, TransferProposed } from './types.ts';

/**
 * Handing the lead over to another voter (dissertation, 3.10), such as before this node is stopped. Owns whom, and the
 * way until that one is asked; how it is then elected is in election.ts.
 *
 * C21: the lease is given up before anybody is asked, and not taken again in this term: whoever is asked may act on it
 * late, and whoever it asks passes over its loyalty to us.
 */

/** To `to`, or to the voter that is best prepared. */
export function transferLeadership(state: State, to: NodeId | undefined): TransferProposed {
  const { role, options } = state;
  if (role.kind !== 'leader') {
    return {
      kind: 'refused',
      code: 'NOT_LEADER',
      leader: role.kind === 'follower' ? role.leader : undefined,
    };
  }
  if (role.transfer !== undefined) return { kind: 'refused', code: 'TRANSFER_UNDER_WAY' };
  const candidates = successors(state, role).filter(({ peer }) => to === undefined || peer === to);
  const [successor] = candidates.toSorted((left, right) => right.matchIndex - left.matchIndex);
  if (successor === undefined) return { kind: 'refused', code: 'NO_SUCCESSOR' };
  const until = state.now + options.electionTimeoutMsMin;
  role.transfer = { to: successor.peer, until, isAsked: false };
  advanceTransfer(state);
  return { kind: 'accepted', to: successor.peer, until };
}

/** Asks the successor once it has everything, for it could not be elected before. */
export function advanceTransfer(state: State): void {
  const { role, log } = state;
  if (role.kind !== 'leader' || role.transfer === undefined || role.transfer.isAsked) return;
  if (role.progress.get(role.transfer.to)?.matchIndex !== log.lastIndex) return;
  role.transfer.isAsked = true;
  askToCampaign(state, role.transfer.to);
}

/** A leader that leaves (C20) names whom it would be succeeded by, so that nobody need wait for an election time-out. */
export function bequeath(state: State, leader: Leader): void {
  const [heir] = successors(state, leader).toSorted((left, right) => right.matchIndex - left.matchIndex);
  if (heir !== undefined) askToCampaign(state, heir.peer);
}

function askToCampaign(state: State, to: NodeId): void {
  send(state, { kind: 'campaignNow', from: state.options.self, to, term: state.term }, 'nothing');
}

/** Voters that follow us and remember. */
function successors(state: State, leader: Leader): readonly Progress[] {
  const heardSince = state.now - leaseMs(state);
  return configurationOf(state)
    .voters.map((voter) => leader.progress.get(voter))
    .filter((progress) => progress !== undefined)
    .filter(({ contactAt, recovery }) => contactAt >= heardSince && recovery === undefined);
}
