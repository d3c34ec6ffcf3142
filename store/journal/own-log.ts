/**
 * This node's own journal: gives out sequences, gathers what is appended in one turn into one commit, and keeps
 * the newest records for pushing. Does not know peers or claims.
 *
 * O1  Sequences are contiguous, and commits are asked for in the order of sequences.
 * O2  `onDurable` tells entries in order, after fsync: only then may they leave this node.
 */
import type { NodeId } from '../environment.ts';
import type { Committer, Operation } from '../disk/port.ts';
import { JournalError } from './port.ts';
import { RecentRecords } from './recent-records.ts';
import { entryKey, sealEntry, type SealedEntry } from './records.ts';

export interface OwnLogOptions {
  readonly self: NodeId;
  /** What the disk holds. */
  readonly last: number;
  readonly queuedEntriesMax: number;
  readonly queuedBytesMax: number;
  readonly recentBytesMax: number;
}

export interface OwnLogDependencies {
  readonly committer: Committer;
  readonly onDurable: (entries: readonly SealedEntry[]) => void;
}

interface Gathering {
  readonly entries: SealedEntry[];
  readonly operations: Operation[];
  bytes: number;
  /** Shared by all that are appended together. */
  readonly written: PromiseWithResolvers<void>;
}

export class OwnLog {
  readonly recent: RecentRecords;
  readonly #options: OwnLogOptions;
  readonly #dependencies: OwnLogDependencies;
  readonly #underWay = new Set<Gathering>();
  #gathering: Gathering | undefined;
  #assigned: number;
  #appended = 0;
  #durable: number;
  #queuedBytes = 0;
  #closed = false;

  constructor(options: OwnLogOptions, dependencies: OwnLogDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#assigned = options.last;
    this.#durable = options.last;
    this.recent = new RecentRecords({ bytesMax: options.recentBytesMax });
  }

  /** The last sequence given out. */
  get assigned(): number {
    return this.#assigned;
  }

  /** How many were appended in this process life. */
  get appended(): number {
    return this.#appended;
  }

  get durable(): number {
    return this.#durable;
  }

  get queuedEntries(): number {
    return this.#assigned - this.#durable;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** The refusal when there is no room for `bytes` more. */
  full(bytes: number): JournalError | undefined {
    const { queuedEntriesMax, queuedBytesMax } = this.#options;
    if (this.queuedEntries < queuedEntriesMax && this.#queuedBytes + bytes <= queuedBytesMax)
      return undefined;
    return new JournalError('QUEUE_FULL', `${this.queuedEntries} entries wait for the disk`);
  }

  /** `also` decides what else goes into the same atomic batch, once the sequence is known. */
  append(
    content: { readonly claim?: string; readonly payload: Uint8Array },
    also?: (sequence: number) => Operation | undefined,
  ): { readonly sequence: number; readonly written: Promise<void> } {
    const sequence = ++this.#assigned;
    this.#appended++;
    const entry = { origin: this.#options.self, sequence, ...content };
    const record = sealEntry(entry);
    const gathering = this.#gather();
    gathering.entries.push({ entry, record });
    gathering.operations.push({ kind: 'put', key: entryKey(entry.origin, sequence), value: record });
    const operation = also?.(sequence);
    if (operation !== undefined) gathering.operations.push(operation);
    gathering.bytes += record.byteLength;
    this.#queuedBytes += record.byteLength;
    return { sequence, written: gathering.written.promise };
  }

  /** Asks for the commit of what is gathered: everything appended so far precedes what is committed next. */
  flush(): void {
    const gathering = this.#gathering;
    if (gathering === undefined) return;
    this.#gathering = undefined;
    if (this.#closed) return;
    this.#underWay.add(gathering);
    void this.#dependencies.committer.commit(gathering.operations).then(() => {
      this.#underWay.delete(gathering);
      if (!this.#closed) this.#onWritten(gathering);
    });
  }

  /** Own entries came back from peers while relearning; `last` is what the disk holds now. */
  rebase(last: number): void {
    this.#assigned = last;
    this.#durable = last;
  }

  close(error: Error): void {
    this.flush();
    this.#closed = true;
    for (const gathering of this.#underWay) gathering.written.reject(error);
    this.#underWay.clear();
  }

  #gather(): Gathering {
    if (this.#gathering !== undefined) return this.#gathering;
    const written = Promise.withResolvers<void>();
    // Callers that only want the position leave this promise alone; closing must not look like a crash.
    written.promise.catch(() => undefined);
    this.#gathering = { entries: [], operations: [], bytes: 0, written };
    queueMicrotask(() => {
      this.flush();
    });
    return this.#gathering;
  }

  #onWritten(gathering: Gathering): void {
    this.#queuedBytes -= gathering.bytes;
    for (const { entry, record } of gathering.entries) {
      this.recent.add(entry.sequence, record);
      this.#durable = entry.sequence;
    }
    this.#dependencies.onDurable(gathering.entries);
    gathering.written.resolve();
  }
}
