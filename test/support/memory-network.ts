import type { Cancel, Clock, NodeId, Random } from '../../store/environment.ts';
import { RequestError, type Lane, type MemberNetwork } from '../../store/peers/port.ts';

/**
 * A seeded network on a virtual clock that loses, delays, duplicates, reorders and partitions. It owns the
 * frames in flight and who can reach whom; a process gets its end with `join` and loses it with `leave`.
 *
 * 1. A frame arrives at the incarnation of the peer that it was sent to, or nowhere: links break on restart.
 * 2. Without faults, frames of one sender, peer and lane arrive in order. `reorder` takes that away.
 * 3. A cut is noticed (`reachable` turns false, `send` returns false) unless it was made silently.
 * 4. Two processes reach each other only while each lists the other as a member; at first all list all.
 */

export interface NetworkFaults {
  readonly latencyMsMin: number;
  readonly latencyMsMax: number;
  /** Probabilities per frame, 0 to 1. */
  readonly loss: number;
  readonly duplication: number;
  /** Each frame takes its own time and may overtake others. */
  readonly reorder: boolean;
}

export const calmNetwork: NetworkFaults = {
  latencyMsMin: 0.2,
  latencyMsMax: 0.5,
  loss: 0,
  duplication: 0,
  reorder: false,
};

/** Frames in flight per sender, peer and lane before `send` pushes back. */
const maxInFlightPerLane = 4_096;

type MessageHandler = (from: NodeId, payload: Uint8Array) => void;
type RequestHandler = (from: NodeId, payload: Uint8Array) => Promise<Uint8Array>;
type ReachabilityHandler = (peer: NodeId, reachable: boolean) => void;

interface Endpoint {
  readonly id: NodeId;
  alive: boolean;
  readonly messages: Map<string, MessageHandler>;
  readonly requests: Map<string, RequestHandler>;
  readonly announcements: Map<string, MessageHandler>;
  readonly reachability: Set<ReachabilityHandler>;
  /** As last told to the handlers. */
  readonly reachable: Set<NodeId>;
  /** Whom this process lists besides itself. */
  peers: readonly NodeId[];
  readonly lastArrivalAt: Map<string, number>;
  readonly inFlight: Map<string, number>;
}

export class MemoryNetwork {
  readonly #members: readonly NodeId[];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #endpoints = new Map<NodeId, Endpoint>();
  /** Directed pairs, as `from>to`, that deliver nothing; the value says whether both ends notice. */
  readonly #cuts = new Map<string, { readonly noticed: boolean }>();
  #faults: NetworkFaults;
  /** Frames handed over, by channel: for tests that count work. */
  readonly delivered = new Map<string, number>();

  constructor(
    options: { readonly members: readonly NodeId[]; readonly faults?: Partial<NetworkFaults> },
    dependencies: { readonly clock: Clock; readonly random: Random },
  ) {
    this.#members = options.members;
    this.#faults = { ...calmNetwork, ...options.faults };
    this.#clock = dependencies.clock;
    this.#random = dependencies.random;
  }

  setFaults(faults: Partial<NetworkFaults>): void {
    this.#faults = { ...this.#faults, ...faults };
  }

  /** Only members of the same group reach each other; who is in no group is alone. */
  partition(groups: readonly (readonly NodeId[])[], options: { readonly noticed?: boolean } = {}): void {
    this.#cuts.clear();
    for (const from of this.#members) {
      for (const to of this.#members) {
        if (from === to || groups.some((group) => group.includes(from) && group.includes(to))) continue;
        this.#cuts.set(`${from}>${to}`, { noticed: options.noticed ?? true });
      }
    }
    this.#tellReachability();
  }

  /** Frames from `from` to `to` vanish; the other direction works, and nobody is told. */
  cutSilently(from: NodeId, to: NodeId): void {
    this.#cuts.set(`${from}>${to}`, { noticed: false });
  }

  heal(): void {
    this.#cuts.clear();
    this.#tellReachability();
  }

  /** The process of `id` is gone; what was in flight to it is lost. */
  leave(id: NodeId): void {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return;
    endpoint.alive = false;
    this.#endpoints.delete(id);
    this.#tellReachability();
  }

