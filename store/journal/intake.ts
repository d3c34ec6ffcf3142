/**
 * The one place where claims are decided: own registrations, pushed frames and pulled pages queue here and are
 * decided one batch after the other, so that two claims for one order can never both find it free; what is given up
 * queues here too, so that no claim is decided while it goes. Commits overlap with the next decisions; their order is
 * the order of decisions.
 *
 * I1  Entries of an origin are accepted in sequence, each once; what is beyond a gap is left out.
 * I2  An entry and the claim it wins are written in one atomic batch.
 * I3  An answer leaves after everything it rests on is on disk, also when it concerns entries seen before.
 * I4  At or below a base nothing is accepted and nothing is voted upon (J12). A base is told before what follows it.
 */
import type { Environment, NodeId } from '../environment.ts';
import type { Committer, Operation } from '../disk/port.ts';
import { higherOf, writeOf } from './bases.ts';
import type { ClaimTable, ClaimView } from './claim-table.ts';
import type { Vote } from './claims.ts';
import type { OwnLog } from './own-log.ts';
import { JournalError, type Base, type Position } from './port.ts';
import { entryKey, type ClaimRecord, type SealedEntry } from './records.ts';
import type { RecoveryPhase } from './recovery.ts';

/** An entry that goes, and what it claims. */
export interface Doomed {
  readonly key: string;
  readonly claim?: string;
}

