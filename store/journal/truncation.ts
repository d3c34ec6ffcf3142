/**
 * Deletes what lies below the bases: entries, and the claims that they hold. Owns how far that has come; does not own
 * the bases, nor the decision which claim may go (the intake's, where claims are decided).
 *
 * D1  Only what a base on this disk covers is deleted (J11).
 * D2  One bounded batch at a time is read and deleted, so that the requests of others are never far behind.
 * D3  What a crash left is found by looking at the start of each origin, and deleted by the next process.
 */
import type { Disk } from '../disk/port.ts';
import { RecordError } from '../disk/record.ts';
import type { Environment, NodeId } from '../environment.ts';
import type { Bases } from './bases.ts';
import { WireError } from './bytes.ts';
import type { Doomed, Intake } from './intake.ts';
import { entryKey, openEntry, positionOf } from './records.ts';

export interface TruncationOptions {
  readonly batchEntries: number;
}

export interface TruncationDependencies {
  readonly environment: Environment;
  readonly disk: Disk;
  readonly bases: Bases;
  readonly intake: Pick<Intake, 'offer'>;
}

export class Truncation {
  readonly #options: TruncationOptions;
  readonly #dependencies: TruncationDependencies;
  /** Per origin, the last sequence known to be deleted together with all before it. */
  readonly #deleted = new Map<NodeId, number>();
  #deletedEntries = 0;
  #running = false;
  #closed = false;

  constructor(options: TruncationOptions, dependencies: TruncationDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  /** Entries deleted in this process life. */
  get deletedEntries(): number {
    return this.#deletedEntries;
  }

  /** Looks for work; called when a base rose, and as time passes. */
  run(): void {
    if (this.#running || this.#closed) return;
    const origin = this.#unfinished();
    if (origin === undefined) return;
    this.#running = true;
    this.#deleteBatch(origin)
      .catch((error: unknown) => {
        this.#dependencies.environment.log.warn({ origin, error: String(error) }, 'old entries stay for now');
        return 'later' as const;
      })
      .then((outcome) => {
        this.#running = false;
        if (outcome === 'deleted') this.run();
      })
      .catch(() => undefined);
  }

  close(): void {
    this.#closed = true;
  }

  #unfinished(): NodeId | undefined {
    for (const [origin, { sequence }] of this.#dependencies.bases.entries()) {
      if ((this.#deleted.get(origin) ?? 0) < sequence) return origin;
    }
    return undefined;
  }

  async #deleteBatch(origin: NodeId): Promise<'deleted' | 'later'> {
    const { disk, bases } = this.#dependencies;
    const { batchEntries } = this.#options;
    const { sequence: last } = bases.of(origin);
    const from = (this.#deleted.get(origin) ?? 0) + 1;
    const rows = await disk.range({
      from: entryKey(origin, from),
      to: entryKey(origin, last + 1),
      limit: batchEntries,
    });
    const doomed = rows.map(([key, record]) => doom(key, record));
    if (doomed.length > 0 && !(await this.#offer(doomed))) return 'later';
    this.#deletedEntries += doomed.length;
    const lastRow = rows.length < batchEntries ? undefined : rows.at(-1);
    this.#deleted.set(origin, lastRow === undefined ? last : (positionOf(lastRow[0])?.sequence ?? last));
    return 'deleted';
  }

  /** Resolves when they are gone from the disk; false when there is no room to decide about them now. */
  #offer(entries: readonly Doomed[]): Promise<boolean> {
    return new Promise((resolve) => {
      const done = (outcome: boolean) => (): void => {
        resolve(outcome);
      };
      const taken = this.#dependencies.intake.offer({
        kind: 'delete',
        entries,
        answer: done(true),
        refuse: done(false),
      });
      if (!taken) resolve(false);
    });
  }
}

/** A damaged entry cannot say what it claimed: its claim stays behind, which costs a few bytes and no more. */
function doom(key: string, record: Uint8Array): Doomed {
  const position = positionOf(key);
  if (position === undefined) return { key };
  try {
    const { claim } = openEntry(position, record).entry;
    return claim === undefined ? { key } : { key, claim };
  } catch (error) {
    if (error instanceof RecordError || error instanceof WireError) return { key };
    throw error;
  }
}
