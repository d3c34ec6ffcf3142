/**
 * The list of members as the links need it, now: names, peer ids, addresses, and who dials whom. Two nodes that
 * dial each other end with two connections, and closing either leaves gossip working one way only; so of each
 * pair exactly one dials, the one with the lower peer id.
 */
import { peerIdFromString } from '@libp2p/peer-id';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { isIP, isIPv6 } from 'node:net';
import type { NodeId } from '../environment.ts';
import type { Address, Member } from './port.ts';

export type { Address, Member };

export type MembersErrorCode = 'MEMBERS_INVALID' | 'IDENTITY_MISMATCH';

/** The configuration cannot work as it is. */
export class MembersError extends Error {
  readonly code: MembersErrorCode;
  readonly detail: string;
  constructor(code: MembersErrorCode, detail: string) {
    super(`${code}: ${detail}`);
    this.name = 'MembersError';
    this.code = code;
    this.detail = detail;
  }
}

/** What one list of members becomes once another takes its place. */
export interface MembersChange {
  readonly added: readonly Member[];
  /** Left out, or the holder of another key now. */
  readonly removed: readonly Member[];
}

export class Members {
  readonly #self: NodeId;
  readonly #peerId: string;
  #others: ReadonlyMap<NodeId, Member> = new Map();
  #byPeerId: ReadonlyMap<string, NodeId> = new Map();

  /** `members` holds `self` too; its peer id must be `peerId`, that of this node's key. Throws MembersError. */
  constructor(options: {
    readonly self: NodeId;
    readonly peerId: string;
    readonly members: readonly Member[];
  }) {
    this.#self = options.self;
    this.#peerId = options.peerId;
    if (!options.members.some((member) => member.id === options.self)) {
      throw new MembersError('MEMBERS_INVALID', `this node, ${options.self}, is not in the list of members`);
    }
    this.replace(options.members);
  }

  /**
   * Takes `members` for the list from now on. Without this node in it, this node is nobody's peer and nobody is
   * its own. Throws MembersError, and keeps the old list.
   */
  replace(members: readonly Member[]): MembersChange {
    this.#check(members);
    const isMember = members.some(({ id }) => id === this.#self);
    const others = isMember ? members.filter(({ id }) => id !== this.#self) : [];
    const before = this.#others;
    this.#others = new Map(others.map((member) => [member.id, member]));
    this.#byPeerId = new Map(others.map((member) => [member.peerId, member.id]));
    const isIn = (list: ReadonlyMap<NodeId, Member>, { id, peerId }: Member): boolean =>
      list.get(id)?.peerId === peerId;
    return {
      added: others.filter((member) => !isIn(before, member)),
      removed: [...before.values()].filter((member) => !isIn(this.#others, member)),
    };
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
    return this.#peerId < peerId;
  }

  #check(members: readonly Member[]): void {
    const self = members.find(({ id }) => id === this.#self);
    if (self !== undefined && self.peerId !== this.#peerId) {
      throw new MembersError(
        'IDENTITY_MISMATCH',
        `the members list says that ${self.id} is ${self.peerId}, but this node's key is ${this.#peerId}`,
      );
    }
    for (const member of members) if (member !== self) checkMember(member);
    if (new Set(members.map(({ id }) => id)).size !== members.length) {
      throw new MembersError('MEMBERS_INVALID', 'two members have the same id');
    }
    if (new Set(members.map(({ peerId }) => peerId)).size !== members.length) {
      throw new MembersError('MEMBERS_INVALID', 'two members have the same peer id');
    }
  }
}

/** As libp2p writes it. Names are looked up at each dial, so a node may move. */
export function multiaddrOf({ host, port }: Address, peerId?: string): Multiaddr {
  const kind = isIP(host) === 0 ? 'dns' : isIPv6(host) ? 'ip6' : 'ip4';
  return multiaddr(`/${kind}/${host}/tcp/${port}${peerId === undefined ? '' : `/p2p/${peerId}`}`);
}

/** Throws MembersError unless it can be dialled and recognized. */
export function checkMember({ id, peerId, address }: Member): void {
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
