import type { Environment } from '../../../store/environment.ts';
import { BookUnavailable } from '../../ports/books.ts';
import type {
  BookedOrder,
  JournalOrder,
  LedgerBook,
  ListedPayment,
  Page,
  PageQuery,
} from '../../ports/books.ts';
import { NO_DEADLINE } from '../../ports/deadline.ts';
import type { Difference, DifferenceCode, Drift, DriftReport } from '../../ports/drift.ts';
import { ReconcilerError } from '../../ports/reconcilers.ts';
import { SystemOfRecordUnavailable } from '../../ports/system-of-record.ts';
import { onlyWhileAwaited, type Books } from './awaited-books.ts';
import { compareOrder } from './compare-order.ts';
import { compareInventory, compareStocks } from './compare-products.ts';
import { NewestFirst } from './newest-first.ts';

/**
 * Reads the four books side by side and reports how they differ. Owns what is compared with what, and when; what a
 * difference is, compare-order.ts and compare-products.ts say.
 *
 *   D9   What is in flight is no difference: orders count that have ended and been quiet for `settleMs`.
 *   D10  Nothing is reported that was seen but once. What seems to differ is read anew from all books, after a pause, and
 *        counts when it differs in the same way.
 *   D11  Memory is bounded: books are read in pages, newest first, side by side (newest-first.ts).
 *   D12  A book that cannot be read ends the report: nothing is said rather than something wrong.
 *   D13  The report is made where the ledger is led, whose copy is the newest, after taking in all that a majority of
 *        the journals holds.
 *   D14  No page is asked for once nobody waits for the report: it may take minutes, and keeps the next one waiting.
 */
export interface DriftOptions {
  /** An order counts when nothing became of it for this long, ms. Default 60 s. */
  readonly settleMs?: number;
  /** Pause before what seems to differ is looked at again, ms. Default 2 s. */
  readonly secondLookAfterMs?: number;
  /** Whether all members are in one zone: no node knows the orders of another. */
  readonly isOneZone: boolean;
}

export interface DriftDependencies extends Books {
  readonly environment: Pick<Environment, 'clock' | 'log'>;
  /** Of this node, so that nobody is asked. */
  readonly ledger: LedgerBook;
  /** Whether an order created before `horizon` (ms) may ever have been here. */
  readonly mayHaveForgotten: (horizon: number) => Promise<boolean>;
}

const ordersPerPage = 500;
const waitingMax = 200_000;
const candidatesMax = 1_000;
const idsPerLook = 100;
/** Clocks of nodes and provider differ by no more than this; what differs more is found by the second look. */
const clockSkewMs = 5 * 60_000;
/** Figures are compared again as long as they differ, this often at most. */
const looksAtProducts = 3;

interface Candidate {
  readonly codes: ReadonlySet<DifferenceCode>;
  /** All payments that were seen of it. */
  readonly intents: ReadonlySet<string>;
}

export function createDrift(options: DriftOptions, dependencies: DriftDependencies): Drift {
  let isBusy = false;
  return {
    async report({ since = 0 }, deadline = NO_DEADLINE) {
      if (isBusy) throw new ReconcilerError('BUSY', 'a report is being made on this node already');
      isBusy = true;
      try {
        return await new Comparison(
          options,
          { ...dependencies, ...onlyWhileAwaited(deadline, dependencies) },
          since,
        ).run();
      } catch (error) {
        throw asReconcilerError(error);
      } finally {
        isBusy = false;
      }
    },
  };
}

class Comparison {
  readonly #options: DriftOptions;
  readonly #dependencies: DriftDependencies;
  readonly #startedAt: number;
  readonly #comparedFrom: number;
  readonly #comparedUntil: number;
  readonly #candidates = new Map<string, Candidate>();
  readonly #compared = { orders: 0, inFlight: 0, foreignPayments: 0, discarded: 0 };
  #unchecked = 0;

