import type { Socket } from 'node:net';
import type { LinkState } from './link-faults.ts';

/**
 * One direction of one proxied connection: what the source says reaches the sink, in order, unless the link is
 * cut or slow. Owns the bytes on their way; the sockets belong to the connection.
 *
 * W1  The sink gets what the source said, in order, with nothing left out: bytes, then how it ended.
 * W2  While the link is cut nothing passes, not even the end of the connection: a pulled cable closes no socket.
 *     What waits is delivered when the link is whole again, as TCP would by repeating it.
 * W3  At most `bytesMax` wait, and what one read adds; beyond that the source is not read, and its sender has to wait.
 */

interface Item {
  readonly what: Buffer | 'end' | 'reset';
  readonly dueAt: number;
}

export interface FaultyPipeOptions {
  readonly bytesMax: number;
}

export interface FaultyPipeDependencies {
  readonly source: Socket;
  readonly link: () => LinkState;
}

export class FaultyPipe {
  readonly #bytesMax: number;
  readonly #source: Socket;
  readonly #link: () => LinkState;
  #sink: Socket | undefined;
  #queue: Item[] = [];
  #queuedBytes = 0;
  #sourceEnded = false;
  #sinkIsFull = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FaultyPipeOptions, dependencies: FaultyPipeDependencies) {
    this.#bytesMax = options.bytesMax;
    this.#source = dependencies.source;
    this.#link = dependencies.link;
    this.#source.on('data', (bytes: Buffer) => {
      this.#offer(bytes);
      if (this.#queuedBytes > this.#bytesMax) this.#source.pause();
    });
    this.#source.on('end', () => {
      this.#sourceEnded = true;
      this.#offer('end');
    });
    this.#source.on('close', (broken) => {
      if (broken || !this.#sourceEnded) this.#offer('reset');
    });
  }

  /** From now on what waits can be delivered. */
  attach(sink: Socket): void {
    this.#sink = sink;
    sink.on('drain', () => {
      this.#sinkIsFull = false;
      this.deliver();
    });
    sink.on('close', () => {
      this.drop();
    });
    this.deliver();
  }

  /** Delivers what is due. To be called when the state of the link has changed. */
  deliver(): void {
    clearTimeout(this.#timer);
    for (;;) {
      const [next] = this.#queue;
      if (next === undefined || this.#sink === undefined || this.#sinkIsFull || this.#link().cut) break;
      const waitMs = next.dueAt - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.deliver();
        }, waitMs);
        break;
      }
      this.#queue.shift();
      this.#pass(next, this.#sink);
    }
    if (this.#queuedBytes <= this.#bytesMax && this.#source.isPaused()) this.#source.resume();
  }

  /** Nobody is there to get it any more. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#queue = [];
    this.#queuedBytes = 0;
    if (this.#source.isPaused()) this.#source.resume();
  }

  #offer(what: Item['what']): void {
    if (this.#sink?.destroyed === true) return;
    this.#queue.push({ what, dueAt: performance.now() + this.#link().delayMs });
    if (typeof what !== 'string') this.#queuedBytes += what.length;
    this.deliver();
  }

  #pass({ what }: Item, sink: Socket): void {
    if (what === 'end') sink.end();
    else if (what === 'reset') sink.resetAndDestroy();
    else {
      this.#queuedBytes -= what.length;
      this.#sinkIsFull = !sink.write(what);
    }
  }
}
