import { assert } from './assert.ts';
import { entryBytes } from './log.ts';
import {
  accepted,
  heardStanding,
  mayStream,
  newProgress,
  rejected,
  streamed,
  type Progress,
} from './progress.ts';
import { quorumContactAt, standingIn } from './lease.ts';
import { encodeConfiguration, membersOf } from './configuration.ts';
import { isVoter, quorumSize, reachedByQuorum } from './quorum.ts';
import {
  becomeFollower,
  changeHardState,
  configurationOf,
  electorateOf,
  isSelfVoter,
  send,
  standingOf,
  type Leader,
  type State,
} from './state.ts';
import type { AppendAnswer, Entry, EntryKind, NodeId, Proposed } from './types.ts';

import { advanceTransfer, bequeath } from './transfer.ts';

/**
 * The leader's side of the log: take in proposals, bring every peer's log in line with ours, and decide what
 * is committed (dissertation, 3.5 and 3.6; pipelining as in 10.2.1).
 */

export function becomeLeader(state: State): void {
  const leader: Leader = {
    kind: 'leader',
    progress: new Map(),
    termStartIndex: state.log.lastIndex + 1,
    electedAt: state.now,
    standing: standingOf(state),
    transfer: undefined,
    uncommittedBytes: state.log.bytesAfter(state.log.commitIndex),
  };
  state.role = leader;
  followMembers(state, leader);
  // C5: nothing from earlier terms is committed by counting; the first entry of this one takes it along.
  const { index, configuration } = state.log.configurations.latest;
  if (index > 0) appendOwn(state, leader, 'noop', new Uint8Array());
  // C18: from here on the log says who takes part, whatever configuration a member is started with.
  else appendOwn(state, leader, 'configuration', encodeConfiguration(configuration));
}

export function propose(state: State, payloads: readonly Uint8Array[]): Proposed {
  if (state.role.kind !== 'leader') {
    return { kind: 'notLeader', leader: state.role.kind === 'follower' ? state.role.leader : undefined };
  }
  if (state.role.transfer !== undefined) return { kind: 'busy' };
  if (state.role.uncommittedBytes >= state.options.uncommittedBytesMax) return { kind: 'busy' };
  const leader = state.role;
  const indexes = payloads.map((payload) => appendOwn(state, leader, 'command', payload).index);
  return { kind: 'accepted', term: state.term, indexes };
}

/** Sends what there is to send: new entries to whoever keeps up, heartbeats to whoever is due for one. */
export function sendAppends(state: State): void {
  if (state.role.kind !== 'leader') return;
  for (const progress of state.role.progress.values()) {
    if (progress.nextIndex <= state.log.baseIndex) progress.pace = { kind: 'outOfLog' };
    while (progress.nextIndex <= state.log.lastIndex && mayStream(progress, state.options)) {
      const entries = state.log.slice(progress.nextIndex, state.options.messageBytesMax);
      sendAppend(state, progress, entries);
    }
    if (state.now < heartbeatDueAt(state, progress)) continue;
    if (progress.pace.kind === 'outOfLog') sendSnapshotOffer(state, progress);
    else sendAppend(state, progress, []);
  }
}

/** When the next heartbeat is due to any peer. */
export function nextHeartbeatAt(state: State): number {
  if (state.role.kind !== 'leader') return Infinity;
  let earliest = Infinity;
  for (const progress of state.role.progress.values()) {
    earliest = Math.min(earliest, heartbeatDueAt(state, progress));
  }
  return earliest;
}

