import type { Order } from '../../../node/orders/order.ts';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { Cluster, NodeName } from './cluster.ts';
import type { Evidence } from './checkers.ts';

/** Reads everything that can be read from outside: each node, the payment provider, the shop's database. */
export async function collectEvidence(cluster: Cluster): Promise<Evidence> {
  const fromEach = async <Value>(
    read: (url: string) => Promise<Value>,
  ): Promise<ReadonlyMap<NodeName, Value>> =>
    new Map(
      await Promise.all(
        cluster.nodeNames.map(async (node) => [node, await read(cluster.url(node))] as const),
      ),
    );
  return {
    orders: await fromEach((url) => allOrders(cluster, url)),
    stock: await fromEach(
      async (url) => (await cluster.get<{ stock: readonly StockLevel[] }>(`${url}/stock`)).stock,
    ),
    positions: await fromEach((url) => positions(cluster, url)),
    statements: await cluster.sandbox.byOrder(),
    records: await cluster.shopRecords(),
  };
}

async function allOrders(cluster: Cluster, url: string): Promise<readonly Order[]> {
  const orders: Order[] = [];
  let after: string | undefined;
  do {
    const query = after === undefined ? '' : `&after=${encodeURIComponent(after)}`;
    const page = await cluster.get<{ orders: readonly Order[]; next?: string }>(
      `${url}/orders?limit=200${query}`,
    );
    orders.push(...page.orders);
    after = page.next;
  } while (after !== undefined);
  return orders;
}

async function positions(cluster: Cluster, url: string): Promise<Readonly<Record<string, number>>> {
  const { members } = await cluster.get<{ members: readonly { id: string; position: number }[] }>(
    `${url}/cluster`,
  );
  return Object.fromEntries(members.map(({ id, position }) => [id, position]));
}
