import type { SandboxEvent } from './events.ts';
import type { Faults, Strike } from './faults.ts';
import { signatureOf } from './signature.ts';

/**
 * Events on their way to the shop: what is sent when, how it is signed, and when it is tried again. Pure: takes time
 * as a value, and leaves the sending to whoever has a network.
 *
 *   E1  An event that no fault lost is sent until it is accepted, or `attemptsMax` times; the waits between double.
 *   E2  A bad signature is on the first attempt only. As long as the shop refuses it, the event still arrives.
 *   E3  At most `capacity` deliveries wait; the one that waits longest for its turn makes room, and is counted.
 */
export interface Delivery {
  readonly event: SandboxEvent;
  /** From 1. */
  readonly attempt: number;
  readonly body: string;
  readonly signature: string;
}

export interface OutboxOptions {
  readonly secret: string;
  readonly attemptsMax?: number;
  /** After the first attempt; then twice as long each time. */
  readonly retryMs?: number;
  readonly retryMsMax?: number;
  /** Deliveries that wait. */
  readonly capacity?: number;
}

export interface OutboxReport {
  readonly waiting: number;
  readonly accepted: number;
  /** Given up after the last attempt, or to make room. */
  readonly givenUp: number;
}

interface Waiting {
  readonly event: SandboxEvent;
  readonly dueAt: number;
  readonly attempt: number;
  readonly badlySigned: Strike<'badlySigned'>['how'] | undefined;
}

const usual = { attemptsMax: 12, retryMs: 500, retryMsMax: 60_000, capacity: 20_000 };
/** Old events that may be sent again. */
const rememberedMax = 500;
/** How far behind the event that overtook it an event is sent. */
const overtakenByMs = 50;
const staleByMs = 3_600_000;

export class Outbox {
  readonly #options: Required<OutboxOptions>;
  readonly #faults: Faults;
  /** By when they are due. */
  readonly #waiting: Waiting[] = [];
  /** Held back until the next event about the same payment. */
  readonly #heldBack = new Map<string, Waiting>();
  readonly #remembered: SandboxEvent[] = [];
  #accepted = 0;
  #givenUp = 0;

  constructor(options: OutboxOptions, dependencies: { readonly faults: Faults }) {
    this.#options = { ...usual, ...options };
    this.#faults = dependencies.faults;
  }

  /** `event.at` is when it happened, which is when it sets out. */
  add(event: SandboxEvent): void {
    const { at } = event;
    const misfortunes = this.#faults.at(at);
    const overtaken = this.#heldBack.get(event.intentId);
    if (overtaken !== undefined) {
      this.#heldBack.delete(event.intentId);
      this.#waiting.splice(this.#waiting.indexOf(overtaken), 1);
    }
    const replayed = misfortunes.strike('replayed', 'webhook', () => this.#remembered.length > 0);
    if (replayed !== undefined) {
      const old = this.#remembered[Math.floor(replayed.luck * this.#remembered.length)];
      if (old !== undefined) this.#wait({ event: old, dueAt: at, attempt: 1, badlySigned: undefined });
    }
    this.#remembered.push(event);
    if (this.#remembered.length > rememberedMax) this.#remembered.shift();

    if (misfortunes.strike('dropped', 'webhook') === undefined) {
      const lateMs = misfortunes.strike('late', 'webhook')?.delayMs ?? 0;
      const badlySigned = misfortunes.strike('badlySigned', 'webhook')?.how;
      const first: Waiting = { event, dueAt: at + lateMs, attempt: 1, badlySigned };
      const heldBack = overtaken === undefined ? misfortunes.strike('reordered', 'webhook') : undefined;
      if (heldBack !== undefined) {
        const held = { ...first, dueAt: first.dueAt + heldBack.withinMs };
        this.#wait(held);
        this.#heldBack.set(event.intentId, held);
      } else {
        this.#wait(first);
      }
      const { copies = 0, afterMs = 0 } = misfortunes.strike('duplicated', 'webhook') ?? {};
      for (let copy = 1; copy <= copies; copy += 1) {
        this.#wait({ event, dueAt: first.dueAt + copy * afterMs, attempt: 1, badlySigned: undefined });
      }
    }
    if (overtaken !== undefined) this.#wait({ ...overtaken, dueAt: at + overtakenByMs });
  }

  /** When the next one is due, ms. */
  nextAt(): number | undefined {
    return this.#waiting[0]?.dueAt;
  }

  /** What is due at `at`, at most `most`, signed. Each is to be given back to `settled`. */
  take(at: number, most: number): readonly Delivery[] {
    const due: Delivery[] = [];
    while (due.length < most) {
      const first = this.#waiting[0];
      if (first === undefined || first.dueAt > at) break;
      this.#waiting.shift();
      this.#noLongerHeldBack(first);
      this.#faults.arrived('webhook');
      due.push({ event: first.event, attempt: first.attempt, ...this.#signed(at, first) });
    }
    return due;
  }

  /** The shop answered 2xx, or it did not. */
  settled(at: number, { event, attempt }: Delivery, isAccepted: boolean): void {
    const { attemptsMax, retryMs, retryMsMax } = this.#options;
    if (isAccepted) this.#accepted += 1;
    else if (attempt >= attemptsMax) this.#givenUp += 1;
    else {
      const dueAt = at + Math.min(retryMs * 2 ** (attempt - 1), retryMsMax);
      this.#wait({ event, dueAt, attempt: attempt + 1, badlySigned: undefined });
    }
  }

  report(): OutboxReport {
    return { waiting: this.#waiting.length, accepted: this.#accepted, givenUp: this.#givenUp };
  }

  #signed(
    at: number,
    { event, badlySigned }: Waiting,
  ): { readonly body: string; readonly signature: string } {
    const { body } = event;
    const { secret } = this.#options;
    switch (badlySigned) {
      case undefined:
        return { body, signature: signatureOf(body, { secret, at }) };
      case 'otherSecret':
        return { body, signature: signatureOf(body, { secret: `not-${secret}`, at }) };
      case 'staleTime':
        return { body, signature: signatureOf(body, { secret, at: at - staleByMs }) };
      case 'alteredBody':
        return {
          body: body.replace('"livemode":false', '"livemode":true'),
          signature: signatureOf(body, { secret, at }),
        };
    }
  }

  #noLongerHeldBack(waiting: Waiting): void {
    const { intentId } = waiting.event;
    if (this.#heldBack.get(intentId) === waiting) this.#heldBack.delete(intentId);
  }

  #wait(waiting: Waiting): void {
    if (this.#waiting.length >= this.#options.capacity) {
      const last = this.#waiting.pop();
      if (last !== undefined) this.#noLongerHeldBack(last);
      this.#givenUp += 1;
    }
    let low = 0;
    let high = this.#waiting.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#waiting[middle]?.dueAt ?? 0) <= waiting.dueAt) low = middle + 1;
      else high = middle;
    }
    this.#waiting.splice(low, 0, waiting);
  }
}
