import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

/**
 * Stands between a client and PostgreSQL and does what networks do: cuts the line at a chosen message, answers
 * nobody any more (as a stopped database does, without a reset), or refuses connections.
 */
export type Cut =
  /** The message never arrives. */
  | { readonly at: number; readonly when: 'before' }
  /** The message arrives and takes effect, but its answer is lost. */
  | { readonly at: number; readonly when: 'after' };

export class CuttingProxy {
  readonly #upstream: { readonly host: string; readonly port: number };
  readonly #path: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut: Cut | undefined;
  #heldAt: number | undefined;
  #release: () => void = () => undefined;
  #silent = false;
  #refusing = false;
  /** Client messages seen, the startup message included, since the last reset. */
  messages = 0;

  private constructor(url: string) {
    const { hostname, port, pathname } = new URL(url);
    this.#upstream = { host: hostname, port: Number(port) };
    this.#path = pathname;
    this.#server = createServer((client) => this.#accept(client));
  }

  static async start(url: string): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(url);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${(this.#server.address() as AddressInfo).port}${this.#path}`;
  }

  /** Counts messages from 1 again; the one with the number `at` is the last of its connection. */
  cutAt(cut: Cut | undefined): void {
    this.messages = 0;
    this.#cut = cut;
  }

  /** Counts messages from 1 again; the one with the number `at` waits, and all after it, until `release()`. */
  holdAt(at: number): void {
    this.messages = 0;
    this.#heldAt = at;
  }

  release(): void {
    this.#heldAt = undefined;
    this.#release();
  }

  /** Connections stay open and new ones are accepted, but nothing is passed on. */
  silence(silent: boolean): void {
    this.#silent = silent;
    // What went into the silence is lost: the streams are out of step.
    if (!silent) this.#destroyAll();
  }

  refuse(refusing: boolean): void {
    this.#refusing = refusing;
    if (refusing) this.#destroyAll();
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#destroyAll();
    await once(this.#server, 'close');
  }

  #accept(client: Socket): void {
    this.#track(client);
    if (this.#refusing) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect(this.#upstream);
    this.#track(upstream);
    client.once('close', () => upstream.destroy());
    upstream.once('close', () => client.destroy());
    let answerIsLost = false;
    upstream.on('data', (chunk: Buffer) => {
      if (answerIsLost) client.destroy();
      else if (!this.#silent) client.write(chunk);
    });
    let buffer: Buffer = Buffer.alloc(0);
    let started = false;
    let holding = false;
    const pass = (): void => {
      while (!holding) {
        const lengthAt = started ? 1 : 0;
        if (buffer.length < lengthAt + 4) return;
        const length = lengthAt + buffer.readInt32BE(lengthAt);
        if (buffer.length < length) return;
        const message = buffer.subarray(0, length);
        buffer = buffer.subarray(length);
        const type = started ? String.fromCharCode(message[0] ?? 0) : 'startup';
        started = true;
        this.messages += 1;
        if (this.messages === this.#heldAt) {
          holding = true;
          this.#release = () => {
            upstream.write(message);
            holding = false;
            pass();
          };
          return;
        }
        const cut = this.#cut;
        if (cut === undefined || this.messages !== cut.at) {
          upstream.write(message);
        } else if (cut.when === 'before') {
          client.resetAndDestroy();
          upstream.resetAndDestroy();
          return;
        } else {
          upstream.write(message);
          // Only these are answered at once; after the others the line is cut when they are on their way.
          if (type === 'Q' || type === 'S' || type === 'startup') answerIsLost = true;
          else upstream.end(() => client.destroy());
          return;
        }
      }
    };
    client.on('data', (chunk: Buffer) => {
      if (this.#silent) return;
      buffer = Buffer.concat([buffer, chunk]);
      pass();
    });
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  #destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
