import { amountRefunded, type Intent } from '../../node/payments/sandbox/intent.ts';
import type { Order } from '../../node/orders/order.ts';
import type { StockLevel } from '../../store/ledger/port.ts';

/**
 * What a refund that the provider took back leaves with the shop, if nobody was ever told of it: the one thing that no book
 * but the provider's can know of. The drift report has to name it.
 */
const MONEY_KEPT = 'MONEY_KEPT';

/**
 * The four books that an order leaves its mark in, at rest: what each node says of it, the payment provider, the stock
 * ledger and the system of record. Names every place where they do not match one to one.
 */
export interface Books {
  /** By node, what it has of each order. */
  readonly orders: ReadonlyMap<string, readonly Order[]>;
  /** Orders that a client was told are accepted. */
  readonly accepted: ReadonlySet<string>;
  /** Orders whose cancellation was accepted. */
  readonly cancelled: ReadonlySet<string>;
  readonly intentsOf: (orderId: string) => readonly Intent[];
  readonly stocks: readonly Pick<StockLevel, 'sku' | 'onHand' | 'held' | 'sold'>[];
  /** What the system of record has applied, by order. */
  readonly applied: ReadonlyMap<string, string>;
  /** Whether a refund of this payment failed, and no node accepted word of it. */
  readonly isUntold: (intent: string) => boolean;
  /** Messages that were forged and believed, or genuine and not. */
  readonly misjudged: readonly string[];
  /** What the drift report says: codes, each with what it is about. */
  readonly reported: readonly string[];
  readonly shelves: readonly { readonly sku: string; readonly opening: number; readonly onHand: number }[];
}

export function differencesOf(books: Books): readonly string[] {
  const { orders, accepted, cancelled, applied } = books;
  const differences: string[] = [];
  const all = new Map<string, Order>();
  for (const [node, known] of orders) {
    const ids = new Set(known.map(({ id }) => id));
    for (const id of accepted) if (!ids.has(id)) differences.push(`lost: ${node} does not know ${id}`);
    for (const order of known) {
      const first = all.get(order.id) ?? order;
      all.set(order.id, first);
      if (order.state !== first.state || order.outcome !== first.outcome) {
        differences.push(
          `${order.id} is ${order.state} (${order.outcome ?? ''}) at ${node}, ${first.state} elsewhere`,
        );
      }
    }
  }
  for (const order of all.values()) differences.push(...differencesOfOne(order, books));
  for (const id of cancelled) {
    const outcome = all.get(id)?.outcome;
    if (outcome !== 'cancelled')
      differences.push(`the cancellation of ${id} was accepted: ${outcome ?? 'open'}`);
  }
  for (const id of applied.keys()) {
    if (!all.has(id)) differences.push(`the system of record has ${id}, which nobody knows`);
  }
  for (const message of books.misjudged) differences.push(`misjudged: ${message}`);
  const kept = [...all.values()]
    .filter((order) => isKeptUntold(order, books))
    .map(({ id }) => `${MONEY_KEPT} ${id}`);
  if (books.reported.join() !== kept.toSorted().join()) {
    differences.push(`the drift report says ${books.reported.join()}, not ${kept.join()}`);
  }
  return [...differences, ...differencesOfStock([...all.values()], books)];
}

/** The known exception: given back as far as anybody was told, and not fulfilled. */
function isKeptUntold({ id, outcome }: Order, { intentsOf, isUntold }: Books): boolean {
  if (outcome === undefined || outcome === 'fulfilled') return false;
  return intentsOf(id).some((intent) => moneyKept(intent) > 0 && isUntold(intent.id));
}

function differencesOfOne(order: Order, books: Books): readonly string[] {
  const { intentsOf, applied } = books;
  const { id, outcome, state, total } = order;
  if (outcome === undefined || state !== 'synced') return [`stuck: ${id} is ${state}`];
  const differences: string[] = [];
  if (applied.get(id) !== outcome) {
    differences.push(`${id} is ${outcome}, and ${applied.get(id) ?? 'absent'} in the system of record`);
  }
  const intents = intentsOf(id);
  const charges = intents.filter((intent) => (intent.charge?.amountCaptured ?? 0) > 0);
  if (charges.length > 1) differences.push(`${id} was charged ${charges.length} times`);
  const kept = intents.reduce((sum, intent) => sum + moneyKept(intent), 0);
  const due = outcome === 'fulfilled' ? total : 0;
  if (kept !== due && !isKeptUntold(order, books))
    differences.push(`${id} is ${outcome}, and the shop has ${kept} of it, not ${due}`);
  const open = intents.filter(({ status }) => status === 'requires_capture' || status === 'processing');
  if (open.length > 0) differences.push(`${id} is ${outcome}, and ${open.length} authorizations are open`);
  return differences;
}

function moneyKept({ charge }: Intent): number {
  return (charge?.amountCaptured ?? 0) - amountRefunded(charge);
}

function differencesOfStock(orders: readonly Order[], { stocks, shelves }: Books): readonly string[] {
  const differences: string[] = [];
  for (const { sku, opening, onHand } of shelves) {
    let sold = 0;
    for (const { outcome, lines } of orders) {
      if (outcome !== 'fulfilled') continue;
      for (const line of lines) if (line.sku === sku) sold += line.quantity;
    }
    if (sold > opening) differences.push(`oversold: ${sold} of ${opening} ${sku}`);
    if (opening - sold !== onHand) differences.push(`${sku}: ${opening} less ${sold} sold are not ${onHand}`);
    const stock = stocks.find((one) => one.sku === sku);
    if (stock?.onHand !== onHand || stock.held !== 0 || stock.sold !== 0) {
      differences.push(`${sku}: the ledger has ${JSON.stringify(stock)}, the system of record ${onHand}`);
    }
  }
  return differences;
}
