/**
 * One connection to one peer while it lasts: a stream per lane and direction, and the sign of life. Owns its
 * connection; knows nothing of requests, and does not come back once it is down.
 *
 * 1. All or nothing: when any of its streams or the connection ends, the link is down and the rest is closed.
 * 2. `onUp` is told at most once, `onDown` exactly once, and no frame is handed over after `onDown`.
 * 3. Frames are accepted from the start and wait for their stream, so a frame that arrives can be answered.
 * 4. Silence is counted in ticks of the own event loop, not in time: after a stall of this process the tick
 *    comes before the bytes that waited in the socket, and one late tick must not condemn a healthy peer.
 */
import type { Connection, Stream } from '@libp2p/interface';
import type { NodeId } from '../environment.ts';
import { encodeFrame, FrameDecoder, frameOverheadBytesMax, type Frame } from './frame.ts';
import { OutboundLane } from './outbound-lane.ts';
import type { Lane } from './port.ts';

export const lanes: readonly Lane[] = ['fast', 'bulk'];

/** Each direction of each lane is a stream of its own, opened by the side that sends. */
export function protocolOf(lane: Lane): string {
  return `/freehold/${lane}/1`;
}

export interface LaneLimits {
  /** The largest payload. */
  readonly payloadBytesMax: number;
  /** Encoded frames that may wait for one peer. */
  readonly queueBytesMax: number;
}

export interface LinkLimits {
  readonly lanes: Readonly<Record<Lane, LaneLimits>>;
  /** Ticks without a byte from the peer after which it counts as dead. */
  readonly silentTicksMax: number;
  /** How long a stream may take to open. */
  readonly openTimeoutMs: number;
}

export interface LinkObserver {
  onUp(): void;
  /** `wasUp`: whether `onUp` was told before. */
  onDown(reason: string, wasUp: boolean): void;
  /** What it throws brings the link down. */
  onFrame(lane: Lane, frame: Frame): void;
}

type State = 'opening' | 'up' | 'down';

const heartbeat = encodeFrame({ kind: 'heartbeat', channel: '', correlation: 0, payload: new Uint8Array() });

export class Link {
  readonly peer: NodeId;
  readonly connection: Connection;
  readonly #limits: LinkLimits;
  readonly #observer: LinkObserver;
  readonly #outbound: Readonly<Record<Lane, OutboundLane>>;
  #state: State = 'opening';
  #silentTicks = 0;
  #writtenAtLastTick = 0;

  constructor(
    options: { readonly peer: NodeId; readonly limits: LinkLimits },
    dependencies: { readonly connection: Connection; readonly observer: LinkObserver },
  ) {
    this.peer = options.peer;
    this.#limits = options.limits;
    this.connection = dependencies.connection;
    this.#observer = dependencies.observer;
    const laneOf = (lane: Lane): OutboundLane =>
      new OutboundLane(options.limits.lanes[lane], {
        onBroken: (reason) => {
          this.close(reason);
        },
      });
    this.#outbound = { fast: laneOf('fast'), bulk: laneOf('bulk') };
  }

  /** Opens the sending streams. The link comes up when the peer has opened one of its own. */
  open(): void {
    this.connection.addEventListener('close', () => {
      this.close('the connection ended');
    });
    for (const lane of lanes) void this.#openStream(lane);
  }

  /** Takes a stream that the peer opened. */
  accept(lane: Lane, stream: Stream): void {
    if (this.#state === 'down') {
      stream.abort(new Error('the link is down'));
      return;
    }
    const { payloadBytesMax } = this.#limits.lanes[lane];
    const decoder = new FrameDecoder({ frameBytesMax: payloadBytesMax + frameOverheadBytesMax });
    const receive = (frame: Frame): void => {
      if (this.#state !== 'down' && frame.kind !== 'heartbeat') this.#observer.onFrame(lane, frame);
    };
    this.#closeWith(stream);
    // What a listener throws here would end the process, so nothing may leave it.
    stream.addEventListener('message', ({ data }) => {
      if (this.#state === 'down') return;
      this.#silentTicks = 0;
      try {
        if (data instanceof Uint8Array) decoder.push(data, receive);
        else for (const piece of data) decoder.push(piece, receive);
      } catch (error) {
        this.close(String(error));
      }
    });
    if (this.#state === 'opening') {
      this.#state = 'up';
      this.#observer.onUp();
    }
  }

  get up(): boolean {
    return this.#state === 'up';
  }

  queuedBytes(lane: Lane): number {
    return this.#outbound[lane].queuedBytes;
  }

  /** Queues one encoded frame. False when the lane's queue is full or the link is down. */
  offer(lane: Lane, frame: Buffer, options?: { readonly mustFit: boolean }): boolean {
    return this.#state !== 'down' && this.#outbound[lane].offer(frame, options);
  }

  /** To be called at a steady pace: sends a sign of life when nothing else does, and judges the peer's. */
  tick(): void {
    if (this.#state === 'down') return;
    this.#silentTicks++;
    if (this.#silentTicks > this.#limits.silentTicksMax) {
      this.close('the peer has fallen silent');
      return;
    }
    const fast = this.#outbound.fast;
    // Not while frames wait: the stream is saturated, and heartbeats would pile up behind them.
    if (fast.written === this.#writtenAtLastTick && fast.queuedBytes === 0) {
      fast.offer(heartbeat, { mustFit: true });
    }
    this.#writtenAtLastTick = fast.written;
  }

  /** Writes what is queued as far as the streams take it, before a friendly end. */
  flush(): void {
    for (const lane of lanes) this.#outbound[lane].flush();
  }

  /** Ends the link at once. */
  close(reason: string): void {
    if (this.#state === 'down') return;
    const wasUp = this.#state === 'up';
    this.#state = 'down';
    for (const lane of lanes) this.#outbound[lane].close();
    try {
      this.connection.abort(new Error(reason));
    } catch {
      // It was already gone.
    }
    this.#observer.onDown(reason, wasUp);
  }

  async #openStream(lane: Lane): Promise<void> {
    try {
      const stream = await this.connection.newStream(protocolOf(lane), {
        signal: AbortSignal.timeout(this.#limits.openTimeoutMs),
      });
      this.#closeWith(stream);
      if (this.#state === 'down') stream.abort(new Error('the link is down'));
      else this.#outbound[lane].attach(stream);
    } catch (error) {
      this.close(`cannot open the ${lane} stream: ${String(error)}`);
    }
  }

  #closeWith(stream: Stream): void {
    const end = (): void => {
      this.close('a stream ended');
    };
    stream.addEventListener('close', end);
    stream.addEventListener('remoteCloseWrite', end);
  }
}
