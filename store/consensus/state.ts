import { electorate, isVoter, type Electorate } from './quorum.ts';
import { Log } from './log.ts';
import type { Progress } from './progress.ts';
import type {
  Configuration,
  HardState,
  Message,
  NodeId,
  RaftOptions,
  Restored,
  SnapshotMark,
  Standing,
  Vote,
  WantedSnapshot,
} from './types.ts';

/**
 * The state that the rules in this folder share, and the two moves every rule may make: change term or role,
 * and send. It owns the order between disk and wire: a rule says what a message promises, this file decides
 * whether that is on disk already.
 */

/** A leader is handing over to `to`: see transfer.ts. */
export interface Transfer {
  readonly to: NodeId;
  /** Then it has failed. */
  readonly until: number;
  /** The successor has been told to campaign. */
  isAsked: boolean;
}

export type Role =
  | { readonly kind: 'follower'; readonly leader: NodeId | undefined }
  | { readonly kind: 'preCandidate'; readonly votes: Map<NodeId, Vote> }
  | { readonly kind: 'candidate'; readonly votes: Map<NodeId, Vote> }
  | {
      readonly kind: 'leader';
      /** Everyone else who takes part, voters and observers; see `followMembers`. */
      readonly progress: Map<NodeId, Progress>;
      /** The no-op of this term: once it is committed, so is everything before it (dissertation, 6.4). */
      readonly termStartIndex: number;
      readonly electedAt: number;
      /** What our own word is worth in a quorum; see `endRecoveries`. */
      standing: Standing;
      transfer: Transfer | undefined;
      uncommittedBytes: number;
    };

export type Leader = Extract<Role, { kind: 'leader' }>;

export interface State {
  readonly options: RaftOptions;
  readonly random: () => number;
  readonly log: Log;
  /** The newest one that is on disk: what this node offers when it leads. */
  snapshot: SnapshotMark | undefined;
  /** The `now` of the latest event. */
  now: number;
  term: number;
  votedFor: NodeId | undefined;
  recovering: boolean;
  role: Role;
  /** When this node last heard from a leader; for a fresh start, the start itself (C8). */
  heardLeaderAt: number;
  electionAt: number;
  /** Of the latest write handed out. */
  sequence: number;
  persistedSequence: number;
  /** The write that makes the present hard state durable; Infinity while it is not handed out. */
  hardStateSequence: number;
  /** For the next `Ready`. */
  sendNow: Message[];
  sendAfterPersist: Message[];
  install: SnapshotMark | undefined;
  wantedSnapshot: WantedSnapshot | undefined;
}

export function newState(
  options: RaftOptions,
  dependencies: { readonly random: () => number },
  restored: Restored,
  now: number,
): State {
  const state: State = {
    options,
    random: dependencies.random,
    log: new Log(restored, options.configuration),
    snapshot: restored.snapshot,
    now,
    term: restored.hardState.term,
    votedFor: restored.hardState.votedFor,
    recovering: restored.hardState.recovering,
    role: { kind: 'follower', leader: undefined },
    heardLeaderAt: now,
    electionAt: now,
    sequence: 0,
    persistedSequence: 0,
    hardStateSequence: 0,
    sendNow: [],
    sendAfterPersist: [],
    install: undefined,
    wantedSnapshot: undefined,
  };
  resetElectionTimer(state);
  return state;
}

export function hardStateOf(state: State): HardState {
  return {
    term: state.term,
    votedFor: state.votedFor,
    commitIndex: state.log.commitIndex,
    recovering: state.recovering,
  };
}

export function changeHardState(state: State, change: Partial<Omit<HardState, 'commitIndex'>>): void {
  Object.assign(state, change);
  state.hardStateSequence = Infinity;
}

export function isHardStateDurable(state: State): boolean {
  return state.hardStateSequence <= state.persistedSequence;
}

/** Who takes part: the latest in the log, decided or not (C18). */
export function configurationOf(state: State): Configuration {
  return state.log.configurations.latest.configuration;
}

export function electorateOf(state: State): Electorate {
  const { configurations, commitIndex } = state.log;
  const { index, configuration } = configurations.latest;
  return electorate(configuration, index > commitIndex ? configurations.previous : undefined);
}

export function isSelfVoter(state: State): boolean {
  return isVoter(configurationOf(state), state.options.self);
}

/**
 * Voters seek election. So does one that an undecided change removes, though its own vote may not count: its log may be
 * the only one that a majority would follow (dissertation, 4.2.2).
 */
export function mayLead(state: State): boolean {
  return electorateOf(state).everyone.includes(state.options.self);
}

/** Needs nobody's word but its own. */
export function isSoleVoter(state: State): boolean {
  return isSelfVoter(state) && configurationOf(state).voters.length === 1;
}

export function standingOf(state: State): Standing {
  return state.recovering ? 'recovering' : 'remembering';
}

export function leaderOf(state: State): NodeId | undefined {
  switch (state.role.kind) {
    case 'follower':
      return state.role.leader;
    case 'leader':
      return state.options.self;
    case 'preCandidate':
    case 'candidate':
      return undefined;
  }
}

export function resetElectionTimer(state: State): void {
  const { electionTimeoutMsMin, electionTimeoutMsMax } = state.options;
  const span = electionTimeoutMsMax - electionTimeoutMsMin;
  state.electionAt = state.now + electionTimeoutMsMin + state.random() * span;
}

/** Enters `term` (or stays in it) as a follower. A new term starts without a vote. */
export function becomeFollower(state: State, term: number, leader: NodeId | undefined): void {
  if (term > state.term) changeHardState(state, { term, votedFor: undefined });
  // Who only hears of a new term keeps its old deadline: a rival must not be able to silence it.
  if (state.role.kind !== 'follower') resetElectionTimer(state);
  state.role = { kind: 'follower', leader };
}

/**
 * What a message tells its receiver to rely on:
 * `nothing`, the term and vote it was sent under (`hardState`), or all that was written so far (`log`).
 */
export type Promised = 'nothing' | 'hardState' | { readonly logTo: number };

/** C2: what a message promises is on disk before it leaves. */
export function send(state: State, message: Message, promised: Promised): void {
  const isDurable =
    promised === 'nothing' ||
    (isHardStateDurable(state) && (promised === 'hardState' || promised.logTo <= state.log.stableIndex));
  (isDurable ? state.sendNow : state.sendAfterPersist).push(message);
}
