import {
  decodeConfiguration,
  emptyDisk,
  encodeConfiguration,
  Raft,
  type Entry,
  type Message,
  type NodeId,
  type Configuration,
  type ConfigurationChange,
  type Persist,
  type RaftOptions,
  type Restored,
  type WantedSnapshot,
} from '../../store/consensus/index.ts';
import { testOptions } from './cluster.ts';
import { compacted, stored } from './disk-image.ts';

/**
 * A few cores on a stage, moved by hand: nothing is delivered, written or ticked but by the test. What happens
 * is written down in `lines`, one line per thing, so that a test reads as a transcript.
 */

interface Actor {
  raft: Raft;
  disk: Restored;
  readonly writes: Persist[];
  /** Messages that wait for a write, with its sequence. */
  readonly waiting: { readonly sequence: number; readonly message: Message }[];
  readonly applied: string[];
  /** What the node wants fetched, if anything. */
  wanted: WantedSnapshot | undefined;
}

/** A log and a term to start from: terms of the entries, in order. The first says who takes part. */
export interface Past {
  readonly term: number;
  readonly log: readonly number[];
  readonly votedFor?: NodeId;
  readonly commitIndex?: number;
  readonly recovering?: boolean;
  readonly snapshot?: { readonly index: number; readonly term: number };
}

export class Stage {
  readonly actors = new Map<NodeId, Actor>();
  readonly #options: Omit<RaftOptions, 'self'>;
  /** In flight, oldest first. */
  mail: Message[] = [];
  lines: string[] = [];
  now = 1_000;
  /** Writes complete at once, unless a test wants to look at the time between. */
  slowDisks = new Set<NodeId>();
  /** The driver applies at once, unless a test holds it back. */
  slowMachines = new Set<NodeId>();

  constructor(cast: Readonly<Record<NodeId, Past>>, options: Partial<RaftOptions> = {}) {
    const ids = Object.keys(cast);
    this.#options = {
      ...testOptions,
      configuration: {
        voters: ids.filter((id) => id.startsWith('n')),
        observers: ids.filter((id) => id.startsWith('o')),
      },
      ...options,
    };
    for (const [id, past] of Object.entries(cast)) {
      const disk = restoredFrom(past, this.#options.configuration);
      const raft = this.#create(id, disk);
      this.actors.set(id, { raft, disk, writes: [], waiting: [], applied: [], wanted: undefined });
    }
  }

  actor(id: NodeId): Actor {
    const actor = this.actors.get(id);
    if (actor === undefined) throw new Error(`no actor ${id}`);
    return actor;
  }

  raft(id: NodeId): Raft {
    return this.actor(id).raft;
  }

  /** Time passes, and nobody looks at the clock. */
  pass(ms: number): void {
    this.now += ms;
  }

  tick(id: NodeId): void {
    this.raft(id).step({ kind: 'tick', now: this.now });
    this.#turn(id);
  }

  propose(id: NodeId, ...commands: string[]): void {
    const payloads = commands.map((command) => new TextEncoder().encode(command));
    const proposed = this.raft(id).propose(this.now, payloads);
    if (proposed.kind !== 'accepted') this.lines.push(`${id} cannot take a command: ${proposed.kind}`);
    this.#turn(id);
  }

  /** `id` is asked to hand the lead over; a refusal goes into the transcript. */
  transfer(id: NodeId, to?: NodeId): void {
    const proposed = this.raft(id).transferLeadership(this.now, to);
    if (proposed.kind === 'refused') this.lines.push(`${id} refuses: ${proposed.code}`);
    this.#turn(id);
  }

  /** `id` is asked for a change; a refusal goes into the transcript. */
  change(id: NodeId, change: ConfigurationChange): void {
    const proposed = this.raft(id).proposeConfiguration(this.now, change);
    if (proposed.kind === 'refused') this.lines.push(`${id} refuses: ${proposed.code}`);
    this.#turn(id);
  }

