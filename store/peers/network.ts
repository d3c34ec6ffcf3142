/**
 * The network of the program, on libp2p. Owns the link to each member and who is told about it; the parts
 * (who may connect, when to dial, frames, requests, announcements) are in the files beside this one.
 *
 * 1. At most one link per member exists; a new connection of a member ends the old one first.
 * 2. Reachability handlers hear strictly alternating up and down per member.
 * 3. What a handler throws is logged and goes no further.
 * 4. Only who is a member now has a link: who is taken off the list loses it in the same moment.
 */
import type { Connection, Stream } from '@libp2p/interface';
import type { Cancel, Environment, NodeId } from '../environment.ts';
import { Announcements } from './announcements.ts';
import { encodeFrame, type Frame } from './frame.ts';
import { createGater } from './gater.ts';
import { GossipMender } from './gossip-mender.ts';
import { peerIdOf, type Identity } from './identity.ts';
import { createPeersLibp2p, directPeersOf, type PeersLibp2p } from './libp2p-node.ts';
import { lanes, Link, protocolOf, type LinkLimits } from './link.ts';
import { Members, multiaddrOf } from './members.ts';
import { RequestError, type Address, type Lane, type Member, type MemberNetwork } from './port.ts';
import { Refusals } from './refusals.ts';
import { Requests, type RequestHandler, type RequestLimits } from './requests.ts';
import { Supervisor } from './supervisor.ts';

export interface NetworkLimits extends LinkLimits, RequestLimits {
  /** Pace of the signs of life. With `silentTicksMax` it says how soon a dead peer is noticed. */
  readonly heartbeatIntervalMs: number;
  readonly dialTimeoutMs: number;
}

const mebibyte = 1024 * 1024;

/** A silent peer counts as dead after 2.5 to 3 s; a queue holds at least two of its lane's largest frames. */
export const defaultNetworkLimits: NetworkLimits = {
  lanes: {
    fast: { payloadBytesMax: 4 * mebibyte, queueBytesMax: 16 * mebibyte },
    bulk: { payloadBytesMax: 8 * mebibyte, queueBytesMax: 32 * mebibyte },
  },
  heartbeatIntervalMs: 500,
  silentTicksMax: 5,
  openTimeoutMs: 5_000,
  dialTimeoutMs: 3_000,
  pendingMax: 1_024,
  runningMax: 256,
};

export interface NetworkOptions {
  readonly self: NodeId;
  readonly identity: Identity;
  /** Where this node listens; port 0 takes any free one. */
  readonly listen: Address;
  /** All members, this node included. Only they may connect. */
  readonly members: readonly Member[];
  readonly limits?: Partial<NetworkLimits>;
}

export interface PeersNetwork extends MemberNetwork {
  readonly peerId: string;
  /** Where this node really listens. */
  readonly listening: Address;
  /** Members that end what this node dials before it carries anything: they do not list it. */
  readonly refusedBy: readonly NodeId[];
  /** Bytes queued per peer and lane. */
  queuedBytes(): Readonly<Record<NodeId, Readonly<Record<Lane, number>>>>;
  /** Ends all links; requests that wait are rejected as UNREACHABLE. */
  close(): Promise<void>;
}

export type NetworkErrorCode = 'LISTEN_FAILED';

export class NetworkError extends Error {
  readonly code: NetworkErrorCode;
  constructor(code: NetworkErrorCode, detail: string, options?: { readonly cause?: unknown }) {
    super(`${code}: ${detail}`, options);
    this.name = 'NetworkError';
    this.code = code;
  }
}

export interface NetworkDependencies {
  readonly environment: Environment;
  /** Makes the node underneath; `createPeersLibp2p` unless said otherwise. */
  readonly createNode?: typeof createPeersLibp2p;
}

export interface IdleNetwork extends PeersNetwork {
  /** Listens and starts to connect; rejects with NetworkError. To be called once. */
  start(): Promise<void>;
}

/**
 * A network that reaches nobody before it is started, so that every handler is in place before the first
 * frame arrives. Rejects with MembersError.
 */
