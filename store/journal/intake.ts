/**
 * The one place where claims are decided: own registrations, pushed frames and pulled pages queue here and are
 * decided one batch after the other, so that two claims for one order can never both find it free. Commits overlap
 * with the next decisions; their order is the order of decisions.
 *
 * I1  Entries of an origin are accepted in sequence, each once; what is beyond a gap is left out.
 * I2  An entry and the claim it wins are written in one atomic batch.
 * I3  An answer leaves after everything it rests on is on disk, also when it concerns entries seen before.
 */
import type { Environment, NodeId } from '../environment.ts';
import type { Committer, Operation } from '../disk/port.ts';
import type { ClaimTable, ClaimView } from './claim-table.ts';
import type { Vote } from './claims.ts';
import type { OwnLog } from './own-log.ts';
import { JournalError } from './port.ts';
import { entryKey, type ClaimRecord, type SealedEntry } from './records.ts';
import type { RecoveryPhase } from './recovery.ts';

export interface Received {
  readonly kind: 'received';
  readonly origin: NodeId;
  /** Verified; ascending, otherwise any. */
  readonly entries: readonly SealedEntry[];
  readonly answer: (outcome: {
    readonly votes: readonly { readonly sequence: number; readonly vote: Vote }[];
    readonly gap: boolean;
  }) => void;
  /** The intake closed before it came to this. */
  readonly refuse: (error: Error) => void;
}

export interface Registration {
  readonly kind: 'register';
  readonly claim: string;
  readonly payload: Uint8Array;
  /** Called when decided: not on disk yet. */
  readonly answer: (
    outcome:
      | { readonly kind: 'appended'; readonly sequence: number }
      | { readonly kind: 'known'; readonly record: ClaimRecord },
  ) => void;
  /** No room, or closed: nothing was appended. */
  readonly refuse: (error: Error) => void;
}

export interface Lookup {
  readonly kind: 'lookup';
  readonly claim: string;
  readonly answer: (record: ClaimRecord | undefined) => void;
  readonly refuse: (error: Error) => void;
}

type Item = Received | Registration | Lookup;

export interface IntakeOptions {
  readonly self: NodeId;
  readonly bytesMax: number;
  /** What the disk holds. */
  readonly positions: ReadonlyMap<NodeId, number>;
}

export interface IntakeDependencies {
  readonly environment: Environment;
  readonly committer: Committer;
  readonly claims: ClaimTable;
  readonly own: OwnLog;
  /**
   * Only when `open` does this node vote and append; only while `relearning` does it take own entries from
   * others.
   */
  readonly phase: () => RecoveryPhase;
  /** Newly on disk, in order. */
  readonly onDurable: (entries: readonly SealedEntry[]) => void;
}

const itemsPerBatch = 256;

export class Intake {
  readonly #options: IntakeOptions;
  readonly #dependencies: IntakeDependencies;
  /** Per origin the last sequence decided, on disk or on its way. */
  readonly #accepted: Map<NodeId, number>;
  #queue: Item[] = [];
  /** Taken from the queue, while their claims are looked up. */
  #deciding: readonly Item[] = [];
  #queuedBytes = 0;
  #draining = false;
  #paused = true;
  #closed = false;
  #lastCommit: Promise<void> = Promise.resolve();

