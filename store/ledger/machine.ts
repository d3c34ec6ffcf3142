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
  /** The whole state, for a replica that is too far behind for the log. */
  snapshot(): Uint8Array;
  restore(snapshot: Uint8Array): void;
}

/** The replicated log that drives a state machine: see replica.ts. */
export interface ReplicatedLog {
  /**
   * Has `command` decided by the cluster and answers with its result. A non-leader forwards. Rejects with
   * LedgerError when undecided: the command may still take effect, so commands must be idempotent.
   */
  submit(command: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array>;
}