  /** A new process of `id` takes part. */
  join(id: NodeId): MemberNetwork {
    this.leave(id);
    const endpoint: Endpoint = {
      id,
      alive: true,
      messages: new Map(),
      requests: new Map(),
      announcements: new Map(),
      reachability: new Set(),
      reachable: new Set(),
      peers: this.#members.filter((member) => member !== id),
      lastArrivalAt: new Map(),
      inFlight: new Map(),
    };
    this.#endpoints.set(id, endpoint);
    this.#tellReachability();
    return {
      self: id,
      get peers() {
        return endpoint.peers;
      },
      setMembers: (members) => {
        const isMember = members.some((member) => member.id === id);
        endpoint.peers = isMember ? members.map((member) => member.id).filter((peer) => peer !== id) : [];
        this.#tellReachability();
      },
      send: (to, channel, payload, lane = 'fast') => this.#send(endpoint, to, channel, payload, lane),
      onMessage: (channel, handler) => register(endpoint.messages, channel, handler),
      request: (to, channel, payload, options) => this.#request(endpoint, to, channel, payload, options),
      onRequest: (channel, handler) => register(endpoint.requests, channel, handler),
      announce: (topic, payload) => {
        for (const to of endpoint.peers) {
          this.#transmit(endpoint, to, 'bulk', payload, (target, bytes) => {
            this.#count(topic);
            target.announcements.get(topic)?.(id, bytes);
          });
        }
      },
      onAnnouncement: (topic, handler) => register(endpoint.announcements, topic, handler),
      reachable: (peer) => endpoint.alive && endpoint.reachable.has(peer),
      onReachability: (handler) => {
        endpoint.reachability.add(handler);
        for (const peer of endpoint.reachable) handler(peer, true);
        return () => {
          endpoint.reachability.delete(handler);
        };
      },
    };
  }

  #send(from: Endpoint, to: NodeId, channel: string, payload: Uint8Array, lane: Lane): boolean {
    if (!from.alive || !from.reachable.has(to)) return false;
    return this.#transmit(from, to, lane, payload, (target, bytes) => {
      this.#count(channel);
      target.messages.get(channel)?.(from.id, bytes);
    });
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
      if (!from.alive) return;
      if (!from.reachable.has(to)) {
        reject(new RequestError('UNREACHABLE', to));
        return;
      }
      const finish = (outcome: () => void): void => {
        cancelTimeout();
        if (from.alive) outcome();
      };
      const cancelTimeout = this.#clock.after(options.timeoutMs, () => {
        finish(() => {
          reject(new RequestError('TIMEOUT', to));
        });
      });
      const queued = this.#transmit(from, to, lane, payload, (target, bytes) => {
        this.#count(channel);
        const answer = (settleAtSender: () => void, body: Uint8Array): void => {
          this.#transmit(target, from.id, lane, body, () => {
            finish(settleAtSender);
          });
        };
        const handler = target.requests.get(channel);
        if (handler === undefined) {
          answer(() => {
            reject(new RequestError('NO_HANDLER', to));
          }, new Uint8Array());
          return;
        }
        handler(from.id, bytes).then(
          (body) => {
            const copy = new Uint8Array(body);
            answer(() => {
              resolve(copy);
            }, copy);
          },
          (error: unknown) => {
            answer(() => {
              reject(new RequestError('REMOTE_ERROR', to, String(error)));
            }, new Uint8Array());
          },
        );
      });
      if (!queued) {
        finish(() => {
          reject(new RequestError('OVERLOADED', to));
        });
      }
    });
  }

  /** Puts one frame on its way. The bytes are copied, so a sender may reuse its buffer. */
  #transmit(
    from: Endpoint,
    to: NodeId,
    lane: Lane,
    payload: Uint8Array,
    deliver: (target: Endpoint, bytes: Uint8Array) => void,
  ): boolean {
    const target = this.#endpoints.get(to);
    const path = `${to}/${lane}`;
    const inFlight = from.inFlight.get(path) ?? 0;
    if (inFlight >= maxInFlightPerLane) return false;
    if (target === undefined || this.#random() < this.#faults.loss) return true;

    // Not `slice`: on a Buffer that is no copy.
    const bytes = new Uint8Array(payload);
    const copies = this.#random() < this.#faults.duplication ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) {
      const now = this.#clock.monotonic();
      const span = this.#faults.latencyMsMax - this.#faults.latencyMsMin;
      let arrivesAt = now + this.#faults.latencyMsMin + this.#random() * span;
      if (!this.#faults.reorder) arrivesAt = Math.max(arrivesAt, from.lastArrivalAt.get(path) ?? 0);
      from.lastArrivalAt.set(path, arrivesAt);
      from.inFlight.set(path, (from.inFlight.get(path) ?? 0) + 1);
      this.#clock.after(arrivesAt - now, () => {
        from.inFlight.set(path, (from.inFlight.get(path) ?? 1) - 1);
        if (!target.alive || !areMembers(from, target) || this.#cuts.has(`${from.id}>${to}`)) return;
        deliver(target, bytes);
      });
    }
    return true;
  }

  #tellReachability(): void {
    for (const endpoint of this.#endpoints.values()) {
      for (const peer of new Set([...endpoint.peers, ...endpoint.reachable])) {
        const other = this.#endpoints.get(peer);
        const reachable =
          other !== undefined &&
          areMembers(endpoint, other) &&
          this.#cuts.get(`${endpoint.id}>${peer}`)?.noticed !== true &&
          this.#cuts.get(`${peer}>${endpoint.id}`)?.noticed !== true;
        if (reachable === endpoint.reachable.has(peer)) continue;
        if (reachable) endpoint.reachable.add(peer);
        else endpoint.reachable.delete(peer);
        for (const handler of endpoint.reachability) handler(peer, reachable);
      }
    }
  }

  #count(channel: string): void {
    this.delivered.set(channel, (this.delivered.get(channel) ?? 0) + 1);
  }
}

function areMembers(one: Endpoint, other: Endpoint): boolean {
  return one.peers.includes(other.id) && other.peers.includes(one.id);
}

function register<Handler>(handlers: Map<string, Handler>, channel: string, handler: Handler): Cancel {
  if (handlers.has(channel)) throw new Error(`channel ${channel} already has its one handler`);
  handlers.set(channel, handler);
  return () => {
    if (handlers.get(channel) === handler) handlers.delete(channel);
  };
}
