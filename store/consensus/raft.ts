import { assert } from './assert.ts';
import {
  campaign,
  countOwnVote,
  endTransfer,
  onCampaignNow,
  onPreVoteAnswer,
  onPreVoteRequest,
  onVoteAnswer,
  onVoteRequest,
} from './election.ts';
import { onAppend } from './following.ts';
import { isEstablished, isLinearizable, isLoyal, leaseValid, quorumLostAt } from './lease.ts';
import { proposeConfiguration } from './membership.ts';
import { isVoter } from './quorum.ts';
import { advanceCommit, nextHeartbeatAt, onAppendAnswer, propose, sendAppends } from './replication.ts';
import { onSnapshotFetched, onSnapshotOffer, onSnapshotTaken } from './snapshots.ts';
import {
  becomeFollower,
  hardStateOf,
  mayLead,
  leaderOf,
  newState,
  send,
  standingOf,
  type State,
} from './state.ts';
import { transferLeadership } from './transfer.ts';
import type {
  ConfigurationChange,
  ConfigurationProposed,
  Event,
  Message,
  Persist,
  Place,
  Proposed,
  RaftOptions,
  RaftStatus,
  Ready,
  Restored,
  NodeId,
  RoleName,
  SnapshotMark,
  TransferProposed,
} from './types.ts';

/**
 * One node's consensus: events in, `Ready` out. Owns the order of things: terms are compared before a message
 * is looked at, writes are numbered, and nothing leaves before what it promises (see DESIGN.md for the C's).
 */
export class Raft {
  readonly #state: State;

  /** `random` (uniform in [0, 1)) spreads the election time-outs; `now` is monotonic ms, as in all events. */
  constructor(
    options: RaftOptions,
    dependencies: { readonly random: () => number },
    start: { readonly restored: Restored; readonly now: number },
  ) {
    const { configuration, electionTimeoutMsMin, electionTimeoutMsMax, heartbeatMs } = options;
    assert(electionTimeoutMsMin <= electionTimeoutMsMax, 'the election time-out is a range');
    assert(heartbeatMs * 2 <= electionTimeoutMsMin, 'a lost heartbeat must not cost the leader its lease');
    assert(
      !configuration.observers.some((node) => isVoter(configuration, node)),
      'voter or observer, not both',
    );
    this.#state = newState(options, dependencies, start.restored, start.now);
  }

  step(event: Event): void {
    const state = this.#state;
    state.now = Math.max(state.now, event.now);
    switch (event.kind) {
      case 'tick':
        this.#tick();
        break;
      case 'message':
        this.#receive(event.message);
        break;
      case 'persisted':
        assert(event.sequence <= state.sequence, `write ${event.sequence} was never handed out`);
        state.persistedSequence = Math.max(state.persistedSequence, event.sequence);
        state.log.persisted(event.sequence);
        countOwnVote(state);
        advanceCommit(state);
        break;
      case 'applied':
        state.log.appliedTo(event.index);
        break;
      case 'snapshotTaken':
        onSnapshotTaken(state, event.mark, event.compactTo);
        break;
      case 'snapshotFetched':
        onSnapshotFetched(state, event.mark);
        break;
    }
  }

