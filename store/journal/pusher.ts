/**
 * Pushes this node's own entries to one peer: several frames in flight, resumed where the peer says it is. Owns
 * the peer's position; does not own votes or waiting callers.
 *
 * P1  Only entries on this node's disk are sent.
 * P2  What is in flight is bounded; a frame that is not queued by the network is offered again, never dropped.
 * P3  `acknowledged` is only what the peer itself reported to be on its disk, and counts towards a majority only
 *     among the voters that the peer knew of last.
 * P4  A peer that lacks what this node gave up is sent what is left, with the base in front.
 */
import type { Environment, NodeId } from '../environment.ts';
import type { Lane, Network } from '../peers/port.ts';
import type { Bases } from './bases.ts';
import type { OwnLog } from './own-log.ts';
import type { Reader } from './reader.ts';
import { channels, encodePush, type Acknowledgement, type WireRecord } from './wire.ts';

export interface PusherOptions {
  readonly self: NodeId;
  readonly peer: NodeId;
  readonly frameBytesMax: number;
  readonly frameEntriesMax: number;
  readonly framesInFlightMax: number;
  readonly resendAfterMs: number;
}

export interface PusherDependencies {
  readonly environment: Environment;
  readonly network: Network;
  readonly own: OwnLog;
  readonly bases: Bases;
  readonly reader: Reader;
}

interface Frame {
  readonly last: number;
  readonly sentAt: number;
  readonly lane: Lane;
}

/** The most a silent peer's re-send interval grows to, in units of `resendAfterMs`. */
const resendBackoffMax = 8;

export class Pusher {
  readonly #options: PusherOptions;
  readonly #dependencies: PusherDependencies;
  #streaming = false;
  #next = 1;
  #acknowledged = 0;
  /** Which voters the peer knew of when it said so. */
  #epoch = 0;
  #round = 1;
  /** The first round of this link: acknowledgements of earlier ones may come from the peer's former life. */
  #linkRound = 1;
  #inFlight: Frame[] = [];
  #reading = false;
  #backoff = 1;
  #pushedFrames = 0;
  #resends = 0;

  constructor(options: PusherOptions, dependencies: PusherDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  get peer(): NodeId {
    return this.#options.peer;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** What counts towards a majority of the voters of `epoch`. */
  acknowledgedIn(epoch: number): number {
    return this.#epoch === epoch ? this.#acknowledged : 0;
  }

  get pushedFrames(): number {
    return this.#pushedFrames;
  }

  /** Times that frames in flight were given up and sent again. */
  get resends(): number {
    return this.#resends;
  }

  /** The peer told, by request, how much it holds. Less than it acknowledged before: its disk was lost. */
  resume(held: number, epoch: number): void {
    const sameLink = this.#streaming;
    const asExpected = sameLink && held >= this.#acknowledged;
    this.#streaming = true;
    this.#acknowledged = held;
    this.#epoch = epoch;
    if (!asExpected || this.#next <= held) this.#rewind();
    if (!sameLink) this.#linkRound = this.#round;
    this.pump();
  }

  pause(): void {
    this.#streaming = false;
    this.#inFlight = [];
  }

  onAcknowledgement({ round, epoch, upTo, gap }: Acknowledgement): void {
    if (!this.#streaming || round < this.#linkRound || upTo > this.#dependencies.own.durable) return;
    if (upTo > this.#acknowledged) {
      this.#acknowledged = upTo;
      this.#backoff = 1;
    }
    this.#epoch = Math.max(this.#epoch, epoch);
    this.#inFlight = this.#inFlight.filter((frame) => frame.last > this.#acknowledged);
    if (this.#next <= this.#acknowledged) this.#next = this.#acknowledged + 1;
    // All frames behind a lost one report the same gap; the first report ends the round, the others are stale.
    if (gap && round === this.#round) {
      this.#resends++;
      this.#rewind();
    }
    this.pump();
  }

  /** Sends what there is to send, as far as the window and the network allow. */
  pump(): void {
    const { own, bases } = this.#dependencies;
    const { self, framesInFlightMax, frameBytesMax, frameEntriesMax } = this.#options;
    this.#next = Math.max(this.#next, bases.of(self).sequence + 1);
    while (this.#streaming && !this.#reading && this.#next <= own.durable) {
      if (this.#inFlight.length >= framesInFlightMax) return;
      const records = own.recent.slice(this.#next, { bytesMax: frameBytesMax, entriesMax: frameEntriesMax });
      if (records === undefined) {
        this.#readBacklog();
        return;
      }
      if (!this.#send(records, 'fast')) return;
    }
  }

  /** Re-sends what stayed unanswered, and tries again what the network would not take. */
  tick(now: number): void {
    const oldest = this.#inFlight[0];
    if (oldest !== undefined && now - oldest.sentAt >= this.#options.resendAfterMs * this.#backoff) {
      this.#backoff = Math.min(this.#backoff * 2, resendBackoffMax);
      this.#resends++;
      this.#rewind();
    }
    this.pump();
  }

  /** Sends entries that the peer already holds once more, to hear its votes on their claims. */
  ask(records: readonly WireRecord[]): boolean {
    if (!this.#streaming || records.length === 0) return false;
    const { network } = this.#dependencies;
    return network.send(this.peer, channels.push, encodePush({ round: this.#round, records }), 'fast');
  }

  #rewind(): void {
    this.#round++;
    this.#inFlight = [];
    this.#next = this.#acknowledged + 1;
  }

  /** A peer far behind is fed from disk, on the slow lane: it must not delay what is urgent. */
  #readBacklog(): void {
    const { reader, environment } = this.#dependencies;
    const { self, frameBytesMax, frameEntriesMax } = this.#options;
    const round = this.#round;
    this.#reading = true;
    reader.page(self, this.#next, { bytesMax: frameBytesMax, entriesMax: frameEntriesMax }).then(
      (page) => {
        this.#reading = false;
        if (!this.#streaming || round !== this.#round || page.length === 0) return;
        const records = page.map(({ entry, record }) => ({ sequence: entry.sequence, record }));
        if (records[0]?.sequence === this.#next && this.#send(records, 'bulk')) this.pump();
      },
      (error: unknown) => {
        this.#reading = false;
        environment.log.warn({ peer: this.peer, error: String(error) }, 'own entries cannot be pushed yet');
      },
    );
  }

  #send(records: readonly WireRecord[], lane: Lane): boolean {
    const last = records.at(-1)?.sequence;
    if (last === undefined) return false;
    // Lanes overtake each other: change over only when nothing is under way.
    const previous = this.#inFlight.at(-1);
    if (previous !== undefined && previous.lane !== lane) return false;
    const { network, environment, bases } = this.#dependencies;
    const base = bases.of(this.#options.self);
    const push = { round: this.#round, records, ...(this.#acknowledged < base.sequence ? { base } : {}) };
    if (!network.send(this.peer, channels.push, encodePush(push), lane)) return false;
    this.#inFlight.push({ last, sentAt: environment.clock.monotonic(), lane });
    this.#next = last + 1;
    this.#pushedFrames++;
    return true;
  }
}
