import { createConnection, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { FaultyPipe } from './faulty-pipe.ts';
import { worstOf } from './link-faults.ts';
import type { LinkFaults, LinkState } from './link-faults.ts';

/**
 * The cables between the nodes of a local cluster: what others take for a node's address is a port here, so that the
 * link between two nodes can be cut or slowed while both run. Owns the sockets in between. It passes bytes on; links
 * are encrypted end to end, and it could not read or forge one if it wanted to.
 *
 * X1  A link without a fault carries what it is given, and ends when either side ends it.
 * X2  Cutting closes nothing. Who connects over a cut link is neither refused nor answered until it is whole.
 * X3  What waits is bounded: bytes per connection (W3), connections per node.
 * X4  A connection whose dialer cannot be told has the faults of all nodes that it may be from.
 */

const pipeBytesMax = 4 * 1024 * 1024;
/** One per other node; the rest are attempts to connect, which give up after seconds. */
const connectionsPerNodeMax = 128;

export interface ProxiedNode {
  readonly name: string;
  /** Where the others look for it. */
  readonly peerPort: number;
  /** Where it listens. */
  readonly listenPort: number;
}

export interface PeerProxyOptions {
  readonly host: string;
  readonly nodes: readonly ProxiedNode[];
}

export interface PeerProxyDependencies {
  readonly faults: LinkFaults;
  /** The node that has connected from one port of this machine to another, if that can be found out. */
  readonly whoDialed: (fromPort: number, toPort: number) => string | undefined;
}

export class PeerProxy {
  readonly #host: string;
  readonly #nodes: ProxiedNode[] = [];
  readonly #dependencies: PeerProxyDependencies;
  readonly #servers: Server[] = [];
  readonly #connections = new Set<ProxiedConnection>();

  /** Listens for every node. Rejects when it cannot. */
  static async open(options: PeerProxyOptions, dependencies: PeerProxyDependencies): Promise<PeerProxy> {
    const proxy = new PeerProxy(options.host, dependencies);
    for (const node of options.nodes) await proxy.add(node);
    return proxy;
  }

  private constructor(host: string, dependencies: PeerProxyDependencies) {
    this.#host = host;
    this.#dependencies = dependencies;
  }

  /** Listens for one more node, unless it does already. Rejects when it cannot. */
  async add(node: ProxiedNode): Promise<void> {
    if (this.#nodes.some(({ name }) => name === node.name)) return;
    await this.#listen(node);
    this.#nodes.push(node);
  }

  /** To be called when the faults have changed. */
  update(): void {
    for (const connection of this.#connections) connection.update();
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const connection of this.#connections) connection.destroy();
  }

  async #listen(to: ProxiedNode): Promise<void> {
    const host = this.#host;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (dialer) => {
      const from = this.#mayHaveDialed(to, dialer);
      const { faults } = this.#dependencies;
      const connection = new ProxiedConnection({
        dialer,
        connect: () => createConnection({ host, port: to.listenPort, allowHalfOpen: true, noDelay: true }),
        there: () => worstOf(from.map((name) => faults.state(name, to.name))),
        back: () => worstOf(from.map((name) => faults.state(to.name, name))),
        onClose: () => this.#connections.delete(connection),
      });
      this.#connections.add(connection);
      connection.update();
    });
    server.maxConnections = connectionsPerNodeMax;
    this.#servers.push(server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port: to.peerPort }, resolve);
    });
  }

  #mayHaveDialed(to: ProxiedNode, { remotePort }: Socket): readonly string[] {
    const found =
      remotePort === undefined ? undefined : this.#dependencies.whoDialed(remotePort, to.peerPort);
    if (found !== undefined) return [found];
    return this.#nodes.map(({ name }) => name).filter((name) => name !== to.name);
  }
}

interface ProxiedConnectionDependencies {
  readonly dialer: Socket;
  /** Opens the second half, to the node that is meant. */
  readonly connect: () => Socket;
  readonly there: () => LinkState;
  readonly back: () => LinkState;
  readonly onClose: () => void;
}

/** A connection from its dialer to the node it wants, once the link carries both ways: a handshake needs both. */
class ProxiedConnection {
  readonly #dependencies: ProxiedConnectionDependencies;
  readonly #there: FaultyPipe;
  #back: FaultyPipe | undefined;
  #accepter: Socket | undefined;

  constructor(dependencies: ProxiedConnectionDependencies) {
    const { dialer, there } = dependencies;
    this.#dependencies = dependencies;
    // How a socket ended is told by `close`, which follows.
    dialer.on('error', () => {});
    this.#there = new FaultyPipe({ bytesMax: pipeBytesMax }, { source: dialer, link: there });
    dialer.on('close', () => {
      this.#closeIfOver();
    });
    // Who gives up before anybody answered has met nobody.
    dialer.on('end', () => {
      if (this.#accepter === undefined) dialer.destroy();
    });
  }

  update(): void {
    const { dialer, connect, there, back } = this.#dependencies;
    if (this.#accepter === undefined) {
      if (there().cut || back().cut || dialer.destroyed) return;
      this.#accepter = connect();
      this.#accepter.on('error', () => {});
      this.#back = new FaultyPipe({ bytesMax: pipeBytesMax }, { source: this.#accepter, link: back });
      this.#accepter.on('close', () => {
        this.#closeIfOver();
      });
      this.#back.attach(dialer);
      this.#there.attach(this.#accepter);
    }
    this.#there.deliver();
    this.#back?.deliver();
  }

  destroy(): void {
    this.#there.drop();
    this.#back?.drop();
    this.#dependencies.dialer.destroy();
    this.#accepter?.destroy();
  }

  #closeIfOver(): void {
    if (this.#dependencies.dialer.destroyed && this.#accepter?.destroyed !== false) {
      this.#there.drop();
      this.#back?.drop();
      this.#dependencies.onClose();
    }
  }
}
