import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Order } from '../../node/orders/order.ts';
import type { InventorySnapshot, OutcomeRecord } from '../../node/ports/system-of-record.ts';
import { SystemOfRecordUnavailable } from '../../node/ports/system-of-record.ts';
import type { PostgresSystemOfRecord } from '../../node/reconcilers/postgres.ts';
import { HttpReferenceBooks } from './http-reference-books.ts';
import type { Told } from './http-reference-books.ts';

/**
 * The reference of the HTTP contract: a system of record behind HTTP, over the same SQL as the others. Every read is one
 * snapshot, kept until 64 later ones, whose cursors can be gone on from. Misbehaves as told, once for each `misbehave`.
 */
export type Fault =
  /** Answers as it should. */
  | 'none'
  /** The connection ends without a word, before or after the request took effect. */
  | 'cut before'
  | 'cut after'
  /** The answer never comes, though the request took effect. */
  | 'late'
  | '500 after'
  | 'not JSON'
  | 'cut short'
  | 'oversized'
  | 'of another batch'
  | '401'
  | '422'
  | '429'
  | '410';

interface Kept {
  readonly snapshot: InventorySnapshot;
  /** The rows of this read, in pages. */
  readonly rows: readonly (
    { readonly product: InventorySnapshot['products'][number] } | { readonly removed: string }
  )[];
}

const keptMax = 64;
export const referenceToken = 'reference-token';

export class HttpSystemOfRecordServer {
  readonly #database: PostgresSystemOfRecord;
  readonly #books: HttpReferenceBooks;
  readonly #server: Server;
  readonly #kept = new Map<string, Kept>();
  #faults: readonly Fault[] = [];
  #reads = 0;
  /** What its health lists. */
  offers: readonly string[] = ['books', 'adjustments'];
  /** What becomes of a good answer on its way. */
  bend = (_path: string, answer: unknown): unknown => answer;
  /** Requests answered or not, by path. */
  readonly seen: string[] = [];
  /** Pages of changes that were told: whether a cursor was named, and how many rows it was. */
  readonly pages: { readonly isFirst: boolean; readonly rows: number }[] = [];