  constructor(options: DriftOptions, dependencies: DriftDependencies, since: number) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#startedAt = dependencies.environment.clock.now();
    this.#comparedFrom = Math.max(dependencies.journal.horizon(), since);
    this.#comparedUntil = this.#startedAt - (options.settleMs ?? 60_000);
  }

  async run(): Promise<DriftReport> {
    const { environment, record } = this.#dependencies;
    await this.#catchUp();
    const payments = this.#reader<ListedPayment & { readonly orderId: string }>('provider', 100, (query) =>
      this.#ownPayments(query),
    );
    const booked = this.#reader<BookedOrder>('systemOfRecord', ordersPerPage, (query) => record.page(query));
    await this.#walk(payments, booked);
    await this.#lookAtTheRest(payments, booked);
    await this.#lookAtPromises();
    const products = await this.#compareProducts();
    const inventory = await record.inventory();
    const differences = [
      ...(await this.#lookAgain()),
      ...compareInventory(inventory),
      ...products.differences,
    ];
    return {
      startedAt: this.#startedAt,
      finishedAt: environment.clock.now(),
      comparedFrom: this.#comparedFrom,
      comparedUntil: this.#comparedUntil,
      compared: {
        ...this.#compared,
        payments: payments.rowsRead,
        booked: booked.rowsRead,
        products: products.count,
      },
      differences: differences.slice(0, candidatesMax),
      unchecked: this.#unchecked + Math.max(0, differences.length - candidatesMax),
      notes: await this.#notes(),
    };
  }

  /** D13. */
  async #catchUp(): Promise<void> {
    const { journal, ledger } = this.#dependencies;
    if (!ledger.freshness().linearizable) {
      throw new ReconcilerError('NOT_LEADER', 'another node leads the ledger: ask it');
    }
    if (!(await journal.catchUp()))
      throw new BookUnavailable('journal', 'no majority of the journals answers');
  }

  #reader<Row extends { readonly createdAt: number; readonly orderId: string }>(
    book: 'provider' | 'systemOfRecord',
    pageSize: number,
    page: (query: PageQuery) => Promise<Page<Row>>,
  ): NewestFirst<Row> {
    const createdFrom = this.#comparedFrom;
    return new NewestFirst<Row>({ book, createdFrom, pageSize, waitingMax }, { page });
  }

  async #ownPayments(query: PageQuery): Promise<Page<ListedPayment & { readonly orderId: string }>> {
    const page = await this.#dependencies.provider.page(query);
    const rows = page.rows.flatMap((payment) => {
      const { orderId } = payment;
      return orderId === undefined ? [] : [{ ...payment, orderId }];
    });
    this.#compared.foreignPayments += page.rows.length - rows.length;
    return { ...page, rows };
  }

  /** Every order of the journal, with what the other books say of it. */
  async #walk(
    payments: NewestFirst<ListedPayment & { readonly orderId: string }>,
    booked: NewestFirst<BookedOrder>,
  ): Promise<void> {
    const { journal } = this.#dependencies;
    let next: string | undefined;
    do {
      const page: Page<JournalOrder> = await journal.page({
        createdFrom: this.#comparedFrom,
        limit: ordersPerPage,
        ...(next === undefined ? {} : { after: next }),
      });
      const oldest = page.rows.at(-1);
      if (oldest !== undefined) {
        await payments.readDownTo(oldest.createdAt - clockSkewMs);
        await booked.readDownTo(oldest.createdAt);
      }
      for (const order of page.rows) {
        const { orderId } = order;
        this.#look(orderId, order, payments.take(orderId), booked.take(orderId)[0]);
      }
      next = page.next;
    } while (next !== undefined);
    await payments.readDownTo(-Infinity);
    await booked.readDownTo(-Infinity);
  }

  /** What the journal did not ask for: of orders that are not compared, or that nobody knows. */
  async #lookAtTheRest(
    payments: NewestFirst<ListedPayment & { readonly orderId: string }>,
    booked: NewestFirst<BookedOrder>,
  ): Promise<void> {
    const { journal, record } = this.#dependencies;
    if (!this.#options.isOneZone) return;
    for (const ids of chunks([...payments.rest().keys(), ...booked.rest().keys()])) {
      const known = new Set((await journal.byIds(ids)).map(({ orderId }) => orderId));
      const unknown = ids.filter((id) => !known.has(id));
      if (unknown.length === 0) continue;
      const there = byId(await record.byIds(unknown));
      for (const id of unknown) {
        const paid = (payments.rest().get(id) ?? []).filter((row) => row.createdAt < this.#comparedUntil);
        this.#look(id, undefined, paid, there.get(id));
      }
    }
  }

  async #lookAtPromises(): Promise<void> {
    const { journal, ledger, record } = this.#dependencies;
    if (!this.#options.isOneZone) return;
    for (const ids of chunks(ledger.promises().map(({ orderId }) => orderId))) {
      const known = new Set((await journal.byIds(ids)).map(({ orderId }) => orderId));
      const unknown = ids.filter((id) => !known.has(id));
      if (unknown.length === 0) continue;
      const there = byId(await record.byIds(unknown));
      for (const id of unknown) this.#look(id, undefined, [], there.get(id));
    }
  }

  /** Whether an order that is in the system of record should be known here: it is neither in flight nor forgotten. */
  #isOfThisTime({ createdAt }: BookedOrder): boolean {
    const from = Math.max(this.#comparedFrom, this.#dependencies.journal.horizon());
    return createdAt >= from && createdAt < this.#comparedUntil;
  }

  #look(
    orderId: string,
    journal: JournalOrder | undefined,
    payments: readonly ListedPayment[],
    booked: BookedOrder | undefined,
  ): void {
    if (journal !== undefined) {
      if (this.#isInFlight(journal)) {
        this.#compared.inFlight += 1;
        return;
      }
      this.#compared.orders += 1;
      if (journal.delivery === 'discarded') this.#compared.discarded += 1;
    }
    const found = this.#differences(orderId, journal, payments, booked);
    if (found.length === 0) return;
    if (this.#candidates.size >= candidatesMax && !this.#candidates.has(orderId)) {
      this.#unchecked += 1;
      return;
    }
    const before = this.#candidates.get(orderId);
    const intents = new Set([
      ...(before?.intents ?? []),
      ...payments.map(({ intent }) => intent),
      ...(journal?.intent === undefined ? [] : [journal.intent]),
    ]);
    const codes = new Set([...(before?.codes ?? []), ...found.map(({ code }) => code)]);
    this.#candidates.set(orderId, { codes, intents });
  }

  /** D9. */
  #isInFlight({ settled, changedAt }: JournalOrder): boolean {
    return !settled || changedAt >= this.#comparedUntil;
  }

  #differences(
    orderId: string,
    journal: JournalOrder | undefined,
    payments: readonly ListedPayment[],
    booked: BookedOrder | undefined,
  ): readonly Difference[] {
    const { ledger } = this.#dependencies;
    const ledgerAsOf = ledger.freshness().asOf;
    const found = compareOrder({
      orderId,
      journal,
      payments,
      booked,
      ledger: ledger.order(orderId),
      ledgerAsOf,
    });
    const isExpected = booked !== undefined && this.#isOfThisTime(booked);
    return found.filter(({ code }) => code !== 'UNKNOWN_IN_RECORD' || isExpected);
  }

  /** D10. */
  async #lookAgain(): Promise<readonly Difference[]> {
    if (this.#candidates.size === 0) return [];
    const { journal, record, provider } = this.#dependencies;
    await this.#pause();
    await this.#catchUp();
    const confirmed: Difference[] = [];
    for (const ids of chunks([...this.#candidates.keys()])) {
      const orders = byId(await journal.byIds(ids));
      const there = byId(await record.byIds(ids));
      for (const id of ids) {
        const candidate = this.#candidates.get(id);
        const order = orders.get(id);
        if (candidate === undefined || (order !== undefined && this.#isInFlight(order))) continue;
        const payments: ListedPayment[] = [];
        for (const intent of candidate.intents) {
          const payment = await provider.byIntent(intent);
          if (payment !== undefined) payments.push(payment);
        }
        const found = this.#differences(id, order, payments, there.get(id));
        confirmed.push(...found.filter(({ code }) => candidate.codes.has(code)));
      }
    }
    return confirmed;
  }

  /** D7, D8, D10: figures that differ are read again, from the beginning. */
  async #compareProducts(): Promise<{ readonly count: number; readonly differences: readonly Difference[] }> {
    const { ledger, readInventory, readInbound } = this.#dependencies;
    let standing: readonly Difference[] | undefined;
    let count = 0;
    for (let look = 1; look <= looksAtProducts; look += 1) {
      if (look > 1) await this.#pause();
      await readInbound();
      const { products, applied } = await readInventory(ledger.unappliedSales());
      // From here on nothing waits: the ledger's copy does not move. What moved in between does not differ thrice.
      count = products.length;
      const found = compareStocks(
        { stocks: ledger.stocks(), promises: ledger.promises() },
        { products, applied: new Set(applied) },
      );
      const before = new Set(standing?.map(nameOf));
      standing = standing === undefined ? found : found.filter((one) => before.has(nameOf(one)));
      if (standing.length === 0) break;
    }
    return { count, differences: standing ?? [] };
  }

  async #notes(): Promise<readonly string[]> {
    const { journal, mayHaveForgotten } = this.#dependencies;
    const horizon = journal.horizon();
    // A young cluster has a horizon too, and nothing behind it; of other zones it is not known.
    const isForgotten = horizon > 0 && (!this.#options.isOneZone || (await mayHaveForgotten(horizon)));
    return [
      ...(isForgotten
        ? [
            `orders created before ${new Date(horizon).toISOString()} are forgotten, and were not compared one by one`,
          ]
        : []),
      ...(this.#options.isOneZone
        ? []
        : ['with several zones no node knows all orders: whether one is unknown everywhere was not judged']),
    ];
  }

  #pause(): Promise<void> {
    const { clock } = this.#dependencies.environment;
    return new Promise((resolve) => {
      clock.after(this.#options.secondLookAfterMs ?? 2_000, resolve);
    });
  }
}

function nameOf({ code, sku = '' }: Difference): string {
  return `${code} ${sku}`;
}

function byId<Row extends { readonly orderId: string }>(rows: readonly Row[]): ReadonlyMap<string, Row> {
  return new Map(rows.map((row) => [row.orderId, row]));
}

function* chunks(ids: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < ids.length; from += idsPerLook) yield ids.slice(from, from + idsPerLook);
}

/** D12. */
function asReconcilerError(error: unknown): unknown {
  if (error instanceof BookUnavailable) {
    return new ReconcilerError('BOOK_UNAVAILABLE', `${error.book}: ${error.message}`);
  }
  if (error instanceof SystemOfRecordUnavailable) {
    return new ReconcilerError('BOOK_UNAVAILABLE', `systemOfRecord: ${error.message}`);
  }
  return error;
}
