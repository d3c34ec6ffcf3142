/** Members on loopback, each with a real libp2p node on a port of its own that it keeps over restarts. */
import { createServer } from 'node:net';
import { systemEnvironment } from '../../node/system.ts';
import type { Environment, NodeId } from '../../store/environment.ts';
import { createIdentity, peerIdOf, type Identity } from '../../store/peers/identity.ts';
import { createPeersLibp2p, type PeersLibp2p } from '../../store/peers/libp2p-node.ts';
import type { Member } from '../../store/peers/members.ts';
import { openNetwork, type NetworkLimits, type PeersNetwork } from '../../store/peers/network.ts';
import { eventually } from './eventually.ts';

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Real time and chance; a fatal error fails the test run. Lines are kept for tests that look at them. */
export function realEnvironment(lines: { level: string; message: string }[] = []): Environment {
  const line = (level: string) => (_: Record<string, unknown>, message: string) => {
    lines.push({ level, message });
  };
  return systemEnvironment(
    { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') },
    (error) => {
      throw error;
    },
  );
}

export class PeersCluster {
  #members: readonly Member[];
  readonly lines: { level: string; message: string }[] = [];
  readonly #identities: ReadonlyMap<NodeId, Identity>;
  readonly #networks = new Map<NodeId, PeersNetwork>();
  readonly #nodes = new Map<NodeId, PeersLibp2p>();
  readonly #limits: Partial<NetworkLimits>;

  private constructor(
    members: readonly Member[],
    identities: ReadonlyMap<NodeId, Identity>,
    limits: Partial<NetworkLimits>,
  ) {
    this.#members = members;
    this.#identities = identities;
    this.#limits = limits;
  }

  /** Lists the members; none is open yet. */
  static async of(ids: readonly NodeId[], limits: Partial<NetworkLimits> = {}): Promise<PeersCluster> {
    const identities = new Map<NodeId, Identity>();
    const members: Member[] = [];
    for (const id of ids) {
      const identity = await createIdentity();
      identities.set(id, identity);
      members.push({
        id,
        peerId: peerIdOf(identity),
        address: { host: '127.0.0.1', port: await freePort() },
      });
    }
    return new PeersCluster(members, identities, limits);
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  /** Gives a member that is closed another port; who is open has to be told. */
  move(id: NodeId, port: number): void {
    this.#members = this.#members.map((member) =>
      member.id === id ? { ...member, address: { ...member.address, port } } : member,
    );
  }

  /** The ids, the one that dials first. */
  get byDialer(): readonly NodeId[] {
    return [...this.members].sort((a, b) => (a.peerId < b.peerId ? -1 : 1)).map(({ id }) => id);
  }

  identity(id: NodeId): Identity {
    const identity = this.#identities.get(id);
    if (identity === undefined) throw new Error(`no member ${id}`);
    return identity;
  }

  port(id: NodeId): number {
    const member = this.members.find((one) => one.id === id);
    if (member === undefined) throw new Error(`no member ${id}`);
    return member.address.port;
  }

  async open(...ids: readonly NodeId[]): Promise<void> {
    await Promise.all(
      ids.map(async (self) => {
        const network = await openNetwork(
          {
            self,
            identity: this.identity(self),
            listen: { host: '127.0.0.1', port: this.port(self) },
            members: this.members,
            limits: this.#limits,
          },
          {
            environment: realEnvironment(this.lines),
            createNode: async (options, dependencies) => {
              const node = await createPeersLibp2p(options, dependencies);
              this.#nodes.set(self, node);
              return node;
            },
          },
        );
        this.#networks.set(self, network);
      }),
    );
  }

  network(id: NodeId): PeersNetwork {
    const network = this.#networks.get(id);
    if (network === undefined) throw new Error(`${id} is not open`);
    return network;
  }

  /** What is under a member's network, to do to it what libp2p may do to itself. */
  node(id: NodeId): PeersLibp2p {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new Error(`${id} was never open`);
    return node;
  }

  async close(id: NodeId): Promise<void> {
    const network = this.network(id);
    this.#networks.delete(id);
    await network.close();
  }

  /** Waits until all that are open reach each other. */
  async connected(withinMs = 10_000): Promise<void> {
    const open = [...this.#networks.values()];
    const complete = () =>
      open.every((network) => open.every(({ self }) => self === network.self || network.reachable(self)));
    await eventually(complete, { withinMs, what: 'all open members reach each other' });
  }

  async destroy(): Promise<void> {
    await Promise.all([...this.#networks.keys()].map((id) => this.close(id)));
  }
}
