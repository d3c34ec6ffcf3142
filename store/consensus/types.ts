/**
 * The words of the consensus core: what goes in (events, messages), what comes out (`Ready`), and what is kept
 * on disk. Nothing here knows a clock, a disk or a socket; times are monotonic ms of the node that reads them.
 */

export type NodeId = string;

/** Who takes part. Voters decide; observers receive the log and neither vote nor count. */
export interface Configuration {
  readonly voters: readonly NodeId[];
  readonly observers: readonly NodeId[];
  /**
   * What the driver wants to find again wherever this configuration goes, in entries and in snapshots: who the
   * members are and where they live. Opaque here, and given anew with each change.
   */
  readonly records?: string;
}

/**
 * `noop` opens a leader's term; so does the `configuration` that a cluster is founded with, the first time. Any other
 * `configuration` is a change of who takes part.
 */
export type EntryKind = 'noop' | 'command' | 'configuration';

export interface Entry {
  readonly index: number;
  readonly term: number;
  readonly kind: EntryKind;
  /**
   * Opaque to the core but for a configuration (see configuration.ts); empty for a no-op. Never changed after
   * creation: it is shared, not copied.
   */
  readonly data: Uint8Array;
}

/** What a node must find again after a crash, besides its log. */
export interface HardState {
  readonly term: number;
  readonly votedFor: NodeId | undefined;
  /** A lower bound, saved whenever something else is: it never costs a write of its own. */
  readonly commitIndex: number;
  /** The disk was empty at the start and the log is not yet known to be complete: see C12. */
  readonly recovering: boolean;
}

/** A place in the log, and which of the entries that were ever proposed for it. Index 0 is before the first. */
export interface Place {
  readonly index: number;
  readonly term: number;
}

/** How far a snapshot of the state machine goes, and who took part at that place. */
export interface SnapshotMark extends Place {
  readonly configuration: Configuration;
}

/** What was found on disk. A node that was never started has `emptyDisk`. */
export interface Restored {
  readonly hardState: HardState;
  /** The newest snapshot that counts; the machine has been restored to it. Without one, it starts empty. */
  readonly snapshot: SnapshotMark | undefined;
  /** Entries up to here are compacted away. Never beyond the snapshot. */
  readonly base: Place;
  /** From `base.index + 1` on, without a gap, and at least to the snapshot. */
  readonly entries: readonly Entry[];
}

export const emptyDisk: Restored = {
  hardState: { term: 0, votedFor: undefined, commitIndex: 0, recovering: true },
  snapshot: undefined,
  base: { index: 0, term: 0 },
  entries: [],
};

/** Whether a node remembers all that it ever acknowledged, or its disk was empty when it started (C12). */
export type Standing = 'remembering' | 'recovering';

/** A vote is worth what the voter remembers. */
export type Vote = 'refused' | Standing;

interface Addressed {
  readonly from: NodeId;
  readonly to: NodeId;
  readonly term: number;
}

/** Asks whether a vote in `term` (the sender's next) would be given; changes nothing at the receiver. */
export interface PreVoteRequest extends Addressed {
  readonly kind: 'preVoteRequest';
  readonly lastIndex: number;
  readonly lastTerm: number;
}

/** `term` is the asked one when granted, and the answering node's own when refused. */
export interface PreVoteAnswer extends Addressed {
  readonly kind: 'preVoteAnswer';
  readonly vote: Vote;
}

export interface VoteRequest extends Addressed {
  readonly kind: 'voteRequest';
  /** `transfer`: the leader of the term before has asked for this, so nobody owes it loyalty (C21). */
  readonly cause: 'timeout' | 'transfer';
  readonly lastIndex: number;
  readonly lastTerm: number;
}

export interface VoteAnswer extends Addressed {
  readonly kind: 'voteAnswer';
  readonly vote: Vote;
}

/** Carries entries, or none: then it is a heartbeat, and a probe for where the logs part. */
export interface Append extends Addressed {
  readonly kind: 'append';
  readonly previousIndex: number;
  readonly previousTerm: number;
  /** From `previousIndex + 1` on, without a gap. */
  readonly entries: readonly Entry[];
  readonly commitIndex: number;
  /** Who holds everything up to `commitIndex` with this is no longer recovering (C12). */
  readonly ends: 'nothing' | 'recovery';
  /** The leader's own time; comes back in the answer, where it renews the lease. */
  readonly sentAt: number;
}

export interface AppendAnswer extends Addressed {
  readonly kind: 'appendAnswer';
  readonly standing: Standing;

  readonly sentAt: number;
  readonly outcome: AppendOutcome;
}