  /** Appends commands to the log, if this node leads. They are decided when they come out as committed. */
  propose(now: number, payloads: readonly Uint8Array[]): Proposed {
    this.#state.now = Math.max(this.#state.now, now);
    return propose(this.#state, payloads);
  }

  /**
   * Changes who takes part, if this node leads and nothing speaks against it. In force at once; decided when the
   * entry comes out as committed. Who removes or demotes itself leads until then, and steps down.
   */
  proposeConfiguration(now: number, change: ConfigurationChange): ConfigurationProposed {
    this.#state.now = Math.max(this.#state.now, now);
    return proposeConfiguration(this.#state, change);
  }

  /**
   * Hands the lead over, to `to` or to the voter that is best prepared; for as long as the shortest election time-out
   * nothing is proposed and no read is linearizable. If it fails, this node seeks the lead again itself.
   */
  transferLeadership(now: number, to?: NodeId): TransferProposed {
    this.#state.now = Math.max(this.#state.now, now);
    return transferLeadership(this.#state, to);
  }

  /** What is to be done since the last call. Handing it out is a promise by the driver to do it, in order. */
  ready(): Ready {
    const state = this.#state;
    sendAppends(state);
    const ready: Ready = {
      persist: this.#takeWrite(),
      sendNow: state.sendNow,
      sendAfterPersist: state.sendAfterPersist,
      install: state.install,
      committed: state.log.release(),
      wantedSnapshot: state.wantedSnapshot,
    };
    state.sendNow = [];
    state.sendAfterPersist = [];
    state.install = undefined;
    state.wantedSnapshot = undefined;
    return ready;
  }

  /** When to send a `tick` at the latest, if nothing else happens before. */
  wakeAt(): number {
    const state = this.#state;
    const { role } = state;
    if (role.kind === 'leader') {
      return Math.min(nextHeartbeatAt(state), quorumLostAt(state), role.transfer?.until ?? Infinity);
    }
    return mayLead(state) ? state.electionAt : Infinity;
  }

  get role(): RoleName {
    return this.#state.role.kind;
  }

  /** Whom this node takes for the leader. */
  get leader(): NodeId | undefined {
    return leaderOf(this.#state);
  }

  /** Whether this node leads, has applied all that was decided before its term, and may take commands. */
  get isEstablished(): boolean {
    return isEstablished(this.#state);
  }

  leaseValid(now: number): boolean {
    return leaseValid(this.#state, now);
  }

  /** Whether a read of the state machine at `now` sees everything that was decided before it. */
  isLinearizable(now: number): boolean {
    return isLinearizable(this.#state, now);
  }

  /** What names a snapshot of the machine that has applied everything up to `index`, and nothing after it. */
  markAt(index: number): SnapshotMark {
    const { log } = this.#state;
    const place = this.placeAt(index);
    assert(place !== undefined && index <= log.appliedIndex, `no snapshot can be taken at ${index}`);
    return { ...place, configuration: log.configurations.at(index) };
  }

  /** Undefined when the entry is compacted away or not written yet. */
  placeAt(index: number): Place | undefined {
    const term = this.#state.log.termAt(index);
    return term === undefined ? undefined : { index, term };
  }

  status(): RaftStatus {
    const { role, term, recovering, log, snapshot } = this.#state;
    const match =
      role.kind === 'leader'
        ? Object.fromEntries([
            [this.#state.options.self, log.stableIndex] as const,
            ...[...role.progress.values()].map(({ peer, matchIndex }) => [peer, matchIndex] as const),
          ])
        : {};
    return {
      role: role.kind,
      leader: leaderOf(this.#state),
      term,
      lastIndex: log.lastIndex,
      commitIndex: log.commitIndex,
      appliedIndex: log.appliedIndex,
      baseIndex: log.baseIndex,
      snapshotIndex: snapshot?.index ?? 0,
      recovering,
      transferringTo: role.kind === 'leader' ? role.transfer?.to : undefined,
      configuration: log.configurations.latest.configuration,
      configurationIndex: log.configurations.latest.index,
      match,
    };
  }

  #tick(): void {
    const state = this.#state;
    if (state.role.kind === 'leader') {
      // C7: step down without a new term; who has a quorum will take one.
      if (state.now >= quorumLostAt(state)) becomeFollower(state, state.term, undefined);
      else if (state.now >= (state.role.transfer?.until ?? Infinity)) endTransfer(state, state.role);
    } else if (state.now >= state.electionAt) {
      campaign(state);
    }
  }

  #receive(message: Message): void {
    const state = this.#state;
    assert(message.to === state.options.self, `a message for ${message.to}`);
    if (!this.#passesTerm(message)) return;
    switch (message.kind) {
      case 'preVoteRequest':
        onPreVoteRequest(state, message);
        break;
      case 'preVoteAnswer':
        onPreVoteAnswer(state, message);
        break;
      case 'voteRequest':
        onVoteRequest(state, message);
        break;
      case 'voteAnswer':
        onVoteAnswer(state, message);
        break;
      case 'append':
        onAppend(state, message);
        break;
      case 'appendAnswer':
        onAppendAnswer(state, message);
        break;
      case 'snapshotOffer':
        onSnapshotOffer(state, message);
        break;
      case 'campaignNow':
        onCampaignNow(state);
        break;
    }
  }

  /** Compares terms first (dissertation, 3.3): moves up to a newer one, answers or drops what is older. */
  #passesTerm(message: Message): boolean {
    const state = this.#state;
    switch (message.kind) {
      case 'preVoteRequest':
        return true;
      case 'preVoteAnswer':
        // A granted one carries the term that was asked for, which nobody has entered yet.
        if (message.vote !== 'refused') return true;
        break;
      case 'voteRequest':
        // C8: a loyal node does not even learn the term, or the rival would unseat a leader that works. Nor
        // does it vote in a term that it learned of otherwise.
        // C21: unless its leader has released it.
        if (message.term >= state.term && message.cause === 'timeout' && isLoyal(state)) return false;
        break;
      case 'append':
      case 'snapshotOffer':
        if (message.term < state.term) {
          this.#refuseStaleLeader(message.from, message.sentAt);
          return false;
        }
        break;
      case 'voteAnswer':
      case 'appendAnswer':
      case 'campaignNow':
        break;
    }
    if (message.term > state.term) becomeFollower(state, message.term, undefined);
    return message.term === state.term || message.kind === 'voteRequest';
  }

  /** Tells a leader of an older term that its time is over; without this, a node ahead of it never rejoins. */
  #refuseStaleLeader(to: string, sentAt: number): void {
    const state = this.#state;
    const { lastIndex } = state.log;
    const outcome = { kind: 'rejected', previousIndex: 0, hintIndex: 0, hintTerm: 0, lastIndex } as const;
    const answer = {
      kind: 'appendAnswer',
      from: state.options.self,
      to,
      term: state.term,
      standing: standingOf(state),
      sentAt,
      outcome,
    } as const;
    send(state, answer, 'hardState');
  }

  #takeWrite(): Persist | undefined {
    const state = this.#state;
    // A snapshot to install shows in the log as something to remove.
    if (state.hardStateSequence !== Infinity && !state.log.hasUnhanded()) return undefined;
    state.sequence++;
    if (state.hardStateSequence === Infinity) state.hardStateSequence = state.sequence;
    const { truncateFrom, entries } = state.log.handOver(state.sequence);
    const { sequence, install: snapshot } = state;
    return { sequence, hardState: hardStateOf(state), snapshot, truncateFrom, entries };
  }
}
