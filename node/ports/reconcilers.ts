import type { Deadline } from './deadline.ts';

/** A reconciler: a scheduled job that moves truth between Freehold and the system of record. */
export interface ReconcilerStatus {
  /** `inbound` reads catalogue and inventory, `outbound` delivers what became of orders. */
  readonly name: string;
  /** A run is under way on this node. */
  readonly running: boolean;
  /** Times in ms since the epoch, by this node's clock. Absent before the first run here. */
  readonly lastRunAt?: number;
  readonly lastSuccessAt?: number;
  /** Why the last run failed; absent when it succeeded. Holds no personal data and no secret. */
  readonly lastError?: string;
  /**
   * How far behind: since the last applied read (inbound), or the age of the oldest unsent outcome (outbound). Null when
   * it is behind and only the node that leads can say by how much.
   */
  readonly lagSeconds: number | null;
  /** Outcomes that the system of record does not have yet; 0 for `inbound`. */
  readonly pending: number;
  /** What the system of record refused, newest first, at most 100: tried again by the next manual run. */
  readonly parked: readonly ParkedOrder[];
  /** Rows of the catalogue that the last run on this node left out, at most 100; empty for `outbound`. */
  readonly rejected: readonly RejectedRow[];
}

/** A row of the catalogue that nothing can be sold by. */
export interface RejectedRow {
  readonly sku: string;
  /** Begins with a stable code, such as `SKU_TOO_LONG`. */
  readonly reason: string;
}

/** An outcome that the system of record refuses. Known on every node. */
export interface ParkedOrder {
  readonly orderId: string;
  /** Stable, such as `UNKNOWN_SKU`. */
  readonly code: string;
  /** The code, and what the system of record said. */
  readonly reason: string;
  /** Since when it is refused for this reason, ms since the epoch. */
  readonly at: number;
}

/** What one run did. */
export interface ReconcilerReport {
  readonly name: string;
  readonly startedAt: number;
  readonly finishedAt: number;
  /** Products read (inbound) or outcomes delivered (outbound). */
  readonly processed: number;
  /** Outcomes refused by the system of record in this run. */
  readonly parked: number;
  /** What is still to be done after this run. */
  readonly pending: number;
}

export type ReconcilerErrorCode =
  | 'NOT_LEADER'
  | 'SYSTEM_OF_RECORD_UNAVAILABLE'
  | 'UNKNOWN_RECONCILER'
  /** The order is not parked, as far as this node knows. */
  | 'NOT_PARKED'
  /** It may have been noted, or not: ask again. */
  | 'QUORUM_UNAVAILABLE'
  /** Another report is being made. */
  | 'BUSY'
  /** The drift report could not read one of the books; the message begins with its name. */
  | 'BOOK_UNAVAILABLE';

export class ReconcilerError extends Error {
  readonly code: ReconcilerErrorCode;
  constructor(code: ReconcilerErrorCode, detail: string) {
    super(detail);
    this.name = 'ReconcilerError';
    this.code = code;
  }
}

export interface Reconcilers {
  status(): readonly ReconcilerStatus[];
  /** Runs now and answers when it is done; joins a run already under way. Rejects with ReconcilerError. */
  run(name: string): Promise<ReconcilerReport>;
  /** Outcomes that the system of record refuses, newest first. `after` is the `next` of the page before. */
  parked(query: { readonly after?: string; readonly limit: number }): {
    readonly parked: readonly ParkedOrder[];
    readonly next?: string;
  };
  /**
   * Sends a parked outcome again, on the node that leads. Rejects with ReconcilerError, or with DeadlineExceeded when its
   * turn came too late.
   */
  retryParked(orderId: string, deadline?: Deadline): Promise<RetriedOrder>;
  /**
   * Gives up the delivery of a parked outcome, on any node: somebody has entered it by hand, and the inventory is as it
   * should be. Resolves once a majority has noted it. Rejects with ReconcilerError.
   */
  discardParked(orderId: string, decision: { readonly reason: string; readonly by: string }): Promise<void>;
}

export interface RetriedOrder {
  readonly orderId: string;
  readonly delivered: boolean;
  /** Why it was refused again. */
  readonly reason?: string;
}