export type AppendOutcome =
  /** Everything up to `matchIndex` equals the leader's log and is on this node's disk. */
  | { readonly kind: 'accepted'; readonly matchIndex: number }
  /** There is no entry `previousIndex` of the asked term here; see `Log.conflictHint`. */
  | {
      readonly kind: 'rejected';
      readonly previousIndex: number;
      readonly hintIndex: number;
      readonly hintTerm: number;
      readonly lastIndex: number;
    };

/**
 * In place of a heartbeat, to a peer that needs entries which the leader has compacted away: everything up to
 * `index` is decided, and the leader has a snapshot of it. Answered like an append, with how far this node is.
 */
export interface SnapshotOffer extends Addressed {
  readonly kind: 'snapshotOffer';
  readonly index: number;
  readonly snapshotTerm: number;
  /** As in an append. */
  readonly sentAt: number;
}

/** The leader of this term would be succeeded by the receiver, now. */
export interface CampaignNow extends Addressed {
  readonly kind: 'campaignNow';
}

export type Message =
  | PreVoteRequest
  | PreVoteAnswer
  | VoteRequest
  | VoteAnswer
  | Append
  | AppendAnswer
  | SnapshotOffer
  | CampaignNow;

/** Every event carries `now`; it never goes backwards. */
export type Event =
  | { readonly kind: 'tick'; readonly now: number }
  | { readonly kind: 'message'; readonly now: number; readonly message: Message }
  /** Everything in `Ready.persist` up to this `sequence` is on disk (fsync). */
  | { readonly kind: 'persisted'; readonly now: number; readonly sequence: number }
  /** The state machine has taken in everything up to `index`, by entries or by a snapshot. */
  | { readonly kind: 'applied'; readonly now: number; readonly index: number }
  /**
   * This node's own snapshot is on disk (fsync), and so is the log up to it. From here on it is what a leader
   * offers, and the entries up to `compactTo` (<= mark.index) are forgotten; ignored when a newer one counts.
   */
  | {
      readonly kind: 'snapshotTaken';
      readonly now: number;
      readonly mark: SnapshotMark;
      readonly compactTo: number;
    }
  /**
   * A snapshot that another node had is on disk (fsync), whole and verified. It comes back as `Ready.install` and
   * in a write that makes it count; or not, when the log has got that far meanwhile and it is not needed.
   */
  | { readonly kind: 'snapshotFetched'; readonly now: number; readonly mark: SnapshotMark };

/** One atomic, synced write. Writes take effect in the order of `sequence`. */
export interface Persist {
  readonly sequence: number;
  readonly hardState: HardState;
  /**
   * This fetched snapshot counts from this write on, and is the new base of the log: whatever is stored up to its
   * index is void (it may be removed later), what is stored after it goes with `truncateFrom`.
   */
  readonly snapshot: SnapshotMark | undefined;
  /** Remove every stored entry from this index on, before adding `entries`. */
  readonly truncateFrom: number | undefined;
  readonly entries: readonly Entry[];
}

/** A snapshot that this node needs, and who offers it. Said again with every offer. */
export interface WantedSnapshot extends Place {
  readonly from: NodeId;
}

/**
 * What the driver must do, in this order: start `persist`; send `sendNow`; replace the state machine by `install`;
 * hand `committed` to it; and once this and every earlier persist is done, step `persisted`, then send
 * `sendAfterPersist`. Whatever the machine has taken in, it says by `applied`.
 */
export interface Ready {
  readonly persist: Persist | undefined;
  /** Promises nothing that is not on disk already. */
  readonly sendNow: readonly Message[];
  /** Promises what is on its way to disk: must not leave before, or a crash would break the promise. */
  readonly sendAfterPersist: readonly Message[];
  /** The fetched snapshot that takes the place of everything up to its index. */
  readonly install: SnapshotMark | undefined;
  /** Newly decided, in order, each once. */
  readonly committed: readonly Entry[];
  /** Fetch this, and step `snapshotFetched`. A newer one replaces it: what is offered is what there is. */
  readonly wantedSnapshot: WantedSnapshot | undefined;
}

export type Proposed =
  | { readonly kind: 'accepted'; readonly term: number; readonly indexes: readonly number[] }
  | { readonly kind: 'notLeader'; readonly leader: NodeId | undefined }
  /** Too much is undecided already, or the lead is being handed over; try again when something changes. */
  | { readonly kind: 'busy' };

/** One member at a time. What the change says of `records` replaces what is recorded; without, that stays. */
export type ConfigurationChange =
  MemberChange | { readonly kind: 'describe'; readonly node?: never; readonly records: string };

