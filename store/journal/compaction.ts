/**
 * Giving up what is old: the bases of this node's journal, raised on request or because the peers have raised theirs,
 * and the deletion of what lies below. Owns who is told; does not know what is old, which is the caller's to say.
 *
 * A base is on disk before anything below it goes (J11): bases are decided in the intake, in one order with all that
 * is received, and only when that batch is written does the deletion begin, and do listeners and peers hear of it.
 */
import { invariant, type Cancel, type Environment, type NodeId } from '../environment.ts';
import type { Disk } from '../disk/port.ts';
import type { Bases } from './bases.ts';
import type { Intake } from './intake.ts';
import { JournalError, type Base } from './port.ts';
import { Truncation } from './truncation.ts';

export interface CompactionOptions {
  readonly deletedPerBatch: number;
}

export interface CompactionDependencies {
  readonly environment: Environment;
  readonly disk: Disk;
  readonly bases: Bases;
  readonly intake: Pick<Intake, 'offer'>;
  /** Last sequence of an origin on this disk. */
  readonly durable: (origin: NodeId) => number;
}

export class Compaction {
  readonly #dependencies: CompactionDependencies;
  readonly #truncation: Truncation;
  readonly #listeners = new Set<(horizon: number) => void>();

  constructor(options: CompactionOptions, dependencies: CompactionDependencies) {
    this.#dependencies = dependencies;
    this.#truncation = new Truncation({ batchEntries: options.deletedPerBatch }, dependencies);
  }

  /** Entries deleted in this process life. */
  get deletedEntries(): number {
    return this.#truncation.deletedEntries;
  }

  /** Resolves when the bases are on this disk. Rejects with JournalError QUEUE_FULL or CLOSED. */
  async compact(upTo: Readonly<Record<NodeId, number>>, horizon: number): Promise<void> {
    invariant(Number.isSafeInteger(horizon) && horizon >= 0, 'a horizon is a whole number from 0 up');
    const { bases, durable } = this.#dependencies;
    const raised = new Map<NodeId, Base>();
    for (const [origin, wanted] of Object.entries(upTo)) {
      // J11. The last entry stays: a position must be known by more than a base alone.
      const sequence = Math.min(wanted, durable(origin) - 1);
      if (sequence > bases.of(origin).sequence) raised.set(origin, { sequence, horizon });
    }
    if (raised.size > 0) await this.#raise(raised);
  }

  /** A peer has given up what this node still has, or lacks. */
  takeOver(origin: NodeId, base: Base): Promise<void> {
    return this.#raise(new Map([[origin, base]]));
  }

  onHorizon(listener: (horizon: number) => void): Cancel {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** They are on the disk now. */
  onRaised(raised: ReadonlyMap<NodeId, Base>): void {
    const { bases, environment } = this.#dependencies;
    for (const [origin, base] of raised) bases.raise(origin, base);
    for (const listener of this.#listeners) {
      try {
        listener(bases.horizon);
      } catch (error) {
        environment.log.error({ error: String(error) }, 'a listener for horizons threw');
      }
    }
    this.#truncation.run();
  }

  /** Goes on with what an earlier process left, or what there was no room for. */
  tick(): void {
    this.#truncation.run();
  }

  close(): void {
    this.#truncation.close();
    this.#listeners.clear();
  }

  #raise(bases: ReadonlyMap<NodeId, Base>): Promise<void> {
    return new Promise((resolve, reject) => {
      const taken = this.#dependencies.intake.offer({
        kind: 'raise',
        bases,
        answer: resolve,
        refuse: reject,
      });
      if (!taken) reject(new JournalError('QUEUE_FULL', 'too much waits for a decision'));
    });
  }
}
