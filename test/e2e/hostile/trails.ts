import type { Order } from '../../../node/orders/order.ts';
import type { Cluster } from '../support/cluster.ts';
import type { History } from '../support/history.ts';
import type { Books } from './books.ts';

/** All that is known of one order, for whoever has to find out what went wrong. */

interface TrailEvent {
  readonly id: string;
  readonly type: string;
  readonly at: number;
  readonly node: string;
  readonly data?: unknown;
}

export async function trailOf(
  orderId: string,
  { cluster, history, books }: { cluster: Cluster; history: History; books: Books },
): Promise<readonly string[]> {
  const purchase = history.purchases.find((candidate) => candidate.orderId === orderId);
  const told = [
    ...(purchase?.attempts ?? []).map((attempt) => ({ what: 'POST', ...attempt })),
    ...(purchase?.cancellations ?? []).map((attempt) => ({ what: 'cancel', ...attempt })),
  ].toSorted((left, right) => left.invokedAt - right.invokedAt);
  return [
    `${orderId} ${JSON.stringify(purchase?.wish)}`,
    ...told.map(
      ({ what, node, status, code, order }) =>
        `  ${what} at ${node}: ${String(status)} ${code ?? ''} ${order?.state ?? ''} ${order?.outcome ?? ''}`,
    ),
    ...(await Promise.all(cluster.nodeNames.map((node) => asSeenAt(orderId, cluster, node)))).flat(),
    ...books.payments
      .filter((payment) => payment.orderId === orderId)
      .map((payment) => `  provider: ${JSON.stringify(payment)}`),
    ...books.sales
      .filter((sale) => sale.orderId === orderId)
      .map((sale) => `  system of record: ${JSON.stringify(sale)}`),
  ];
}

async function asSeenAt(
  orderId: string,
  cluster: Cluster,
  node: Cluster['nodeNames'][number],
): Promise<readonly string[]> {
  const url = `${cluster.url(node)}/orders/${orderId}`;
  try {
    const { state, outcome, reason, payment, home } = await cluster.get<Order>(url);
    const { events } = await cluster.get<{ events: readonly TrailEvent[] }>(`${url}/events`);
    return [
      `  at ${node}: ${JSON.stringify({ state, outcome, reason, payment, home })}`,
      ...events.map(
        ({ id, type, at, data }) =>
          `    ${id} ${new Date(at).toISOString()} ${type} ${JSON.stringify(data ?? {})}`,
      ),
    ];
  } catch (error) {
    return [`  at ${node}: ${error instanceof Error ? error.message : String(error)}`];
  }
}
