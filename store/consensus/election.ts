import { isLoyal } from './lease.ts';
import { becomeLeader } from './replication.ts';
import { tally } from './quorum.ts';
import {
  becomeFollower,
  changeHardState,
  configurationOf,
  electorateOf,
  isHardStateDurable,
  mayLead,
  resetElectionTimer,
  send,
  standingOf,
  type Leader,
  type State,
} from './state.ts';
import type { NodeId, PreVoteAnswer, PreVoteRequest, VoteAnswer, VoteRequest } from './types.ts';

/**
 * How a leader is made: first ask whether a majority would vote (PreVote, dissertation 9.6), which disturbs
 * nobody; only then take a new term and ask for the votes themselves (3.4).
 */

/** The election time-out has passed without a leader. */
export function campaign(state: State): void {
  resetElectionTimer(state);
  if (!mayLead(state)) return;
  state.role = { kind: 'preCandidate', votes: new Map([[state.options.self, standingOf(state)]]) };
  for (const to of rivals(state)) {
    send(state, { ...request(state, to, state.term + 1), kind: 'preVoteRequest' }, 'nothing');
  }
  concludePreVote(state);
}

export function onPreVoteRequest(state: State, message: PreVoteRequest): void {
  const granted = message.term > state.term && !isLoyal(state) && isAcceptable(state, message);
  // A refusal carries our own term, so that who has fallen behind catches up with it.
  const term = granted ? message.term : state.term;
  const answer = {
    kind: 'preVoteAnswer',
    from: state.options.self,
    to: message.from,
    term,
    vote: granted ? standingOf(state) : 'refused',
  } as const;
  send(state, answer, granted ? 'nothing' : 'hardState');
}

export function onPreVoteAnswer(state: State, message: PreVoteAnswer): void {
  if (state.role.kind !== 'preCandidate') return;
  if (message.vote !== 'refused' && message.term !== state.term + 1) return;
  state.role.votes.set(message.from, message.vote);
  concludePreVote(state);
}

/** The message's term is not above ours by now, and we are not loyal to a leader: see raft.ts. */
export function onVoteRequest(state: State, message: VoteRequest): void {
  const isFree = state.votedFor === undefined || state.votedFor === message.from;
  const granted = message.term === state.term && isFree && isAcceptable(state, message);
  if (granted) {
    if (state.votedFor === undefined) changeHardState(state, { votedFor: message.from });
    becomeFollower(state, state.term, undefined);
    resetElectionTimer(state);
  }
  const { self } = state.options;
  const vote = granted ? standingOf(state) : 'refused';
  send(state, { kind: 'voteAnswer', from: self, to: message.from, term: state.term, vote }, 'hardState');
}

export function onVoteAnswer(state: State, message: VoteAnswer): void {
  if (state.role.kind !== 'candidate') return;
  state.role.votes.set(message.from, message.vote);
  concludeVote(state);
}

/** C2: a candidate's own vote counts like any other, once it is on disk. */
export function countOwnVote(state: State): void {
  if (state.role.kind !== 'candidate' || !isHardStateDurable(state)) return;
  if (state.role.votes.has(state.options.self)) return;
  state.role.votes.set(state.options.self, standingOf(state));
  concludeVote(state);
}

/** C21: the leader of our term asks to be succeeded, so nobody is disturbed by our not waiting. */
export function onCampaignNow(state: State): void {
  if (state.role.kind !== 'leader' && mayLead(state)) becomeCandidate(state, 'transfer');
}

/**
 * We led, and nobody has succeeded us in time. If nobody was asked to, we go on. Otherwise whoever was asked may
 * still act on it, in the next term; so we enter that one ourselves, where a majority's votes for us bar the way (C21).
 */
export function endTransfer(state: State, leader: Leader): void {
  if (leader.transfer?.isAsked !== true) leader.transfer = undefined;
  else if (mayLead(state)) becomeCandidate(state, 'transfer');
  else becomeFollower(state, state.term, undefined);
}

function concludePreVote(state: State): void {
  if (state.role.kind !== 'preCandidate') return;
  conclude(state, state.role.votes, () => {
    becomeCandidate(state, 'timeout');
  });
}

function becomeCandidate(state: State, cause: VoteRequest['cause']): void {
  changeHardState(state, { term: state.term + 1, votedFor: state.options.self });
  resetElectionTimer(state);
  state.role = { kind: 'candidate', votes: new Map() };
  for (const to of rivals(state)) {
    send(state, { ...request(state, to, state.term), kind: 'voteRequest', cause }, 'hardState');
  }
}

function concludeVote(state: State): void {
  if (state.role.kind === 'candidate') conclude(state, state.role.votes, becomeLeader);
}

function conclude(state: State, votes: Parameters<typeof tally>[1], won: (state: State) => void): void {
  switch (tally(electorateOf(state), votes)) {
    case 'won':
      won(state);
      break;
    case 'lost':
      becomeFollower(state, state.term, undefined);
      break;
    case 'open':
      break;
  }
}

/**
 * C5: only a log as complete as ours may lead. Whether we think that either of us is a voter does not matter: who
 * asks may know of a change that has not reached us, and counts by the configuration in its own log (C20).
 */
function isAcceptable(state: State, candidate: PreVoteRequest | VoteRequest): boolean {
  if (!hasBeenTold(state)) return false;
  return state.log.isCovered(candidate);
}

/** C22: who waits to be told who takes part has nothing to go by, and gives nobody its word. */
function hasBeenTold(state: State): boolean {
  return configurationOf(state).voters.length > 0;
}

function rivals(state: State): readonly NodeId[] {
  return electorateOf(state).everyone.filter((voter) => voter !== state.options.self);
}

function request(state: State, to: NodeId, term: number) {
  return {
    from: state.options.self,
    to,
    term,
    lastIndex: state.log.lastIndex,
    lastTerm: state.log.lastTerm,
  };
}
