import type { NextAction, Order, OrderLine } from '../../../node/orders/order.ts';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { Wish } from './buyers.ts';
import type { NodeName } from './cluster.ts';

/**
 * What was asked of the cluster and what it said, as its customers saw it. One process writes it down, so all its
 * times (`performance.now()`) are of one clock. An answer that never came is written down too: it may have taken
 * effect, at any time later.
 */

/** One request, from when it was sent to when its answer was there, or was no longer waited for. */
export interface Exchange {
  readonly node: NodeName;
  readonly invokedAt: number;
  readonly answeredAt: number;
  /** 0 when there was no answer. */
  readonly status: number;
  /** The problem's code, when the answer was one. */
  readonly code?: string;
}

/** What an answer said of an order. */
export type SeenOrder = Pick<Order, 'id' | 'state' | 'outcome' | 'total'> & {
  readonly lines: readonly Pick<OrderLine, 'sku' | 'quantity'>[];
  /** What the customer has to do. */
  readonly nextAction?: NextAction;
};

export interface OrderExchange extends Exchange {
  readonly order?: SeenOrder;
  /** `Idempotency-Replayed` was set. */
  readonly replayed?: boolean;
}

/** Everything that was done about one idempotency key. */
export interface PurchaseRecord {
  readonly orderId: string;
  readonly wish: Wish;
  /** The customer went away before they heard of an order. */
  left?: boolean;
  readonly attempts: OrderExchange[];
  readonly cancellations: OrderExchange[];
}

/** The order as somebody read it. */
export interface OrderRead extends OrderExchange {
  readonly orderId: string;
}

export interface StockRead extends Exchange {
  /** What the answer claims for itself. */
  readonly linearizable: boolean;
  readonly levels: readonly StockLevel[];
}

export class History {
  readonly purchases: PurchaseRecord[] = [];
  readonly orderReads: OrderRead[] = [];
  readonly stockReads: StockRead[] = [];
}

/** Every answer that says something of an order. */
export function sightings(history: History): readonly (OrderExchange & { readonly order: SeenOrder })[] {
  return [
    ...history.purchases.flatMap(({ attempts, cancellations }) => [...attempts, ...cancellations]),
    ...history.orderReads,
  ].filter((exchange) => exchange.order !== undefined) as (OrderExchange & { readonly order: SeenOrder })[];
}
