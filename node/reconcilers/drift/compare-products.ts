import type { OrderStock, StockLevel } from '../../../store/ledger/port.ts';
import type { InventoryBook } from '../../ports/books.ts';
import type { Difference } from '../../ports/drift.ts';
import { difference } from './differences.ts';

/**
 * The figures of products as ledger and system of record have them, and how they differ. Pure.
 *
 *   D6  opening + restocked + adjusted − on hand = applied sales, within the system of record.
 *   D7  The ledger's onHand is what the system of record had when it was last read. So it is what is there now, and the
 *       sales that were applied since.
 *   D8  The ledger's held and sold are what its orders add up to.
 */
export function compareInventory(books: readonly InventoryBook[]): readonly Difference[] {
  return books.flatMap(({ sku, onHand, opening, changed, sold }) => {
    if (opening + changed - onHand === sold) return [];
    const explained = `${opening} at the opening, ${signed(changed)} restocked and adjusted, ${onHand} on hand`;
    const systemOfRecord = `${explained}: ${opening + changed - onHand} gone, ${sold} sold`;
    return [difference('INVENTORY_UNEXPLAINED', { sku }, { systemOfRecord })];
  });
}

export interface LedgerPicture {
  readonly stocks: readonly StockLevel[];
  readonly promises: readonly OrderStock[];
}

export interface RecordPicture {
  readonly products: readonly { readonly sku: string; readonly onHand: number }[];
  /** Sales that are in `onHand`. */
  readonly applied: ReadonlySet<string>;
}

/** The ledger's picture is of just after the record's; a sync or a sale in between shows as a difference, for once. */
export function compareStocks(ledger: LedgerPicture, record: RecordPicture): readonly Difference[] {
  const onHand = new Map(record.products.map((product) => [product.sku, product.onHand]));
  const held = unitsBySku(ledger.promises.filter(({ kind }) => kind === 'held'));
  const sold = unitsBySku(ledger.promises.filter(({ kind }) => kind === 'committed'));
  const since = unitsBySku(
    ledger.promises.filter(({ kind, orderId }) => kind === 'committed' && record.applied.has(orderId)),
  );
  const known = new Set(ledger.stocks.map(({ sku }) => sku));
  return [
    ...ledger.stocks.flatMap((stock) => {
      const { sku } = stock;
      const found: Difference[] = [];
      const now = onHand.get(sku) ?? 0;
      const appliedSince = since.get(sku) ?? 0;
      if (stock.onHand !== now + appliedSince) {
        const systemOfRecord = `${now} on hand, ${appliedSince} applied since`;
        found.push(
          difference('STOCK_DIFFERS', { sku }, { ledger: `${stock.onHand} on hand`, systemOfRecord }),
        );
      }
      const [promisedHeld, promisedSold] = [held.get(sku) ?? 0, sold.get(sku) ?? 0];
      if (stock.held !== promisedHeld || stock.sold !== promisedSold) {
        const counted = `${stock.held} held and ${stock.sold} sold`;
        const figures = { ledger: `${counted}; by its orders ${promisedHeld} and ${promisedSold}` };
        found.push(difference('PROMISES_DIFFER', { sku }, figures));
      }
      return found;
    }),
    ...record.products
      .filter(({ sku }) => !known.has(sku))
      .map(({ sku, onHand: units }) =>
        difference('STOCK_DIFFERS', { sku }, { ledger: 'unknown', systemOfRecord: `${units} on hand` }),
      ),
  ];
}

function unitsBySku(orders: readonly OrderStock[]): ReadonlyMap<string, number> {
  const units = new Map<string, number>();
  for (const { lines } of orders) {
    for (const { sku, quantity } of lines) units.set(sku, (units.get(sku) ?? 0) + quantity);
  }
  return units;
}

function signed(units: number): string {
  return units < 0 ? String(units) : `+${units}`;
}
