import { answerLeader, hearLeader } from './following.ts';
import { becomeFollower, type State } from './state.ts';
import type { SnapshotMark, SnapshotOffer } from './types.ts';

/**
 * Where a snapshot takes the place of log entries: this node's own one, the one a leader offers, and the one that
 * was fetched. Owns what becomes of the log. Does not own the bytes: the driver takes, moves and verifies them.
 *
 * A snapshot holds only what is decided, so it is never wrong, however old it is or whoever it comes from.
 */

/** Our own snapshot is on disk. C11: only what it covers may be forgotten. */
export function onSnapshotTaken(state: State, mark: SnapshotMark, compactTo: number): void {
  if (mark.index <= (state.snapshot?.index ?? 0)) return;
  state.snapshot = mark;
  state.log.compact(Math.min(compactTo, mark.index));
  state.log.configurations.forgetBefore(mark.index);
}

/** C15: the leader of our term has compacted away what it would have to send us next. */
export function onSnapshotOffer(state: State, message: SnapshotOffer): void {
  const { log } = state;
  hearLeader(state, message.from);
  // The offer tells what is decided. A log that has the same entry there agrees with it up to there (C13).
  if (log.termAt(message.index) === message.snapshotTerm) log.commitTo(message.index);
  if (log.commitIndex < message.index) {
    state.wantedSnapshot = { from: message.from, index: message.index, term: message.snapshotTerm };
  }
  // What we know to be decided equals the leader's log (C5): it may be as far as the leader's own entries reach.
  answerLeader(state, message, { kind: 'accepted', matchIndex: log.commitIndex });
}

/** C16: takes the place of the log where that ends before it, or differs from it; otherwise it has come too late. */
export function onSnapshotFetched(state: State, mark: SnapshotMark): void {
  const { log } = state;
  // A leader's log has everything that was decided before its term (C5), and it counts what is decided in it.
  if (mark.index <= log.commitIndex || state.role.kind === 'leader') return;
  if (log.termAt(mark.index) === mark.term) {
    log.commitTo(mark.index);
    return;
  }
  // Votes were asked for with the log that goes.
  if (state.role.kind !== 'follower') becomeFollower(state, state.term, undefined);
  log.replace(mark);
  state.snapshot = mark;
  state.install = mark;
}
