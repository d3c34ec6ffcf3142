import {
  emptyDisk,
  Raft,
  type Entry,
  type Message,
  type NodeId,
  type Persist,
  type RaftOptions,
  type Ready,
  type Restored,
} from '../../store/consensus/index.ts';
import { integerBetween, seededRandom } from '../support/random.ts';
import { stored } from './disk-image.ts';

/**
 * A whole cluster of consensus cores in one process, in virtual time, driven by one seed. Disks are slow and
 * lose what was not written at a crash; the network loses, delays, duplicates and reorders; clocks run at
 * different speeds. After every step the promises of Raft are checked, so a run that ends is a run that held.
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
} satisfies Partial<RaftOptions>;

interface Node {
  readonly id: NodeId;
  readonly rate: number;
  raft: Raft | undefined;
  /** Counts process lives: what an earlier life has scheduled is void. */
  life: number;
  disk: Restored;
  /** On their way to disk, in order. */
  writes: { readonly persist: Persist; readonly then: readonly Message[]; readonly life: number }[];
  /** The log in memory, rebuilt from what the core says it writes. */
  log: Entry[];
  applied: number;
  wakeId: number;
  wasLeaderIn: number;
  /** While the process is stopped: what would have happened to it meanwhile. */
  waiting: { readonly kind: 'timer' | 'input'; readonly run: () => void }[] | undefined;
}

interface Scheduled {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export class Cluster {
  readonly random: () => number;
  readonly nodes = new Map<NodeId, Node>();
  readonly voters: readonly NodeId[];
  readonly observers: readonly NodeId[];
  /** What was decided, by index; the first node to know it says it. */
  readonly decided: Entry[] = [];
  /** By index, the term of the first node to say so. */
  readonly #decidedIn: number[] = [];
  /** Elections won, by term. */
  readonly leaders = new Map<number, NodeId>();
  faults: Faults;
  now = 0;
  linearizableReads = 0;
  #cuts = new Set<string>();
  #order = 0;
  #queue: Scheduled[] = [];
  /** (index, term) names one entry and everything before it. */
  readonly #known = new Map<string, string>();
  /** Per decided index, who ever had it on disk. */
  readonly #onDisk = new Map<number, Set<NodeId>>();
  #proposed = 0;

