/**
 * Brings in what pushing did not: learns from gossip and by request what the peers hold, and pulls what is missing
 * here from whoever has it. Owns what is known of the peers' vectors; entries go through the intake like pushed ones.
 *
 * V1  A peer's vector is believed only to pull by; what it answers is verified like anything else.
 * V2  Gossip may be lost: every reachable peer is also asked, on each new link and at intervals.
 * V3  An origin that can push to us is left to do so, unless it does not get on.
 * V4  Who has waited for a majority has what it held when the waiting began: only answers to questions asked since
 *     then are counted, and of disks that have relearned what they forgot.
 */
import type { Environment, NodeId } from '../environment.ts';
import type { Network } from '../peers/port.ts';
import { majorityOf } from './claims.ts';
import type { Electorate } from './electorate.ts';
import type { JournalLimits } from './limits.ts';
import { openEntry, type SealedEntry } from './records.ts';
import type { Positions } from './recovery.ts';
import { channels, decodeHeld, decodePage, encodePull, encodeVector, type Held } from './wire.ts';
import type { Base, VersionVector } from './port.ts';

export interface ConvergenceOptions {
  readonly limits: JournalLimits;
}

export interface ConvergenceDependencies {
  readonly environment: Environment;
  readonly network: Network;
  readonly electorate: Pick<Electorate, 'self' | 'peers' | 'voters' | 'known'>;
  readonly durable: () => Positions;
  readonly accepted: (origin: NodeId) => number;
  readonly vector: () => VersionVector;
  /** Own entries are pulled from others. */
  readonly relearning: () => boolean;
  /** This disk holds all that it ever acknowledged. */
  readonly isWhole: () => boolean;
  /** Decides and persists a page; resolves when it is on disk, false when there was no room for it. */
  readonly take: (origin: NodeId, entries: readonly SealedEntry[], base?: Base) => Promise<boolean>;
  /** A peer answered what it holds, by request: fresher than anything it announced. */
  readonly onAnswer: (peer: NodeId, held: Held) => void;
  /** A peer announced what it holds. */
  readonly onAnnounced: (peer: NodeId, vector: Positions) => void;
}

interface Peer {
  readonly id: NodeId;
  reachable: boolean;
  /** Grows with each change of the link: an answer that crossed one may come from the peer's former life. */
  link: number;
  /** What it answered since it became reachable: from its disk, in its present life. */
  answered: Held | undefined;
  asking: boolean;
  askAt: number;
  /** The most it ever said: to pull by. */
  vector: Map<NodeId, number>;
}

/** Somebody who waits until this node has what the others hold. */
interface CatchUp {
  /** Only answers to questions asked after this one count (V4), */
  readonly since: number;
  /** of who knew of this epoch by then, */
  readonly epoch: number;
  /** and whose disk has forgotten nothing that it once counted for. */
  readonly ofWhole: boolean;
  readonly targets: Map<NodeId, number>;
  readonly answered: Set<NodeId>;
  /** Whether enough of the others have answered. */
  readonly heard: (answered: ReadonlySet<NodeId>, now: number) => boolean;
  readonly deadline: number;
  readonly resolve: (reached: boolean) => void;
}

const nothing: Positions = new Map();

function newPeer(id: NodeId): Peer {
  return {
    id,
    reachable: false,
    link: 0,
    answered: undefined,
    asking: false,
    askAt: 0,
    vector: new Map<NodeId, number>(),
  };
}

export class Convergence {
  readonly #options: ConvergenceOptions;
  readonly #dependencies: ConvergenceDependencies;
  readonly #peers = new Map<NodeId, Peer>();
  readonly #pulling = new Set<NodeId>();
  /** Per origin that lags: how far we were when this was last seen to change, and when. */
  readonly #lagging = new Map<NodeId, { position: number; since: number }>();
  readonly #catchUps = new Set<CatchUp>();
  readonly #startedAt: number;
  /** Counts the questions asked. */
  #questions = 0;
  #announcedAt = -Infinity;
  #announceJitter = 1;
  #changed = true;
  #pulledEntries = 0;
  #closed = false;

  constructor(options: ConvergenceOptions, dependencies: ConvergenceDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#startedAt = dependencies.environment.clock.monotonic();
    for (const id of dependencies.electorate.peers) this.#peers.set(id, newPeer(id));
  }

