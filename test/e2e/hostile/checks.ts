import type { Order, OrderLine } from '../../../node/orders/order.ts';
import type { TestProduct } from '../support/catalog.ts';
import { finalCheckers, lastingCheckers } from '../support/checkers.ts';
import type { History } from '../support/history.ts';
import { sightings } from '../support/history.ts';
import { nothing } from '../support/sandbox-books.ts';
import type { Books } from './books.ts';

/**
 * Whether money, goods and records match one to one, each question by itself. Pure: gives one line per breach; a line
 * about an order begins with the order's id.
 */
export type Check = (history: History, books: Books, products: readonly TestProduct[]) => readonly string[];

/** Asked again until the end has come; a breach of one of `lasting` no later moment could make up for. */
export const checks: {
  readonly final: Readonly<Record<string, Check>>;
  readonly lasting: Readonly<Record<string, Check>>;
} = {
  final: {
    'no double charges': noDoubleCharges,
    'nothing paid without goods or refund': nothingPaidForNothing,
    'no goods without their price': noGoodsUnpaid,
    'no money blocked or under way': noMoneyLeftHanging,
    'no acknowledged order lost': noneLost,
    'no order stuck': noneStuck,
    'no unit held for nobody': noUnitHeld,
    'every sale in the system of record, once, line by line': everySaleRecorded,
    'every sale audited': everySaleAudited,
    ...only(finalCheckers, [
      'all nodes tell the same',
      'stock and orders agree',
      'system of record and orders agree',
    ]),
  },
  lasting: lastingCheckers,
};

/** Of the checkers of any broken shop, those that ask what the others here do not. */
function only(
  checkers: Readonly<Record<string, Check>>,
  names: readonly string[],
): Readonly<Record<string, Check>> {
  return Object.fromEntries(
    names.map((name) => {
      const check = checkers[name];
      if (check === undefined) throw new Error(`no checker is called ${name}`);
      return [name, check];
    }),
  );
}

function noDoubleCharges(_history: History, { payments }: Books): readonly string[] {
  const kept = payments.filter(({ captured, refunded }) => captured > refunded);
  return [...Map.groupBy(kept, ({ orderId, intent }) => orderId ?? intent)]
    .filter(([, of]) => of.length > 1)
    .map(
      ([id, of]) =>
        `${id} was charged ${String(of.length)} times: ${of.map(({ intent }) => intent).join(', ')}`,
    );
}

function nothingPaidForNothing(_history: History, books: Books): readonly string[] {
  const outcomes = new Map(ordersOf(books).map(({ id, outcome }) => [id, outcome]));
  return [...books.statements]
    .filter(([id, { kept }]) => kept > 0 && outcomes.get(id) !== 'fulfilled')
    .map(
      ([id, { kept }]) => `${id} is ${outcomes.get(id) ?? 'open or unknown'}, and ${String(kept)} was kept`,
    );
}

function noGoodsUnpaid(_history: History, books: Books): readonly string[] {
  return ordersOf(books)
    .filter(({ outcome }) => outcome === 'fulfilled')
    .map(({ id, total }) => ({ id, total, kept: (books.statements.get(id) ?? nothing).kept }))
    .filter(({ total, kept }) => kept !== total)
    .map(({ id, total, kept }) => `${id} was fulfilled for ${String(total)}, and ${String(kept)} was paid`);
}

const settledStatuses: readonly string[] = ['succeeded', 'canceled', 'requires_payment_method'];

function noMoneyLeftHanging(_history: History, { payments }: Books): readonly string[] {
  return payments
    .filter(({ status, refundPending }) => refundPending > 0 || !settledStatuses.includes(status))
    .map(({ orderId, intent, status, refundPending }) => {
      const pending = refundPending > 0 ? `, ${String(refundPending)} on its way back` : '';
      return `${orderId ?? intent}: ${intent} is ${status}${pending}`;
    });
}

function noneLost(history: History, { orders }: Books): readonly string[] {
  const acknowledged = new Set(sightings(history).map(({ order }) => order.id));
  return [...orders].flatMap(([node, list]) => {
    const there = new Set(list.map(({ id }) => id));
    return [...acknowledged].filter((id) => !there.has(id)).map((id) => `${id} is not at ${node}`);
  });
}

function noneStuck(_history: History, { orders }: Books): readonly string[] {
  return [...orders].flatMap(([node, list]) =>
    list
      .filter(({ state }) => state !== 'synced')
      .map(({ id, state, outcome, payment }) => {
        const ended = outcome === undefined ? '' : ` (${outcome})`;
        return `${id} at ${node} is ${state}${ended}, its payment ${payment.status}`;
      }),
  );
}

function noUnitHeld(_history: History, { stock }: Books): readonly string[] {
  return [...stock].flatMap(([node, levels]) =>
    levels.filter(({ held }) => held !== 0).map(({ sku, held }) => `${sku}: ${String(held)} held at ${node}`),
  );
}

function everySaleRecorded(_history: History, books: Books): readonly string[] {
  const rows = Map.groupBy(books.sales, ({ orderId }) => orderId);
  const known = new Map(ordersOf(books).map((order) => [order.id, order]));
  return [
    ...[...known].flatMap(([id, order]) => {
      const [row, ...more] = rows.get(id) ?? [];
      if (row === undefined) return [`${id} is not there`];
      if (more.length > 0) return [`${id} is there ${String(more.length + 1)} times`];
      const said = JSON.stringify([row.outcome, row.total, row.currency, row.lines]);
      const due = JSON.stringify([order.outcome, order.total, order.currency, order.lines.map(lineText)]);
      return said === due ? [] : [`${id} is ${said} there, not ${due}`];
    }),
    ...[...rows.keys()].filter((id) => !known.has(id)).map((id) => `${id} is only there`),
  ];
}

function everySaleAudited(_history: History, { sales }: Books): readonly string[] {
  return sales.filter(({ audited }) => audited === 0).map(({ orderId }) => `${orderId} left no trail`);
}

function lineText({ sku, quantity, unitPrice }: OrderLine): string {
  return `${sku} x ${String(quantity)} @ ${String(unitPrice)}`;
}

/** As the first node tells them; that all tell the same is a question of its own. */
function ordersOf({ orders }: Books): readonly Order[] {
  return [...orders.values()][0] ?? [];
}

export interface Finding {
  readonly check: string;
  readonly breaches: readonly string[];
}

/** What each check found, breaches or none. */
export function findingsOf(
  of: Readonly<Record<string, Check>>,
  ...[history, books, products]: Parameters<Check>
): readonly Finding[] {
  return Object.entries(of).map(([check, ask]) => ({ check, breaches: ask(history, books, products) }));
}

/** The orders that breaches are about, each once. */
export function ordersIn(findings: readonly Finding[]): readonly string[] {
  const named = findings.flatMap(({ breaches }) => breaches.flatMap((line) => /ord_\w+/.exec(line) ?? []));
  return [...new Set(named)];
}
