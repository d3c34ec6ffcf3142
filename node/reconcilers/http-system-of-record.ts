import { createHash } from 'node:crypto';
import type { ProductRow } from '../../store/ledger/port.ts';
import type { Environment } from '../../store/environment.ts';
import type { SystemOfRecordBook } from '../ports/books.ts';
import { NO_DEADLINE } from '../ports/deadline.ts';
import type { StockAdjustments } from '../ports/stock-adjustments.ts';
import { SystemOfRecordUnavailable } from '../ports/system-of-record.ts';
import type { InventorySnapshot, OutcomeRecord, SystemOfRecord } from '../ports/system-of-record.ts';
import { adjustOverHttp } from './http-adjustments.ts';
import { createHttpBook } from './http-book.ts';
import { CursorGone, HttpLine, RefusedByHttp } from './http-line.ts';
import { appliedAnswer, changesAnswer, healthAnswer, outcomesAnswer, sentOutcome } from './http-wire.ts';

/**
 * A system of record behind HTTP and JSON (DESIGN.md, "Over HTTP"). Owns a copy of the catalogue as of a cursor, in
 * memory; does not own the line (http-line.ts). Its other side applies outcomes and numbers its snapshots.
 *
 *   W1  A read is one snapshot: pages that differ in `takenAt` are not put together.
 *   W2  The copy and its cursor change together, and only when the last page is in.
 *   W3  Which sales are applied is asked before the snapshot, or told by it: what is applied stays applied, so each
 *       of them is in its figures (R6).
 *   W4  An outcome counts as applied or refused only when the answer says so of this very outcome; whatever else
 *       comes, it is sent again.
 */
export interface HttpSystemOfRecordOptions {
  /** `https://…`, with a path where wanted. */
  readonly url: string;
  /** Sent as `Authorization: Bearer …`. */
  readonly token?: string;
  /** Longest that one request and its answer may take. Default 10,000 ms. */
  readonly timeoutMs?: number;
  /** Longest answer. Default 16 MiB. */
  readonly answerBytesMax?: number;
  /** Rows asked for per page of changes, and of the inventory's book. Default 1,000. */
  readonly pageSize?: number;
}

export interface HttpSystemOfRecord extends SystemOfRecord, StockAdjustments {
  /** For the drift report, where the service offers it. */
  readonly book: SystemOfRecordBook;
  /** The shop fills its catalogue itself. */
  readonly fillCatalog?: never;
}

/** Rows of one read, at most: beyond it something is wrong over there. */
const rowsMax = 1_000_000;
const idsPerQuestion = 5_000;

export function createHttpSystemOfRecord(
  options: HttpSystemOfRecordOptions,
  dependencies: { readonly environment: Pick<Environment, 'clock'> },
): HttpSystemOfRecord {
  const { timeoutMs = 10_000, answerBytesMax = 16 * 2 ** 20, pageSize = 1_000, ...where } = options;
  const line = new HttpLine({ ...where, timeoutMs, answerBytesMax }, dependencies);
  const changes = new Changes({ pageSize }, { line });
  const health = () => line.ask('/health', healthAnswer);
  return {
    migrate: async () => void (await health()),
    productCount: async () => (await health()).products,
    readInventory: async (unappliedSales) => {
      const applied = new Set(await appliedAmong(line, unappliedSales));
      const snapshot = await changes.read();
      return { ...snapshot, applied: [...applied.union(new Set(snapshot.applied))] };
    },
    applyOutcomes: (outcomes) => applyOutcomes(line, outcomes),
    adjust: (adjustment, deadline = NO_DEADLINE) => adjustOverHttp(line, adjustment, deadline),
    book: createHttpBook({ pageSize }, { line }),
    close: () => {
      line.close();
      return Promise.resolve();
    },
  };
}

