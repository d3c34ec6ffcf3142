/**
 * Who takes part, as far as it is decided and applied here, and the change that this node has proposed. Owns who is
 * told and who waits; whether a change is allowed is the core's to say.
 *
 * 1. What is told was decided: lists that are only in the log are the core's business.
 * 2. Each list is told once, in the order of the log, after everything before it has been applied.
 */
import {
  decodeConfiguration,
  type Configuration,
  type ConfigurationRefusal,
  type Entry,
  type SnapshotMark,
} from '../consensus/index.ts';
import { invariant, type Cancel, type Clock, type Log } from '../environment.ts';

export interface DecidedConfiguration {
  /** The place in the log where it was decided, or one after it; 0 for what a cluster is founded with. */
  readonly index: number;
  readonly configuration: Configuration;
}

export type Reconfigured =
  | { readonly kind: 'decided' }
  /** Another leader's entry stands in its place: it never took effect. */
  | { readonly kind: 'overtaken' }
  /** Not in time: it may take effect yet. */
  | { readonly kind: 'undecided' }
  | ({ readonly kind: 'refused' } & ConfigurationRefusal);

interface Waiting {
  readonly index: number;
  readonly term: number;
  finish(outcome: Reconfigured): void;
}

export class ConfigurationChanges {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #handlers = new Set<(decided: DecidedConfiguration) => void>();
  readonly #waiting = new Set<Waiting>();
  #decided: DecidedConfiguration;

  constructor(
    options: { readonly decided: DecidedConfiguration },
    dependencies: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#decided = options.decided;
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
  }

  get decided(): DecidedConfiguration {
    return this.#decided;
  }

  on(handler: (decided: DecidedConfiguration) => void): Cancel {
    this.#handlers.add(handler);
    return () => {
      this.#handlers.delete(handler);
    };
  }

  /** What becomes of the entry that was proposed at this place. */
  outcome(
    place: { readonly index: number; readonly term: number },
    timeoutMs: number,
  ): Promise<Reconfigured> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(timeoutMs, () => {
        waiting.finish({ kind: 'undecided' });
      });
      const waiting: Waiting = {
        ...place,
        finish: (outcome) => {
          cancel();
          this.#waiting.delete(waiting);
          resolve(outcome);
        },
      };
      this.#waiting.add(waiting);
    });
  }

  /** An entry is decided, and everything before it is applied. */
  applied({ kind, index, term, data }: Entry): void {
    if (kind === 'configuration') {
      const configuration = decodeConfiguration(data);
      invariant(configuration !== undefined, `entry ${index} holds a configuration`);
      this.#tell({ index, configuration });
    }
    for (const waiting of this.#waiting) {
      if (waiting.index === index) waiting.finish({ kind: waiting.term === term ? 'decided' : 'overtaken' });
    }
  }

  /** The machine goes on from a snapshot. */
  installed({ index, configuration }: SnapshotMark): void {
    this.#tell({ index, configuration });
    for (const waiting of this.#waiting) {
      if (waiting.index <= index) waiting.finish({ kind: 'undecided' });
    }
  }

  close(): void {
    for (const waiting of this.#waiting) waiting.finish({ kind: 'undecided' });
    this.#handlers.clear();
  }

  #tell(decided: DecidedConfiguration): void {
    this.#decided = decided;
    for (const handler of [...this.#handlers]) {
      try {
        handler(decided);
      } catch (error) {
        this.#log.error({ error: String(error), index: decided.index }, 'a membership handler failed');
      }
    }
  }
}
