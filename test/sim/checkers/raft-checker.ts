import type { AssembledStore } from '../../../store/assemble.ts';
import type { Message } from '../../../store/consensus/index.ts';
import type { Operation } from '../../../store/disk/port.ts';
import { openRecord } from '../../../store/disk/record.ts';
import type { NodeId } from '../../../store/environment.ts';
import { decodeEntries } from '../../../store/ledger/raft-records.ts';
import type { Violations } from '../violations.ts';

/**
 * The promises of Raft, held against what the nodes write and say: election safety, log matching, leader completeness,
 * state machine safety (Ongaro's dissertation, figure 3.2), that what is decided is on a majority of disks and decided by
 * counting in its own term only, and that a read which calls itself linearizable sees everything decided. Owns the witness: the decided log, as the first node
 * to know each entry had it.
 */
export interface DecidedEntry {
  readonly index: number;
  readonly term: number;
  readonly kind: string;
  readonly data: Uint8Array;
  /** World time: of its first appearance in a leader's log, and of the first node that knew it decided. */
  readonly proposedAt: number;
  readonly decidedAt: number;
}

interface LoggedEntry {
  readonly term: number;
  readonly kind: string;
  readonly data: Uint8Array;
}

interface Known {
  readonly proposedAt: number;
  readonly previousTerm: number;
  readonly data: Uint8Array;
  /** Whoever ever had it on disk. */
  readonly holders: Set<NodeId>;
}

interface NodeView {
  /** The log as this node's program has it: what it asked its disk to write. */
  log: Map<number, LoggedEntry>;
  commitIndex: number;
  ledTerm: number;
  /**
   * Decided entries whose older rivals this node's disk still has, and since when: it knows better by now, but its write
   * waits for its turn.
   */
  readonly overdue: Map<number, number>;
}

type Ledger = AssembledStore['ledger'];

const entryPrefix = 'raft/entry/';
/** Longer than the slowest disk makes a write wait. */
const overdueMsMax = 10_000;

function newView(): NodeView {
  return { log: new Map(), commitIndex: 0, ledTerm: 0, overdue: new Map() };
}

export class RaftChecker {
  readonly #voters: number;
  readonly #loyalMs: number;
  readonly #violations: Violations;
  readonly #now: () => number;
  readonly #onDecided: (entry: DecidedEntry) => void;
  readonly #nodes = new Map<NodeId, NodeView>();
  /** By `index@term`. */
  readonly #known = new Map<string, Known>();
  readonly #leaders = new Map<number, NodeId>();
  /** Campaigns that the leader before asked for: nobody owes it loyalty then. */
  readonly #handedOver = new Set<string>();
  readonly #decided: DecidedEntry[] = [];
  readonly #decidedIn: number[] = [];
  linearizableReads = 0;

  constructor(
    options: { readonly members: readonly NodeId[]; readonly electionTimeoutMs: number },
    dependencies: {
      readonly violations: Violations;
      readonly now: () => number;
      /** In the order of the log, each once. */
      readonly onDecided: (entry: DecidedEntry) => void;
    },
  ) {
    this.#voters = options.members.length;
    this.#loyalMs = options.electionTimeoutMs;
    this.#violations = dependencies.violations;
    this.#now = dependencies.now;
    this.#onDecided = dependencies.onDecided;
    for (const id of options.members) this.#nodes.set(id, newView());
  }

  get decidedCount(): number {
    return this.#decided.length;
  }

  get terms(): number {
    return this.#leaders.size;
  }

  /**
   * A leader sends what it has, on its disk or not: its own write may still wait for its turn. `upMs`: by the sender's
   * clock, since its program started.
   */
  sentMessage(message: Message, upMs: number): void {
    if (message.kind === 'voteRequest' && message.cause === 'transfer') {
      this.#handedOver.add(nameOfCampaign(message.term, message.from));
    }
    if (
      message.kind === 'voteAnswer' &&
      message.vote !== 'refused' &&
      upMs < this.#loyalMs &&
      !this.#handedOver.has(nameOfCampaign(message.term, message.to))
    ) {
      // C8: who has just started may have promised a leader not to vote for another.
      this.#violations.report('loyalty', `${message.from} votes ${upMs.toFixed(0)} ms after its start`);
    }
    if (message.kind !== 'append') return;
    const { log } = this.#node(message.from);
    for (const entry of message.entries) {
      log.set(entry.index, entry);
      this.#learn(log, entry);
    }
  }

