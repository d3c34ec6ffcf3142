/**
 * The journal of one zone as one node has it: composes the parts and is the one door to them. Owns what is on this
 * disk as a vector, the listeners, and the callers that wait; DESIGN.md tells the protocol and the invariants (J1…).
 */
import type { Committer, Disk } from '../disk/port.ts';
import { invariant, type Cancel, type Environment, type NodeId } from '../environment.ts';
import type { Network } from '../peers/port.ts';
import { Bases } from './bases.ts';
import { ClaimTable } from './claim-table.ts';
import { quorumSequence } from './claims.ts';
import { Compaction } from './compaction.ts';
import { Convergence } from './convergence.ts';
import { Electorate } from './electorate.ts';
import { Holders } from './holders.ts';
import { Intake } from './intake.ts';
import { defaultLimits, type JournalLimits } from './limits.ts';
import { Opening } from './opening.ts';
import { OwnLog } from './own-log.ts';
import {
  JournalError,
  type Appended,
  type Base,
  type ClaimStanding,
  type Durability,
  type Entry,
  type Journal,
  type Position,
  type VersionVector,
  type ZoneMembers,
} from './port.ts';
import { Pusher } from './pusher.ts';
import { Reader } from './reader.ts';
import { isClaim, type SealedEntry } from './records.ts';
import type { RecoveryPhase } from './recovery.ts';
import { restore, type Restored } from './restore.ts';
import { Service } from './service.ts';
import { Verdicts, type Registered } from './verdicts.ts';
import { QuorumWaiters } from './waiting.ts';
import type { Acknowledgement, Held } from './wire.ts';

export interface JournalOptions extends Partial<JournalLimits> {
  readonly self: NodeId;
  /** The other members of this zone: all that may ever have received an entry of it. */
  readonly zonePeers: readonly NodeId[];
  /** The members whose disks make an entry durable; at least one. May include `self`. */
  readonly zoneVoters: readonly NodeId[];
  /** Of that list of voters; 0 for the founders. */
  readonly epoch?: number;
}

export interface JournalDependencies {
  readonly environment: Environment;
  readonly disk: Disk;
  readonly committer: Committer;
  readonly network: Network;
  /**
   * Whether the list of members is the newest that this node can have acknowledged anything under. Asked only while
   * its disk is learning what it forgot; by default the list given at the start is taken for it.
   */
  readonly isListCurrent?: () => boolean;
}

export interface JournalStats {
  readonly phase: RecoveryPhase;
  /** While not open: members that did not say yet what they hold. */
  readonly unheard: readonly NodeId[];
  /** Own entries on their way to this disk. */
  readonly queuedEntries: number;
  readonly queuedBytes: number;
  /** Received bytes that wait for a decision. */
  readonly intakeBytes: number;
  /** Callers that wait for a majority, for a verdict, or for recovery to end. */
  readonly waiting: number;
  readonly receivedEntries: number;
  readonly pulledEntries: number;
  readonly repairedEntries: number;
  /** Deleted from this disk because they lay below a base. */
  readonly deletedEntries: number;
  readonly pushedFrames: number;
  /** Times that unanswered pushes were sent again. */
  readonly resends: number;
  /** Frames that were dropped: malformed, damaged, or from outside the zone. */
  readonly rejectedFrames: number;
}

export interface OpenJournal extends Journal {
  /** Resolves when this node may append: see recovery.ts. Rejects with CLOSED. */
  opened(): Promise<void>;
  /** Other members, or other voters, from now on: as the ledger has decided. A list of an older epoch is ignored. */
  setMembers(zone: ZoneMembers): void;
  /** How far this node is with the latest change of voters, and whether it may vote and append at all. */
  standing(): { readonly epoch: number; readonly open: boolean };
  stats(): JournalStats;
  /** Answers nobody any more. Callers that wait are rejected with CLOSED; what they appended may yet be kept. */
  close(): Promise<void>;
}

/**
 * Reads the disk and takes up replication. Resolves before the peers are heard: reading and receiving work at
 * once, appending after `opened()`. Rejects when the disk cannot be read.
 */