  constructor(options: IntakeOptions, dependencies: IntakeDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#accepted = new Map(options.positions);
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  accepted(origin: NodeId): number {
    return this.#accepted.get(origin) ?? 0;
  }

  /** Begins to decide. Until it is known whether the disk is whole, a vote could be a second one. */
  resume(): void {
    this.#paused = false;
    this.#start();
  }

  /** False when the queue is full: the item is not taken, and the sender has to come again. */
  offer(item: Item): boolean {
    const bytes = bytesOf(item);
    if (this.#closed || this.#queuedBytes + bytes > this.#options.bytesMax) return false;
    this.#queue.push(item);
    this.#queuedBytes += bytes;
    this.#start();
    return true;
  }

  close(error: Error): void {
    this.#closed = true;
    for (const item of [...this.#deciding, ...this.#queue]) item.refuse(error);
    this.#queue = [];
  }

  #start(): void {
    if (this.#draining || this.#paused) return;
    this.#draining = true;
    this.#drain().catch((error: unknown) => {
      // The claim table could not be read: going on could give a second vote. `draining` stays set on purpose.
      this.#dependencies.environment.fatal(error instanceof Error ? error : new Error(String(error)));
    });
  }

  async #drain(): Promise<void> {
    const { claims, own } = this.#dependencies;
    // Let the rest of this turn join the batch.
    await Promise.resolve();
    while (this.#queue.length > 0 && !this.#closed) {
      const batch = this.#queue.splice(0, itemsPerBatch);
      this.#deciding = batch;
      const view = await claims.load(batch.flatMap(claimsOf));
      if (this.#closed) return;
      this.#deciding = [];
      const operations: Operation[] = [];
      const durable: SealedEntry[] = [];
      const answers: (() => void)[] = [];
      for (const item of batch) {
        this.#queuedBytes -= bytesOf(item);
        switch (item.kind) {
          case 'register':
            this.#register(item, view);
            break;
          case 'received':
            answers.push(this.#receive(item, view, operations, durable));
            break;
          case 'lookup': {
            const record = view.find(item.claim);
            answers.push(() => {
              item.answer(record);
            });
            break;
          }
        }
      }
      // Own registrations of this batch may be what others were refused for: they go to disk first (I3).
      own.flush();
      if (answers.length > 0) this.#commit(operations, durable, answers);
    }
    this.#draining = false;
  }

  #register(item: Registration, view: ClaimView): void {
    const { claims, own } = this.#dependencies;
    const { claim, payload } = item;
    const known = view.find(claim);
    if (known !== undefined) {
      item.answer({ kind: 'known', record: known });
      return;
    }
    if (this.#dependencies.phase() !== 'open') {
      item.refuse(new JournalError('UNAVAILABLE', 'this node has to relearn its journal first'));
      return;
    }
    const full = own.full(payload.byteLength);
    if (full !== undefined) {
      item.refuse(full);
      return;
    }
    const { sequence, written } = own.append({ claim, payload }, (assigned) => {
      const position = { origin: this.#options.self, sequence: assigned };
      return claims.decide(claim, position, { view, standing: 'granted' }).operation;
    });
    this.#lastCommit = written.catch(() => undefined);
    void written.then(
      () => {
        claims.settle(claim);
      },
      () => undefined,
    );
    item.answer({ kind: 'appended', sequence });
  }

  #receive(item: Received, view: ClaimView, operations: Operation[], durable: SealedEntry[]): () => void {
    const { claims } = this.#dependencies;
    const phase = this.#dependencies.phase();
    const standing = phase === 'open' ? 'granted' : 'inherited';
    const { origin } = item;
    const votes: { sequence: number; vote: Vote }[] = [];
    let gap = false;
    if (origin === this.#options.self && phase !== 'relearning') {
      return () => {
        item.answer({ votes, gap });
      };
    }
    let accepted = this.accepted(origin);
    for (const sealed of item.entries) {
      const { sequence, claim } = sealed.entry;
      if (sequence > accepted + 1) {
        gap = true;
        break;
      }
      if (claim !== undefined) {
        const { vote, operation } = claims.decide(claim, { origin, sequence }, { view, standing });
        votes.push({ sequence, vote });
        if (operation !== undefined) operations.push(operation);
      }
      if (sequence !== accepted + 1) continue;
      accepted = sequence;
      operations.push({ kind: 'put', key: entryKey(origin, sequence), value: sealed.record });
      durable.push(sealed);
    }
    this.#accepted.set(origin, accepted);
    return () => {
      item.answer({ votes, gap });
    };
  }

  #commit(operations: readonly Operation[], durable: readonly SealedEntry[], answers: (() => void)[]): void {
    const { claims, committer, onDurable } = this.#dependencies;
    const previous = this.#lastCommit;
    const written = operations.length === 0 ? previous : committer.commit(operations);
    // A batch without writes answers from what earlier ones wrote; commits resolve in order.
    this.#lastCommit = written;
    void written.then(() => {
      if (this.#closed) return;
      for (const { entry } of durable) if (entry.claim !== undefined) claims.settle(entry.claim);
      onDurable(durable);
      for (const answer of answers) answer();
    });
  }
}

function claimsOf(item: Item): readonly string[] {
  if (item.kind !== 'received') return [item.claim];
  const claims: string[] = [];
  for (const { entry } of item.entries) if (entry.claim !== undefined) claims.push(entry.claim);
  return claims;
}

function bytesOf(item: Item): number {
  if (item.kind === 'lookup') return 64;
  if (item.kind === 'register') return item.payload.byteLength + 64;
  return item.entries.reduce((sum, { record }) => sum + record.byteLength, 64);
}
