import type { Order } from '../../../node/orders/order.ts';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { TestProduct } from './catalog.ts';
import type { NodeName } from './cluster.ts';
import { moneyDiscrepancies, recordDiscrepancies, stockDiscrepancies, unitsSold } from './discrepancies.ts';
import type { ShopRecords } from './discrepancies.ts';
import type { OrderStatement } from './sandbox-books.ts';
import { sightings } from './history.ts';
import type { History, StockRead } from './history.ts';

/**
 * What must be true of every history, whatever was broken meanwhile, checked from outside. Pure: a history and
 * what was found at the end give the list of promises that were not kept.
 */

/** What was found when everything was whole again and had had time. */
export interface Evidence {
  /** All orders that each node shows. */
  readonly orders: ReadonlyMap<NodeName, readonly Order[]>;
  readonly stock: ReadonlyMap<NodeName, readonly StockLevel[]>;
  /** Of each node: the last entry of each member's journal that it holds. */
  readonly positions: ReadonlyMap<NodeName, Readonly<Record<string, number>>>;
  readonly statements: ReadonlyMap<string, OrderStatement>;
  readonly records: ShopRecords;
}

export type Checker = (
  history: History,
  evidence: Evidence,
  products: readonly TestProduct[],
) => readonly string[];

/** The end has come: all is whole, and nothing is on its way. What is not true yet may become true: ask again. */
export const finalCheckers: Readonly<Record<string, Checker>> = {
  'every accepted order is at every node, and ended': everyAcceptedOrder,
  'all nodes tell the same': allNodesAlike,
  'all is in the system of record': (_history, { orders }) =>
    unfinished(orders, ({ state }) => state === 'synced'),
  'payment provider and orders agree': (_history, evidence) =>
    moneyDiscrepancies(ordersOf(evidence), evidence.statements),
  'stock and orders agree': (_history, evidence, products) =>
    [...evidence.stock].flatMap(([node, stock]) =>
      stockDiscrepancies(products, ordersOf(evidence), stock).map((line) => `at ${node} ${line}`),
    ),
  'system of record and orders agree': (_history, evidence, products) =>
    recordDiscrepancies(products, ordersOf(evidence), evidence.records),
};

/** No later moment could make up for a breach of these. */
export const lastingCheckers: Readonly<Record<string, Checker>> = {
  'every purchase was answered': everyPurchaseAnswered,
  'answers are those of the API': answersAreKnown,
  'one key is one order, made once': oneOrderPerKey,
  'an outcome never changes': outcomesNeverChange,
  'no order comes from nowhere': noOrderFromNowhere,
  'nothing is sold twice': nothingSoldTwice,
  'stock adds up in every answer': stockAlwaysAddsUp,
  'linearizable reads are': linearizableReadsAre,
};

/** The broken promises among `checkers`, each with a few examples. */
export function violationsOf(
  checkers: Readonly<Record<string, Checker>>,
  ...[history, evidence, products]: Parameters<Checker>
): readonly string[] {
  return Object.entries(checkers).flatMap(([promise, check]) => {
    const found = check(history, evidence, products);
    const more = found.length > examplesMax ? [`and ${String(found.length - examplesMax)} more`] : [];
    return [...found.slice(0, examplesMax), ...more].map((line) => `${promise}: ${line}`);
  });
}

const examplesMax = 5;

function everyAcceptedOrder(history: History, { orders }: Evidence): readonly string[] {
  const accepted = new Set(sightings(history).map(({ order }) => order.id));
  return [...orders].flatMap(([node, list]) => {
    const byId = new Map(list.map((order) => [order.id, order]));
    return [...accepted]
      .filter((id) => byId.get(id)?.outcome === undefined)
      .map((id) => `${id} at ${node} is ${byId.get(id)?.state ?? 'missing'}`);
  });
}

function allNodesAlike(_history: History, evidence: Evidence): readonly string[] {
  const alike = <Value>(what: string, of: ReadonlyMap<NodeName, Value>, told: (value: Value) => string) => {
    const words = [...of].map(([node, value]) => [node, told(value)] as const);
    if (new Set(words.map(([, text]) => text)).size <= 1) return [];
    return [`${what} ${words.map(([node, text]) => `${node}: ${text.slice(0, 200)}`).join('; ')}`];
  };
  const ids = new Set([...evidence.orders.values()].flatMap((list) => list.map(({ id }) => id)));
  const byNode = new Map(
    [...evidence.orders].map(([node, list]) => [node, new Map(list.map((order) => [order.id, order]))]),
  );
  return [
    ...alike('journal positions', evidence.positions, (positions) =>
      JSON.stringify(Object.entries(positions).toSorted()),
    ),
    ...alike('stock', evidence.stock, (levels) =>
      JSON.stringify(levels.map(({ sku, onHand, sold, held }) => [sku, onHand, sold, held])),
    ),
    ...[...ids].flatMap((id) =>
      alike(
        id,
        new Map([...byNode].map(([node, orders]) => [node, orders.get(id)])),
        (order) => `${order?.state ?? 'missing'} ${order?.outcome ?? ''} ${order?.payment.status ?? ''}`,
      ),
    ),
  ];
}