  /** Hands over what is in flight and what that causes, until all is quiet; the rest stays in flight. */
  deliver(which: (message: Message) => boolean = () => true): void {
    for (;;) {
      const place = this.mail.findIndex(which);
      const [message] = place === -1 ? [] : this.mail.splice(place, 1);
      if (message === undefined) return;
      this.hand(message);
    }
  }

  /** Hands over one message, from flight or from the test's own pen. */
  hand(message: Message): void {
    this.lines.push(describeMessage(message));
    const actor = this.actors.get(message.to);
    actor?.raft.step({ kind: 'message', now: this.now, message });
    this.#turn(message.to);
  }

  drop(which: (message: Message) => boolean = () => true): void {
    this.mail = this.mail.filter((message) => !which(message));
  }

  /** The oldest write of a slow disk completes. */
  completeWrite(id: NodeId): void {
    const actor = this.actor(id);
    const write = actor.writes.shift();
    if (write === undefined) throw new Error(`${id} writes nothing`);
    actor.disk = stored(actor.disk, write);
    actor.raft.step({ kind: 'persisted', now: this.now, sequence: write.sequence });
    const released = actor.waiting.filter(({ sequence }) => sequence <= write.sequence);
    actor.waiting.splice(0, released.length);
    this.mail.push(...released.map(({ message }) => message));
    this.#turn(id);
  }

  /** `id` takes a snapshot of all that it has applied, and forgets the log up to `compactTo`. */
  takeSnapshot(id: NodeId, compactTo?: number): void {
    const actor = this.actor(id);
    const mark = actor.raft.markAt(actor.raft.status().appliedIndex);
    const base = actor.raft.placeAt(compactTo ?? mark.index);
    if (base === undefined) throw new Error(`${id} has no entry ${compactTo}`);
    actor.disk = compacted(actor.disk, mark, base);
    actor.raft.step({ kind: 'snapshotTaken', now: this.now, mark, compactTo: base.index });
    this.#turn(id);
  }

  /** The snapshot that `id` wants has arrived, as its owner had it when this was called. */
  fetchSnapshot(id: NodeId): void {
    const { wanted } = this.actor(id);
    const mark = wanted === undefined ? undefined : this.actor(wanted.from).disk.snapshot;
    if (mark === undefined) throw new Error(`${id} wants no snapshot that anyone has`);
    this.raft(id).step({ kind: 'snapshotFetched', now: this.now, mark });
    this.#turn(id);
  }

  /** The process dies and starts again from what its disk holds. */
  restart(id: NodeId): void {
    const actor = this.actor(id);
    actor.writes.length = 0;
    actor.waiting.length = 0;
    actor.applied.length = 0;
    actor.wanted = undefined;
    actor.raft = this.#create(id, actor.disk);
    this.#turn(id);
  }

  /** `id` becomes leader with everyone's help, at a time when nobody is loyal to another. */
  elect(id: NodeId): void {
    this.pass(1_000);
    this.tick(id);
    this.deliver();
    if (this.raft(id).status().role !== 'leader') throw new Error(`${id} was not elected`);
    this.lines = [];
  }

  /** Terms of a log, such as `1 1 2`. */
  logOnDisk(id: NodeId): string {
    return this.actor(id)
      .disk.entries.map(({ term }) => term)
      .join(' ');
  }

  takeLines(): string[] {
    const { lines } = this;
    this.lines = [];
    return lines;
  }

  #create(id: NodeId, disk: Restored): Raft {
    // Who joins knows nobody.
    const configuration = id.startsWith('j') ? { voters: [], observers: [] } : this.#options.configuration;
    const options = { ...this.#options, self: id, configuration };
    return new Raft(options, { random: () => 0 }, { restored: disk, now: this.now });
  }

