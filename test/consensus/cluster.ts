import {
  emptyDisk,
  Raft,
  type Configuration,
  type ConfigurationChange,
  type Entry,
  type Message,
  type NodeId,
  type Persist,
  type RaftOptions,
  type Ready,
  type Restored,
  type SnapshotMark,
  type WantedSnapshot,
} from '../../store/consensus/index.ts';
import { integerBetween, seededRandom } from '../support/random.ts';
import { Checker, emptyState, nextState, termIn } from './checker.ts';
import { compacted, stored } from './disk-image.ts';

/**
 * A whole cluster of consensus cores in one process, in virtual time, driven by one seed. Disks are slow and
 * lose what was not written at a crash; the network loses, delays, duplicates and reorders; clocks run at
 * different speeds. After every step the promises of Raft are checked (checker.ts), so a run that ends is a run
 * that held.
 */

export interface Faults {
  readonly loss: number;
  readonly duplication: number;
  /** How often a second copy comes very late, up to several election time-outs after the first. */
  readonly lateness?: number;
  readonly delayMsMax: number;
  readonly writeMsMax: number;
  /** Clocks run this much faster or slower, at most. */
  readonly drift: number;
}

export const calm: Faults = { loss: 0, duplication: 0, delayMsMax: 2, writeMsMax: 2, drift: 0 };
export const rough: Faults = { loss: 0.1, duplication: 0.05, delayMsMax: 60, writeMsMax: 20, drift: 0.04 };

export const testOptions = {
  electionTimeoutMsMin: 150,
  electionTimeoutMsMax: 300,
  heartbeatMs: 50,
  commitNoticeMs: 10,
  clockDriftRatioMax: 0.1,
  messageBytesMax: 256,
  inflightMessagesMax: 4,
  inflightBytesMax: 1_024,
  uncommittedBytesMax: 8_192,
  promotionLagEntriesMax: 10,
} satisfies Partial<RaftOptions>;

interface Snapshot {
  readonly mark: SnapshotMark;
  readonly state: number;
}

/** On its way to disk. */
type Write =
  | { readonly kind: 'core'; readonly persist: Persist; then: readonly Message[] }
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot; readonly keep: number }
  | { readonly kind: 'fetched'; readonly snapshot: Snapshot };

interface Node {
  readonly id: NodeId;
  readonly rate: number;
  /** What it believes until its log says otherwise. */
  founding: Configuration;
  /** It has once been told that it holds all that is decided. */
  hasRemembered: boolean;
  raft: Raft | undefined;
  /** Counts process lives: what an earlier life has scheduled is void. */
  life: number;
  disk: Restored;
  /** Whole ones on disk, oldest first. The newest that counts is named in `disk`. */
  snapshots: readonly Snapshot[];
  /** The transfer under way. */
  fetching: WantedSnapshot | undefined;
  /** In order. */
  writes: Write[];
  /** The log in memory, rebuilt from what the core says it writes. */
  log: Restored;
  applied: number;
  /** Of the machine. */
  state: number;
  wakeId: number;
  wasLeaderIn: number;
  /** While the process is stopped: what would have happened to it meanwhile. */
  waiting: { readonly kind: 'timer' | 'input'; readonly run: () => void }[] | undefined;
}

/** A node that is to join starts with this. */
const nobody: Configuration = { voters: [], observers: [] };

interface Scheduled {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class Cluster {
  readonly random: () => number;
  readonly nodes = new Map<NodeId, Node>();
  /** Who the cluster is founded with. */
  readonly voters: readonly NodeId[];
  readonly observers: readonly NodeId[];
  /** Who waits to be told. */
  readonly joiners: readonly NodeId[];
  readonly checker = new Checker();
  faults: Faults;
  now = 0;
  linearizableReads = 0;
  /** Snapshots that took the place of a follower's log. */
  installs = 0;
  transfers = 0;
  /** What became of proposed changes: `accepted`, or the code of the refusal. */
  readonly changes = new Map<string, number>();
  #cuts = new Set<string>();
  #order = 0;
  #queue: Scheduled[] = [];
  #proposed = 0;