function unfinished(orders: Evidence['orders'], isFinished: (order: Order) => boolean): readonly string[] {
  return [...orders].flatMap(([node, list]) =>
    list
      .filter((order) => !isFinished(order))
      .map(({ id, state, outcome }) => `${id} at ${node} is ${state} ${outcome ?? ''}`),
  );
}

function everyPurchaseAnswered({ purchases }: History): readonly string[] {
  return purchases
    .filter(({ attempts, left }) => left !== true && !attempts.some(({ order }) => order !== undefined))
    .map(({ orderId, attempts }) => {
      const last = attempts.at(-1);
      return `${orderId} was tried ${String(attempts.length)} times, last ${String(last?.status)} ${last?.code ?? ''}`;
    });
}

/** 0 is no answer. 409: too late to cancel. 404: cancelled at a node that has not heard of the order. */
const placeStatuses: readonly number[] = [0, 200, 201, 503];
const cancelStatuses: readonly number[] = [0, 200, 404, 409, 503];
const readStatuses: readonly number[] = [0, 200, 404];

function answersAreKnown({ purchases, orderReads, stockReads }: History): readonly string[] {
  const strange = (
    what: string,
    known: readonly number[],
    of: readonly { status: number; code?: string }[],
  ) =>
    of
      .filter(({ status, code }) => !known.includes(status) || (status === 503 && code === undefined))
      .map(({ status, code }) => `${what} ${String(status)} ${code ?? ''}`);
  return [
    ...purchases.flatMap(({ orderId, attempts }) => strange(orderId, placeStatuses, attempts)),
    ...purchases.flatMap(({ orderId, cancellations }) => strange(orderId, cancelStatuses, cancellations)),
    ...strange('reading an order', readStatuses, orderReads),
    ...strange('reading stock', readStatuses, stockReads),
  ];
}

function oneOrderPerKey({ purchases }: History): readonly string[] {
  return purchases.flatMap(({ orderId, wish, attempts, cancellations }) => {
    const asked = JSON.stringify(wish.lines.map(({ sku, quantity }) => [sku, quantity]));
    const seen = [...attempts, ...cancellations].flatMap(({ order }) => order ?? []);
    const made = attempts.filter(({ status }) => status === 201);
    const known = Math.min(
      ...attempts.filter(({ order }) => order !== undefined).map(({ answeredAt }) => answeredAt),
    );
    return [
      ...seen.filter(({ id }) => id !== orderId).map(({ id }) => `${orderId} was answered with ${id}`),
      ...seen
        .filter(({ lines }) => JSON.stringify(lines.map(({ sku, quantity }) => [sku, quantity])) !== asked)
        .map(({ lines }) => `${orderId} holds ${JSON.stringify(lines)}, not ${asked}`),
      ...made
        .filter(({ invokedAt }) => invokedAt > known)
        .map(({ node }) => `${orderId} was made a second time, at ${node}`),
      ...attempts
        .filter(({ status, replayed }) => status === 200 && replayed !== true)
        .map(({ node }) => `${orderId} was replayed by ${node} without saying so`),
    ];
  });
}

function outcomesNeverChange(history: History, { orders }: Evidence): readonly string[] {
  const outcomes = new Map<string, Map<string, string>>();
  const note = (id: string, outcome: string | undefined, where: string): void => {
    if (outcome === undefined) return;
    const known = outcomes.get(id) ?? new Map<string, string>();
    if (!known.has(outcome)) known.set(outcome, where);
    outcomes.set(id, known);
  };
  for (const { order, node, answeredAt } of sightings(history))
    note(order.id, order.outcome, `${node} after ${String(Math.round(answeredAt))} ms`);
  for (const [node, list] of orders)
    for (const { id, outcome } of list) note(id, outcome, `${node} in the end`);
  return [...outcomes]
    .filter(([, known]) => known.size > 1)
    .map(
      ([id, known]) => `${id}: ${[...known].map(([outcome, where]) => `${outcome} at ${where}`).join(', ')}`,
    );
}

function noOrderFromNowhere({ purchases }: History, { orders }: Evidence): readonly string[] {
  const sent = new Set(purchases.map(({ orderId }) => orderId));
  return [...orders].flatMap(([node, list]) =>
    list.filter(({ id }) => !sent.has(id)).map(({ id }) => `${id} at ${node}`),
  );
}

