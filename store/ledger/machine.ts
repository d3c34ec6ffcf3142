/**
 * A deterministic state machine behind the replicated log. The same commands in the same order give the same
 * state and the same results on every node: it takes no time and no chance but what the command carries.
 */
export interface StateMachine {
  /**
   * Applies one committed command and returns its result. `at` is the leader's stamp in ms, never smaller
   * than that of the entry before. Must not throw: a command that makes no sense is answered as such.
   */
  apply(at: number, command: Uint8Array): Uint8Array;
  /** A command that is due at `now` (ms) by the passing of time alone, such as expiring holds. Leader only. */
  due(now: number): Uint8Array | undefined;
  /**
   * Begins to read out the whole state as it is now. Commands may be applied while the cursor is being read, and do
   * not show in it. One at a time: beginning another abandons the one before.
   */
  beginSnapshot(): SnapshotCursor;
  /** Begins to take in a state that was read out, which replaces this one when it is whole. */
  beginRestore(): SnapshotRestore;
}

export interface SnapshotCursor {
  /**
   * The next chunk, of `bytesMax` at most unless a single record is larger; undefined after the last one. Throws when
   * the state contradicts itself, or the cursor was abandoned: such a snapshot must not be kept.
   */
  next(bytesMax: number): Uint8Array | undefined;
  /** It will not be read to its end. Does no harm after the end. */
  abandon(): void;
}

export interface SnapshotRestore {
  /**
   * Takes the chunks in the order in which they were read out. Throws on bytes that are no such chunk, and at the last
   * one when some are missing or their sums are not right.
   */
  add(chunk: Uint8Array): void;
  /** After the last chunk: the machine goes on from that state. Takes no time to speak of, and does not fail. */
  finish(): void;
}

/** The replicated log that drives a state machine: see replica.ts. */
export interface ReplicatedLog {
  /**
   * Has `command` decided by the cluster and answers with its result. A non-leader forwards. Rejects with
   * LedgerError when undecided: the command may still take effect, so commands must be idempotent.
   */
  submit(command: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array>;
}