export function onAppendAnswer(state: State, message: AppendAnswer): void {
  if (state.role.kind !== 'leader') return;
  const progress = state.role.progress.get(message.from);
  // What it said before it left and came again is worth nothing: it may have forgotten it since.
  if (progress === undefined || message.sentAt < progress.since) return;
  const recoveryBefore = progress.recovery;
  if (!heardStanding(progress, message, state.now)) return;
  const isNewlyRecovering = progress.recovery !== undefined && progress.recovery !== recoveryBefore;
  const leader = state.role;
  // Until its recovery has ended, the cluster has no node to spare: ask the others for their word now.
  if (isNewlyRecovering) for (const other of leader.progress.values()) other.lastSentAt = -Infinity;
  // Even a refusal comes from a node that follows us: it renews the lease.
  if (message.sentAt <= state.now) progress.contactAt = Math.max(progress.contactAt, message.sentAt);

  switch (message.outcome.kind) {
    case 'accepted':
      assert(message.outcome.matchIndex <= state.log.lastIndex, `${message.from} holds more than its leader`);
      if (accepted(progress, message.outcome.matchIndex)) advanceCommit(state);
      if (state.role !== leader) return;
      advanceTransfer(state);
      break;
    case 'rejected': {
      const { previousIndex, hintIndex, hintTerm, lastIndex } = message.outcome;
      const agreement = state.log.conflictHint(hintIndex, hintTerm).index;
      const answer = { rejectedIndex: previousIndex, hintIndex: agreement, lastIndex };
      if (rejected(progress, answer)) progress.lastSentAt = -Infinity;
      break;
    }
  }
  offerEndOfRecovery(state, leader);
  endRecoveries(state, leader);
}

/**
 * C5: the highest index that a majority has on disk is committed, if it is of our own term. We count for
 * what we have on disk ourselves, not for what we have sent.
 */
export function advanceCommit(state: State): void {
  if (state.role.kind !== 'leader') return;
  const { log, role } = state;
  const index = reachedByQuorum(electorateOf(state), (voter) =>
    voter === state.options.self
      ? { value: log.stableIndex, standing: role.standing }
      : { value: role.progress.get(voter)?.matchIndex ?? 0, standing: standingIn(role, voter) },
  );
  if (index <= log.commitIndex || log.termAt(index) !== state.term) return;
  log.commitTo(index);
  role.uncommittedBytes = log.bytesAfter(index);
  followMembers(state, role);
  if (!isSelfVoter(state) && log.configurations.latest.index <= index) {
    // C20: it was ours to see through that we leave.
    bequeath(state, role);
    becomeFollower(state, state.term, undefined);
    return;
  }
  offerEndOfRecovery(state, role);
  endRecoveries(state, role);
}

/**
 * The leader follows everyone who takes part, and who leaves until that is decided: so the leaving hear of it, if
 * they hear anything.
 */
export function followMembers(state: State, leader: Leader): void {
  const { log, options } = state;
  const { latest, previous } = log.configurations;
  const isDecided = latest.index <= log.commitIndex;
  const members = new Set([
    ...membersOf(latest.configuration),
    ...(isDecided || previous === undefined ? [] : membersOf(previous)),
  ]);
  members.delete(options.self);
  for (const [peer, progress] of leader.progress) {
    if (members.has(peer)) continue;
    // A last word, if it gets there: that it is decided, so that who leaves seeks no election any more. Whether the log
    // still reaches it may have changed since we last sent anything.
    if (progress.pace.kind === 'replicate' && progress.nextIndex > log.baseIndex) {
      sendAppend(state, progress, []);
    }
    leader.progress.delete(peer);
  }
  for (const peer of members) {
    if (!leader.progress.has(peer)) leader.progress.set(peer, newProgress(peer, log.lastIndex, state.now));
  }
}

export function appendOwn(state: State, leader: Leader, kind: EntryKind, data: Uint8Array): Entry {
  const entry: Entry = { index: state.log.lastIndex + 1, term: state.term, kind, data };
  state.log.append(entry);
  leader.uncommittedBytes += entryBytes(entry);
  return entry;
}

function heartbeatDueAt(state: State, progress: Progress): number {
  const lacksNews = progress.toldCommitIndex < Math.min(state.log.commitIndex, progress.matchIndex);
  return progress.lastSentAt + (lacksNews ? state.options.commitNoticeMs : state.options.heartbeatMs);
}

