import type { Order } from '../../../node/orders/order.ts';
import type { StockLevel } from '../../../store/ledger/port.ts';
import { orderBody } from './buyers.ts';
import type { Wish } from './buyers.ts';
import type { Cluster, NodeName } from './cluster.ts';
import type { Exchange, OrderExchange, OrderRead, SeenOrder, StockRead } from './history.ts';
import { JsonClient } from './http.ts';

/**
 * Asks the nodes as customers do, and says what was asked and answered, and when, in the words of the history. An
 * answer that does not come in time, or breaks off, is one too.
 */

interface Content {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export class Witness {
  readonly #cluster: Pick<Cluster, 'url'>;
  readonly #http: JsonClient;

  constructor(
    options: { readonly connectionsMax: number },
    { cluster }: { readonly cluster: Pick<Cluster, 'url'> },
  ) {
    this.#cluster = cluster;
    this.#http = new JsonClient(options);
  }

  /** With a `waitSeconds` of 0 the answer comes as soon as the order is safe. */
  place(
    node: NodeName,
    order: { readonly key: string; readonly wish: Wish; readonly waitSeconds: number },
    timeoutMs: number,
  ): Promise<OrderExchange> {
    const { key, wish, waitSeconds } = order;
    const prefer = waitSeconds === 0 ? {} : { prefer: `wait=${String(waitSeconds)}` };
    return this.#exchange(node, 'POST', '/orders', timeoutMs, {
      body: orderBody(wish),
      headers: { 'idempotency-key': key, ...prefer },
    });
  }

  cancel(node: NodeName, orderId: string, timeoutMs: number): Promise<OrderExchange> {
    return this.#exchange(node, 'POST', `/orders/${orderId}/cancel`, timeoutMs);
  }

  async readOrder(node: NodeName, orderId: string, timeoutMs: number): Promise<OrderRead> {
    return { orderId, ...(await this.#exchange(node, 'GET', `/orders/${orderId}`, timeoutMs)) };
  }

  async readStock(node: NodeName, timeoutMs: number): Promise<StockRead> {
    const { exchange, body } = await this.#ask(node, 'GET', '/stock', timeoutMs);
    const { stock = [] } = (body ?? {}) as { stock?: readonly (StockLevel & { linearizable: boolean })[] };
    return {
      ...exchange,
      linearizable: stock.length > 0 && stock.every(({ linearizable }) => linearizable),
      levels: stock.map(({ sku, name, onHand, unitPrice, currency, sold, held, available }) => ({
        ...{ sku, name, onHand, unitPrice, currency, sold, held, available },
      })),
    };
  }

  close(): void {
    this.#http.close();
  }

  async #exchange(
    node: NodeName,
    method: 'GET' | 'POST',
    path: string,
    timeoutMs: number,
    content: Content = {},
  ): Promise<OrderExchange> {
    const { exchange, body, replayed } = await this.#ask(node, method, path, timeoutMs, content);
    const isOrder = exchange.status === 200 || exchange.status === 201;
    return {
      ...exchange,
      ...(isOrder ? { order: seenOrder(body as Order) } : {}),
      ...(replayed ? { replayed } : {}),
    };
  }

  async #ask(
    node: NodeName,
    method: 'GET' | 'POST',
    path: string,
    timeoutMs: number,
    content: Content = {},
  ): Promise<{ readonly exchange: Exchange; readonly body: unknown; readonly replayed: boolean }> {
    const invokedAt = performance.now();
    const answer = await this.#http
      .ask(method, `${this.#cluster.url(node)}${path}`, { ...content, timeoutMs })
      .catch(() => undefined);
    const code = (answer?.body as { code?: string } | undefined)?.code;
    return {
      exchange: {
        node,
        invokedAt,
        answeredAt: performance.now(),
        status: answer?.status ?? 0,
        ...(code === undefined ? {} : { code }),
      },
      body: answer?.body,
      replayed: answer?.headers['idempotency-replayed'] === 'true',
    };
  }
}

function seenOrder({ id, state, outcome, total, lines, payment }: Order): SeenOrder {
  return {
    id,
    state,
    ...(outcome === undefined ? {} : { outcome }),
    total,
    lines: lines.map(({ sku, quantity }) => ({ sku, quantity })),
    ...(payment.nextAction === undefined ? {} : { nextAction: payment.nextAction }),
  };
}
