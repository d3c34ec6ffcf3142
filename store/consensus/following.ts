import { assert } from './assert.ts';
import {
  becomeFollower,
  changeHardState,
  resetElectionTimer,
  send,
  standingOf,
  type State,
} from './state.ts';
import type { Append, AppendOutcome, NodeId, SnapshotOffer } from './types.ts';

/** The follower's side of the log: make it equal to the leader's, and say how far it is (dissertation, 3.5). */

/** An append of our own term, from the one leader that this term can have. */
export function onAppend(state: State, message: Append): void {
  hearLeader(state, message.from);
  answerLeader(state, message, takeIn(state, message));
}

/** C8: from here on this node is loyal to the one leader of its term. */
export function hearLeader(state: State, leader: NodeId): void {
  assert(state.role.kind !== 'leader', `two leaders in term ${state.term}: ${leader} and us (C1)`);
  becomeFollower(state, state.term, leader);
  state.heardLeaderAt = state.now;
  resetElectionTimer(state);
}

export function answerLeader(state: State, asked: Append | SnapshotOffer, outcome: AppendOutcome): void {
  const answer = {
    kind: 'appendAnswer',
    from: state.options.self,
    to: asked.from,
    term: state.term,
    standing: standingOf(state),
    sentAt: asked.sentAt,
    outcome,
  } as const;
  // C2: an acknowledgement promises the entries. A refusal promises only loyalty to the leader of this term.
  send(state, answer, outcome.kind === 'accepted' ? { logTo: outcome.matchIndex } : 'hardState');
}

function takeIn(state: State, message: Append): AppendOutcome {
  const { log } = state;
  // What we know to be committed equals the leader's log (C5): no need to compare it, and part of it may be
  // compacted away.
  const known = Math.max(0, log.commitIndex - message.previousIndex);
  const entries = message.entries.slice(known);
  const lastSentIndex = message.previousIndex + message.entries.length;
  if (known === 0 && log.termAt(message.previousIndex) !== message.previousTerm) {
    const hint = log.conflictHint(message.previousIndex, message.previousTerm);
    return {
      kind: 'rejected',
      previousIndex: message.previousIndex,
      hintIndex: hint.index,
      hintTerm: hint.term,
      lastIndex: log.lastIndex,
    };
  }
  log.merge(entries);
  const matchIndex = Math.max(lastSentIndex, log.commitIndex);
  log.commitTo(Math.min(message.commitIndex, matchIndex));
  if (message.ends === 'recovery' && matchIndex >= message.commitIndex) endRecovery(state);
  return { kind: 'accepted', matchIndex };
}

/** C12: the log holds all that this node can have acknowledged before its disk was emptied. */
function endRecovery(state: State): void {
  if (state.recovering) changeHardState(state, { recovering: false });
}