function sendAppend(state: State, progress: Progress, entries: readonly Entry[]): void {
  const previousIndex = progress.nextIndex - 1;
  const previousTerm = state.log.termAt(previousIndex);
  assert(previousTerm !== undefined, `no term for ${previousIndex}`);
  const last = entries.at(-1);
  if (last !== undefined) {
    streamed(
      progress,
      last.index,
      entries.reduce((sum, entry) => sum + entryBytes(entry), 0),
    );
  }
  progress.lastSentAt = state.now;
  progress.toldCommitIndex = state.log.commitIndex;
  const to: NodeId = progress.peer;
  send(
    state,
    {
      kind: 'append',
      from: state.options.self,
      to,
      term: state.term,
      previousIndex,
      previousTerm,
      entries,
      commitIndex: state.log.commitIndex,
      ends: progress.recovery?.endOfferedAt === undefined ? 'nothing' : 'recovery',
      sentAt: state.now,
    },
    // C3: entries go out while our own write of them is under way; the term was on disk before we were elected.
    'nothing',
  );
}

/** C15: what the peer lacks is in the snapshot; its driver pulls it. Its answers tell when it is in reach again. */
function sendSnapshotOffer(state: State, progress: Progress): void {
  const { snapshot, now, options, term } = state;
  assert(snapshot !== undefined, 'a compacted log has a snapshot');
  progress.lastSentAt = now;
  progress.toldCommitIndex = snapshot.index;
  const { index, term: snapshotTerm } = snapshot;
  const addressed = { from: options.self, to: progress.peer, term };
  send(state, { kind: 'snapshotOffer', ...addressed, index, snapshotTerm, sentAt: now }, 'nothing');
}

/**
 * C12: once a quorum has answered what we sent after the peer said that it is recovering, nobody can have been
 * elected over us with a vote that it forgot; and once something of our term is decided, so is everything
 * that it can have acknowledged. Who then holds all that is decided may vote like any other.
 *
 * A cluster is formed by recovering voters, and halfway there would be a majority neither of one kind nor of the
 * other. So they are told together, when all of them are there; until then they go on as they are.
 */
function offerEndOfRecovery(state: State, leader: Leader): void {
  const peers = [...leader.progress.values()];
  if (!state.recovering && peers.every(({ recovery }) => recovery === undefined)) return;
  if (state.log.commitIndex < leader.termStartIndex) return;
  const contactAt = quorumContactAt(state);
  if (leader.standing === 'recovering') {
    const isReady = ({ contactAt: heardAt, recovery }: Progress): boolean =>
      heardAt > -Infinity && (recovery === undefined || contactAt >= recovery.since);
    const voters = peers.filter(({ peer }) => isVoter(configurationOf(state), peer));
    if (!voters.every(isReady)) return;
  }
  for (const progress of peers) {
    const { recovery } = progress;
    if (recovery === undefined || recovery.endOfferedAt !== undefined || contactAt < recovery.since) continue;
    recovery.endOfferedAt = state.now;
    progress.lastSentAt = -Infinity;
  }
}

/**
 * C12: who says that it has recovered counts as such. While a cluster is being formed, it goes on counting as
 * before until those who have, with us, are a majority; then we have recovered too, and all change over together.
 */
function endRecoveries(state: State, leader: Leader): void {
  const peers = [...leader.progress.values()];
  if (leader.standing === 'recovering') {
    const remembering = peers.filter(
      ({ peer, contactAt, recovery }) =>
        isVoter(configurationOf(state), peer) &&
        (recovery === undefined ? contactAt > -Infinity : recovery.hasEnded),
    );
    if (state.log.commitIndex < leader.termStartIndex) return;
    if (remembering.length + 1 < quorumSize(electorateOf(state))) return;
    leader.standing = 'remembering';
    changeHardState(state, { recovering: false });
  }
  for (const progress of peers) if (progress.recovery?.hasEnded === true) progress.recovery = undefined;
}
