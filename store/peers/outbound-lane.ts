/**
 * The sending end of one stream: a queue of encoded frames, bounded in bytes, written in as few and as large
 * pieces as they allow. Each write costs an encryption and a system call, and three nodes may share two cores.
 *
 * 1. Frames leave in the order in which they were offered, and none is left out.
 * 2. Nothing is handed to the stream while it is saturated: it would buffer without bound.
 * 3. What is offered in one turn of the event loop is written together, at the end of that turn.
 */
import type { Stream } from '@libp2p/interface';

/** Large enough to be cheap per byte, small enough to keep what is beyond recall in the stream short. */
const writeBytesMax = 256 * 1024;

export class OutboundLane {
  readonly #queueBytesMax: number;
  readonly #onBroken: (reason: string) => void;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #stream: Stream | undefined;
  #scheduled = false;
  #saturated = false;
  #closed = false;
  #written = 0;

  /** `onBroken` is told when the stream does not take what it must. */
  constructor(
    options: { readonly queueBytesMax: number },
    dependencies: { readonly onBroken: (reason: string) => void },
  ) {
    this.#queueBytesMax = options.queueBytesMax;
    this.#onBroken = dependencies.onBroken;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Frames queued so far in this lane's life. */
  get written(): number {
    return this.#written;
  }

  /** Before a stream is attached, frames wait for it. */
  attach(stream: Stream): void {
    this.#stream = stream;
    // Not `onDrain()`: from its second use on, the promise it gives has already been resolved.
    stream.addEventListener('drain', () => {
      this.#saturated = false;
      this.flush();
    });
    this.flush();
  }

  /**
   * Queues one encoded frame; false when it does not fit. `mustFit` is for frames whose number is bounded
   * elsewhere and which are small, such as heartbeats and refusals.
   */
  offer(frame: Buffer, options: { readonly mustFit: boolean } = { mustFit: false }): boolean {
    if (this.#closed) return false;
    if (!options.mustFit && this.#queuedBytes + frame.length > this.#queueBytesMax) return false;
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    this.#written++;
    if (!this.#scheduled && !this.#saturated && this.#stream !== undefined) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.flush();
      });
    }
    return true;
  }

  /** Writes what the stream takes now. */
  flush(): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    try {
      while (this.#queue.length > 0 && !this.#saturated && !this.#closed) {
        this.#saturated = !stream.send(this.#takePiece());
      }
    } catch (error) {
      this.#onBroken(`a stream refused to be written: ${String(error)}`);
    }
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  #takePiece(): Buffer {
    let bytes = 0;
    let count = 0;
    for (const frame of this.#queue) {
      if (count > 0 && bytes + frame.length > writeBytesMax) break;
      bytes += frame.length;
      count++;
    }
    const rest = this.#queue.splice(count);
    const piece = this.#queue;
    this.#queue = rest;
    this.#queuedBytes -= bytes;
    const only = piece.length === 1 ? piece[0] : undefined;
    return only ?? Buffer.concat(piece, bytes);
  }
}
