import type { OrderStock, StockLine } from '../../../store/ledger/port.ts';
import type { BookedOrder, JournalOrder, ListedPayment } from '../../ports/books.ts';
import type { Difference } from '../../ports/drift.ts';
import { difference } from './differences.ts';

/**
 * One order as four books have it, and how they differ. Pure. The journal is the measure: how an order ended is decided
 * there once and for all, from what the ledger and the provider had answered.
 *
 *   D1  Books that agree give no difference.
 *   D2  An order that has not ended, or whose money is not settled, is nobody's difference.
 *   D3  A fulfilled order was paid once, in full; every other order leaves nothing with the shop.
 *   D4  Units are sold for fulfilled orders and for no others; nothing stays set aside for an order that has ended.
 *   D5  What ended is in the system of record as it ended, unless somebody discarded it; what is there, ended so.
 */
export interface OrderInBooks {
  readonly orderId: string;
  readonly journal: JournalOrder | undefined;
  readonly payments: readonly ListedPayment[];
  readonly booked: BookedOrder | undefined;
  readonly ledger: OrderStock | undefined;
  /** The ledger's time, ms: a hold that is due by then is over, swept or not. */
  readonly ledgerAsOf: number;
}

export function compareOrder(books: OrderInBooks): readonly Difference[] {
  const { journal } = books;
  if (journal === undefined) return [...compareUnknown(books)];
  if (!journal.settled || journal.outcome === undefined) return [];
  return [
    ...compareMoney(journal, books.payments),
    ...compareRecord(journal, books.booked),
    ...compareStock(journal, books),
  ];
}

/** No node knows it; and an order is known by a majority before anything is done for it. */
function* compareUnknown({ orderId, payments, booked, ledger }: OrderInBooks): Generator<Difference> {
  const journal = 'unknown';
  const held = payments.filter((payment) => kept(payment) > 0 || payment.authorized > 0);
  if (held.length > 0 && booked === undefined) {
    yield difference(
      'PAYMENT_WITHOUT_ORDER',
      { orderId },
      { journal, systemOfRecord: 'unknown', provider: held.map(tellPayment).join('; ') },
    );
  }
  if (booked !== undefined) {
    yield difference('UNKNOWN_IN_RECORD', { orderId }, { journal, systemOfRecord: tellBooked(booked) });
  }
  const isPromised = ledger?.kind === 'held' || (ledger?.kind === 'committed' && !ledger.counted);
  // One that is there was forgotten here, and its units leave the ledger with the next read.
  if (isPromised && booked === undefined) {
    yield difference('PROMISE_WITHOUT_ORDER', { orderId }, { journal, ledger: tellStock(ledger) });
  }
}

/** D3. */
function* compareMoney(
  order: JournalOrder,
  payments: readonly ListedPayment[],
): Generator<Difference, void, undefined> {
  const { orderId, outcome, total, currency } = order;
  const journal = tellOrder(order);
  const about = (some: readonly ListedPayment[]) => ({
    journal,
    provider: some.length === 0 ? 'nothing' : some.map(tellPayment).join('; '),
  });
  const paid = payments.filter((payment) => kept(payment) > 0);
  const setAside = payments.filter((payment) => payment.authorized > 0);

  if (outcome !== 'fulfilled') {
    if (paid.length > 0) yield difference('MONEY_KEPT', { orderId }, about(paid));
  } else if (paid.length > 1) {
    yield difference('CHARGED_TWICE', { orderId }, about(paid));
  } else if (total > 0 || paid.length > 0) {
    const [payment] = paid;
    if (payment === undefined) yield difference('FULFILLED_UNPAID', { orderId }, about(payments));
    else if (kept(payment) !== total || payment.currency !== currency) {
      yield difference('AMOUNT_DIFFERS', { orderId }, about(paid));
    }
  }
  if (setAside.length > 0) yield difference('AUTHORIZATION_LEFT', { orderId }, about(setAside));
}