class Changes {
  readonly #options: { readonly pageSize: number };
  readonly #line: HttpLine;
  /** W2. */
  #known: { readonly cursor?: string; readonly products: ReadonlyMap<string, ProductRow> } = {
    products: new Map(),
  };

  constructor(options: { readonly pageSize: number }, dependencies: { readonly line: HttpLine }) {
    this.#options = options;
    this.#line = dependencies.line;
  }

  async read(): Promise<InventorySnapshot> {
    try {
      return await this.#readOn();
    } catch (error) {
      if (!(error instanceof CursorGone)) throw error;
      this.#known = { products: new Map() };
    }
    return this.#readOn();
  }

  async #readOn(): Promise<InventorySnapshot> {
    let cursor = this.#known.cursor;
    const products = new Map(this.#known.products);
    const applied: string[] = [];
    let takenAt: number | undefined;
    for (let rows = 0; rows <= rowsMax;) {
      const after = cursor === undefined ? '' : `after=${encodeURIComponent(cursor)}&`;
      const page = await this.#line.ask(`/changes?${after}limit=${this.#options.pageSize}`, changesAnswer);
      takenAt ??= page.takenAt;
      if (page.takenAt !== takenAt) throw new SystemOfRecordUnavailable('its pages are of two snapshots');
      for (const sku of page.removed) products.delete(sku);
      for (const row of page.products) products.set(row.sku, row);
      for (const orderId of page.applied) applied.push(orderId);
      cursor = page.next;
      if (!page.more) {
        this.#known = { cursor, products };
        return { takenAt, products: [...products.values()], applied };
      }
      // A page of nothing counts as well, or a server that is stuck would be asked for ever.
      rows += page.products.length + page.removed.length + page.applied.length + 1;
    }
    throw new SystemOfRecordUnavailable(`one read has more than ${rowsMax} rows`);
  }
}

async function appliedAmong(line: HttpLine, orderIds: readonly string[]): Promise<readonly string[]> {
  const applied: string[] = [];
  for (let from = 0; from < orderIds.length; from += idsPerQuestion) {
    const asked = orderIds.slice(from, from + idsPerQuestion);
    const answer = await line.ask('/orders/applied', appliedAnswer, { orderIds: asked });
    for (const orderId of answer.applied) applied.push(orderId);
  }
  return applied;
}

/** A batch that is refused as a whole is halved, older half first, down to the culprit (R4). */
async function applyOutcomes(
  line: HttpLine,
  outcomes: readonly OutcomeRecord[],
): ReturnType<SystemOfRecord['applyOutcomes']> {
  const applied: { orderId: string; revision: number }[] = [];
  const parked: { orderId: string; reason: string }[] = [];
  const waiting: (readonly OutcomeRecord[])[] = [outcomes];
  for (let batch = waiting.pop(); batch !== undefined; batch = waiting.pop()) {
    const [first, ...others] = batch;
    if (first === undefined) continue;
    try {
      for (const result of await applyTogether(line, batch)) {
        const { orderId, revision } = result;
        if (result.result === 'refused') parked.push({ orderId, reason: `${result.code}: ${result.detail}` });
        else applied.push({ orderId, revision });
      }
    } catch (error) {
      if (!(error instanceof RefusedByHttp)) throw error;
      if (others.length === 0) parked.push({ orderId: first.order.id, reason: error.message });
      else {
        const middle = Math.ceil(batch.length / 2);
        waiting.push(batch.slice(middle), batch.slice(0, middle));
      }
    }
  }
  return { applied, parked };
}

async function applyTogether(line: HttpLine, batch: readonly OutcomeRecord[]) {
  const sent = batch.map(sentOutcome);
  // The same outcomes again are the same batch, whichever node sends them.
  const batchId = createHash('sha256').update(JSON.stringify(sent)).digest('hex');
  const { results } = await line.send('/outcomes', outcomesAnswer, { batch: batchId, outcomes: sent });
  const isOfThisBatch =
    results.length === batch.length &&
    batch.every(
      ({ order, revision }, index) =>
        results[index]?.orderId === order.id && results[index].revision === revision,
    );
  if (!isOfThisBatch) throw new SystemOfRecordUnavailable('its results are not those of the batch');
  return results;
}