function nothingSoldTwice(
  _history: History,
  evidence: Evidence,
  products: readonly TestProduct[],
): readonly string[] {
  const sold = unitsSold(ordersOf(evidence));
  return products
    .filter(({ sku, onHand }) => (sold.get(sku) ?? 0) > onHand)
    .map(({ sku, onHand }) => `${sku}: ${String(sold.get(sku))} sold of ${String(onHand)}`);
}

function stockAlwaysAddsUp({ stockReads }: History): readonly string[] {
  return stockReads.flatMap(({ node, levels }) =>
    levels
      .filter(
        ({ available, held, sold, onHand }) =>
          available + held + sold !== onHand || Math.min(available, held, sold, onHand) < 0,
      )
      .map((level) => `${node}: ${JSON.stringify(level)}`),
  );
}

/**
 * What is committed of a product only grows: units are sold, and the shop restocks nothing here. So an answer that
 * calls itself linearizable must contain every sale that somebody was told of before the question was asked, must
 * not fall behind an earlier such answer of any node, and holds no sale of an order that nobody had placed yet.
 */
function linearizableReadsAre(
  history: History,
  evidence: Evidence,
  products: readonly TestProduct[],
): readonly string[] {
  const reads = history.stockReads.filter(({ linearizable }) => linearizable);
  const told = firstTold(history);
  const placed = new Map(
    history.purchases.map(({ orderId, attempts }) => [
      orderId,
      Math.min(...attempts.map(({ invokedAt }) => invokedAt)),
    ]),
  );
  const fulfilled = ordersOf(evidence).filter(({ outcome }) => outcome === 'fulfilled');
  return products.flatMap(({ sku, onHand: opening }) => {
    const sales = fulfilled.flatMap(({ id, lines }) => {
      const units = lines.reduce((sum, line) => sum + (line.sku === sku ? line.quantity : 0), 0);
      return units === 0
        ? []
        : [{ units, told: told.get(id) ?? Infinity, placed: placed.get(id) ?? Infinity }];
    });
    const committed = (read: StockRead): number | undefined => {
      const level = read.levels.find((candidate) => candidate.sku === sku);
      return level === undefined ? undefined : opening - level.onHand + level.sold;
    };
    const seen = reads.flatMap((read) => {
      const units = committed(read);
      return units === undefined ? [] : [{ read, units }];
    });
    const soldBefore = runningMax([
      ...runningSum(sales.map(({ told: at, units }) => ({ at, units }))),
      ...seen.map(({ read, units }) => ({ at: read.answeredAt, units })),
    ]);
    const placedBefore = runningMax(runningSum(sales.map(({ placed: at, units }) => ({ at, units }))));
    return seen.flatMap(({ read, units }) => {
      const least = soldBefore(read.invokedAt);
      const most = placedBefore(read.answeredAt);
      const say = (what: string): string =>
        `${sku} at ${read.node}, asked at ${String(Math.round(read.invokedAt))} ms: ${String(units)} sold, ${what}`;
      return [
        ...(units < least ? [say(`${String(least)} were known to be`)] : []),
        ...(units > most ? [say(`only ${String(most)} were ever asked for`)] : []),
      ];
    });
  });
}

interface Point {
  readonly at: number;
  readonly units: number;
}

/** How many units, from each moment on, when these come one after the other. */
function runningSum(points: readonly Point[]): readonly Point[] {
  let sum = 0;
  return points
    .toSorted((left, right) => left.at - right.at)
    .map(({ at, units }) => ({ at, units: (sum += units) }));
}

/** The most that any point before a moment says; 0 before the first. */
function runningMax(points: readonly Point[]): (before: number) => number {
  const sorted = points.toSorted((left, right) => left.at - right.at);
  let most = 0;
  const highest = sorted.map(({ units }) => (most = Math.max(most, units)));
  return (before) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sorted[middle]?.at ?? Infinity) < before) low = middle + 1;
      else high = middle;
    }
    return highest[low - 1] ?? 0;
  };
}

/** When the world first learned that an order was fulfilled. */
function firstTold(history: History): ReadonlyMap<string, number> {
  const told = new Map<string, number>();
  for (const { order, answeredAt } of sightings(history))
    if (order.outcome === 'fulfilled')
      told.set(order.id, Math.min(answeredAt, told.get(order.id) ?? Infinity));
  return told;
}

/** The orders as the first node tells them; that all tell the same is a promise of its own. */
function ordersOf({ orders }: Evidence): readonly Order[] {
  return [...orders.values()][0] ?? [];
}
