import { createConnection, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { FaultyPipe } from './faulty-pipe.ts';
import type { LinkFaults, LinkState } from './link-faults.ts';

/**
 * The cables between the nodes of a local cluster: each node reaches each other one through a port of its own
 * here, so that the link between two of them can be cut or slowed while both run. Owns the sockets in between.
 * It passes bytes on; links are encrypted end to end, and it could not read or forge one if it wanted to.
 *
 * X1  A link without a fault carries what it is given, and ends when either side ends it.
 * X2  Cutting closes nothing. Who connects over a cut link is neither refused nor answered until it is whole.
 * X3  What waits is bounded: bytes per connection (W3), connections per pair of nodes.
 */

const pipeBytesMax = 4 * 1024 * 1024;
/** A pair has one link; the others are attempts to connect, which give up after seconds. */
const connectionsPerPairMax = 64;

export interface ProxiedNode {
  readonly name: string;
  readonly peerPort: number;
}

export interface PeerProxyOptions {
  readonly host: string;
  readonly nodes: readonly ProxiedNode[];
}

export class PeerProxy {
  readonly #host: string;
  readonly #faults: LinkFaults;
  readonly #servers = new Map<string, Server>();
  readonly #connections = new Set<ProxiedConnection>();

  /** Listens for every pair. Rejects when it cannot. */
  static async open(
    options: PeerProxyOptions,
    dependencies: { readonly faults: LinkFaults },
  ): Promise<PeerProxy> {
    const proxy = new PeerProxy(options, dependencies);
    for (const from of options.nodes)
      for (const to of options.nodes) if (from !== to) await proxy.#listen(from, to);
    return proxy;
  }

  private constructor({ host }: PeerProxyOptions, { faults }: { readonly faults: LinkFaults }) {
    this.#host = host;
    this.#faults = faults;
  }

  /** `host:port` at which `from` reaches `to`. */
  addressOf(from: string, to: string): string {
    const { port } = this.#servers.get(`${from} ${to}`)?.address() as AddressInfo;
    return `${this.#host}:${String(port)}`;
  }

  /** To be called when the faults have changed. */
  update(): void {
    for (const connection of this.#connections) connection.update();
  }

  close(): void {
    for (const server of this.#servers.values()) server.close();
    for (const connection of this.#connections) connection.destroy();
  }

  async #listen(from: ProxiedNode, to: ProxiedNode): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (dialer) => {
      const connection = new ProxiedConnection({
        dialer,
        connect: () =>
          createConnection({ host: this.#host, port: to.peerPort, allowHalfOpen: true, noDelay: true }),
        there: () => this.#faults.state(from.name, to.name),
        back: () => this.#faults.state(to.name, from.name),
        onClose: () => this.#connections.delete(connection),
      });
      this.#connections.add(connection);
      connection.update();
    });
    server.maxConnections = connectionsPerPairMax;
    this.#servers.set(`${from.name} ${to.name}`, server);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: this.#host, port: 0 }, resolve);
    });
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
