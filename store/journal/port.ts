import type { Cancel, NodeId } from '../environment.ts';

/** Where an entry stands: the `sequence`-th (from 1) of `origin`. Written `n1:42` in text. */
export interface Position {
  readonly origin: NodeId;
  readonly sequence: number;
}

/** Who belongs to this zone, as the ledger has decided it. */
export interface ZoneMembers {
  /** Grows with each change of the voters, and only then; 0 for the founders. */
  readonly epoch: number;
  readonly members: readonly { readonly id: NodeId; readonly voter: boolean }[];
}

export interface Entry extends Position {
  /** The claim this entry makes, when it is a registration: at most one entry wins each claim. */
  readonly claim?: string;
  /** Opaque to the store. At most 64 KiB. */
  readonly payload: Uint8Array;
}

/** Per origin, the last sequence held without a gap. */
export type VersionVector = Readonly<Record<NodeId, number>>;

/** Of one origin: the entries up to `sequence` are gone, for all they were about is older than `horizon`. */
export interface Base {
  readonly sequence: number;
  /** In the caller's measure, a whole number from 0 up. */
  readonly horizon: number;
}

/** `local`: on this node's disk (fsync). `quorum`: on the disks of a majority of the zone's voters. */
export type Durability = 'local' | 'quorum';

export type ClaimVerdict =
  /** A majority acknowledged this registration and none of them another: this node is home. */
  | { readonly kind: 'won' }
  /** Another registration holds the claim; its entry arrives by replication, if it is not here yet. */
  | { readonly kind: 'lost'; readonly holder: Position }
  /** Nobody can have a majority any more: the ledger must decide. `seen` are the registrations met. */
  | { readonly kind: 'split'; readonly seen: readonly Position[] }
  /** No majority answered in time, or the voters changed meanwhile. The registration may yet become durable. */
  | { readonly kind: 'unavailable' };

/** What a voter's one vote on a claim has become. */
export type ClaimStanding =
  /** It went to this entry, for ever. */
  | { readonly kind: 'held'; readonly holder: Position }
  /** It is still to be given, to the first registration that comes there. */
  | { readonly kind: 'free' }
  /** The disk that knew is lost. It may have gone to anybody, and goes to nobody any more. */
  | { readonly kind: 'forgot' }
  /** It went to nobody and never will: the voter was none yet when it met the claim. */
  | { readonly kind: 'passed' };

export interface Appended {
  readonly position: Position;
  /** Resolves when the asked durability holds. Rejects with JournalError UNAVAILABLE after the time-out. */
  readonly durable: Promise<void>;
}

/** `COMPACTED`: what was asked for lies below the base of its origin, and is gone for good. */
export type JournalErrorCode = 'UNAVAILABLE' | 'ENTRY_TOO_LARGE' | 'QUEUE_FULL' | 'COMPACTED' | 'CLOSED';

export class JournalError extends Error {
  readonly code: JournalErrorCode;
  constructor(code: JournalErrorCode, detail: string) {
    super(`${code}: ${detail}`);
    this.name = 'JournalError';
    this.code = code;
  }
}

export interface Journal {
  /** Appends to this node's own journal. The position is known at once; `durable` tells when it is kept. */
  append(
    payload: Uint8Array,
    options: { readonly durability: Durability; readonly timeoutMs?: number },
  ): Appended;

  /**
   * Appends a registration and learns whether it won its claim. When this node already knows a holder of
   * `claim`, nothing is appended and the verdict is `lost` at once.
   */
  register(
    claim: string,
    payload: Uint8Array,
    options: { readonly timeoutMs: number },
  ): Promise<{ readonly position?: Position; readonly verdict: ClaimVerdict }>;

  /**
   * Asks the zone's voters (itself included, if it is one) what became of the vote of each on `claim`. Those that do
   * not answer in time, or do not know yet, are absent. For settling an order whose home is gone.
   */
  holders(
    claim: string,
    options: { readonly timeoutMs: number },
  ): Promise<ReadonlyMap<NodeId, ClaimStanding>>;

  /**
   * Hears every entry once it is on this node's disk, each once per process life, in sequence order per
   * origin, own entries included. Listeners must not throw and must not block: they queue.
   */
  subscribe(listener: (entries: readonly Entry[]) => void): Cancel;

  /**
   * Entries of one origin from `from` on, at most `limit`, in order; fewer when no more are held. Rejects with
   * COMPACTED when `from` lies below the origin's base, which may rise at any time.
   */
  read(origin: NodeId, from: number, limit: number): Promise<readonly Entry[]>;

  /** What is on this node's disk. */
  vector(): VersionVector;

  /** Per peer of the zone: the last own sequence it acknowledged, and how many own entries it still lacks. */
  replication(): readonly { readonly peer: NodeId; readonly acknowledged: number; readonly lag: number }[];

  /** Resolves when every reachable peer's announced vector has been pulled, or after `timeoutMs`. */
  caughtUp(timeoutMs: number): Promise<void>;

  /**
   * Asks the zone's voters what they hold now and waits until it is here. True when a majority answered, and so
   * everything that any caller was told is durable, before this was asked, is on this disk; false after `timeoutMs`.
   */
  covers(timeoutMs: number): Promise<boolean>;

  /**
   * Gives up the entries of each origin up to the sequence named for it, and their claims. The caller vouches that
   * all they were about is older than `horizon`, and done with at every node that will ever hear of that horizon. The
   * last entry of an origin always stays. Resolves when the bases are on this disk; rows are deleted after that,
   * little by little. Rejects with UNAVAILABLE before `opened`, or QUEUE_FULL.
   */
  compact(request: {
    readonly upTo: Readonly<Record<NodeId, number>>;
    readonly horizon: number;
  }): Promise<void>;

  /** What is gone from this node's disk, or never came to it because nobody has it any more. */
  bases(): Readonly<Record<NodeId, Base>>;

  /** The latest horizon of any base; 0 while nothing is gone. */
  horizon(): number;

  /**
   * Told when a base has risen: by `compact`, or because this node lacked what its peers no longer have. Entries
   * beyond a base are told after it. Listeners must not throw and must not block.
   */
  onHorizon(listener: (horizon: number) => void): Cancel;
}