export interface MemberChange {
  /** A dead voter is replaced by `remove`, then `addObserver` and, when it has caught up, `promote`. */
  readonly kind: 'addObserver' | 'promote' | 'demote' | 'remove';
  readonly node: NodeId;
  readonly records?: string;
}

/** `accepted` is not decided yet: that is when the entry comes out as committed. A refusal changed nothing. */
export type ConfigurationProposed =
  | {
      readonly kind: 'accepted';
      readonly term: number;
      readonly index: number;
      readonly configuration: Configuration;
    }
  | ({ readonly kind: 'refused' } & ConfigurationRefusal);

export type ConfigurationRefusal =
  | { readonly code: 'NOT_LEADER'; readonly leader: NodeId | undefined }
  /** Nothing is decided yet in the leader's term. */
  | { readonly code: 'NOT_ESTABLISHED' }
  /** An earlier change is not decided yet, or not applied at the leader. */
  | { readonly code: 'CHANGE_UNDER_WAY' }
  /** The lead is being handed over. */
  | { readonly code: 'TRANSFER_UNDER_WAY' }
  | { readonly code: ChangeRefusal }
  /** The node to be promoted has not answered for an election time-out. */
  | { readonly code: 'NOT_IN_CONTACT'; readonly node: NodeId }
  /** The node to be promoted lacks `lag` of the decided entries. */
  | { readonly code: 'NOT_CAUGHT_UP'; readonly lag: number; readonly lagMax: number }
  /** This node's disk was found empty, and it does not hold everything yet (C12). */
  | { readonly code: 'RECOVERING'; readonly node: NodeId }
  /** No quorum of the voters after the change has answered for an election time-out. */
  | { readonly code: 'QUORUM_AT_RISK' };

/** `accepted`: until it has succeeded or `until` has come, this node takes no proposals and holds no lease. */
export type TransferProposed =
  | { readonly kind: 'accepted'; readonly to: NodeId; readonly until: number }
  | { readonly kind: 'refused'; readonly code: 'NOT_LEADER'; readonly leader: NodeId | undefined }
  | {
      readonly kind: 'refused';
      /** There is no other voter, or not the one that was named, which follows closely and remembers. */
      readonly code: 'TRANSFER_UNDER_WAY' | 'NO_SUCCESSOR';
    };

export type ChangeRefusal =
  /** It takes part already. */
  | 'ALREADY_MEMBER'
  | 'ALREADY_VOTER'
  | 'UNKNOWN_MEMBER'
  /** It takes part, and has no vote. */
  | 'NOT_A_VOTER'
  /** Nobody would be left to decide anything. */
  | 'LAST_VOTER'
  /** Of members, or of what is recorded about them. */
  | 'TOO_LARGE';

export interface RaftOptions {
  readonly self: NodeId;
  /**
   * What a cluster is founded with; the log overrules it from its first entry on. A node that is to join a cluster
   * starts without voters: it waits for a leader to tell it who takes part.
   */
  readonly configuration: Configuration;
  /** A follower waits between these, drawn anew each time; the smaller one is also how long it is loyal. */
  readonly electionTimeoutMsMin: number;
  readonly electionTimeoutMsMax: number;
  /** At most this long between two messages to a peer. */
  readonly heartbeatMs: number;
  /** A peer that only lacks the news of a commit hears it this long after its last message. */
  readonly commitNoticeMs: number;
  /** How much faster than the leader's a follower's clock may run: 0.1 is ten per cent. */
  readonly clockDriftRatioMax: number;
  readonly messageBytesMax: number;
  /** Per peer: appends sent and not answered. */
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
  /** Leader: bytes proposed and not committed. */
  readonly uncommittedBytesMax: number;
  /** Who lacks more of the decided entries than this does not become a voter. */
  readonly promotionLagEntriesMax: number;
}

export type RoleName = 'follower' | 'preCandidate' | 'candidate' | 'leader';

/** What an operator may ask about the core. */
export interface RaftStatus {
  readonly role: RoleName;
  readonly leader: NodeId | undefined;
  readonly term: number;
  readonly lastIndex: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  /** Entries up to here are compacted away. */
  readonly baseIndex: number;
  /** How far the newest snapshot goes; 0 without one. */
  readonly snapshotIndex: number;
  readonly recovering: boolean;
  /** On the leader: to whom it is handing over. */
  readonly transferringTo: NodeId | undefined;
  /** In force, decided or not. */
  readonly configuration: Configuration;
  /** Of its entry; 0 for what the cluster is founded with. Decided once it is committed. */
  readonly configurationIndex: number;
  /** On the leader: per member, the last index it is known to hold on disk. */
  readonly match: Readonly<Record<NodeId, number>>;
}