/** D5. */
function* compareRecord(order: JournalOrder, booked: BookedOrder | undefined): Generator<Difference> {
  const { orderId, delivery } = order;
  const journal = `${tellOrder(order)}, ${delivery}`;
  if (booked === undefined) {
    if (delivery === 'discarded') return;
    const code = delivery === 'delivered' ? 'MISSING_IN_RECORD' : 'NOT_DELIVERED';
    yield difference(code, { orderId }, { journal, systemOfRecord: 'unknown' });
    return;
  }
  const figures = { journal, systemOfRecord: tellBooked(booked) };
  if (delivery === 'discarded') yield difference('DISCARDED_BUT_APPLIED', { orderId }, figures);
  if (booked.outcome !== order.outcome) yield difference('OUTCOME_DIFFERS', { orderId }, figures);
  const isSame =
    booked.total === order.total &&
    booked.currency === order.currency &&
    tellPricedLines(booked.lines) === tellPricedLines(order.lines);
  if (!isSame) {
    yield difference(
      'LINES_DIFFER',
      { orderId },
      {
        journal: `${journal}: ${tellPricedLines(order.lines)}`,
        systemOfRecord: `${tellBooked(booked)}: ${tellPricedLines(booked.lines)}`,
      },
    );
  }
}

/** D4. */
function* compareStock(
  order: JournalOrder,
  { ledger, ledgerAsOf, booked }: OrderInBooks,
): Generator<Difference> {
  const { orderId, outcome, delivery } = order;
  const figures = {
    journal: `${tellOrder(order)}: ${tellLines(order.lines)}`,
    ledger: ledger === undefined ? 'unknown' : tellStock(ledger),
  };
  if (outcome === 'fulfilled') {
    if (ledger?.kind !== 'committed') {
      yield difference('FULFILLED_NOT_COMMITTED', { orderId }, figures);
      return;
    }
    if (!ledger.counted && tellLines(ledger.lines) !== tellLines(order.lines)) {
      yield difference('PROMISED_LINES_DIFFER', { orderId }, figures);
    }
    if (ledger.counted && booked === undefined && delivery !== 'discarded' && delivery !== 'delivered') {
      yield difference('COUNTED_NOT_APPLIED', { orderId }, { ...figures, systemOfRecord: 'unknown' });
    }
    return;
  }
  if (ledger?.kind === 'committed') yield difference('COMMITTED_NOT_FULFILLED', { orderId }, figures);
  if (ledger?.kind === 'held' && ledger.expiresAt > ledgerAsOf) {
    yield difference('HOLD_LEFT', { orderId }, figures);
  }
}

function kept({ captured, refunded }: ListedPayment): number {
  return captured - refunded;
}

function tellOrder({ outcome, total, currency }: JournalOrder): string {
  return `${outcome ?? 'open'}, ${total} ${currency}`;
}

function tellBooked({ outcome, total, currency }: BookedOrder): string {
  return `${outcome}, ${total} ${currency}`;
}

function tellPayment({ intent, authorized, captured, refunded, currency }: ListedPayment): string {
  const sums = [
    ...(captured > 0 ? [`captured ${captured}`] : []),
    ...(refunded > 0 ? [`refunded ${refunded}`] : []),
    ...(authorized > 0 ? [`authorized ${authorized}`] : []),
  ];
  return `${intent}: ${sums.length === 0 ? 'nothing' : sums.join(', ')} ${currency}`;
}

function tellStock(stock: OrderStock): string {
  const lines = stock.lines.length === 0 ? '' : `: ${tellLines(stock.lines)}`;
  return `${stock.kind}${lines}`;
}

/** Lines of one SKU count together, as the ledger holds them. */
function tellLines(lines: readonly StockLine[]): string {
  const units = new Map<string, number>();
  for (const { sku, quantity } of lines) units.set(sku, (units.get(sku) ?? 0) + quantity);
  return [...units]
    .map(([sku, quantity]) => `${quantity} × ${sku}`)
    .toSorted()
    .join(', ');
}

function tellPricedLines(lines: JournalOrder['lines']): string {
  return lines
    .map(({ sku, quantity, unitPrice }) => `${quantity} × ${sku} at ${unitPrice}`)
    .toSorted()
    .join(', ');
}
