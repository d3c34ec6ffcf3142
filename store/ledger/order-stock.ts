import type { OrderStock } from './port.ts';
import type { OrderRecord, StockState } from './stock-state.ts';

/**
 * What the ledger keeps of single orders, for who compares it with other books. Reads only: nothing expires and nothing is
 * forgotten by being looked at, so a hold that is over may still stand here until a command meets it.
 */
export function orderStock({ orderId, lines, state }: OrderRecord): OrderStock {
  switch (state.kind) {
    case 'held':
      return { orderId, kind: 'held', expiresAt: state.expiresAt, lines };
    case 'committed':
      return { orderId, kind: 'committed', counted: state.counted, lines };
    default:
      return { orderId, kind: state.kind, lines };
  }
}

/** The orders whose units stand in `held` or `sold` of any product. */
export function promises({ orders, unapplied, expiries }: StockState): readonly OrderStock[] {
  const holders = [...unapplied, ...expiries.members().map(({ orderId }) => orderId)];
  return holders.flatMap((orderId) => {
    const record = orders.get(orderId);
    return record === undefined ? [] : [orderStock(record)];
  });
}