export async function openJournal(
  options: JournalOptions,
  dependencies: JournalDependencies,
): Promise<OpenJournal> {
  invariant(!options.zonePeers.includes(options.self), 'a node is not its own peer');
  const restored = await restore(dependencies.disk);
  return new ZoneJournal(options, restored, dependencies);
}

class ZoneJournal implements OpenJournal {
  readonly #self: NodeId;
  readonly #limits: JournalLimits;
  readonly #environment: Environment;
  readonly #electorate: Electorate;

  /** Last sequence per origin on this disk. */
  readonly #durable: Map<NodeId, number>;
  readonly #bases: Bases;
  readonly #own: OwnLog;
  readonly #claims: ClaimTable;
  readonly #intake: Intake;
  readonly #reader: Reader;
  readonly #pushers = new Map<NodeId, Pusher>();
  readonly #newPusher: (peer: NodeId) => Pusher;
  readonly #convergence: Convergence;
  readonly #opening: Opening;
  readonly #service: Service;
  readonly #quorumWaiters = new QuorumWaiters();
  readonly #verdicts: Verdicts;
  readonly #compaction: Compaction;
  readonly #holders: Holders;
  readonly #listeners = new Set<(entries: readonly Entry[]) => void>();
  #receivedEntries = 0;
  #cancelTick: Cancel = () => undefined;
  #closed = false;