export function createNetwork(
  options: NetworkOptions,
  dependencies: NetworkDependencies,
): Promise<IdleNetwork> {
  return Libp2pNetwork.create(options, dependencies);
}

/** A network that has been started. Rejects with MembersError or NetworkError. */
export async function openNetwork(
  options: NetworkOptions,
  dependencies: NetworkDependencies,
): Promise<PeersNetwork> {
  const network = await createNetwork(options, dependencies);
  await network.start();
  return network;
}

type MessageHandler = (from: NodeId, payload: Uint8Array) => void;
type ReachabilityHandler = (peer: NodeId, reachable: boolean) => void;

class Libp2pNetwork implements IdleNetwork {
  readonly self: NodeId;
  readonly peerId: string;
  readonly #listen: Address;
  readonly #limits: NetworkLimits;
  readonly #members: Members;
  readonly #environment: Environment;
  readonly #requests: Requests;
  readonly #supervisor: Supervisor;
  readonly #node: PeersLibp2p;
  readonly #announcements: Announcements;
  readonly #mender: GossipMender;
  readonly #refusals: Refusals;
  readonly #links: Map<NodeId, Link>;
  readonly #messageHandlers = new Map<string, MessageHandler>();
  readonly #reachabilityHandlers = new Set<ReachabilityHandler>();
  #cancelTick: Cancel = () => undefined;
  #closing: Promise<void> | undefined;

  static async create(
    options: NetworkOptions,
    { environment, createNode = createPeersLibp2p }: NetworkDependencies,
  ): Promise<Libp2pNetwork> {
    const { self, identity, listen } = options;
    const limits = { ...defaultNetworkLimits, ...options.limits };
    const members = new Members({ self, peerId: peerIdOf(identity), members: options.members });
    const links = new Map<NodeId, Link>();
    const supervisor = new Supervisor(
      { peers: members.others.filter(({ peerId }) => members.dials(peerId)).map(({ id }) => id) },
      // The node exists by the time the supervisor is started.
      { ...environment, dial: (peer) => dialMember(node, members.get(peer), limits.dialTimeoutMs) },
    );
    const gater = createGater({
      members,
      dialing: (peer) => supervisor.dialing(peer),
      onReturn: (peer) => links.get(peer)?.close('the peer connects anew'),
      onRefused: (peerId) => {
        environment.log.warn({ peerId }, 'refused a connection: not a member, or not its turn to dial');
      },
    });
    const others = members.others.map((member) => member.peerId);
    const node = await createNode({ identity, listen, others }, { gater });
    return new Libp2pNetwork({ self, listen, limits }, { environment, members, links, supervisor, node });
  }

