import type { Clock } from '../../store/environment.ts';
import type { Durability, Journal, Position } from '../../store/journal/port.ts';
import type { EventHeader, OrderEvent, OrderFact } from '../orders/events.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import type { Decision } from '../ports/functions.ts';
import type { Views } from './ports.ts';

/** Writes facts about orders: to the journal, and at once into this node's views. */

export interface OrderLogDependencies {
  readonly clock: Clock;
  readonly journal: Pick<Journal, 'append'>;
  readonly views: Pick<Views, 'record'>;
  readonly encode: (event: OrderEvent) => Uint8Array;
}

/** Who decided a fact, and what it follows from. */
export interface Provenance {
  readonly decision?: Decision;
  readonly cause?: string;
}

interface Patience {
  /** How long a majority may take; the journal's own time unless given. */
  readonly timeoutMs?: number;
}

export class OrderLog {
  readonly #self: string;
  readonly #dependencies: OrderLogDependencies;

  constructor(options: { readonly self: string }, dependencies: OrderLogDependencies) {
    this.#self = options.self;
    this.#dependencies = dependencies;
  }

  /**
   * Resolves once `durability` holds; rejects with JournalError UNAVAILABLE when no majority answers in time.
   * Throws JournalError, with nothing recorded, when the journal takes no entries now.
   */
  append(
    folded: FoldedOrder,
    fact: OrderFact,
    durability: Durability,
    { timeoutMs, ...provenance }: Provenance & Patience = {},
  ): Promise<void> {
    const { order } = folded;
    return this.#write(this.#event(order, fact, provenance, order.registration), durability, timeoutMs);
  }

  /**
   * A fact about a registration that may not be the order's (`withdrawn`, `deferred`, the `takenOver` that settles).
   * It is dated later than `after` (ms), however slow this node's clock is.
   */
  appendTo(
    orderId: string,
    registration: string,
    fact: OrderFact,
    durability: Durability,
    after = 0,
  ): Promise<void> {
    const event = this.#event({ id: orderId }, fact, {}, registration);
    return this.#write({ ...event, at: Math.max(event.at, after + 1) }, durability);
  }

  header(
    order: { readonly id: string; readonly traceparent?: string },
    { decision, cause }: Provenance,
  ): EventHeader {
    return {
      orderId: order.id,
      at: this.#dependencies.clock.now(),
      node: this.#self,
      ...(decision === undefined ? {} : { function: decision.function, version: decision.version }),
      ...(cause === undefined ? {} : { cause }),
      ...(order.traceparent === undefined ? {} : { traceparent: order.traceparent }),
    };
  }

  #event(
    order: { readonly id: string; readonly traceparent?: string },
    fact: OrderFact,
    provenance: Provenance,
    registration: string,
  ): OrderEvent {
    return { ...this.header(order, provenance), registration, ...fact };
  }

  #write(event: OrderEvent, durability: Durability, timeoutMs?: number): Promise<void> {
    const { journal, views, encode } = this.#dependencies;
    const { position, durable } = journal.append(encode(event), {
      durability,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    views.record({ ...event, id: positionId(position) });
    return durable;
  }
}

export function positionId(position: Position): string {
  return `${position.origin}:${position.sequence}`;
}

/** The position that `positionId` wrote as `id`. */
export function positionOf(id: string): Position {
  const end = id.lastIndexOf(':');
  return { origin: id.slice(0, end), sequence: Number(id.slice(end + 1)) };
}
