import type { FoldedOrder } from '../orders/fold.ts';
import type { JournalBook, JournalOrder } from '../ports/books.ts';
import type { OrderViews } from './order-views.ts';

/** The journal as the drift report reads it: the orders of this node, newest first. */
export interface JournalBookDependencies {
  readonly views: Pick<OrderViews, 'page' | 'get'>;
  readonly horizon: () => number;
  /** Resolves with true once everything is known here that a majority holds. */
  readonly catchUp: () => Promise<boolean>;
}

export function createJournalBook({ views, horizon, catchUp }: JournalBookDependencies): JournalBook {
  return {
    horizon,
    catchUp,
    async page({ createdFrom, after, limit }) {
      const page = await views.page({ limit, ...(after === undefined ? {} : { after }) });
      const rows = page.orders.map(entryOf).filter(({ createdAt }) => createdAt >= createdFrom);
      // Newest first: who is too old has none behind him that is not.
      const isLast = page.next === undefined || rows.length < page.orders.length;
      return isLast ? { rows } : { rows, next: page.next };
    },
    async byIds(orderIds) {
      const found = await Promise.all(orderIds.map((orderId) => views.get(orderId)));
      return found.flatMap((folded) => (folded === undefined ? [] : [entryOf(folded)]));
    },
  };
}

function entryOf(folded: FoldedOrder): JournalOrder {
  const { order, open } = folded;
  const { intent } = order.payment;
  return {
    orderId: order.id,
    createdAt: order.createdAt,
    changedAt: order.updatedAt,
    ...(order.outcome === undefined ? {} : { outcome: order.outcome }),
    settled: order.outcome !== undefined && !open,
    currency: order.currency,
    total: order.total,
    lines: order.lines,
    ...(intent === undefined ? {} : { intent }),
    delivery: deliveryOf(folded),
  };
}

function deliveryOf({ order, parked }: FoldedOrder): JournalOrder['delivery'] {
  if (order.state === 'synced') return 'delivered';
  if (order.state === 'discarded') return 'discarded';
  return parked === undefined ? 'waiting' : 'parked';
}