  private constructor(database: PostgresSystemOfRecord) {
    this.#database = database;
    this.#books = new HttpReferenceBooks(database);
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(database: PostgresSystemOfRecord, port = 0): Promise<HttpSystemOfRecordServer> {
    const server = new HttpSystemOfRecordServer(database);
    server.#server.listen(port, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/shop`;
  }

  /** The next requests meet these, one each, and no others. */
  misbehave(...faults: readonly Fault[]): void {
    this.#faults = faults;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
    await this.#database.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://reference');
    const body = await text(request).catch(() => undefined);
    // Who asked is gone, or this server is.
    if (body === undefined) return;
    this.seen.push(url.pathname);
    const [fault, ...later] = this.#faults;
    this.#faults = later;
    const tell = (status: number, answer: unknown, headers: Record<string, string> = {}): void => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify(answer));
    };
    if (fault === 'cut before') return void request.socket.destroy();
    if (fault === '401') return tell(401, { code: 'UNAUTHORIZED', detail: 'who are you' });
    if (fault === '422') return tell(422, { code: 'NOT_TAKEN', detail: 'it cannot be' });
    if (fault === '410') return tell(410, { code: 'CURSOR_GONE', detail: 'not known any more' });
    if (fault === '429') return tell(429, {}, { 'retry-after': '2' });
    if (request.headers.authorization !== `Bearer ${referenceToken}`) return tell(401, {});
    const { status, answer } = await this.#answer(url, body);
    switch (fault) {
      case 'cut after':
        return void request.socket.destroy();
      case 'late':
        return;
      case '500 after':
        return tell(500, { code: 'INTERNAL', detail: 'after it took effect' });
      case 'not JSON':
        return void response.end('<html>it works</html>');
      case 'cut short':
        response.writeHead(200, { 'content-length': '1000' });
        response.write('{"results": [');
        return void setImmediate(() => request.socket.destroy());
      case 'oversized':
        return tell(200, { ...(answer as object), padding: 'x'.repeat(2 ** 20) });
      case 'of another batch':
        return tell(200, { results: [{ orderId: 'somebody else', revision: 1, result: 'applied' }] });
      case 'none':
      case undefined:
        return tell(status, this.bend(url.pathname.slice('/shop'.length), answer));
    }
  }

  async #answer(url: URL, body: string): Promise<Told> {
    try {
      switch (url.pathname) {
        case '/shop/health':
          return {
            status: 200,
            answer: { contract: 1, products: await this.#database.productCount(), offers: this.offers },
          };
        case '/shop/changes':
          return await this.#changes(url.searchParams);
        case '/shop/orders/applied': {
          const { orderIds } = JSON.parse(body) as { readonly orderIds: readonly string[] };
          const asked = new Set(orderIds);
          const { applied } = await this.#database.readInventory(orderIds);
          return { status: 200, answer: { applied: applied.filter((orderId) => asked.has(orderId)) } };
        }
        case '/shop/outcomes':
          return { status: 200, answer: { results: await this.#apply(JSON.parse(body) as SentBatch) } };
        default: {
          const notFound = { status: 404, answer: { code: 'NOT_FOUND', detail: url.pathname } };
          return (
            (await this.#books.answer(url.pathname.slice('/shop'.length), url.searchParams, body)) ?? notFound
          );
        }
      }
    } catch (error) {
      if (error instanceof SystemOfRecordUnavailable) return { status: 503, answer: {} };
      throw error;
    }
  }

  /** A cursor is the number of a snapshot, and how many of its rows were told. */
  async #changes(query: URLSearchParams): Promise<Told> {
    const limit = Number(query.get('limit'));
    const after = query.get('after');
    let [name = '', told = 0] = after === null ? [] : [after.split('.')[0], Number(after.split('.')[1])];
    let kept = this.#kept.get(name);
    if (after !== null && kept === undefined) return { status: 410, answer: {} };
    if (kept === undefined || told >= kept.rows.length) {
      kept = await this.#take(kept);
      name = String((this.#reads += 1));
      told = 0;
      this.#kept.set(name, kept);
      for (const oldest of [...this.#kept.keys()].slice(0, -keptMax)) this.#kept.delete(oldest);
    }
    const page = kept.rows.slice(told, told + limit);
    this.pages.push({ isFirst: after === null, rows: page.length });
    const end = told + page.length;
    return {
      status: 200,
      answer: {
        takenAt: kept.snapshot.takenAt,
        products: page.flatMap((row) => ('product' in row ? [row.product] : [])),
        removed: page.flatMap((row) => ('removed' in row ? [row.removed] : [])),
        applied: told === 0 ? kept.snapshot.applied : [],
        next: `${name}.${end}`,
        more: end < kept.rows.length,
      },
    };
  }

  /** What is otherwise than in the snapshot before. */
  async #take(before: Kept | undefined): Promise<Kept> {
    const snapshot = await this.#database.readInventory([]);
    const earlier = new Map(before?.snapshot.products.map((row) => [row.sku, JSON.stringify(row)]));
    const changed = snapshot.products.filter((row) => earlier.get(row.sku) !== JSON.stringify(row));
    for (const { sku } of snapshot.products) earlier.delete(sku);
    const rows = [
      ...changed.map((product) => ({ product })),
      ...[...earlier.keys()].map((removed) => ({ removed })),
    ];
    return { snapshot, rows };
  }

  async #apply({ outcomes }: SentBatch): Promise<readonly object[]> {
    const records = outcomes.map(recordOf);
    const there = new Set(
      (await this.#database.book.byIds(outcomes.map(({ orderId }) => orderId))).map(({ orderId }) => orderId),
    );
    const together = await this.#database.applyOutcomes(records);
    const results: object[] = [];
    for (const record of records) {
      const { revision, order } = record;
      // What is refused is told by order: sent alone once more, each outcome has its own answer.
      const { parked } =
        together.parked.length === 0 ? together : await this.#database.applyOutcomes([record]);
      const [code, ...words] = parked[0]?.reason.split(': ') ?? [];
      const result = there.has(order.id) ? 'already' : 'applied';
      results.push({
        orderId: order.id,
        revision,
        ...(code === undefined ? { result } : { result: 'refused', code, detail: words.join(': ') }),
      });
    }
    return results;
  }
}

interface SentBatch {
  readonly batch: string;
  readonly outcomes: readonly (Pick<OutcomeRecord, 'outcome' | 'revision' | 'events'> &
    Pick<Order, 'customer' | 'currency' | 'total' | 'lines' | 'createdAt' | 'reason'> & {
      readonly orderId: string;
      readonly endedAt: number;
    })[];
}

function recordOf({ orderId, endedAt, outcome, revision, events, ...told }: SentBatch['outcomes'][number]) {
  const order: Order = {
    ...told,
    id: orderId,
    state: outcome,
    outcome,
    updatedAt: endedAt,
    capture: 'after-reserve',
    payment: { method: '', status: 'pending' },
    cancelRequested: false,
    home: '',
    registration: '',
    fingerprint: '',
  };
  return { order, outcome, revision, events };
}
