import { invariant } from '../environment.ts';
import type { SnapshotRestore } from './machine.ts';
import { Recount } from './recount.ts';
import {
  adjustmentOfRow,
  decodeChunk,
  orderOfRow,
  productOfRow,
  stagedProductOfRow,
  tables,
} from './stock-rows.ts';
import type { Row, SnapshotHead } from './stock-rows.ts';
import { emptyState, promiseOf } from './stock-state.ts';
import type { StagedSync, StockState } from './stock-state.ts';

/**
 * Makes a stock state out of the chunks of a snapshot, in a place of its own, and hands it over when it is whole.
 *
 * What follows from the rows (queues, sums, unapplied sales) is derived here and not part of a snapshot. A state whose
 * counters are not the sums over its orders, or of which a part is missing, is not handed over.
 */
export class StockRestore implements SnapshotRestore {
  readonly #state = emptyState();
  readonly #recount = new Recount();
  readonly #onRestored: (state: StockState) => void;
  #staged: StagedSync | undefined;
  #rows = 0;
  #stage: 'head' | 'rows' | 'over' = 'head';

  constructor(onRestored: (state: StockState) => void) {
    this.#onRestored = onRestored;
  }

  add(bytes: Uint8Array): void {
    const chunk = decodeChunk(bytes);
    invariant(
      this.#stage === (chunk.kind === 'head' ? 'head' : 'rows'),
      `${chunk.kind} has its place in a snapshot`,
    );
    switch (chunk.kind) {
      case 'head':
        this.#begin(chunk.head);
        this.#stage = 'rows';
        return;
      case 'rows':
        for (const row of chunk.rows) this.#add(row);
        this.#rows += chunk.rows.length;
        return;
      case 'end':
        this.#end(chunk.rows);
        this.#stage = 'over';
    }
  }

  finish(): void {
    invariant(this.#stage === 'over', 'a snapshot has an end');
    this.#onRestored(this.#state);
  }

  #end(rows: number): void {
    invariant(rows === this.#rows, `a snapshot of ${rows} rows has them all, not ${this.#rows}`);
    const residual = this.#recount.residual();
    invariant(residual === 0, `a snapshot neither makes nor loses units, and not ${residual}`);
  }

  #begin({ lastSyncAt, horizon, staged }: SnapshotHead): void {
    this.#state.lastSyncAt = lastSyncAt;
    this.#state.horizon = horizon;
    this.#staged = staged === undefined ? undefined : { ...staged, products: [], removed: [], applied: [] };
    this.#state.staged = this.#staged;
  }

  #add(row: Row): void {
    switch (row[0]) {
      case tables.products:
        return this.#addProduct(row);
      case tables.orders:
        return this.#addOrder(row);
      case tables.adjustments: {
        const [id, adjustment] = adjustmentOfRow(row);
        this.#state.adjustments.set(id, adjustment);
        return;
      }
      case tables.stagedProducts:
        this.#staged?.products.push(stagedProductOfRow(row));
        return;
      case tables.stagedRemovals:
        this.#staged?.removed.push(row[1] as string);
        return;
      case tables.stagedSales:
        this.#staged?.applied.push(row[1] as string);
        return;
      default:
        throw new Error(`a stock snapshot with rows of an unknown table ${row[0]}`);
    }
  }

  #addProduct(row: Row): void {
    const product = productOfRow(row);
    this.#state.products.set(product.sku, product);
    this.#recount.product(product);
  }

  #addOrder(row: Row): void {
    const state = this.#state;
    const record = orderOfRow(row);
    state.orders.set(record.orderId, record);
    this.#recount.order(record);
    const promise = promiseOf(record.state);
    if (promise === undefined) state.closed.add(record);
    else for (const { quantity } of record.lines) state.promised[promise] += quantity;
    if (promise === 'sold') state.unapplied.add(record.orderId);
    if (record.state.kind === 'held') state.expiries.add(record.state);
  }
}
