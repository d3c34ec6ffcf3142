import type { Cancel, NodeId, Random } from '../../../store/environment.ts';
import { decodeQuestion } from '../../../store/ledger/snapshot-messages.ts';
import { snapshotChannel } from '../../../store/ledger/snapshot-server.ts';
import { RequestError, type Lane, type MemberNetwork } from '../../../store/peers/port.ts';
import type { Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * Links between the programs of a simulated cluster, as `store/peers` makes them: one per pair, two lanes each, made
 * anew after it broke. Owns what is on its way and who believes to reach whom.
 *
 * 1. A frame belongs to the link it was sent on: it arrives at the process life at the other end of it, at most once,
 *    in order within its lane, or not at all. Lanes overtake each other.
 * 2. The two ends notice a broken link at different times; until then what they send goes nowhere.
 * 3. A path that is blocked, in one direction or both, holds or swallows frames; when it stays so, the link breaks.
 * 4. Announcements (gossip) are lost, doubled and reordered as they like.
 */
export interface NetworkPace {
  readonly latencyMsMin: number;
  readonly latencyMsMax: number;
  /** Probabilities, 0 to 1: a frame is lost; it takes up to a second; a queue that is not full says it is. */
  readonly loss: number;
  readonly lateness: number;
  readonly refusal: number;
  /** A page of a snapshot's chunks arrives with a bit flipped: what its digest is for. */
  readonly damage: number;
}

export interface NetworkTap {
  sent(from: NodeId, to: NodeId, channel: string, payload: Uint8Array): void;
  /** A fault of this kind really struck a frame. */
  struck(
    kind: 'frameLost' | 'frameLate' | 'sendRefused' | 'gossipLost' | 'gossipDoubled' | 'chunkDamaged',
  ): void;
}

/** How long one end takes to notice that nothing comes any more, and a new link to be made. */
const silenceMsMin = 400;
const silenceMsMax = 1_200;
const reconnectMsMax = 150;
const lateMsMax = 1_000;
const gossipLoss = 0.1;
const gossipDoubling = 0.1;

type MessageHandler = (from: NodeId, payload: Uint8Array) => void;
type RequestHandler = (from: NodeId, payload: Uint8Array) => Promise<Uint8Array>;
type ReachabilityHandler = (peer: NodeId, reachable: boolean) => void;

/** One process's end of the network. */
interface Endpoint {
  readonly process: Process;
  listens: boolean;
  readonly messages: Map<string, MessageHandler>;
  readonly requests: Map<string, RequestHandler>;
  readonly announcements: Map<string, MessageHandler>;
  readonly reachability: Set<ReachabilityHandler>;
  /** The link to each peer that this end believes to have. */
  readonly links: Map<NodeId, Link>;
  readonly waiting: Set<PendingRequest>;
}

interface Link {
  readonly ends: readonly [Endpoint, Endpoint];
  isUp: boolean;
  /** Per direction and lane, when the last frame arrives. */
  readonly lastArrivalAt: Map<string, number>;
}

interface PendingRequest {
  readonly to: NodeId;
  readonly link: Link;
  readonly fail: (code: 'UNREACHABLE' | 'TIMEOUT') => void;
}

interface Blockade {
  readonly swallows: boolean;
  /** Frames that wait for the path to be free again. */
  readonly held: (() => void)[];
}

/** What a program holds: the port, and the moment from which it listens. */
export interface Joined extends MemberNetwork {
  listen(): void;
}

export class SimNetwork {
  readonly #members: readonly NodeId[];
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #tap: NetworkTap;
  pace: NetworkPace;
  readonly #endpoints = new Map<NodeId, Endpoint>();
  /** Paths, as `from>to`, that bring nothing. */
  readonly #blocked = new Map<string, Blockade>();
  readonly #connecting = new Set<string>();

  constructor(
    options: { readonly members: readonly NodeId[]; readonly pace: NetworkPace },
    dependencies: { readonly scheduler: Scheduler; readonly random: Random; readonly tap: NetworkTap },
  ) {
    this.#members = options.members;
    this.pace = options.pace;
    this.#scheduler = dependencies.scheduler;
    this.#random = dependencies.random;
    this.#tap = dependencies.tap;
  }

  /** A new life of a node takes its place. */
  join(process: Process): Joined {
    const { id } = process;
    const endpoint: Endpoint = {
      process,
      listens: false,
      messages: new Map(),
      requests: new Map(),
      announcements: new Map(),
      reachability: new Set(),
      links: new Map(),
      waiting: new Set(),
    };
    this.#endpoints.set(id, endpoint);
    return {
      self: id,
      peers: this.#members.filter((member) => member !== id),
      // Who takes part does not change in this world yet.
      setMembers: () => undefined,
      listen: () => {
        endpoint.listens = true;
        for (const peer of this.#members) if (peer !== id) this.#connectSoon(id, peer);
      },
      send: (to, channel, payload, lane = 'fast') => this.#send(endpoint, to, channel, payload, lane),
      onMessage: (channel, handler) => register(endpoint.messages, channel, handler),
      request: (to, channel, payload, options) => this.#request(endpoint, to, channel, payload, options),
      onRequest: (channel, handler) => register(endpoint.requests, channel, handler),
      announce: (topic, payload) => {
        for (const to of endpoint.links.keys()) this.#gossip(endpoint, to, topic, payload);
      },
      onAnnouncement: (topic, handler) => register(endpoint.announcements, topic, handler),
      reachable: (peer) => endpoint.links.has(peer),
      onReachability: (handler) => {
        endpoint.reachability.add(handler);
        for (const peer of endpoint.links.keys()) handler(peer, true);
        return () => {
          endpoint.reachability.delete(handler);
        };
      },
    };
  }

  /** The process of `id` has ended; with `abruptly` nobody closed its connections. */
  leave(id: NodeId, options: { readonly abruptly: boolean }): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return;
    this.#endpoints.delete(id);
    for (const link of endpoint.links.values()) this.#break(link, options.abruptly ? 'silently' : 'openly');
  }

  /** The link between the two breaks, and is made again. */
  breakLink(one: NodeId, other: NodeId): boolean {
    const link = this.#endpoints.get(one)?.links.get(other);
    if (link?.isUp !== true) return false;
    this.#break(link, 'openly');
    return true;
  }

  /** The program of `id` stands still: after a while the others take its links for broken. */
  fellSilent(id: NodeId): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return;
    this.#scheduler.after(this.#between(silenceMsMin, silenceMsMax), () => {
      if (!endpoint.process.isStanding) return;
      for (const link of endpoint.links.values()) this.#break(link, 'silently');
    });
  }

  /** Nothing arrives any more from `from` at `to`. */
  block(from: NodeId, to: NodeId, options: { readonly swallows: boolean }): void {
    const path = `${from}>${to}`;
    if (this.#blocked.has(path)) return;
    this.#blocked.set(path, { ...options, held: [] });
    const link = this.#endpoints.get(from)?.links.get(to);
    if (link === undefined) return;
    this.#scheduler.after(this.#between(silenceMsMin, silenceMsMax), () => {
      if (this.#blocked.has(path) && link.isUp) this.#break(link, 'silently');
    });
  }

  /** All paths are free again. */
  heal(): void {
    const blockades = [...this.#blocked.values()];
    this.#blocked.clear();
    for (const { held } of blockades) for (const arrive of held) arrive();
    for (const one of this.#members) {
      for (const other of this.#members) if (one < other) this.#connectSoon(one, other);
    }
  }

  get isWhole(): boolean {
    return this.#blocked.size === 0;
  }

  #connectSoon(one: NodeId, other: NodeId): void {
    const pair = one < other ? `${one}-${other}` : `${other}-${one}`;
    if (this.#connecting.has(pair)) return;
    this.#connecting.add(pair);
    this.#scheduler.after(this.#between(1, reconnectMsMax), () => {
      this.#connecting.delete(pair);
      this.#connect(one, other);
    });
  }

  #connect(one: NodeId, other: NodeId): void {
    const ends = [this.#endpoints.get(one), this.#endpoints.get(other)] as const;
    const [left, right] = ends;
    if (left?.listens !== true || right?.listens !== true) return;
    if (this.#blocked.has(`${one}>${other}`) || this.#blocked.has(`${other}>${one}`)) return;
    const existing = left.links.get(other);
    if (existing?.isUp === true && right.links.get(one) === existing) return;
    if (left.process.isStanding || right.process.isStanding) {
      this.#connectSoon(one, other);
      return;
    }
    const link: Link = { ends: [left, right], isUp: true, lastArrivalAt: new Map() };
    for (const end of link.ends) {
      const peer = end === left ? other : one;
      // Who had not noticed yet that the old link is gone learns it from the new one.
      end.process.run('input', () => {
        if (end.links.has(peer)) this.#notice(end, peer);
        end.links.set(peer, link);
        for (const handler of end.reachability) handler(peer, true);
      });
    }
  }

  #break(link: Link, how: 'openly' | 'silently'): void {
    if (!link.isUp) return;
    link.isUp = false;
    const [left, right] = link.ends;
    for (const [end, peer] of [
      [left, right.process.id],
      [right, left.process.id],
    ] as const) {
      const delayMs = how === 'openly' ? this.#between(0, 3) : this.#between(silenceMsMin, silenceMsMax);
      this.#scheduler.after(delayMs, () => {
        if (end.links.get(peer) !== link) return;
        end.process.run('input', () => {
          if (end.links.get(peer) === link) this.#notice(end, peer);
        });
        this.#connectSoon(end.process.id, peer);
      });
    }
  }

  /** This end knows now that the link is gone. */
  #notice(end: Endpoint, peer: NodeId): void {
    const link = end.links.get(peer);
    end.links.delete(peer);
    for (const pending of [...end.waiting]) if (pending.link === link) pending.fail('UNREACHABLE');
    for (const handler of end.reachability) handler(peer, false);
  }

  #send(from: Endpoint, to: NodeId, channel: string, payload: Uint8Array, lane: Lane): boolean {
    const link = from.links.get(to);
    if (link === undefined || from.process.isDead) return false;
    if (this.#random() < this.pace.refusal) {
      this.#tap.struck('sendRefused');
      return false;
    }
    this.#tap.sent(from.process.id, to, channel, payload);
    this.#transmit(link, from, lane, payload, (target, bytes) => {
      target.messages.get(channel)?.(from.process.id, bytes);
    });
    return true;
  }

  #request(
    from: Endpoint,
    to: NodeId,
    channel: string,
    payload: Uint8Array,
    options: { readonly timeoutMs: number; readonly lane?: Lane },
  ): Promise<Uint8Array> {
    const lane = options.lane ?? 'fast';
    return new Promise((resolve, reject) => {
      if (from.process.isDead) return;
      const link = from.links.get(to);
      if (link === undefined) {
        reject(new RequestError('UNREACHABLE', to));
        return;
      }
      const finish = (outcome: () => void): void => {
        if (!from.waiting.delete(pending)) return;
        cancelTimeout();
        outcome();
      };
      const pending: PendingRequest = {
        to,
        link,
        fail: (code) => {
          finish(() => {
            reject(new RequestError(code, to));
          });
        },
      };
      from.waiting.add(pending);
      const cancelTimeout = from.process.clock.after(options.timeoutMs, () => {
        pending.fail('TIMEOUT');
      });
      this.#transmit(link, from, lane, payload, (target, bytes) => {
        const answer = (body: Uint8Array, settle: (bytes: Uint8Array) => void): void => {
          if (target.process.isDead) return;
          this.#transmit(link, target, lane, body, (_asker, arrived) => {
            finish(() => {
              settle(arrived);
            });
          });
        };
        const handler = target.requests.get(channel);
        if (handler === undefined) {
          answer(new Uint8Array(), () => {
            reject(new RequestError('NO_HANDLER', to));
          });
          return;
        }
        handler(from.process.id, bytes).then(
          (body) => {
            answer(this.#maybeDamaged(channel, bytes, body), resolve);
          },
          (error: unknown) => {
            answer(new Uint8Array(), () => {
              reject(new RequestError('REMOTE_ERROR', to, String(error)));
            });
          },
        );
      });
    });
  }

  #gossip(from: Endpoint, to: NodeId, topic: string, payload: Uint8Array): void {
    if (from.process.isDead) return;
    if (this.#random() < gossipLoss) {
      this.#tap.struck('gossipLost');
      return;
    }
    const isDoubled = this.#random() < gossipDoubling;
    if (isDoubled) this.#tap.struck('gossipDoubled');
    const bytes = new Uint8Array(payload);
    for (let copy = 0; copy < (isDoubled ? 2 : 1); copy++) {
      this.#scheduler.after(this.#between(this.pace.latencyMsMin, this.pace.latencyMsMax * 5), () => {
        const target = this.#endpoints.get(to);
        if (target?.listens !== true || this.#blocked.has(`${from.process.id}>${to}`)) return;
        target.process.run('input', () => target.announcements.get(topic)?.(from.process.id, bytes));
      });
    }
  }

  /** Puts one frame on its way. The bytes are copied, so a sender may use its buffer again. */
  #transmit(
    link: Link,
    from: Endpoint,
    lane: Lane,
    payload: Uint8Array,
    deliver: (target: Endpoint, bytes: Uint8Array) => void,
  ): void {
    if (!link.isUp) return;
    const { loss, lateness, latencyMsMin, latencyMsMax } = this.pace;
    if (loss > 0 && this.#random() < loss) {
      this.#tap.struck('frameLost');
      return;
    }
    const target = link.ends[0] === from ? link.ends[1] : link.ends[0];
    const path = `${from.process.id}>${target.process.id}`;
    // Not `slice`: on a Buffer that is no copy.
    const bytes = new Uint8Array(payload);
    let delayMs = this.#between(latencyMsMin, latencyMsMax);
    if (lateness > 0 && this.#random() < lateness) {
      this.#tap.struck('frameLate');
      delayMs += this.#random() * lateMsMax;
    }
    // Who is late delays everyone behind it in its lane.
    const queue = `${path}/${lane}`;
    const arrivesAt = Math.max(this.#scheduler.now + delayMs, link.lastArrivalAt.get(queue) ?? 0);
    link.lastArrivalAt.set(queue, arrivesAt);
    const arrive = (): void => {
      // What reached the machine before the link broke is still read by its program.
      if (!link.isUp) return;
      const blockade = this.#blocked.get(path);
      if (blockade !== undefined) {
        if (!blockade.swallows) blockade.held.push(arrive);
        return;
      }
      target.process.run('input', () => {
        deliver(target, bytes);
      });
    };
    this.#scheduler.after(arrivesAt - this.#scheduler.now, arrive);
  }

  #maybeDamaged(channel: string, question: Uint8Array, answer: Uint8Array): Uint8Array {
    const { damage } = this.pace;
    if (damage === 0 || channel !== snapshotChannel || decodeQuestion(question)?.kind !== 'chunks')
      return answer;
    if (this.#random() >= damage) return answer;
    this.#tap.struck('chunkDamaged');
    const damaged = new Uint8Array(answer);
    const place = Math.floor(this.#random() * damaged.byteLength);
    damaged[place] = (damaged[place] ?? 0) ^ (1 << Math.floor(this.#random() * 8));
    return damaged;
  }

  #between(least: number, most: number): number {
    return least + this.#random() * (most - least);
  }
}

function register<Handler>(handlers: Map<string, Handler>, channel: string, handler: Handler): Cancel {
  if (handlers.has(channel)) throw new Error(`channel ${channel} already has its one handler`);
  handlers.set(channel, handler);
  return () => {
    if (handlers.get(channel) === handler) handlers.delete(channel);
  };
}