  constructor(options: {
    seed: number;
    voters: number;
    observers?: number;
    joiners?: number;
    faults?: Faults;
  }) {
    this.random = seededRandom(options.seed);
    this.faults = options.faults ?? calm;
    this.voters = Array.from({ length: options.voters }, (_, place) => `n${place + 1}`);
    this.observers = Array.from({ length: options.observers ?? 0 }, (_, place) => `o${place + 1}`);
    this.joiners = Array.from({ length: options.joiners ?? 0 }, (_, place) => `j${place + 1}`);
    for (const id of [...this.voters, ...this.observers, ...this.joiners]) {
      const rate = 1 + (this.random() * 2 - 1) * this.faults.drift;
      this.nodes.set(id, {
        id,
        rate,
        founding: this.joiners.includes(id) ? nobody : { voters: this.voters, observers: this.observers },
        hasRemembered: false,
        raft: undefined,
        life: 0,
        disk: emptyDisk,
        snapshots: [],
        fetching: undefined,
        writes: [],
        log: emptyDisk,
        applied: 0,
        state: emptyState,
        wakeId: 0,
        wasLeaderIn: 0,
        waiting: undefined,
      });
      this.start(id);
    }
  }

  node(id: NodeId): Node {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }

  get decided(): readonly Entry[] {
    return this.checker.decided;
  }

  get leaders(): ReadonlyMap<number, NodeId> {
    return this.checker.leaders;
  }

  get alive(): Node[] {
    return [...this.nodes.values()].filter((node) => node.raft !== undefined);
  }

  /** The leader that a quorum follows, if there is one. */
  leader(): Node | undefined {
    return this.alive
      .filter(({ raft }) => raft?.status().role === 'leader')
      .sort((left, right) => (right.raft?.status().term ?? 0) - (left.raft?.status().term ?? 0))[0];
  }

