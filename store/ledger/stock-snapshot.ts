import { invariant } from '../environment.ts';
import type { SnapshotCursor } from './machine.ts';
import { isForgotten } from './order-records.ts';
import { Recount } from './recount.ts';
import {
  adjustmentRow,
  bytesOf,
  encodeEnd,
  encodeHead,
  encodeRows,
  orderRow,
  productRow,
  stagedProductRow,
  tables,
} from './stock-rows.ts';
import type { Row } from './stock-rows.ts';
import type { OrderRecord, Product, StockState } from './stock-state.ts';

/** The list around the rows. */
const chunkOverheadBytes = 16;

/**
 * Reads the stock state out, chunk by chunk, as it was when the reading began, while commands go on being applied.
 * Owns the way through the state; the bytes are stock-rows.ts's.
 *
 * 1. Each record is read once: in its turn, or just before it changes, whichever comes first. One that came into
 *    being since is not read.
 * 2. What was forgotten when it began (L13) is not read, dropped yet or not: replicas whose sweeps are at different
 *    places read out the same.
 * 3. The counters that are read are compared with the orders that are read. A state that does not add up is not read
 *    to its end.
 *
 * In which order the rows come depends on what changed meanwhile; which rows there are does not.
 */
export class StockSnapshot implements SnapshotCursor {
  readonly #state: StockState;
  readonly #number: number;
  readonly #horizon: number;
  readonly #head: Uint8Array;
  readonly #reading: Generator<void>;
  readonly #recount = new Recount();

  /** Rows that were read and not handed out: many, when much changed since the last call. */
  readonly #waiting = new WaitingRows();
  #rows = 0;
  #stage: 'head' | 'rows' | 'end' | 'over' | 'abandoned' = 'head';

  constructor(state: StockState) {
    const { lastSyncAt, horizon, staged, adjustments } = state;
    state.snapshot?.abandon();
    this.#state = state;
    this.#number = state.snapshotNumber += 1;
    this.#horizon = horizon;
    this.#head = encodeHead({ lastSyncAt, horizon, staged });
    this.#reading = this.#readAll(stagedRows(staged), [...adjustments]);
    state.snapshot = {
      order: (record) => this.#readOrder(record),
      product: (product) => this.#readProduct(product),
      abandon: () => this.abandon(),
    };
  }

  next(bytesMax: number): Uint8Array | undefined {
    switch (this.#stage) {
      case 'head':
        this.#stage = 'rows';
        return this.#head;
      case 'rows': {
        while (this.#waiting.bytes < bytesMax && this.#reading.next().done !== true);
        const chunk = this.#waiting.take(bytesMax);
        if (chunk !== undefined) return chunk;
        this.#stage = 'end';
        return this.next(bytesMax);
      }
      case 'end': {
        this.#stop('over');
        const residual = this.#recount.residual();
        this.#state.miscounted = residual;
        invariant(
          residual === 0,
          `the counters of stock are those of its orders, and not ${residual} units off`,
        );
        return encodeEnd(this.#rows);
      }
      case 'over':
        return undefined;
      case 'abandoned':
        throw new Error('a snapshot that was abandoned is not read to its end');
    }
  }

  abandon(): void {
    if (this.#stage !== 'over') this.#stop('abandoned');
  }

  #stop(stage: 'over' | 'abandoned'): void {
    this.#stage = stage;
    if (this.#state.snapshotNumber === this.#number) this.#state.snapshot = undefined;
  }

  /** Stops after each row. */
  *#readAll(
    staged: Iterable<Row>,
    adjustments: readonly Parameters<typeof adjustmentRow>[],
  ): Generator<void, void> {
    for (const row of staged) yield this.#read(row);
    for (const [id, adjustment] of adjustments) yield this.#read(adjustmentRow(id, adjustment));
    // Both maps change under way. What is added comes last, and is not for this snapshot; what goes was read before.
    for (const product of this.#state.products.values()) {
      if (product.snapshotNumber !== this.#number) yield this.#readProduct(product);
    }
    for (const record of this.#state.orders.values()) {
      if (record.snapshotNumber !== this.#number) yield this.#readOrder(record);
    }
  }

  #readProduct(product: Product): void {
    product.snapshotNumber = this.#number;
    this.#recount.product(product);
    this.#read(productRow(product));
  }

  #readOrder(record: OrderRecord): void {
    record.snapshotNumber = this.#number;
    if (isForgotten({ horizon: this.#horizon }, record)) return;
    this.#recount.order(record);
    this.#read(orderRow(record));
  }

  #read(row: Row): void {
    this.#waiting.add(row);
    this.#rows += 1;
  }
}

/** What is staged now. References only: the lists grow, their members do not change. */
function stagedRows(staged: StockState['staged']): Iterable<Row> {
  if (staged === undefined) return [];
  const products = staged.products.slice();
  const removed = staged.removed.slice();
  const applied = staged.applied.slice();
  return (function* () {
    for (const product of products) yield stagedProductRow(product);
    for (const sku of removed) yield [tables.stagedRemovals, sku];
    for (const orderId of applied) yield [tables.stagedSales, orderId];
  })();
}

/** First in, first out; taken in chunks. */
class WaitingRows {
  #rows: { readonly row: Row; readonly bytes: number }[] = [];
  #taken = 0;
  bytes = 0;

  add(row: Row): void {
    const bytes = bytesOf(row);
    this.#rows.push({ row, bytes });
    this.bytes += bytes;
  }

  /** At least one row, if there is any, then as many as fit. */
  take(bytesMax: number): Uint8Array | undefined {
    const rows: Row[] = [];
    let bytes = 0;
    for (;;) {
      const next = this.#rows[this.#taken];
      if (next === undefined || (rows.length > 0 && bytes + next.bytes > bytesMax - chunkOverheadBytes))
        break;
      rows.push(next.row);
      bytes += next.bytes;
      this.#taken += 1;
    }
    if (this.#taken === this.#rows.length) {
      this.#rows = [];
      this.#taken = 0;
    }
    this.bytes -= bytes;
    return rows.length === 0 ? undefined : encodeRows(rows, bytes + chunkOverheadBytes);
  }
}
