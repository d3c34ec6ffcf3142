/**
 * The list of members as the links need it: names, peer ids, addresses, and who dials whom. Two nodes that
 * dial each other end with two connections, and closing either leaves gossip working one way only; so of each
 * pair exactly one dials, the one with the lower peer id.
 */
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { isIP, isIPv6 } from 'node:net';
import type { NodeId } from '../environment.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Member {
  readonly id: NodeId;
  readonly peerId: string;
  /** Where the others reach it. The host is a name or an IP address. */
  readonly address: Address;
}

export type MembersErrorCode = 'MEMBERS_INVALID' | 'IDENTITY_MISMATCH';

/** The configuration cannot work as it is. */
export class MembersError extends Error {
  readonly code: MembersErrorCode;
  constructor(code: MembersErrorCode, detail: string) {
    super(`${code}: ${detail}`);
    this.name = 'MembersError';
    this.code = code;
  }
}

export class Members {
  readonly #self: Member;
  readonly #others: ReadonlyMap<NodeId, Member>;
  readonly #byPeerId: ReadonlyMap<string, NodeId>;

  /** `members` holds `self` too; its peer id must be `peerId`, that of this node's key. Throws MembersError. */
  constructor(options: {
    readonly self: NodeId;
    readonly peerId: string;
    readonly members: readonly Member[];
  }) {
    const self = options.members.find((member) => member.id === options.self);
    if (self === undefined) {
      throw new MembersError('MEMBERS_INVALID', `this node, ${options.self}, is not in the list of members`);
    }
    if (self.peerId !== options.peerId) {
      throw new MembersError(
        'IDENTITY_MISMATCH',
        `the members list says that ${self.id} is ${self.peerId}, but this node's key is ${options.peerId}`,
      );
    }
    const others = options.members.filter((member) => member !== self);
    for (const member of others) checkMember(member);
    this.#self = self;
    this.#others = new Map(others.map((member) => [member.id, member]));
    this.#byPeerId = new Map(others.map((member) => [member.peerId, member.id]));
    if (this.#others.size !== others.length || this.#others.has(self.id)) {
      throw new MembersError('MEMBERS_INVALID', 'two members have the same id');
    }
    if (this.#byPeerId.size !== others.length || this.#byPeerId.has(self.peerId)) {
      throw new MembersError('MEMBERS_INVALID', 'two members have the same peer id');
    }
  }

  /** Everyone but this node. */
  get others(): readonly Member[] {
    return [...this.#others.values()];
  }

  /** The member behind a peer id; undefined for strangers and for this node itself. */
  idOf(peerId: string): NodeId | undefined {
    return this.#byPeerId.get(peerId);
  }

  get(id: NodeId): Member | undefined {
    return this.#others.get(id);
  }

  /** Whether this node dials the holder of `peerId`. The other side comes to the opposite answer. */
  dials(peerId: string): boolean {
    return this.#self.peerId < peerId;
  }
}

/** As libp2p writes it. Names are looked up at each dial, so a node may move. */
export function multiaddrOf({ host, port }: Address, peerId?: string): Multiaddr {
  const kind = isIP(host) === 0 ? 'dns' : isIPv6(host) ? 'ip6' : 'ip4';
  return multiaddr(`/${kind}/${host}/tcp/${port}${peerId === undefined ? '' : `/p2p/${peerId}`}`);
}

function checkMember({ id, peerId, address }: Member): void {
  try {
    peerIdFromString(peerId);
  } catch {
    throw new MembersError('MEMBERS_INVALID', `the peer id of ${id} is not one: ${peerId}`);
  }
  // A slash would end the host and begin something else.
  if (!/^[^\s/]+$/.test(address.host) || !isPort(address.port)) {
    throw new MembersError(
      'MEMBERS_INVALID',
      `the address of ${id} is not a host and a port: ${address.host}:${address.port}`,
    );
  }
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