export interface Received {
  readonly kind: 'received';
  readonly origin: NodeId;
  /** Verified; ascending, otherwise any. */
  readonly entries: readonly SealedEntry[];
  /** The sender has nothing up to there any more: what is lacking here below it will never come. */
  readonly base?: Base;
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

/** To give up the entries up to each base. */
export interface Raise {
  readonly kind: 'raise';
  readonly bases: ReadonlyMap<NodeId, Base>;
  readonly answer: () => void;
  readonly refuse: (error: Error) => void;
}

/** To delete entries below their base from the disk, with the claims that they hold. */
export interface Deletion {
  readonly kind: 'delete';
  readonly entries: readonly Doomed[];
  readonly answer: () => void;
  readonly refuse: (error: Error) => void;
}

type Item = Received | Registration | Lookup | Raise | Deletion;

/** What one batch of decisions leaves to be written, and to be done once it is. */
interface Decided {
  readonly operations: Operation[];
  readonly entries: SealedEntry[];
  /** Claims that were given to somebody: by the entries, or by such as were here before. */
  readonly given: string[];
  readonly raised: Map<NodeId, Base>;
  readonly dropped: string[];
  readonly answers: (() => void)[];
}

export interface IntakeOptions {
  readonly self: NodeId;
  readonly bytesMax: number;
  /** What the disk holds. */
  readonly positions: ReadonlyMap<NodeId, number>;
  readonly bases: ReadonlyMap<NodeId, Base>;
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
  /** Whether this node's vote counts: the claims that it meets while it does not, it never votes on. */
  readonly grants: () => boolean;
  /** Newly on disk, before the entries of the same batch. */
  readonly onRaised: (bases: ReadonlyMap<NodeId, Base>) => void;
  /** Newly on disk, in order. */
  readonly onDurable: (entries: readonly SealedEntry[]) => void;
}

const itemsPerBatch = 256;

export class Intake {
  readonly #options: IntakeOptions;
  readonly #dependencies: IntakeDependencies;
  /** Per origin the last sequence decided, on disk or on its way. */
  readonly #accepted: Map<NodeId, number>;
  /** Per origin the base decided, on disk or on its way. */
  readonly #bases: Map<NodeId, Base>;
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
    this.#bases = new Map(options.bases);
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
      const decided: Decided = {
        operations: [],
        entries: [],
        given: [],
        raised: new Map(),
        dropped: [],
        answers: [],
      };
      for (const item of batch) {
        this.#queuedBytes -= bytesOf(item);
        this.#decide(item, view, decided);
      }
      // Own registrations of this batch may be what others were refused for: they go to disk first (I3).
      own.flush();
      if (decided.answers.length > 0) this.#commit(decided);
    }
    this.#draining = false;
  }

  #decide(item: Item, view: ClaimView, decided: Decided): void {
    switch (item.kind) {
      case 'register':
        this.#register(item, view);
        break;
      case 'received':
        this.#receive(item, view, decided);
        break;
      case 'lookup': {
        const record = view.find(item.claim);
        decided.answers.push(() => {
          item.answer(record);
        });
        break;
      }
      case 'raise':
        for (const [origin, base] of item.bases) this.#raise(origin, base, decided);
        decided.answers.push(item.answer);
        break;
      case 'delete':
        this.#delete(item, view, decided);
        decided.answers.push(item.answer);
        break;
    }
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
      return claims.decide(claim, position, { view, standing: this.#standing() }).operation;
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

  #receive(item: Received, view: ClaimView, decided: Decided): void {
    const { claims } = this.#dependencies;
    const phase = this.#dependencies.phase();
    const standing = this.#standing();
    const { origin } = item;
    const votes: { sequence: number; vote: Vote }[] = [];
    let gap = false;
    decided.answers.push(() => {
      item.answer({ votes, gap });
    });
    if (origin === this.#options.self && phase !== 'relearning') return;
    // A base below what is here tells nothing new: this node gives things up when it is asked to itself.
    if (item.base !== undefined && item.base.sequence > this.accepted(origin)) {
      this.#raise(origin, item.base, decided);
    }
    let accepted = this.accepted(origin);
    for (const sealed of item.entries) {
      const { sequence, claim } = sealed.entry;
      if (sequence > accepted + 1) {
        gap = true;
        break;
      }
      if (claim !== undefined && this.#isGone({ origin, sequence })) {
        votes.push({ sequence, vote: { kind: 'abstained' } });
      } else if (claim !== undefined) {
        const { vote, operation } = claims.decide(claim, { origin, sequence }, { view, standing });
        votes.push({ sequence, vote });
        if (operation !== undefined) {
          decided.operations.push(operation);
          decided.given.push(claim);
        }
      }
      if (sequence !== accepted + 1) continue;
      accepted = sequence;
      decided.operations.push({ kind: 'put', key: entryKey(origin, sequence), value: sealed.record });
      decided.entries.push(sealed);
    }
    this.#accepted.set(origin, accepted);
  }

  /** Who a claim is given to now gets a vote, or none, for ever. */
  #standing(): ClaimRecord['standing'] {
    if (this.#dependencies.phase() !== 'open') return 'inherited';
    return this.#dependencies.grants() ? 'granted' : 'observed';
  }

  #raise(origin: NodeId, base: Base, { operations, raised }: Decided): void {
    const before = this.#bases.get(origin);
    if (before !== undefined && before.sequence >= base.sequence) return;
    const risen = before === undefined ? base : higherOf(before, base);
    this.#bases.set(origin, risen);
    this.#accepted.set(origin, Math.max(this.accepted(origin), risen.sequence));
    operations.push(writeOf(origin, risen));
    raised.set(origin, risen);
  }

  /** A claim goes with the entry that holds it: while that one stays, nobody else may get it (J14). */
  #delete({ entries }: Deletion, view: ClaimView, { operations, dropped }: Decided): void {
    const { claims } = this.#dependencies;
    for (const { key, claim } of entries) {
      operations.push({ kind: 'delete', key });
      const held = claim === undefined ? undefined : view.find(claim);
      if (claim === undefined || held === undefined || !this.#isGone(held.holder)) continue;
      operations.push(claims.drop(claim));
      dropped.push(claim);
    }
  }

  #isGone({ origin, sequence }: Position): boolean {
    return sequence <= (this.#bases.get(origin)?.sequence ?? 0);
  }

  #commit({ operations, entries, given, raised, dropped, answers }: Decided): void {
    const { claims, committer, onRaised, onDurable } = this.#dependencies;
    const previous = this.#lastCommit;
    const written = operations.length === 0 ? previous : committer.commit(operations);
    // A batch without writes answers from what earlier ones wrote; commits resolve in order.
    this.#lastCommit = written;
    void written.then(() => {
      if (this.#closed) return;
      for (const claim of given) claims.settle(claim);
      for (const claim of dropped) claims.dropped(claim);
      if (raised.size > 0) onRaised(raised);
      onDurable(entries);
      for (const answer of answers) answer();
    });
  }
}

function claimsOf(item: Item): readonly string[] {
  switch (item.kind) {
    case 'register':
    case 'lookup':
      return [item.claim];
    case 'received':
      return item.entries.flatMap(({ entry }) => entry.claim ?? []);
    case 'delete':
      return item.entries.flatMap(({ claim }) => claim ?? []);
    case 'raise':
      return [];
  }
}

function bytesOf(item: Item): number {
  switch (item.kind) {
    case 'lookup':
    case 'raise':
      return 64;
    case 'register':
      return item.payload.byteLength + 64;
    case 'received':
      return item.entries.reduce((sum, { record }) => sum + record.byteLength, 64);
    case 'delete':
      return item.entries.reduce((sum, { key }) => sum + key.length, 64);
  }
}