  #turn(id: NodeId): void {
    const actor = this.actors.get(id);
    if (actor === undefined) return;
    const ready = actor.raft.ready();
    if (ready.persist !== undefined) actor.writes.push(ready.persist);
    const sequence = actor.writes.at(-1)?.sequence ?? 0;
    actor.waiting.push(...ready.sendAfterPersist.map((message) => ({ sequence, message })));
    this.mail.push(...ready.sendNow);
    if (ready.install !== undefined)
      actor.applied.push(`snapshot ${ready.install.index}@${ready.install.term}`);
    actor.applied.push(...ready.committed.map(describeEntry));
    actor.wanted = ready.wantedSnapshot ?? actor.wanted;
    const last = ready.committed.at(-1) ?? ready.install;
    if (last !== undefined && !this.slowMachines.has(id)) {
      actor.raft.step({ kind: 'applied', now: this.now, index: last.index });
    }
    if (!this.slowDisks.has(id) && actor.writes.length > 0) this.completeWrite(id);
  }
}

function restoredFrom(past: Past, configuration: Configuration): Restored {
  const base = past.snapshot ?? emptyDisk.base;
  return {
    snapshot: past.snapshot && { ...past.snapshot, configuration },
    base,
    hardState: {
      term: past.term,
      votedFor: past.votedFor,
      commitIndex: past.commitIndex ?? base.index,
      recovering: past.recovering ?? false,
    },
    entries: past.log.map((term, offset) =>
      base.index + offset === 0
        ? { index: 1, term, kind: 'configuration', data: encodeConfiguration(configuration) }
        : {
            index: base.index + offset + 1,
            term,
            kind: 'command',
            data: new TextEncoder().encode(`old ${offset + 1}`),
          },
    ),
  };
}

function describeEntry(entry: Entry): string {
  return `${entry.index}@${entry.term} ${describeData(entry)}`;
}

function describeData({ kind, data }: Entry): string {
  switch (kind) {
    case 'noop':
      return 'noop';
    case 'command':
      return new TextDecoder().decode(data);
    case 'configuration': {
      const { voters = [], observers = [] } = decodeConfiguration(data) ?? {};
      return ['voters', ...voters, ...(observers.length === 0 ? [] : ['observers', ...observers])].join(' ');
    }
  }
}

/** One message on one line: `n1 > n2 append t2 after 3@1 [4@2 noop] commit 3`. */
export function describeMessage(message: Message): string {
  const head = `${message.from} > ${message.to} ${message.kind} t${message.term}`;
  switch (message.kind) {
    case 'campaignNow':
      return head;
    case 'preVoteRequest':
      return `${head} log ${message.lastIndex}@${message.lastTerm}`;
    case 'voteRequest':
      return `${head} log ${message.lastIndex}@${message.lastTerm}${message.cause === 'transfer' ? ' transfer' : ''}`;
    case 'preVoteAnswer':
    case 'voteAnswer':
      return `${head} ${message.vote}`;
    case 'append': {
      const entries = message.entries.map(describeEntry).join(', ');
      return `${head} after ${message.previousIndex}@${message.previousTerm} [${entries}] commit ${message.commitIndex}`;
    }
    case 'snapshotOffer':
      return `${head} ${message.index}@${message.snapshotTerm}`;
    case 'appendAnswer': {
      const { outcome } = message;
      return outcome.kind === 'accepted'
        ? `${head} has ${outcome.matchIndex}`
        : `${head} lacks ${outcome.previousIndex}, try ${outcome.hintIndex}@${outcome.hintTerm}`;
    }
  }
}

export const from =
  (...ids: NodeId[]) =>
  (message: Message): boolean =>
    ids.includes(message.from);
export const to =
  (...ids: NodeId[]) =>
  (message: Message): boolean =>
    ids.includes(message.to);
export const among =
  (...ids: NodeId[]) =>
  (message: Message): boolean =>
    ids.includes(message.from) && ids.includes(message.to);
