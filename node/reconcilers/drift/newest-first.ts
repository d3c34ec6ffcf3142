import { BookUnavailable } from '../../ports/books.ts';
import type { BookName, Page, PageQuery } from '../../ports/books.ts';

/**
 * Reads a book side by side with another, newest first, no further than it is asked to. Owns the rows that were read and
 * that nobody has asked for yet: they are as many as the two books are out of step, and bounded.
 */
export interface NewestFirstOptions {
  readonly book: BookName;
  /** Rows created before it (ms) are not read. */
  readonly createdFrom: number;
  readonly pageSize: number;
  /** More rows than this that nobody asks for mean that the books cannot be compared. */
  readonly waitingMax: number;
}

export class NewestFirst<Row extends { readonly createdAt: number; readonly orderId: string }> {
  readonly #options: NewestFirstOptions;
  readonly #page: (query: PageQuery) => Promise<Page<Row>>;
  readonly #waiting = new Map<string, Row[]>();
  #next: { readonly after?: string } | undefined = {};
  #reachedAt = Infinity;
  rowsRead = 0;

  constructor(
    options: NewestFirstOptions,
    dependencies: { readonly page: (query: PageQuery) => Promise<Page<Row>> },
  ) {
    this.#options = options;
    this.#page = dependencies.page;
  }

  /** Resolves when every row created at or after `at` (ms) was read. */
  async readDownTo(at: number): Promise<void> {
    const { createdFrom, pageSize, waitingMax, book } = this.#options;
    while (this.#next !== undefined && this.#reachedAt >= at) {
      const { rows, next } = await this.#page({ createdFrom, limit: pageSize, ...this.#next });
      for (const row of rows) {
        const known = this.#waiting.get(row.orderId);
        if (known === undefined) this.#waiting.set(row.orderId, [row]);
        else known.push(row);
      }
      this.rowsRead += rows.length;
      this.#reachedAt = rows.at(-1)?.createdAt ?? this.#reachedAt;
      this.#next = next === undefined ? undefined : { after: next };
      if (this.#waiting.size > waitingMax) {
        throw new BookUnavailable(book, `more than ${waitingMax} orders there are not where they should be`);
      }
    }
  }

  take(orderId: string): readonly Row[] {
    const rows = this.#waiting.get(orderId) ?? [];
    this.#waiting.delete(orderId);
    return rows;
  }

  /** What nobody has asked for. */
  rest(): ReadonlyMap<string, readonly Row[]> {
    return this.#waiting;
  }
}
