import type { Cancel, NodeId } from '../environment.ts';

/**
 * The network as the store sees it. libp2p in the program; in the simulator a seeded bus that loses, delays,
 * duplicates, reorders and partitions.
 */

/** `fast` for small and urgent frames (consensus, journal pushes, acknowledgements), `bulk` for ranges and snapshots. */
export type Lane = 'fast' | 'bulk';

export type RequestFailure = 'UNREACHABLE' | 'TIMEOUT' | 'OVERLOADED' | 'NO_HANDLER' | 'REMOTE_ERROR';

/** A request that got no answer. The other side may or may not have acted on it. */
export class RequestError extends Error {
  readonly code: RequestFailure;
  readonly peer: NodeId;
  constructor(code: RequestFailure, peer: NodeId, detail = '') {
    super(`request to ${peer} failed: ${code}${detail === '' ? '' : ` (${detail})`}`);
    this.name = 'RequestError';
    this.code = code;
    this.peer = peer;
  }
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Member {
  readonly id: NodeId;
  /** Its public key, as libp2p writes it: who connects is known by this, not by its name. */
  readonly peerId: string;
  /** Where the others reach it. The host is a name or an IP address. */
  readonly address: Address;
}

export interface Network {
  readonly self: NodeId;
  /** All other members, reachable or not, as of the latest `setMembers`. */
  readonly peers: readonly NodeId[];

  /**
   * Sends one frame, at most once, in order per peer and lane while the link holds. False when it was not
   * queued: the peer is unreachable or its queue is full (back-pressure). True promises nothing about arrival.
   */
  send(to: NodeId, channel: string, payload: Uint8Array, lane?: Lane): boolean;
  /** The one handler of `channel` for frames sent with `send`. What it throws is logged, never propagated. */
  onMessage(channel: string, handler: (from: NodeId, payload: Uint8Array) => void): Cancel;

  /** Sends one frame and waits for its answer. Rejects with RequestError. */
  request(
    to: NodeId,
    channel: string,
    payload: Uint8Array,
    options: { readonly timeoutMs: number; readonly lane?: Lane },
  ): Promise<Uint8Array>;
  /** The one handler of `channel` for requests. */
  onRequest(channel: string, handler: (from: NodeId, payload: Uint8Array) => Promise<Uint8Array>): Cancel;

  /** Lossy announcement to all members (gossipsub). Nothing may depend on its arrival. */
  announce(topic: string, payload: Uint8Array): void;
  onAnnouncement(topic: string, handler: (from: NodeId, payload: Uint8Array) => void): Cancel;

  /** Whether a live link to `peer` exists now. */
  reachable(peer: NodeId): boolean;
  /** Told at each change of reachability, and once per already reachable peer on subscribing. */
  onReachability(handler: (peer: NodeId, reachable: boolean) => void): Cancel;
}

/** The network for whoever says who the members are; the parts that only use it see a `Network`. */
export interface MemberNetwork extends Network {
  /**
   * Replaces the list of members. Who is added is dialled and let in; the link of who is left out, or has another
   * peer id now, ends at once, and nothing of it is heard any more. A list without this node ends all links.
   * Throws MembersError, and changes nothing, when the list cannot work.
   */
  setMembers(members: readonly Member[]): void;
}