  constructor(options: JournalOptions, restored: Restored, dependencies: JournalDependencies) {
    const { environment, disk, committer, network } = dependencies;
    const { self } = options;
    const limits = { ...defaultLimits, ...options };
    this.#self = self;
    this.#limits = limits;
    this.#environment = environment;
    this.#electorate = new Electorate(
      {
        self,
        zone: zoneOf(options),
        restored: restored.electorate,
        retryAfterMs: limits.resendAfterMs,
      },
      {
        environment,
        committer,
        covers: (epoch) => this.#convergence.covers(limits.requestTimeoutMs, epoch),
        onChange: () => this.#onMembersChanged(),
        onTakenUp: () => this.#advanceQuorum(),
      },
    );
    const electorate = this.#electorate;
    this.#durable = new Map(restored.positions);
    this.#bases = new Bases({ restored: restored.bases });
    this.#own = new OwnLog(
      { ...limits, self, last: this.#held(self) },
      { committer, onDurable: (entries) => this.#onOwnDurable(entries) },
    );
    this.#opening = new Opening(
      {
        ...limits,
        self,
        peers: () => electorate.peers,
        isListCurrent: dependencies.isListCurrent ?? (() => true),
        whole: restored.whole,
      },
      {
        environment,
        committer,
        own: this.#own,
        durable: this.#durable,
        onKnown: () => this.#intake.resume(),
        onOpen: () => this.#onOpen(restored.damaged),
        onFork: () => void this.close(),
      },
    );
    this.#claims = new ClaimTable({ cachedMax: limits.claimsCachedMax }, { disk });
    this.#intake = new Intake(
      { self, bytesMax: limits.intakeBytesMax, positions: restored.positions, bases: restored.bases },
      {
        environment,
        committer,
        claims: this.#claims,
        own: this.#own,
        phase: () => this.#opening.phase,
        grants: () => electorate.grants,
        onRaised: (bases) => this.#onRaised(bases),
        onDurable: (entries) => this.#onReceivedDurable(entries),
      },
    );
    this.#verdicts = new Verdicts(limits, { environment, electorate, own: this.#own, intake: this.#intake });
    this.#holders = new Holders({
      environment,
      electorate,
      network,
      intake: this.#intake,
      phase: () => this.#opening.phase,
    });
    this.#compaction = new Compaction(limits, {
      environment,
      disk,
      bases: this.#bases,
      intake: this.#intake,
      durable: (origin) => this.#held(origin),
    });
    this.#reader = new Reader(
      { requestTimeoutMs: limits.requestTimeoutMs },
      {
        environment,
        disk,
        committer,
        network,
        electorate,
        bases: this.#bases,
        durable: (origin) => this.#held(origin),
        onBase: (origin, base) => this.#compaction.takeOver(origin, base),
      },
    );
    const sources = { environment, network, own: this.#own, bases: this.#bases, reader: this.#reader };
    this.#newPusher = (peer) => new Pusher({ ...limits, self, peer }, sources);
    for (const peer of electorate.peers) this.#pushers.set(peer, this.#newPusher(peer));
    this.#convergence = new Convergence(
      { limits },
      {
        environment,
        network,
        electorate,
        durable: () => this.#durable,
        accepted: (origin) => this.#intake.accepted(origin),
        vector: () => this.vector(),
        relearning: () => this.#opening.phase === 'relearning',
        isWhole: () => this.#opening.phase === 'open',
        take: (origin, entries, base) => this.#take(origin, entries, base),
        onAnswer: (peer, held) => this.#onPeerAnswered(peer, held),
        onAnnounced: (peer, vector) => this.#opening.check(peer, vector),
      },
    );
    // From here on others are heard.
    this.#service = new Service(
      { limits },
      {
        environment,
        network,
        electorate,
        intake: this.#intake,
        reader: this.#reader,
        bases: this.#bases,
        convergence: this.#convergence,
        vector: () => this.vector(),
        isWhole: () => this.#opening.phase === 'open',
        holder: (claim) => this.#holders.here(claim),
        onAcknowledgement: (from, acknowledgement) => this.#onAcknowledgement(from, acknowledgement),
        onReachability: (peer, reachable) => {
          if (!reachable) this.#pushers.get(peer)?.pause();
          this.#convergence.onReachability(peer, reachable);
        },
      },
    );
    this.#opening.advance();
    electorate.start();
    this.#scheduleTick();
  }

  append(
    payload: Uint8Array,
    options: { readonly durability: Durability; readonly timeoutMs?: number },
  ): Appended {
    this.#checkPayload(payload);
    const { phase } = this.#opening;
    if (phase !== 'open') {
      throw new JournalError(
        'UNAVAILABLE',
        `this node's journal is ${phase}: its next position is not known`,
      );
    }
    const quorum = options.durability === 'quorum';
    if (quorum) this.#checkWaiting();
    const full = this.#own.full(payload.byteLength);
    if (full !== undefined) throw full;
    const { sequence, written } = this.#own.append({ payload });
    const position = { origin: this.#self, sequence };
    if (!quorum) return { position, durable: written };
    const deadline = this.#now() + (options.timeoutMs ?? this.#limits.quorumTimeoutMs);
    return { position, durable: this.#quorumWaiters.add(sequence, deadline) };
  }

  async register(
    claim: string,
    payload: Uint8Array,
    options: { readonly timeoutMs: number },
  ): Promise<Registered> {
    invariant(isClaim(claim), 'a claim is 1 to 255 bytes of text');
    this.#checkPayload(payload);
    this.#checkWaiting();
    const deadline = this.#now() + options.timeoutMs;
    if (!(await this.#opening.openedBefore(deadline))) return { verdict: { kind: 'unavailable' } };
    if (!(await this.#electorate.settledBefore(deadline))) return { verdict: { kind: 'unavailable' } };
    if (this.#closed) throw new JournalError('CLOSED', 'the journal is closed');
    const known = this.#claims.peek(claim);
    if (known !== undefined) return { verdict: { kind: 'lost', holder: known.holder } };
    return this.#verdicts.register(claim, payload, deadline);
  }

  holders(
    claim: string,
    options: { readonly timeoutMs: number },
  ): Promise<ReadonlyMap<NodeId, ClaimStanding>> {
    return this.#holders.ask(claim, options);
  }

  subscribe(listener: (entries: readonly Entry[]) => void): Cancel {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  async read(origin: NodeId, from: number, limit: number): Promise<readonly Entry[]> {
    const entries: Entry[] = [];
    while (entries.length < limit) {
      const bounds = { entriesMax: limit - entries.length, bytesMax: this.#limits.intakeBytesMax };
      const page = await this.#reader.page(origin, from + entries.length, bounds);
      if (page.length === 0) break;
      for (const { entry } of page) entries.push(entry);
    }
    return entries;
  }

  vector(): VersionVector {
    return Object.fromEntries(this.#durable);
  }

  replication(): readonly { readonly peer: NodeId; readonly acknowledged: number; readonly lag: number }[] {
    return [...this.#pushers.values()].map(({ peer, acknowledged }) => {
      return { peer, acknowledged, lag: Math.max(0, this.#own.durable - acknowledged) };
    });
  }

  caughtUp(timeoutMs: number): Promise<void> {
    return this.#convergence.caughtUp(timeoutMs);
  }

  covers(timeoutMs: number): Promise<boolean> {
    return this.#convergence.covers(timeoutMs);
  }

  async compact(request: {
    readonly upTo: Readonly<Record<NodeId, number>>;
    readonly horizon: number;
  }): Promise<void> {
    if (this.#closed) throw new JournalError('CLOSED', 'the journal is closed');
    const { phase } = this.#opening;
    if (phase !== 'open') throw new JournalError('UNAVAILABLE', `this node's journal is ${phase}`);
    await this.#compaction.compact(request.upTo, request.horizon);
  }

  bases(): Readonly<Record<NodeId, Base>> {
    return Object.fromEntries(this.#bases.entries());
  }

  horizon(): number {
    return this.#bases.horizon;
  }

  onHorizon(listener: (horizon: number) => void): Cancel {
    return this.#compaction.onHorizon(listener);
  }

  opened(): Promise<void> {
    return this.#opening.opened();
  }

  setMembers(zone: ZoneMembers): void {
    this.#electorate.set(zone);
  }

  standing(): { readonly epoch: number; readonly open: boolean } {
    return { epoch: this.#electorate.takenUp, open: this.#opening.phase === 'open' };
  }

  stats(): JournalStats {
    const pushers = [...this.#pushers.values()];
    return {
      phase: this.#opening.phase,
      unheard: this.#opening.unheard,
      queuedEntries: this.#own.queuedEntries,
      queuedBytes: this.#own.queuedBytes,
      intakeBytes: this.#intake.queuedBytes,
      waiting: this.#waiting(),
      receivedEntries: this.#receivedEntries,
      pulledEntries: this.#convergence.pulledEntries,
      repairedEntries: this.#reader.repaired,
      deletedEntries: this.#compaction.deletedEntries,
      pushedFrames: pushers.reduce((sum, pusher) => sum + pusher.pushedFrames, 0),
      resends: pushers.reduce((sum, pusher) => sum + pusher.resends, 0),
      rejectedFrames: this.#service.rejectedFrames,
    };
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve();
    this.#closed = true;
    this.#cancelTick();
    this.#service.close();
    const error = new JournalError('CLOSED', 'the journal is closing');
    this.#intake.close(error);
    this.#own.close(error);
    this.#convergence.close();
    for (const pusher of this.#pushers.values()) pusher.pause();
    this.#quorumWaiters.close(error);
    this.#verdicts.close(error);
    this.#compaction.close();
    this.#electorate.close(error);
    this.#opening.close(error);
    this.#listeners.clear();
    return Promise.resolve();
  }

  #now(): number {
    return this.#environment.clock.monotonic();
  }

  #waiting(): number {
    return this.#quorumWaiters.size + this.#verdicts.size + this.#opening.waiting;
  }

  #checkPayload(payload: Uint8Array): void {
    if (this.#closed) throw new JournalError('CLOSED', 'the journal is closed');
    const { payloadBytesMax } = this.#limits;
    if (payload.byteLength <= payloadBytesMax) return;
    throw new JournalError('ENTRY_TOO_LARGE', `${payload.byteLength} bytes, at most ${payloadBytesMax}`);
  }

  #checkWaiting(): void {
    if (this.#waiting() < this.#limits.waitingMax) return;
    throw new JournalError('QUEUE_FULL', `${this.#waiting()} callers wait already`);
  }

  #held(origin: NodeId): number {
    return this.#durable.get(origin) ?? 0;
  }

  // What happens on this disk.

  #onOwnDurable(entries: readonly SealedEntry[]): void {
    this.#durable.set(this.#self, this.#own.durable);
    this.#verdicts.onOwnDurable(entries);
    for (const pusher of this.#pushers.values()) pusher.pump();
    this.#advanceQuorum();
    this.#tell(entries);
  }

  #onReceivedDurable(entries: readonly SealedEntry[]): void {
    for (const { entry } of entries) this.#durable.set(entry.origin, entry.sequence);
    this.#receivedEntries += entries.length;
    this.#tell(entries);
    this.#opening.advance();
  }

  /** J13. What a base covers counts as held: it will never be asked for again. */
  #onRaised(bases: ReadonlyMap<NodeId, Base>): void {
    for (const [origin, { sequence }] of bases) {
      this.#durable.set(origin, Math.max(this.#held(origin), sequence));
    }
    this.#compaction.onRaised(bases);
    this.#convergence.onAdvance();
  }

  #tell(entries: readonly SealedEntry[]): void {
    if (entries.length === 0) return;
    this.#convergence.onAdvance();
    const told = entries.map(({ entry }) => entry);
    for (const listener of this.#listeners) {
      try {
        listener(told);
      } catch (error) {
        this.#environment.log.error({ error: String(error) }, 'a journal listener threw');
      }
    }
  }

  #advanceQuorum(): void {
    const { voters, takenUp, isSettled } = this.#electorate;
    if (this.#quorumWaiters.size === 0 || !isSettled) return;
    const held = voters.map((voter) =>
      voter === this.#self ? this.#own.durable : (this.#pushers.get(voter)?.acknowledgedIn(takenUp) ?? 0),
    );
    this.#quorumWaiters.advance(quorumSequence(held));
  }

  // What arrives.

  #onAcknowledgement(from: NodeId, acknowledgement: Acknowledgement): void {
    this.#pushers.get(from)?.onAcknowledgement(acknowledgement);
    const { votes, epoch } = acknowledgement;
    for (const { sequence, vote } of votes) this.#verdicts.vote(sequence, from, vote, epoch);
    this.#advanceQuorum();
  }

  #onPeerAnswered(peer: NodeId, { vector, epoch }: Held): void {
    this.#opening.heard(peer, vector);
    // J1: before this node is open, nothing says that its own entries are complete.
    if (this.#opening.phase === 'open') this.#pushers.get(peer)?.resume(vector.get(this.#self) ?? 0, epoch);
    this.#advanceQuorum();
  }

  #onMembersChanged(): void {
    const { peers, isSettled } = this.#electorate;
    for (const [peer, pusher] of this.#pushers) {
      if (peers.includes(peer)) continue;
      pusher.pause();
      this.#pushers.delete(peer);
    }
    for (const peer of peers) {
      if (!this.#pushers.has(peer)) this.#pushers.set(peer, this.#newPusher(peer));
    }
    if (!isSettled) this.#verdicts.giveUp();
    this.#convergence.followMembers();
    this.#opening.advance();
  }

  #take(origin: NodeId, entries: readonly SealedEntry[], base?: Base): Promise<boolean> {
    return new Promise((resolve) => {
      const taken = this.#intake.offer({
        kind: 'received',
        origin,
        entries,
        ...(base === undefined ? {} : { base }),
        answer: () => {
          resolve(true);
        },
        refuse: () => {
          resolve(false);
        },
      });
      if (!taken) resolve(false);
    });
  }

  // As time passes.

  #onOpen(damaged: readonly Position[]): void {
    for (const position of damaged) this.#reader.repair(position).catch(() => undefined);
    for (const [peer, { vector, epoch }] of this.#convergence.answers()) {
      this.#pushers.get(peer)?.resume(vector.get(this.#self) ?? 0, epoch);
    }
    this.#environment.log.info({ vector: this.vector() }, 'the journal is open');
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#environment.clock.after(this.#limits.tickMs, () => {
      const now = this.#now();
      this.#opening.advance();
      for (const pusher of this.#pushers.values()) pusher.tick(now);
      this.#verdicts.tick(now, this.#pushers.values());
      this.#convergence.tick(now);
      this.#quorumWaiters.expire(now);
      this.#compaction.tick();
      this.#scheduleTick();
    });
  }
}

function zoneOf({ self, zonePeers, zoneVoters, epoch = 0 }: JournalOptions): ZoneMembers {
  const ids = new Set([self, ...zonePeers, ...zoneVoters]);
  return { epoch, members: [...ids].map((id) => ({ id, voter: zoneVoters.includes(id) })) };
}
