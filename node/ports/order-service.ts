import type { RecordedEvent } from '../orders/events.ts';
import type { Order, OrderRequest, OrderState } from '../orders/order.ts';
import type { Deadline } from './deadline.ts';
import type { PaymentMessage } from './payments.ts';

/** What a well-formed `POST /orders` asks for; its shape was checked by the HTTP schema. */
export interface PlaceOrder extends OrderRequest {
  /** Undefined: the order id is drawn at random. */
  readonly idempotencyKey?: string;
  readonly traceparent?: string;
  /**
   * Wait for the order to end, or for its customer to be needed, until this long after it was asked for; 0 answers once
   * it is durable.
   */
  readonly waitMs: number;
}

/** Every refusal of the order service. `http/problems.ts` maps codes to status and title. */
export type Refusal =
  | {
      readonly code:
        | 'UNKNOWN_SKU'
        | 'WRONG_CURRENCY'
        | 'INVALID_ORDER'
        /** No payment of nothing can be made. */
        | 'TOTAL_TOO_SMALL';
      readonly detail: string;
      readonly field: string;
    }
  /** A function refused with its own status (400–499), code and field. */
  | {
      readonly code: 'REFUSED_BY_FUNCTION';
      readonly status: number;
      readonly functionCode: string;
      readonly detail: string;
      readonly field: string;
    }
  | { readonly code: 'IDEMPOTENCY_KEY_REUSED'; readonly detail: string }
  | {
      readonly code:
        /** Nobody waits any more; nothing was begun, or what was begun is known when it is asked for again. */
        | 'DEADLINE_EXCEEDED'
        | 'QUORUM_UNAVAILABLE'
        | 'OVERLOADED'
        | 'PAYMENTS_UNAVAILABLE'
        | 'DRAINING'
        | 'NOT_A_MEMBER'
        | 'DISK_FULL'
        | 'CLOCK_BEHIND'
        | 'LEDGER_UNAVAILABLE'
        | 'CATALOG_UNAVAILABLE'
        | 'FUNCTION_FAILED';
      readonly detail: string;
      readonly retryAfterSeconds: number;
    }
  /** `ORDER_NOT_KEPT`: it may have ended so long ago that it is in the system of record only. */
  | { readonly code: 'ORDER_NOT_FOUND' | 'ORDER_NOT_KEPT'; readonly detail: string }
  | { readonly code: 'NOT_CANCELLABLE'; readonly detail: string; readonly state: OrderState };

/** `ignored`: it changes nothing; `unknown`: no order is known that it could be about. */
export type MessageTaken = 'kept' | 'repeated' | 'ignored' | 'unknown';

export type Answer<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly refusal: Refusal };

/** What is given a deadline stops waiting with it, and begins nothing that changes anything after it. */
export interface OrderService {
  /** An order that was accepted is driven to its end, and answered as accepted, whatever becomes of the deadline. */
  place(
    order: PlaceOrder,
    deadline?: Deadline,
  ): Promise<Answer<{ readonly order: Order; readonly replayed: boolean; readonly waited: boolean }>>;
  find(orderId: string): Promise<Order | undefined>;
  /** What to say of an order that is not known here. */
  absent(orderId: string): Extract<Refusal, { readonly code: 'ORDER_NOT_FOUND' | 'ORDER_NOT_KEPT' }>;
  /** Undefined when the order is unknown here. Sorted by time, then id. */
  events(orderId: string): Promise<readonly RecordedEvent[] | undefined>;
  /** Newest first. `after` is the `next` of the page before. */
  list(query: {
    readonly state?: OrderState;
    readonly after?: string;
    readonly limit: number;
  }): Promise<{ readonly orders: readonly Order[]; readonly next?: string }>;
  cancel(orderId: string, deadline?: Deadline): Promise<Answer<Order>>;
  /** A verified message of the payment provider. `ok` once nothing of it can be lost. */
  paymentChanged(message: PaymentMessage): Promise<Answer<MessageTaken>>;
}