  private constructor(
    options: {
      readonly self: NodeId;
      readonly listen: Address;
      readonly limits: NetworkLimits;
    },
    dependencies: {
      readonly environment: Environment;
      readonly members: Members;
      readonly links: Map<NodeId, Link>;
      readonly supervisor: Supervisor;
      readonly node: PeersLibp2p;
    },
  ) {
    const { environment, members, node } = dependencies;
    this.self = options.self;
    this.#listen = options.listen;
    this.#limits = options.limits;
    this.#environment = environment;
    this.#members = members;
    this.#links = dependencies.links;
    this.#supervisor = dependencies.supervisor;
    this.#node = node;
    this.peerId = node.peerId.toString();
    this.#requests = new Requests({ limits: options.limits }, environment);
    this.#announcements = new Announcements(
      { self: options.self },
      { ...environment, gossip: node.services.gossip, isMember: (id) => members.get(id) !== undefined },
    );
    this.#refusals = new Refusals(environment);
    this.#mender = new GossipMender({
      ...environment,
      hears: (peerId) => this.#announcements.hears(peerId),
    });
  }

  async start(): Promise<void> {
    for (const lane of lanes) {
      await this.#node.handle(protocolOf(lane), (stream, connection) => {
        this.#acceptStream(lane, stream, connection);
      });
    }
    this.#node.addEventListener('connection:open', ({ detail }) => {
      this.#acceptConnection(detail);
    });
    try {
      await this.#node.start();
    } catch (error) {
      const { host, port } = this.#listen;
      throw new NetworkError('LISTEN_FAILED', `cannot listen on ${host}:${port}: ${String(error)}`, {
        cause: error,
      });
    }
    this.#announcements.start();
    this.#supervisor.start();
    this.#tickLater();
  }

  get listening(): Address {
    const port = this.#node
      .getMultiaddrs()
      .map((address) => address.getComponents().find(({ name }) => name === 'tcp')?.value)
      .find((value) => value !== undefined);
    return { host: this.#listen.host, port: port === undefined ? this.#listen.port : Number(port) };
  }

  get peers(): readonly NodeId[] {
    return this.#members.others.map(({ id }) => id);
  }

  setMembers(members: readonly Member[]): void {
    const { added, removed } = this.#members.replace(members);
    const direct = directPeersOf(this.#node);
    for (const { id, peerId } of removed) {
      direct.delete(peerId);
      this.#supervisor.remove(id);
      this.#refusals.forget(id);
      this.#links.get(id)?.close('it is no member any more');
    }
    for (const { id, peerId } of added) {
      direct.add(peerId);
      if (this.#members.dials(peerId)) this.#supervisor.add(id);
    }
    if (added.length + removed.length === 0) return;
    const idsOf = (list: readonly Member[]): readonly NodeId[] => list.map(({ id }) => id);
    this.#environment.log.info({ added: idsOf(added), removed: idsOf(removed) }, 'members changed');
  }

  send(to: NodeId, channel: string, payload: Uint8Array, lane: Lane = 'fast'): boolean {
    const link = this.#links.get(to);
    if (link?.up !== true || !this.#fits(to, channel, payload, lane)) return false;
    return link.offer(lane, encodeFrame({ kind: 'message', channel, correlation: 0, payload }));
  }

  onMessage(channel: string, handler: MessageHandler): Cancel {
    if (this.#messageHandlers.has(channel)) throw new Error(`channel ${channel} already has its handler`);
    this.#messageHandlers.set(channel, handler);
    return () => {
      if (this.#messageHandlers.get(channel) === handler) this.#messageHandlers.delete(channel);
    };
  }

  request(
    to: NodeId,
    channel: string,
    payload: Uint8Array,
    options: { readonly timeoutMs: number; readonly lane?: Lane },
  ): Promise<Uint8Array> {
    const { timeoutMs, lane = 'fast' } = options;
    const link = this.#links.get(to);
    if (link?.up !== true) return Promise.reject(new RequestError('UNREACHABLE', to));
    if (!this.#fits(to, channel, payload, lane)) {
      return Promise.reject(new RequestError('OVERLOADED', to, `${payload.byteLength} bytes are too many`));
    }
    return this.#requests.ask(to, { channel, payload, timeoutMs }, (frame, how) =>
      link.offer(lane, frame, how),
    );
  }

  onRequest(channel: string, handler: RequestHandler): Cancel {
    return this.#requests.handle(channel, handler);
  }

  announce(topic: string, payload: Uint8Array): void {
    this.#announcements.announce(topic, payload);
  }

  onAnnouncement(topic: string, handler: MessageHandler): Cancel {
    return this.#announcements.handle(topic, handler);
  }

  reachable(peer: NodeId): boolean {
    return this.#links.get(peer)?.up === true;
  }

  onReachability(handler: ReachabilityHandler): Cancel {
    this.#reachabilityHandlers.add(handler);
    for (const peer of this.peers) {
      if (this.reachable(peer)) this.#guard('reachability', () => handler(peer, true));
    }
    return () => {
      this.#reachabilityHandlers.delete(handler);
    };
  }

  get refusedBy(): readonly NodeId[] {
    return this.#refusals.by;
  }

  queuedBytes(): Readonly<Record<NodeId, Readonly<Record<Lane, number>>>> {
    const bytesOf = (peer: NodeId, lane: Lane): number => this.#links.get(peer)?.queuedBytes(lane) ?? 0;
    return Object.fromEntries(
      this.peers.map((peer) => [peer, { fast: bytesOf(peer, 'fast'), bulk: bytesOf(peer, 'bulk') }]),
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#cancelTick();
    this.#supervisor.stop();
    this.#announcements.stop();
    for (const link of this.#links.values()) link.flush();
    await this.#node.stop();
    for (const link of [...this.#links.values()]) link.close('this node stops');
  }

  #acceptConnection(connection: Connection): void {
    const peer = this.#members.idOf(connection.remotePeer.toString());
    if (peer === undefined || this.#closing !== undefined) {
      connection.abort(new Error('not wanted'));
      return;
    }
    // The gater has ended it already, unless libp2p opened a second connection against all rules.
    this.#links.get(peer)?.close('replaced by another connection');
    const link: Link = new Link(
      { peer, limits: this.#limits },
      {
        connection,
        observer: {
          onUp: () => {
            this.#linkUp(link);
          },
          onDown: (reason, wasUp) => {
            this.#linkDown(link, reason, wasUp);
          },
          onFrame: (lane, frame) => {
            this.#receive(link, lane, frame);
          },
        },
      },
    );
    this.#links.set(peer, link);
    this.#supervisor.linked(peer);
    link.open();
  }

  #acceptStream(lane: Lane, stream: Stream, connection: Connection): void {
    const peer = this.#members.idOf(connection.remotePeer.toString());
    const link = peer === undefined ? undefined : this.#links.get(peer);
    if (link === undefined || link.connection.id !== connection.id) {
      stream.abort(new Error('it belongs to no link'));
      return;
    }
    link.accept(lane, stream);
  }

  #linkUp({ peer, connection }: Link): void {
    this.#environment.log.info({ peer, address: connection.remoteAddr.toString() }, 'peer reachable');
    this.#supervisor.linkUp(peer);
    this.#refusals.forget(peer);
    this.#tellReachability(peer, true);
  }

  #linkDown({ peer, connection }: Link, reason: string, wasUp: boolean): void {
    this.#links.delete(peer);
    this.#supervisor.linkDown(peer);
    this.#requests.fail(peer);
    if (!wasUp) {
      if (connection.direction === 'outbound' && this.#members.get(peer) !== undefined) {
        this.#refusals.endedUnused(peer);
      }
      return;
    }
    this.#environment.log.info({ peer, reason }, 'peer unreachable');
    this.#tellReachability(peer, false);
  }

  #receive(link: Link, lane: Lane, frame: Frame): void {
    if (frame.kind !== 'message') {
      this.#requests.receive(link.peer, frame, (bytes, how) => link.offer(lane, bytes, how));
      return;
    }
    const handler = this.#messageHandlers.get(frame.channel);
    if (handler === undefined) return;
    this.#guard(frame.channel, () => {
      handler(link.peer, frame.payload);
    });
  }

  #tellReachability(peer: NodeId, reachable: boolean): void {
    for (const handler of [...this.#reachabilityHandlers]) {
      this.#guard('reachability', () => {
        handler(peer, reachable);
      });
    }
  }

  #tickLater(): void {
    this.#cancelTick = this.#environment.clock.after(this.#limits.heartbeatIntervalMs, () => {
      for (const link of [...this.#links.values()]) link.tick();
      this.#mender.tick([...this.#links.values()].filter(({ up }) => up));
      this.#tickLater();
    });
  }

  #fits(to: NodeId, channel: string, payload: Uint8Array, lane: Lane): boolean {
    const { payloadBytesMax } = this.#limits.lanes[lane];
    if (payload.byteLength <= payloadBytesMax) return true;
    this.#environment.log.error(
      { peer: to, channel, lane, bytes: payload.byteLength, payloadBytesMax },
      'a frame is too large for its lane and was not sent',
    );
    return false;
  }

  #guard(what: string, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#environment.log.error({ what, error: String(error) }, 'a network handler failed');
    }
  }
}

/** The link is made when the connection reports itself, as for those that come in. */
async function dialMember(node: PeersLibp2p, member: Member | undefined, timeoutMs: number): Promise<void> {
  if (member === undefined) return;
  const signal = AbortSignal.timeout(timeoutMs);
  await node.dial(multiaddrOf(member.address, member.peerId), { signal });
}
