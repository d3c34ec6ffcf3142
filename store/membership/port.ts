import type { Cancel, NodeId } from '../environment.ts';
import type { Address, Member } from '../peers/port.ts';

/** One member, as the ledger has decided it: the same on every node. */
export interface MemberRecord extends Member {
  readonly zone: string;
  /** Whether it decides: its disk counts towards majorities, of its zone's journal and of the ledger. */
  readonly voter: boolean;
}

export interface MemberList {
  readonly members: readonly MemberRecord[];
  /** Per zone, how often its voters have changed since the cluster was founded; 0 where it is not named. */
  readonly epochs: Readonly<Record<string, number>>;
}

/** One step at a time: a newcomer is added, catches up, and is promoted; a dead voter is removed, another added. */
export type MemberChange =
  /** Receives everything and decides nothing yet. */
  | { readonly kind: 'add'; readonly member: Omit<MemberRecord, 'voter'> }
  /** Makes a voter of a member that has caught up. */
  | { readonly kind: 'promote'; readonly id: NodeId }
  /** Where the others reach it from now on. */
  | { readonly kind: 'move'; readonly id: NodeId; readonly address: Address }
  | { readonly kind: 'remove'; readonly id: NodeId };

export type MembershipErrorCode =
  /** No such peer id, address, name or zone can be. */
  | 'INVALID_MEMBER'
  /** The name, the peer id or the address belongs to another member. */
  | 'ALREADY_MEMBER'
  | 'UNKNOWN_MEMBER'
  /** It is the last voter of its zone. */
  | 'LAST_VOTER'
  /** Another change is not decided yet, or not known to enough members yet. */
  | 'CHANGE_UNDER_WAY'
  /** The member to be promoted lacks too much of the ledger. */
  | 'NOT_CAUGHT_UP'
  /** A member lacks what the journals of the others hold, or what they have decided. */
  | 'JOURNAL_BEHIND'
  /** With the voters that can be reached, the new list would have no majority. */
  | 'QUORUM_AT_RISK'
  /** No leader could be asked. Nothing was changed. */
  | 'NO_LEADER'
  /** Proposed, and not decided in time: it may take effect yet. */
  | 'TIMEOUT';

/** A change that was not made, or (`TIMEOUT`) not known to be made. */
export class MembershipError extends Error {
  readonly code: MembershipErrorCode;
  readonly detail: string;
  /** The member that stands in the way, where it is one. */
  readonly member: NodeId | undefined;
  constructor(code: MembershipErrorCode, detail: string, member?: NodeId) {
    super(`${code}: ${detail}`);
    this.name = 'MembershipError';
    this.code = code;
    this.detail = detail;
    this.member = member;
  }
}

/** Who takes part, and how that changes. */
export interface Membership {
  /** As last decided, as far as this node knows. */
  list(): MemberList;
  /** Nobody has told this node who takes part since its disk was empty, and it founds nothing: the list is its file's. */
  readonly isWaiting: boolean;
  /** Told of each list that is decided after this call. */
  onChange(handler: (list: MemberList) => void): Cancel;
  /**
   * Has a change decided, by whichever node leads, and resolves with the list that follows. What is so already is
   * no error, so a change may be asked for again. Rejects with MembershipError, after `timeoutMs` at the latest where
   * that is less than usual.
   */
  change(change: MemberChange, patience?: { readonly timeoutMs?: number }): Promise<MemberList>;
}
