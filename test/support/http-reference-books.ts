import type { InventoryBook } from '../../node/ports/books.ts';
import type { StockAdjustment } from '../../node/ports/stock-adjustments.ts';
import type { PostgresSystemOfRecord } from '../../node/reconcilers/postgres.ts';

/**
 * What the reference of the HTTP contract offers beyond what it must: its books, page by page, and adjustments. A cursor of
 * the orders stands for itself; one of the inventory names a snapshot, of which the last 64 are kept.
 */
export interface Told {
  readonly status: number;
  readonly answer: unknown;
}

const keptMax = 64;

export class HttpReferenceBooks {
  readonly #database: Pick<PostgresSystemOfRecord, 'book' | 'adjust'>;
  readonly #snapshots = new Map<number, readonly InventoryBook[]>();
  #reads = 0;

  constructor(database: Pick<PostgresSystemOfRecord, 'book' | 'adjust'>) {
    this.#database = database;
  }

  /** Undefined for another path. */
  async answer(path: string, query: URLSearchParams, body: string): Promise<Told | undefined> {
    switch (path) {
      case '/orders':
        return { status: 200, answer: await this.#orders(query) };
      case '/orders/lookup': {
        const { orderIds } = JSON.parse(body) as { readonly orderIds: readonly string[] };
        return { status: 200, answer: { orders: await this.#database.book.byIds(orderIds) } };
      }
      case '/inventory':
        return this.#inventory(query);
      case '/adjustments':
        return { status: 200, answer: await this.#adjust(JSON.parse(body) as StockAdjustment) };
      default:
        return undefined;
    }
  }

  async #orders(query: URLSearchParams): Promise<object> {
    const after = query.get('after');
    const { rows, next } = await this.#database.book.page({
      createdFrom: Number(query.get('createdFrom')),
      limit: Number(query.get('limit')),
      ...(after === null ? {} : { after }),
    });
    return { orders: rows, ...(next === undefined ? {} : { next }) };
  }

  async #inventory(query: URLSearchParams): Promise<Told> {
    const limit = Number(query.get('limit'));
    const after = query.get('after');
    let [takenAt = 0, told = 0] = after?.split('.').map(Number) ?? [];
    if (after === null) {
      takenAt = this.#reads += 1;
      told = 0;
      this.#snapshots.set(takenAt, await this.#database.book.inventory());
      for (const oldest of [...this.#snapshots.keys()].slice(0, -keptMax)) this.#snapshots.delete(oldest);
    }
    const rows = this.#snapshots.get(takenAt);
    if (rows === undefined) return { status: 410, answer: {} };
    const end = told + limit;
    const next = end < rows.length ? { next: `${takenAt}.${end}` } : {};
    return { status: 200, answer: { takenAt, inventory: rows.slice(told, end), ...next } };
  }

  async #adjust(adjustment: StockAdjustment): Promise<object> {
    const { id } = adjustment;
    const answer = await this.#database.adjust(adjustment);
    if (answer.kind === 'refused') return { result: 'refused', id, code: answer.code, detail: answer.detail };
    const { at, onHand, replayed } = answer;
    return { result: 'adjusted', id, at, onHand, replayed };
  }
}
