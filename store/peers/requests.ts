/**
 * Questions and answers on top of frames. Owns what is waiting for an answer and what is being answered, per
 * peer, and nothing of how frames travel.
 *
 * 1. Every request ends: by its answer, its time-out, or the end of the link, whichever comes first.
 * 2. An answer goes back over the link its question came by, or nowhere: correlations mean nothing elsewhere.
 * 3. Per peer, both the requests that wait and the handlers that run are bounded.
 */
import type { Cancel, Clock, Log, NodeId } from '../environment.ts';
import { encodeFrame, type Frame } from './frame.ts';
import { RequestError, type RequestFailure } from './port.ts';

export type RequestHandler = (from: NodeId, payload: Uint8Array) => Promise<Uint8Array>;

/** Queues an encoded frame for the peer at hand; false when it does not fit. */
export type Offer = (frame: Buffer, options?: { readonly mustFit: boolean }) => boolean;

export interface RequestLimits {
  /** Requests to one peer that may wait for an answer. */
  readonly pendingMax: number;
  /** Handlers that may run for one peer at a time. */
  readonly runningMax: number;
}

interface Pending {
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: RequestError) => void;
  readonly cancelTimeout: Cancel;
}

/** What an answerer can say instead of an answer, and how it is written: `[code: 1][detail: UTF-8]`. */
const failureCodes = ['OVERLOADED', 'NO_HANDLER', 'REMOTE_ERROR'] as const satisfies RequestFailure[];
type AnsweredFailure = (typeof failureCodes)[number];

const correlationMax = 0xffff_ffff;
const detailCharactersMax = 500;

export class Requests {
  readonly #limits: RequestLimits;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #handlers = new Map<string, RequestHandler>();
  readonly #pending = new Map<NodeId, Map<number, Pending>>();
  readonly #running = new Map<NodeId, number>();
  #correlation = 0;

  constructor(
    options: { readonly limits: RequestLimits },
    dependencies: { readonly clock: Clock; readonly log: Log },
  ) {
    this.#limits = options.limits;
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
  }

  /** Registers the one handler of `channel`. */
  handle(channel: string, handler: RequestHandler): Cancel {
    if (this.#handlers.has(channel)) throw new Error(`channel ${channel} already has its request handler`);
    this.#handlers.set(channel, handler);
    return () => {
      if (this.#handlers.get(channel) === handler) this.#handlers.delete(channel);
    };
  }

  /** Asks `to`. Rejects with RequestError. */
  ask(
    to: NodeId,
    question: { readonly channel: string; readonly payload: Uint8Array; readonly timeoutMs: number },
    offer: Offer,
  ): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const pending = this.#pendingOf(to);
      if (pending.size >= this.#limits.pendingMax) {
        reject(new RequestError('OVERLOADED', to, `${pending.size} requests are waiting already`));
        return;
      }
      this.#correlation = this.#correlation === correlationMax ? 1 : this.#correlation + 1;
      const correlation = this.#correlation;
      const { channel, payload, timeoutMs } = question;
      if (!offer(encodeFrame({ kind: 'request', channel, correlation, payload }))) {
        reject(new RequestError('OVERLOADED', to, 'the queue to it is full'));
        return;
      }
      const cancelTimeout = this.#clock.after(timeoutMs, () => {
        pending.delete(correlation);
        reject(new RequestError('TIMEOUT', to, `${channel}, ${timeoutMs} ms`));
      });
      pending.set(correlation, { resolve, reject, cancelTimeout });
    });
  }

  /** The link to `peer` is gone: no answer will come. */
  fail(peer: NodeId): void {
    const pending = this.#pendingOf(peer);
    for (const { reject, cancelTimeout } of [...pending.values()]) {
      cancelTimeout();
      reject(new RequestError('UNREACHABLE', peer, 'the link ended'));
    }
    this.#pending.delete(peer);
  }

  /** Takes a frame of kind request, response or failure; answers go to `offer`. Never throws. */
  receive(from: NodeId, frame: Frame, offer: Offer): void {
    if (frame.kind === 'request') {
      void this.#answer(from, frame, offer);
      return;
    }
    const pending = this.#pendingOf(from);
    const asked = pending.get(frame.correlation);
    // Too late: it has timed out.
    if (asked === undefined) return;
    pending.delete(frame.correlation);
    asked.cancelTimeout();
    if (frame.kind === 'response') asked.resolve(frame.payload);
    else asked.reject(readFailure(from, frame.payload));
  }

  async #answer(from: NodeId, { channel, correlation, payload }: Frame, offer: Offer): Promise<void> {
    const refuse = (code: AnsweredFailure, detail: string): void => {
      offer(encodeFrame({ kind: 'failure', channel: '', correlation, payload: writeFailure(code, detail) }), {
        mustFit: true,
      });
    };
    const handler = this.#handlers.get(channel);
    if (handler === undefined) {
      refuse('NO_HANDLER', channel);
      return;
    }
    const running = this.#running.get(from) ?? 0;
    if (running >= this.#limits.runningMax) {
      refuse('OVERLOADED', `${running} requests are being answered already`);
      return;
    }
    this.#running.set(from, running + 1);
    try {
      const answer = await handler(from, payload);
      if (!offer(encodeFrame({ kind: 'response', channel: '', correlation, payload: answer }))) {
        refuse('OVERLOADED', 'the answer does not fit the queue');
      }
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      this.#log.warn({ peer: from, channel, detail }, 'a request handler failed');
      refuse('REMOTE_ERROR', detail);
    } finally {
      const left = (this.#running.get(from) ?? 1) - 1;
      if (left === 0) this.#running.delete(from);
      else this.#running.set(from, left);
    }
  }

  #pendingOf(peer: NodeId): Map<number, Pending> {
    let pending = this.#pending.get(peer);
    if (pending === undefined) {
      pending = new Map();
      this.#pending.set(peer, pending);
    }
    return pending;
  }
}

function writeFailure(code: AnsweredFailure, detail: string): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(failureCodes.indexOf(code)),
    Buffer.from(detail.slice(0, detailCharactersMax)),
  ]);
}

function readFailure(from: NodeId, payload: Uint8Array): RequestError {
  const code = failureCodes[payload[0] ?? -1] ?? 'REMOTE_ERROR';
  return new RequestError(code, from, Buffer.from(payload.subarray(1)).toString());
}
