import type { Cancel, NodeId } from '../environment.ts';

/** Where an entry stands: the `sequence`-th (from 1) of `origin`. Written `n1:42` in text. */
export interface Position {
  readonly origin: NodeId;
  readonly sequence: number;
}

export interface Entry extends Position {
  /** The claim this entry makes, when it is a registration: at most one entry wins each claim. */
  readonly claim?: string;
  /** Opaque to the store. At most 64 KiB. */
  readonly payload: Uint8Array;
}

/** Per origin, the last sequence held without a gap. */
export type VersionVector = Readonly<Record<NodeId, number>>;

/** `local`: on this node's disk (fsync). `quorum`: on the disks of a majority of the zone's voters. */
export type Durability = 'local' | 'quorum';

export type ClaimVerdict =
  /** A majority acknowledged this registration and none of them another: this node is home. */
  | { readonly kind: 'won' }
  /** Another registration holds the claim; its entry arrives by replication, if it is not here yet. */
  | { readonly kind: 'lost'; readonly holder: Position }
  /** Nobody can have a majority any more: the ledger must decide. `seen` are the registrations met. */
  | { readonly kind: 'split'; readonly seen: readonly Position[] }
  /** No majority answered in time. The registration may yet become durable: outcome unknown. */
  | { readonly kind: 'unavailable' };

export interface Appended {
  readonly position: Position;
  /** Resolves when the asked durability holds. Rejects with JournalError UNAVAILABLE after the time-out. */
  readonly durable: Promise<void>;
}

export type JournalErrorCode = 'UNAVAILABLE' | 'ENTRY_TOO_LARGE' | 'QUEUE_FULL' | 'CLOSED';

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
   * Asks the zone's voters (itself included, if it is one) which entry each holds `claim` for; null where it
   * holds none. Voters that do not answer in time are absent. For settling an order whose home is gone.
   */
  holders(
    claim: string,
    options: { readonly timeoutMs: number },
  ): Promise<ReadonlyMap<NodeId, Position | null>>;

  /**
   * Hears every entry once it is on this node's disk, each once per process life, in sequence order per
   * origin, own entries included. Listeners must not throw and must not block: they queue.
   */
  subscribe(listener: (entries: readonly Entry[]) => void): Cancel;

  /** Entries of one origin from `from` on, at most `limit`, in order; fewer when no more are held. */
  read(origin: NodeId, from: number, limit: number): Promise<readonly Entry[]>;

  /** What is on this node's disk. */
  vector(): VersionVector;

  /** Per peer of the zone: the last own sequence it acknowledged, and how many own entries it still lacks. */
  replication(): readonly { readonly peer: NodeId; readonly acknowledged: number; readonly lag: number }[];

  /** Resolves when every reachable peer's announced vector has been pulled, or after `timeoutMs`. */
  caughtUp(timeoutMs: number): Promise<void>;
}
