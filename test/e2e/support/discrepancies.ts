import type { Order } from '../../../node/orders/order.ts';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { TestProduct } from './catalog.ts';
import { nothing } from './sandbox-books.ts';
import type { OrderStatement } from './sandbox-books.ts';

/**
 * Where two accounts of the same events differ: the orders as the nodes tell them, against the payment provider,
 * the ledger's stock, and the shop's own database. Pure; each answers with one line per difference.
 */

export function unitsSold(orders: readonly Order[]): ReadonlyMap<string, number> {
  const sold = new Map<string, number>();
  for (const order of orders)
    if (order.outcome === 'fulfilled')
      for (const { sku, quantity } of order.lines) sold.set(sku, (sold.get(sku) ?? 0) + quantity);
  return sold;
}

/** The provider kept the total of each fulfilled order, in one payment, and nothing of any other; no money stays blocked. */
export function moneyDiscrepancies(
  orders: readonly Order[],
  statements: ReadonlyMap<string, OrderStatement>,
): readonly string[] {
  const known = new Set(orders.map(({ id }) => id));
  return [
    ...orders.flatMap(({ id, outcome, total }) => {
      const { kept, timesCaptured, stillAuthorized, unsettled } = statements.get(id) ?? nothing;
      const due = outcome === 'fulfilled' ? total : 0;
      if (kept === due && stillAuthorized + unsettled === 0 && (due === 0 || timesCaptured === 1)) return [];
      return [
        `${id} (${outcome ?? 'open'}): ${String(due)} due, ${String(kept)} kept in ${String(timesCaptured)} captures, ` +
          `${String(stillAuthorized)} still authorized, ${String(unsettled)} not settled`,
      ];
    }),
    ...[...statements.keys()].filter((name) => !known.has(name)).map((name) => `${name}: paid by nobody`),
  ];
}

/** The ledger as one node shows it adds up, holds nothing for orders that ended, and has sold what was fulfilled. */
export function stockDiscrepancies(
  products: readonly TestProduct[],
  orders: readonly Order[],
  stock: readonly StockLevel[],
): readonly string[] {
  const sold = unitsSold(orders);
  const levels = new Map(stock.map((level) => [level.sku, level]));
  const unknown = stock.filter(({ sku }) => !products.some((product) => product.sku === sku));
  return [
    ...unknown.map(({ sku }) => `${sku}: sold by nobody`),
    ...products.flatMap(({ sku, onHand: opening }) => {
      const level = levels.get(sku);
      if (level === undefined) return [`${sku}: missing`];
      const { available, held, onHand } = level;
      const differences: string[] = [];
      if (available + held + level.sold !== onHand) differences.push('does not add up');
      if (held !== 0) differences.push('units held for nobody');
      const left = opening - (sold.get(sku) ?? 0);
      if (available !== left) differences.push(`${String(left)} should be left`);
      return differences.map((difference) => `${sku}: ${difference} ${JSON.stringify(level)}`);
    }),
  ];
}

export interface ShopRecords {
  readonly orders: readonly { readonly order_id: string; readonly outcome: string }[];
  readonly inventory: readonly { readonly sku: string; readonly on_hand: number }[];
}

/** The system of record holds exactly `orders`, each once, and its inventory fell by exactly what was fulfilled. */
export function recordDiscrepancies(
  products: readonly TestProduct[],
  orders: readonly Order[],
  records: ShopRecords,
): readonly string[] {
  const outcomes = new Map(orders.map(({ id, outcome }) => [id, outcome]));
  const rows = new Map(records.orders.map((row) => [row.order_id, row.outcome]));
  const sold = unitsSold(orders);
  const onHand = new Map(records.inventory.map((row) => [row.sku, row.on_hand]));
  return [
    ...(rows.size === records.orders.length ? [] : ['an order is there twice']),
    ...[...outcomes].flatMap(([id, outcome]) =>
      rows.get(id) === outcome ? [] : [`${id}: ${outcome ?? 'open'}, but ${rows.get(id) ?? 'missing'} there`],
    ),
    ...[...rows.keys()].filter((id) => !outcomes.has(id)).map((id) => `${id}: only there`),
    ...products.flatMap(({ sku, onHand: opening }) => {
      const left = opening - (sold.get(sku) ?? 0);
      return onHand.get(sku) === left
        ? []
        : [`${sku}: ${String(left)} left, but ${String(onHand.get(sku) ?? 'none')} there`];
    }),
  ];
}