  /** The program asked for these writes: they are in its log from now on. */
  asked(id: NodeId, operations: readonly Operation[]): void {
    const { log, overdue, commitIndex } = this.#node(id);
    for (const operation of operations) {
      if (!operation.key.startsWith(entryPrefix)) continue;
      if (operation.kind === 'delete') {
        log.delete(indexOf(operation.key));
        continue;
      }
      const entry = entryIn(operation.key, operation.value);
      if (entry === undefined) continue;
      log.set(entry.index, entry);
      this.#learn(log, entry);
      overdue.delete(entry.index);
      if (entry.index <= commitIndex) this.#compare(id, entry);
    }
  }

  durable(id: NodeId, operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.kind === 'delete' || !operation.key.startsWith(entryPrefix)) continue;
      const entry = entryIn(operation.key, operation.value);
      if (entry !== undefined) this.#known.get(nameOf(entry))?.holders.add(id);
    }
  }

  /** The program has ended: what the next one finds is on the disk. */
  ended(
    id: NodeId,
    disk: { keys(prefix: string): readonly string[]; look(key: string): Uint8Array | undefined },
  ): void {
    const view = newView();
    this.#nodes.set(id, view);
    for (const key of disk.keys(entryPrefix)) {
      const record = disk.look(key);
      const entry = record === undefined ? undefined : entryIn(key, record);
      if (entry !== undefined) view.log.set(entry.index, entry);
    }
  }

  /** After anything has happened at a node. True when something new was decided. */
  check(id: NodeId, ledger: Ledger): boolean {
    const view = this.#node(id);
    const status = ledger.status();
    if (status.role === 'leader' && view.ledTerm === status.term) this.#checkOwnTerm(id, view, status);
    const isNews = status.commitIndex > view.commitIndex && this.#advance(id, view, status);
    if (status.appliedIndex > this.#decided.length) {
      const { appliedIndex } = status;
      this.#violations.report('state machine safety', `${id} applies ${appliedIndex}, which is not decided`);
    }
    for (const [index, since] of view.overdue) {
      const entry = view.log.get(index);
      if (this.#now() - since > overdueMsMax && entry !== undefined) this.#compare(id, { index, ...entry });
    }
    if (status.role === 'leader' && view.ledTerm !== status.term) this.#lead(id, view, status.term);
    return isNews;
  }

  /** To be asked of everyone who may lead whenever something was decided, and of whoever does anything. */
  checkRead(id: NodeId, ledger: Ledger): void {
    if (!ledger.freshness().linearizable) return;
    this.linearizableReads += 1;
    const { appliedIndex } = ledger.status();
    if (appliedIndex >= this.#decided.length) return;
    this.#violations.report(
      'linearizable read',
      `${id} reads as linearizable at ${appliedIndex}, and ${this.#decided.length} is decided`,
    );
  }

  /** Log matching: an index and a term name one entry and all that precede it. */
  #learn(log: ReadonlyMap<number, LoggedEntry>, entry: LoggedEntry & { readonly index: number }): void {
    const name = nameOf(entry);
    const previousTerm = log.get(entry.index - 1)?.term ?? 0;
    const known = this.#known.get(name);
    if (known === undefined) {
      const { data } = entry;
      this.#known.set(name, { proposedAt: this.#now(), previousTerm, data, holders: new Set() });
      return;
    }
    // What precedes may be compacted away here.
    const isSamePast = previousTerm === 0 || known.previousTerm === 0 || previousTerm === known.previousTerm;
    if (isSamePast && equal(known.data, entry.data)) return;
    this.#violations.report('log matching', `two entries are called ${name}`);
  }

  #advance(
    id: NodeId,
    view: NodeView,
    { commitIndex, term }: { commitIndex: number; term: number },
  ): boolean {
    let isNews = false;
    for (let index = view.commitIndex + 1; index <= commitIndex; index++) {
      const entry = view.log.get(index);
      const decided = this.#decided[index - 1];
      if (decided !== undefined) {
        // Compacted away here, or part of a snapshot, or on its way to the disk: then there is nothing to compare.
        if (entry !== undefined && entry.term !== decided.term) view.overdue.set(index, this.#now());
        continue;
      }
      if (entry === undefined || this.#decided.length !== index - 1) {
        this.#violations.report('state machine safety', `${id} takes ${index} for decided, which nobody has`);
        return isNews;
      }
      isNews = true;
      this.#decide(id, index, entry, term);
    }
    view.commitIndex = commitIndex;
    return isNews;
  }

  /** What a leader decides by counting is of its own term; what came before is decided by it (3.6.2). */
  #checkOwnTerm(
    id: NodeId,
    view: NodeView,
    { commitIndex, term }: { commitIndex: number; term: number },
  ): void {
    const entry = commitIndex > view.commitIndex ? view.log.get(commitIndex) : undefined;
    if (entry === undefined || entry.term === term) return;
    this.#violations.report(
      'own term',
      `${id} decides ${commitIndex}@${entry.term} by counting, in term ${term}`,
    );
  }

  #compare(id: NodeId, entry: LoggedEntry & { readonly index: number }): void {
    const decided = this.#decided[entry.index - 1];
    if (decided === undefined || (entry.term === decided.term && equal(entry.data, decided.data))) return;
    this.#violations.report(
      'state machine safety',
      `${id} takes ${nameOf(entry)} for decided, which is ${nameOf(decided)}`,
    );
  }

  #decide(id: NodeId, index: number, entry: LoggedEntry, term: number): void {
    const known = this.#known.get(nameOf({ index, term: entry.term }));
    const holders = known?.holders.size ?? 0;
    if (holders * 2 <= this.#voters) {
      this.#violations.report(
        'majority of disks',
        `${id} takes ${index}@${entry.term} for decided, which is on ${holders} of ${this.#voters} disks`,
      );
    }
    const decidedAt = this.#now();
    const decided = { index, ...entry, proposedAt: known?.proposedAt ?? decidedAt, decidedAt };
    this.#decided.push(decided);
    this.#decidedIn.push(term);
    this.#onDecided(decided);
  }

  #lead(id: NodeId, view: NodeView, term: number): void {
    view.ledTerm = term;
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== id) {
      this.#violations.report('election safety', `${other} and ${id} lead term ${term}`);
    }
    this.#leaders.set(term, id);
    // Who stood still may count the votes of a term that is over: it leads nobody, and need not know what came after.
    for (const { index, term: entryTerm } of this.#decided) {
      if ((this.#decidedIn[index - 1] ?? 0) >= term) continue;
      const own = view.log.get(index);
      if (own === undefined ? index > Math.min(...view.log.keys()) : own.term !== entryTerm) {
        this.#violations.report(
          'leader completeness',
          `${id} leads term ${term} without ${index}@${entryTerm}, which is decided`,
        );
        return;
      }
    }
  }

  #node(id: NodeId): NodeView {
    const view = this.#nodes.get(id);
    if (view === undefined) throw new Error(`no node ${id}`);
    return view;
  }
}

function nameOf({ index, term }: { readonly index: number; readonly term: number }): string {
  return `${index}@${term}`;
}

function nameOfCampaign(term: number, candidate: NodeId): string {
  return `${term} ${candidate}`;
}

function indexOf(key: string): number {
  return Number(key.slice(entryPrefix.length));
}

/** Undefined for a damaged record: whether anybody uses one is not judged here. */
function entryIn(key: string, record: Uint8Array): (LoggedEntry & { readonly index: number }) | undefined {
  try {
    return decodeEntries(openRecord(key, record))?.[0];
  } catch {
    return undefined;
  }
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0;
}