  /** Takes up who is a member now, and leaves who is not. */
  followMembers(): void {
    const { electorate, network } = this.#dependencies;
    for (const id of this.#peers.keys()) if (!electorate.peers.includes(id)) this.#peers.delete(id);
    for (const id of electorate.peers) {
      if (this.#peers.has(id)) continue;
      this.#peers.set(id, newPeer(id));
      if (network.reachable(id)) this.onReachability(id, true);
    }
    this.#settleCatchUps();
  }

  get pulledEntries(): number {
    return this.#pulledEntries;
  }

  onReachability(id: NodeId, reachable: boolean): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.reachable = reachable;
    peer.link++;
    peer.asking = false;
    peer.answered = undefined;
    if (reachable) this.#ask(peer);
    else this.#settleCatchUps();
  }

  onAnnouncement(id: NodeId, vector: Positions): void {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    // Announcements overtake each other; only an answer may take something back.
    for (const [origin, sequence] of vector) {
      if (sequence > (peer.vector.get(origin) ?? 0)) peer.vector.set(origin, sequence);
    }
    this.#dependencies.onAnnounced(id, vector);
    this.#pullWhatIsMissing();
  }

  /** This node's disk holds more than before. */
  onAdvance(): void {
    this.#changed = true;
    if (this.#catchUps.size > 0) this.#settleCatchUps();
  }

  tick(now: number): void {
    const { announceChangedMs, announceIdleMs } = this.#options.limits;
    const interval = (this.#changed ? announceChangedMs : announceIdleMs) * this.#announceJitter;
    if (now - this.#announcedAt >= interval) this.#announce(now);
    for (const peer of this.#peers.values()) {
      if (peer.reachable && !peer.asking && now >= peer.askAt) this.#ask(peer);
    }
    this.#pullWhatIsMissing();
    this.#settleCatchUps();
  }

  /** What each reachable peer answered so far, for pushers that had to wait until this node may push. */
  answers(): ReadonlyMap<NodeId, Held> {
    const answers = new Map<NodeId, Held>();
    for (const { id, answered } of this.#peers.values())
      if (answered !== undefined) answers.set(id, answered);
    return answers;
  }

  /** Resolves when everything that the reachable peers hold now is on this disk, or after `timeoutMs`. */
  async caughtUp(timeoutMs: number): Promise<void> {
    const targets = new Map<NodeId, number>();
    const answered = new Set<NodeId>();
    for (const peer of this.#peers.values()) {
      if (peer.answered === undefined) continue;
      raise(targets, peer.vector);
      answered.add(peer.id);
    }
    // Peers that may still appear are waited for at a start.
    const patienceEndsAt = this.#startedAt + this.#options.limits.startPatienceMs;
    const heard: CatchUp['heard'] = (from, now) => {
      const missing = [...this.#peers.values()].filter((peer) => !from.has(peer.id));
      return missing.length === 0 || (now >= patienceEndsAt && !missing.some((peer) => peer.reachable));
    };
    await this.#catchUp({ since: 0, epoch: 0, ofWhole: false, targets, answered, heard }, timeoutMs);
  }

  /**
   * True once everything that a majority of the voters held when this was asked is on this disk. Who does not know of
   * `epoch` yet is asked again until it does, and so is who relearns: what a lost disk held is missed by nobody there.
   */
  covers(timeoutMs: number, epoch = 0): Promise<boolean> {
    const { electorate, isWhole } = this.#dependencies;
    const { self, voters } = electorate;
    const others = voters.filter((voter) => voter !== self);
    const needed = majorityOf(voters.length) - (voters.length - others.length);
    const heard: CatchUp['heard'] = (from) =>
      isWhole() && others.filter((voter) => from.has(voter)).length >= needed;
    const answered = new Set<NodeId>();
    const catchUp = { since: this.#questions, epoch, ofWhole: true, targets: new Map(), answered, heard };
    const waiting = this.#catchUp(catchUp, timeoutMs);
    for (const voter of others) {
      const peer = this.#peers.get(voter);
      if (peer === undefined) continue;
      peer.askAt = 0;
      if (peer.reachable) this.#ask(peer);
    }
    return waiting;
  }

  close(): void {
    this.#closed = true;
    for (const catchUp of this.#catchUps) catchUp.resolve(false);
    this.#catchUps.clear();
  }

  #catchUp(waiting: Omit<CatchUp, 'deadline' | 'resolve'>, timeoutMs: number): Promise<boolean> {
    const deadline = this.#dependencies.environment.clock.monotonic() + timeoutMs;
    return new Promise((resolve) => {
      this.#catchUps.add({ ...waiting, deadline, resolve });
      this.#settleCatchUps();
    });
  }

  #announce(now: number): void {
    const { environment, network, vector } = this.#dependencies;
    network.announce(channels.announcements, encodeVector(vector()));
    this.#announcedAt = now;
    this.#announceJitter = 0.75 + environment.random() * 0.5;
    this.#changed = false;
  }

  #ask(peer: Peer): void {
    const { environment, network, electorate, vector, onAnswer } = this.#dependencies;
    const { requestTimeoutMs, exchangeEveryMs, resendAfterMs } = this.#options.limits;
    if (peer.asking) return;
    peer.asking = true;
    const question = ++this.#questions;
    const { link } = peer;
    network
      .request(peer.id, channels.vector, encodeVector(vector()), {
        timeoutMs: requestTimeoutMs,
        lane: 'fast',
      })
      .then((answer) => {
        const held = decodeHeld(answer);
        if (this.#closed || link !== peer.link || this.#peers.get(peer.id) !== peer) return;
        const { epoch, vector: positions, isWhole } = held;
        const now = environment.clock.monotonic();
        peer.vector = new Map(positions);
        peer.answered = held;
        // Who has not heard of the voters that this node counts with, or relearns, will in a moment, and counts only then.
        const isBehind = epoch < electorate.known || !isWhole;
        peer.askAt =
          now + (isBehind ? resendAfterMs / 4 : exchangeEveryMs * (0.75 + environment.random() * 0.5));
        for (const catchUp of this.#catchUps) {
          if (question <= catchUp.since) peer.askAt = 0;
          else if (
            epoch >= catchUp.epoch &&
            (isWhole || !catchUp.ofWhole) &&
            !catchUp.answered.has(peer.id)
          ) {
            catchUp.answered.add(peer.id);
            raise(catchUp.targets, positions);
          }
        }
        onAnswer(peer.id, held);
        this.#pullWhatIsMissing();
        this.#settleCatchUps();
      })
      .catch((error: unknown) => {
        peer.askAt = environment.clock.monotonic() + resendAfterMs / 4;
        environment.log.debug({ peer: peer.id, error: String(error) }, 'a peer did not say what it holds');
      })
      .finally(() => {
        if (link === peer.link) peer.asking = false;
      });
  }

  #pullWhatIsMissing(): void {
    if (this.#closed) return;
    const { environment, accepted } = this.#dependencies;
    const now = environment.clock.monotonic();
    for (const [origin, held] of this.#known()) {
      const position = accepted(origin);
      if (held <= position) {
        this.#lagging.delete(origin);
        continue;
      }
      const lag = this.#lagging.get(origin);
      if (lag?.position !== position) this.#lagging.set(origin, { position, since: now });
      const patience = this.#mayPush(origin) ? this.#options.limits.pullPatienceMs : 0;
      const since = lag?.position === position ? lag.since : now;
      if (now - since >= patience) this.#pull(origin);
    }
  }

  /** The highest sequence that any reachable peer holds, per origin that concerns us. */
  #known(): ReadonlyMap<NodeId, number> {
    const known = new Map<NodeId, number>();
    for (const peer of this.#peers.values()) if (peer.reachable) raise(known, peer.vector);
    if (!this.#dependencies.relearning()) known.delete(this.#dependencies.electorate.self);
    return known;
  }

  #mayPush(origin: NodeId): boolean {
    return this.#peers.get(origin)?.reachable === true;
  }

  #pull(origin: NodeId): void {
    if (this.#pulling.has(origin) || this.#pulling.size >= this.#options.limits.pullsMax) return;
    this.#pulling.add(origin);
    void this.#pullPages(origin).finally(() => {
      this.#pulling.delete(origin);
    });
  }

  async #pullPages(origin: NodeId): Promise<void> {
    const { environment, accepted, network, take } = this.#dependencies;
    const { pageEntriesMax, requestTimeoutMs } = this.#options.limits;
    while (!this.#closed) {
      const from = accepted(origin) + 1;
      const source = this.#sourceOf(origin, from);
      if (source === undefined) return;
      try {
        const request = encodePull({ origin, from, entriesMax: pageEntriesMax });
        const answer = await network.request(source.id, channels.pull, request, {
          timeoutMs: requestTimeoutMs,
          lane: 'bulk',
        });
        const { records, base } = decodePage(answer);
        const entries = records.map(({ sequence, record }) => openEntry({ origin, sequence }, record));
        if (entries.length === 0 && base === undefined) source.vector.set(origin, from - 1);
        else if (!(await take(origin, entries, base))) return;
        const taken = accepted(origin) - from + 1;
        // Others were faster, or the page was not what was asked for: look again later rather than at once.
        if (taken <= 0) return;
        this.#pulledEntries += Math.min(taken, entries.length);
      } catch (error) {
        // Not from this peer, until it says again what it holds.
        source.vector.delete(origin);
        source.askAt = Math.min(
          source.askAt,
          environment.clock.monotonic() + this.#options.limits.resendAfterMs,
        );
        environment.log.debug(
          { peer: source.id, origin, error: String(error) },
          'a page could not be pulled',
        );
      }
    }
  }

  /** Among those that hold it, any: the load of a returning node spreads. */
  #sourceOf(origin: NodeId, from: number): Peer | undefined {
    const sources = [...this.#peers.values()].filter(
      (peer) => peer.reachable && (peer.vector.get(origin) ?? 0) >= from,
    );
    return sources[Math.floor(this.#dependencies.environment.random() * sources.length)];
  }

  #settleCatchUps(): void {
    if (this.#catchUps.size === 0) return;
    const now = this.#dependencies.environment.clock.monotonic();
    const durable = this.#dependencies.durable();
    for (const catchUp of this.#catchUps) {
      const reached = catchUp.heard(catchUp.answered, now) && reaches(durable, catchUp.targets);
      if (!reached && now < catchUp.deadline) continue;
      this.#catchUps.delete(catchUp);
      catchUp.resolve(reached);
    }
  }
}

function raise(targets: Map<NodeId, number>, vector: Positions = nothing): void {
  for (const [origin, sequence] of vector) {
    if (sequence > (targets.get(origin) ?? 0)) targets.set(origin, sequence);
  }
}

function reaches(durable: Positions, targets: Positions): boolean {
  for (const [origin, sequence] of targets) if ((durable.get(origin) ?? 0) < sequence) return false;
  return true;
}