  constructor(options: { seed: number; voters: number; observers?: number; faults?: Faults }) {
    this.random = seededRandom(options.seed);
    this.faults = options.faults ?? calm;
    this.voters = Array.from({ length: options.voters }, (_, place) => `n${place + 1}`);
    this.observers = Array.from({ length: options.observers ?? 0 }, (_, place) => `o${place + 1}`);
    for (const id of [...this.voters, ...this.observers]) {
      const rate = 1 + (this.random() * 2 - 1) * this.faults.drift;
      this.nodes.set(id, {
        id,
        rate,
        raft: undefined,
        life: 0,
        disk: emptyDisk,
        writes: [],
        log: [],
        applied: 0,
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
    node.log = [...node.disk.entries];
    node.applied = 0;
    node.raft = new Raft(
      { ...testOptions, self: id, configuration: { voters: this.voters, observers: this.observers } },
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
    for (const { persist } of node.writes.slice(0, survived)) this.#store(node, persist);
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
    this.node(id).disk = emptyDisk;
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

  /** Everyone alive has applied everything decided, and someone leads under a lease. */
  isSettled(): boolean {
    const leader = this.leader();
    return (
      leader?.raft?.isLinearizable(this.#timeAt(leader)) === true &&
      this.alive.every((node) => node.applied === this.decided.length) &&
      this.alive.every((node) => node.raft?.status().lastIndex === this.decided.length)
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
    if (ready.persist !== undefined) this.#write(node, ready.persist, ready.sendAfterPersist, life);
    else if (ready.sendAfterPersist.length > 0) this.#afterEarlierWrites(node, ready.sendAfterPersist);
    for (const message of ready.sendNow) this.#send(message);
    this.#apply(node, ready);
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

  #write(node: Node, persist: Persist, then: readonly Message[], life: number): void {
    node.log = mergeWrite(node.log, persist, 0);
    for (const entry of persist.entries) this.#learn(node, entry);
    node.writes.push({ persist, then, life });
    if (node.writes.length === 1) this.#scheduleWrite(node, life);
  }

  #scheduleWrite(node: Node, life: number): void {
    const complete = (): void => {
      if (node.life !== life) return;
      const write = node.writes.shift();
      if (write === undefined) return;
      this.#store(node, write.persist);
      node.raft?.step({ kind: 'persisted', now: this.#timeAt(node), sequence: write.persist.sequence });
      for (const message of write.then) this.#send(message);
      if (node.writes.length > 0) this.#scheduleWrite(node, life);
      this.#turn(node);
    };
    this.#schedule(this.random() * this.faults.writeMsMax, () => {
      this.#whenRunning(node, 'input', complete);
    });
  }

  #afterEarlierWrites(node: Node, messages: readonly Message[]): void {
    const last = node.writes.at(-1);
    if (last === undefined) throw new Error('a promise waits for a write that does not exist');
    node.writes[node.writes.length - 1] = { ...last, then: [...last.then, ...messages] };
  }

  #store(node: Node, persist: Persist): void {
    node.disk = stored(node.disk, persist);
    for (const entry of persist.entries) {
      const key = entry.index * 1_000_000 + entry.term;
      const holders = this.#onDisk.get(key) ?? new Set();
      this.#onDisk.set(key, holders.add(node.id));
    }
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
    for (const entry of ready.committed) {
      if (entry.index !== node.applied + 1)
        throw new Error(`${node.id} applies ${entry.index} after ${node.applied}`);
      node.applied = entry.index;
      this.#decide(node, entry);
    }
    const last = ready.committed.at(-1);
    if (last !== undefined) node.raft?.step({ kind: 'applied', now: this.#timeAt(node), index: last.index });
  }

  /** State machine safety: one entry per index, for everyone and for ever. */
  #decide(node: Node, entry: Entry): void {
    const decided = this.decided[entry.index - 1];
    if (decided === undefined) {
      if (this.decided.length !== entry.index - 1) throw new Error('decided with a gap');
      this.decided.push(entry);
      this.#decidedIn.push(node.raft?.status().term ?? 0);
      const holders = this.#onDisk.get(entry.index * 1_000_000 + entry.term) ?? new Set();
      const voters = this.voters.filter((voter) => holders.has(voter)).length;
      if (voters * 2 <= this.voters.length) throw new Error(`${entry.index} is decided on ${voters} disks`);
    } else if (decided.term !== entry.term || text(decided) !== text(entry)) {
      throw new Error(`${node.id} applies another entry at ${entry.index}`);
    }
  }

  /** Log matching: an index and a term name one entry and all that precede it. */
  #learn(node: Node, entry: Entry): void {
    const before = node.log[entry.index - 2];
    const content = `${entry.kind} ${text(entry)} after ${before?.term ?? 0}`;
    const name = `${entry.index}@${entry.term}`;
    const known = this.#known.get(name);
    if (known !== undefined && known !== content) throw new Error(`${name} is both ${known} and ${content}`);
    this.#known.set(name, content);
  }

  #check(node: Node): void {
    const status = node.raft?.status();
    if (status === undefined || status.role !== 'leader') return;
    if (node.wasLeaderIn !== status.term) {
      node.wasLeaderIn = status.term;
      // Election safety.
      const other = this.leaders.get(status.term);
      if (other !== undefined && other !== node.id)
        throw new Error(`${other} and ${node.id} lead term ${status.term}`);
      this.leaders.set(status.term, node.id);
      // Leader completeness. Who was stopped may count votes of a term that is over: it then leads nobody, and
      // need not know what was decided since.
      for (const entry of this.decided) {
        if ((this.#decidedIn[entry.index - 1] ?? 0) >= status.term) continue;
        if (node.log[entry.index - 1]?.term !== entry.term) {
          throw new Error(`${node.id} leads term ${status.term} without decided entry ${entry.index}`);
        }
      }
    }
    // Reading under the lease sees every decision that anyone knows of.
    if (node.raft?.isLinearizable(this.#timeAt(node)) === true) {
      this.linearizableReads++;
      if (node.applied < this.decided.length) {
        throw new Error(`${node.id} reads at ${node.applied}, decided is ${this.decided.length}`);
      }
    }
  }
}

function mergeWrite(log: Entry[], persist: Persist, snapshotIndex: number): Entry[] {
  const kept =
    persist.truncateFrom === undefined ? log : log.slice(0, persist.truncateFrom - 1 - snapshotIndex);
  const first = persist.entries[0];
  if (first !== undefined && first.index !== kept.length + 1 + snapshotIndex) {
    throw new Error(`write of ${first.index} onto a log that ends at ${kept.length}`);
  }
  return [...kept, ...persist.entries];
}

function text(entry: Entry): string {
  return new TextDecoder().decode(entry.data);
}