  start(id: NodeId): void {
    const node = this.node(id);
    if (node.raft !== undefined) return;
    node.life++;
    node.log = node.disk;
    node.applied = 0;
    node.state = emptyState;
    node.fetching = undefined;
    if (node.disk.snapshot !== undefined) this.#restoreMachine(node, node.disk.snapshot);
    node.raft = new Raft(
      { ...testOptions, self: id, configuration: node.founding },
      { random: this.random },
      { restored: node.disk, now: this.#timeAt(node) },
    );
    this.#turn(node);
  }

  /** The process is gone. Of what was on its way to disk, a prefix made it. */
  crash(id: NodeId): void {
    const node = this.node(id);
    node.raft = undefined;
    node.waiting = undefined;
    node.life++;
    const survived = integerBetween(this.random, 0, node.writes.length);
    for (const write of node.writes.slice(0, survived)) this.#store(node, write);
    node.writes = [];
  }

  /** The process is stopped, and knows nothing of it: its clock goes on, what it should do and hear waits. */
  pause(id: NodeId): void {
    const node = this.node(id);
    if (node.raft !== undefined) node.waiting ??= [];
  }

  /** It goes on: with its overdue timers or with what waits in its sockets, whichever an event loop takes first. */
  resume(id: NodeId): void {
    const node = this.node(id);
    const waiting = node.waiting ?? [];
    node.waiting = undefined;
    const first = this.random() < 0.5 ? 'timer' : 'input';
    for (const { run } of waiting.filter(({ kind }) => kind === first)) run();
    for (const { run } of waiting.filter(({ kind }) => kind !== first)) run();
  }

  wipe(id: NodeId): void {
    this.crash(id);
    const node = this.node(id);
    node.disk = emptyDisk;
    node.snapshots = [];
    // Where members change, what a node was founded with may be long out of date: it waits to be told.
    if (this.joiners.length > 0) node.founding = nobody;
  }

  /** The machine's state goes to disk; then the log goes, but for the last `keep` entries that are applied. */
  takeSnapshot(id: NodeId, keep: number): void {
    const node = this.node(id);
    if (node.raft === undefined || node.waiting !== undefined) return;
    if (node.applied <= node.raft.status().snapshotIndex) return;
    const snapshot = { mark: node.raft.markAt(node.applied), state: node.state };
    this.#write(node, { kind: 'snapshot', snapshot, keep });
  }

  partition(groups: readonly (readonly NodeId[])[]): void {
    this.#cuts.clear();
    for (const from of this.nodes.keys()) {
      for (const to of this.nodes.keys()) {
        if (!groups.some((group) => group.includes(from) && group.includes(to)))
          this.#cuts.add(`${from}>${to}`);
      }
    }
  }

  cut(from: NodeId, to: NodeId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** Asks every node that believes to lead to hand over. */
  transfer(to?: NodeId): void {
    for (const node of this.alive) {
      if (node.waiting !== undefined || node.raft?.role !== 'leader') continue;
      const proposed = node.raft.transferLeadership(this.#timeAt(node), to);
      if (proposed.kind === 'accepted') this.transfers++;
      this.#turn(node);
    }
  }

  /** Offers a change to every node that believes to lead. */
  change(change: ConfigurationChange): void {
    for (const node of this.alive) {
      if (node.waiting !== undefined || node.raft?.role !== 'leader') continue;
      const proposed = node.raft.proposeConfiguration(this.#timeAt(node), change);
      const outcome = proposed.kind === 'accepted' ? change.kind : proposed.code;
      this.changes.set(outcome, (this.changes.get(outcome) ?? 0) + 1);
      this.#turn(node);
    }
  }

  /** Offers a command to every node that believes to lead. */
  propose(): void {
    for (const node of this.alive) {
      if (node.waiting !== undefined) continue;
      const command = new TextEncoder().encode(`command ${++this.#proposed}`);
      node.raft?.propose(this.#timeAt(node), [command]);
      this.#turn(node);
    }
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.#queue.at(-1);
      if (next === undefined || next.at > end) break;
      this.#queue.pop();
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  /** Runs until `condition`, or fails. */
  runUntil(condition: () => boolean, withinMs: number, what: string): void {
    const end = this.now + withinMs;
    while (!condition()) {
      if (this.now >= end) throw new Error(`not within ${withinMs} ms: ${what}`);
      this.run(10);
    }
  }

  /** Every member alive has applied everything decided, and someone leads under a lease. */
  isSettled(): boolean {
    const leader = this.leader();
    if (leader?.raft?.isLinearizable(this.#timeAt(leader)) !== true) return false;
    const { voters, observers } = leader.raft.status().configuration;
    return this.alive
      .filter(({ id }) => voters.includes(id) || observers.includes(id))
      .every(
        ({ applied, raft }) =>
          applied === this.decided.length && raft?.status().lastIndex === this.decided.length,
      );
  }

  isLinearizableAt(id: NodeId): boolean {
    const node = this.node(id);
    return node.raft?.isLinearizable(this.#timeAt(node)) ?? false;
  }

  #timeAt(node: Node): number {
    return this.now * node.rate;
  }

  #schedule(delay: number, run: () => void): void {
    const scheduled: Scheduled = { at: this.now + delay, order: this.#order++, run };
    let low = 0;
    let high = this.#queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#queue[middle];
      if (other !== undefined && other.at > scheduled.at) low = middle + 1;
      else high = middle;
    }
    this.#queue.splice(low, 0, scheduled);
  }

  /** One turn of a node's driver: take what is ready and start doing it. */
  #turn(node: Node): void {
    const { raft, life } = node;
    if (raft === undefined) return;
    const ready = raft.ready();
    if (ready.persist !== undefined) this.#persist(node, ready.persist, ready.sendAfterPersist);
    else if (ready.sendAfterPersist.length > 0) this.#afterEarlierWrites(node, ready.sendAfterPersist);
    for (const message of ready.sendNow) this.#send(message);
    this.#apply(node, ready);
    if (ready.wantedSnapshot !== undefined) this.#fetch(node, ready.wantedSnapshot);
    this.#check(node);

    const wakeId = ++node.wakeId;
    const wakeAt = raft.wakeAt();
    if (wakeAt === Infinity) return;
    this.#schedule(Math.max(0.01, wakeAt / node.rate - this.now), () => {
      this.#whenRunning(node, 'timer', () => {
        if (node.life !== life || node.wakeId !== wakeId) return;
        node.raft?.step({ kind: 'tick', now: this.#timeAt(node) });
        this.#turn(node);
      });
    });
  }

  #whenRunning(node: Node, kind: 'timer' | 'input', run: () => void): void {
    if (node.waiting === undefined) run();
    else node.waiting.push({ kind, run });
  }

  #persist(node: Node, persist: Persist, then: readonly Message[]): void {
    node.log = stored(node.log, persist);
    for (const entry of persist.entries) this.checker.learned(entry, termIn(node.log, entry.index - 1) ?? 0);
    this.#write(node, { kind: 'core', persist, then });
  }

  #write(node: Node, write: Write): void {
    node.writes.push(write);
    if (node.writes.length === 1) this.#scheduleWrite(node, node.life);
  }

  #scheduleWrite(node: Node, life: number): void {
    const complete = (): void => {
      if (node.life !== life) return;
      const write = node.writes.shift();
      if (write === undefined) return;
      this.#store(node, write);
      this.#report(node, write);
      if (node.writes.length > 0) this.#scheduleWrite(node, life);
      this.#turn(node);
    };
    this.#schedule(this.random() * this.faults.writeMsMax, () => {
      this.#whenRunning(node, 'input', complete);
    });
  }

  #afterEarlierWrites(node: Node, messages: readonly Message[]): void {
    const last = node.writes.findLast((write) => write.kind === 'core');
    if (last === undefined) throw new Error('a promise waits for a write that does not exist');
    last.then = [...last.then, ...messages];
  }

  #store(node: Node, write: Write): void {
    switch (write.kind) {
      case 'core':
        node.disk = stored(node.disk, write.persist);
        node.hasRemembered ||= !node.disk.hardState.recovering;
        this.checker.stored(node.id, write.persist.entries);
        break;
      case 'snapshot': {
        const { mark } = write.snapshot;
        if (mark.index <= (node.disk.snapshot?.index ?? 0)) break;
        node.snapshots = [...node.snapshots.slice(-1), write.snapshot];
        node.disk = compacted(node.disk, mark, node.disk.base);
        break;
      }
      case 'fetched':
        node.snapshots = [...node.snapshots.slice(-1), write.snapshot];
        break;
    }
  }

  /** Tells the core what is on disk. */
  #report(node: Node, write: Write): void {
    const { raft } = node;
    const now = this.#timeAt(node);
    if (raft === undefined) return;
    switch (write.kind) {
      case 'core':
        raft.step({ kind: 'persisted', now, sequence: write.persist.sequence });
        for (const message of write.then) this.#send(message);
        break;
      case 'snapshot': {
        const { mark } = write.snapshot;
        raft.step({ kind: 'snapshotTaken', now, mark, compactTo: mark.index - write.keep });
        const base = raft.placeAt(raft.status().baseIndex);
        if (base === undefined || raft.status().snapshotIndex !== mark.index) break;
        node.disk = compacted(node.disk, mark, base);
        node.log = compacted(node.log, mark, base);
        break;
      }
      case 'fetched':
        raft.step({ kind: 'snapshotFetched', now, mark: write.snapshot.mark });
        break;
    }
  }

  /** Pulls a snapshot, piece by piece. A piece that is lost ends it, until the next offer. */
  #fetch(node: Node, wanted: WantedSnapshot): void {
    if (node.fetching?.from === wanted.from && node.fetching.index === wanted.index) return;
    node.fetching = wanted;
    this.#fetchPiece(node, wanted, integerBetween(this.random, 1, 4));
  }

  #fetchPiece(node: Node, wanted: WantedSnapshot, pieces: number): void {
    const { life } = node;
    const source = this.node(wanted.from);
    const isLost = this.random() < this.faults.loss;
    this.#schedule((this.random() + this.random()) * this.faults.delayMsMax, () => {
      if (node.life !== life || node.fetching !== wanted) return;
      const isCut = this.#cuts.has(`${source.id}>${node.id}`) || this.#cuts.has(`${node.id}>${source.id}`);
      const snapshot = source.snapshots.find(({ mark }) => mark.index === wanted.index);
      if (isLost || isCut || source.raft === undefined || snapshot === undefined) {
        node.fetching = undefined;
      } else if (pieces > 1) {
        this.#fetchPiece(node, wanted, pieces - 1);
      } else {
        node.fetching = undefined;
        this.#whenRunning(node, 'input', () => {
          if (node.life === life) this.#write(node, { kind: 'fetched', snapshot });
        });
      }
    });
  }

  #send(message: Message): void {
    if (this.#cuts.has(`${message.from}>${message.to}`) || this.random() < this.faults.loss) return;
    const copies = this.random() < this.faults.duplication ? 2 : 1;
    const { lateness = 0, delayMsMax } = this.faults;
    for (let copy = 0; copy < copies; copy++) this.#deliver(message, this.random() * delayMsMax);
    // The very late come over the link that they were sent on, which ends with the receiver's life.
    const { life } = this.node(message.to);
    if (lateness > 0 && this.random() < lateness) this.#deliver(message, this.random() * 3_000, life);
  }

  #deliver(message: Message, delayMs: number, onlyIn?: number): void {
    const node = this.node(message.to);
    this.#schedule(delayMs, () => {
      if (onlyIn !== undefined && onlyIn !== node.life) return;
      if (this.#cuts.has(`${message.from}>${message.to}`)) return;
      this.#whenRunning(node, 'input', () => {
        node.raft?.step({ kind: 'message', now: this.#timeAt(node), message });
        this.#turn(node);
      });
    });
  }

  #apply(node: Node, ready: Ready): void {
    const { raft } = node;
    if (raft === undefined) return;
    if (ready.install !== undefined) {
      this.installs++;
      this.#restoreMachine(node, ready.install);
    }
    const { term, configuration } = raft.status();
    for (const entry of ready.committed) {
      if (entry.index !== node.applied + 1)
        throw new Error(`${node.id} applies ${entry.index} after ${node.applied}`);
      this.checker.applied(node.id, entry, { term, voters: configuration.voters });
      node.applied = entry.index;
      node.state = nextState(node.state, entry);
    }
    this.checker.isInState(node.id, node.applied, node.state);
    if (ready.install !== undefined || ready.committed.length > 0) {
      raft.step({ kind: 'applied', now: this.#timeAt(node), index: node.applied });
    }
  }

  #restoreMachine(node: Node, mark: SnapshotMark): void {
    const snapshot = node.snapshots.find((each) => each.mark.index === mark.index);
    if (snapshot === undefined) throw new Error(`${node.id} has no snapshot ${mark.index}`);
    node.applied = mark.index;
    node.state = snapshot.state;
  }

  #check(node: Node): void {
    const status = node.raft?.status();
    if (status?.role !== 'leader') return;
    if (node.wasLeaderIn !== status.term) {
      node.wasLeaderIn = status.term;
      this.checker.leads(node.id, status.term, node.log);
    }
    if (node.raft?.isLinearizable(this.#timeAt(node)) === true) {
      this.linearizableReads++;
      this.checker.reads(node.id, node.applied);
    }
  }
}
