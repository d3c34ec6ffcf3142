import type { Outcome } from '../../../node/orders/order.ts';
import { BookUnavailable } from '../../../node/ports/books.ts';
import type {
  JournalOrder,
  ListedPayment,
  Page,
  PageQuery,
  SystemOfRecordBook,
} from '../../../node/ports/books.ts';
import type { Drift, DriftReport } from '../../../node/ports/drift.ts';
import type { Deadline } from '../../../node/ports/deadline.ts';
import { createDrift } from '../../../node/reconcilers/drift/report.ts';
import { Inbound } from '../../../node/reconcilers/inbound.ts';
import { createPostgres } from '../../../node/reconcilers/postgres.ts';
import { createLedger } from '../../../store/ledger/ledger.ts';
import type { Ledger } from '../../../store/ledger/port.ts';
import { createStockMachine } from '../../../store/ledger/stock.ts';
import { outcomeOf, product, realEnvironment } from '../support/fixtures.ts';
import type { Client, Database } from '../support/fixtures.ts';

/** One second per order, so that creation orders them. */
const firstAt = 1_700_000_000_000;

/**
 * A shop whose four books agree, until a test plants a difference: the real stock machine, the real adapter on a real
 * database, and a journal and a provider that are lists with pages.
 */
export class Shop {
  readonly url: string;
  readonly sor: Client;
  readonly ledger: Ledger;
  readonly journal: JournalOrder[] = [];
  readonly payments: ListedPayment[] = [];
  readonly drift: Drift;
  /** Time passes while a report pauses: what happens then. */
  meanwhile: () => void | Promise<void> = () => undefined;
  linearizable = true;
  horizon = 0;
  /** Whether orders from before the horizon were ever there. */
  forgot = true;
  away: 'journal' | 'provider' | 'systemOfRecord' | undefined;
  readonly #inbound: Inbound;
  #now = firstAt + 10_000_000;
  #orders = 0;

  private constructor(url: string, sor: Client) {
    this.url = url;
    this.sor = sor;
    const machine = createStockMachine();
    const environment = realEnvironment();
    this.ledger = createLedger(
      { commandTimeoutMs: 1_000 },
      {
        machine,
        environment,
        log: {
          submit: async (command) => machine.apply((this.#now += 1), command),
          status: () => ({
            role: 'leader',
            term: 1,
            lastIndex: 0,
            commitIndex: 0,
            appliedIndex: 0,
            match: {},
          }),
          freshness: () => ({ linearizable: this.linearizable, asOf: this.#now }),
          onLeadership: () => () => undefined,
        },
      },
    );
    this.#inbound = new Inbound({ environment, sor, ledger: this.ledger });
    const clock = {
      now: () => this.#now,
      monotonic: () => this.#now,
      after: (delayMs: number, callback: () => void) => {
        this.#now += delayMs;
        void Promise.resolve(this.meanwhile()).then(callback);
        return () => undefined;
      },
    };
    const record = sor.book;
    const unlessAway = async <Result>(book: Exclude<Shop['away'], undefined>, answer: () => Result) => {
      if (this.away === book) throw new BookUnavailable(book, 'nobody answers');
      return answer();
    };
    this.drift = createDrift(
      { isOneZone: true },
      {
        environment: { clock, log: environment.log },
        journal: {
          page: async (query) => pageOf(this.journal, query),
          byIds: async (ids) => this.journal.filter(({ orderId }) => ids.includes(orderId)),
          horizon: () => this.horizon,
          catchUp: async () => this.away !== 'journal',
        },
        ledger: this.ledger,
        mayHaveForgotten: async () => this.forgot,
        provider: {
          page: (query) => unlessAway('provider', () => pageOf(this.payments, query)),
          byIntent: async (intent) => this.payments.find((payment) => payment.intent === intent),
        },
        record: {
          page: (query) => record.page({ ...query, limit: Math.min(7, query.limit) }),
          byIds: (ids) => record.byIds(ids),
          inventory: async () =>
            unlessAway('systemOfRecord', () => record.inventory()).then((books) => books),
        } satisfies SystemOfRecordBook,
        readInventory: (unapplied) => sor.readInventory(unapplied),
        readInbound: () => this.readInbound(),
      },
    );
  }

  static async open({ url, connect }: Database): Promise<Shop> {
    const inSql = createPostgres({ url }, { environment: realEnvironment() });
    await inSql.migrate();
    await inSql.fillCatalog(['A', 'B', 'C'].map((sku) => product(sku, 1_000)));
    const sor = connect?.() ?? inSql;
    if (sor !== inSql) await inSql.close();
    const shop = new Shop(url, sor);
    await shop.readInbound();
    return shop;
  }

  async readInbound(): Promise<void> {
    await this.#inbound.run();
  }

  close(): Promise<void> {
    return this.sor.close();
  }

  report(options: { readonly since?: number } = {}, deadline?: Deadline): Promise<DriftReport> {
    return this.drift.report(options, deadline);
  }

  /** Codes, each with what it is about. */
  async codes(): Promise<readonly string[]> {
    const { differences } = await this.report();
    return differences.map(({ code, orderId, sku }) => `${code} ${orderId ?? sku ?? ''}`).toSorted();
  }

  /** An order that went its whole way, in all books. */
  async order(
    outcome: Outcome = 'fulfilled',
    units: Readonly<Record<string, number>> = { A: 1, B: 2 },
    { deliver = true, commit = true }: { readonly deliver?: boolean; readonly commit?: boolean } = {},
  ): Promise<string> {
    const orderId = `ord_${String((this.#orders += 1)).padStart(4, '0')}`;
    const createdAt = firstAt + this.#orders * 1_000;
    const record = outcomeOf(orderId, units, { outcome, endedAt: createdAt + 500 });
    const { lines, total, currency } = record.order;
    const reference = { orderId, createdAt };
    await this.ledger.hold({ ...reference, fingerprint: 'f', lines, ttlMs: 900_000 });
    if (outcome !== 'fulfilled') await this.ledger.release({ ...reference, reason: outcome });
    else if (commit) await this.ledger.commit(reference);
    else await this.ledger.release({ ...reference, reason: 'abandoned' });
    const intent = `pi_${orderId}`;
    const captured = outcome === 'fulfilled' || outcome === 'refunded' ? total : 0;
    this.payments.unshift({
      intent,
      orderId,
      createdAt: createdAt + 200,
      currency,
      authorized: 0,
      captured,
      refunded: outcome === 'refunded' ? total : 0,
    });
    if (deliver) await this.sor.applyOutcomes([{ ...record, order: { ...record.order, createdAt } }]);
    this.journal.unshift({
      orderId,
      createdAt,
      changedAt: createdAt + 600,
      outcome,
      settled: true,
      currency,
      total,
      lines,
      intent,
      delivery: deliver ? 'delivered' : 'waiting',
    });
    return orderId;
  }

  /** Changes what the journal or the provider says of an order. */
  bend(orderId: string, change: { journal?: Partial<JournalOrder>; payment?: Partial<ListedPayment> }): void {
    const at = this.journal.findIndex((order) => order.orderId === orderId);
    const order = this.journal[at];
    if (order !== undefined) this.journal[at] = { ...order, ...change.journal };
    const paid = this.payments.findIndex((payment) => payment.orderId === orderId);
    const payment = this.payments[paid];
    if (payment !== undefined) this.payments[paid] = { ...payment, ...change.payment };
  }

  pay(payment: Partial<ListedPayment> & Pick<ListedPayment, 'intent'>): void {
    const createdAt = firstAt + this.#orders * 1_000 + 300;
    const whole = { createdAt, currency: 'EUR', authorized: 0, captured: 0, refunded: 0, ...payment };
    this.payments.push(whole);
    this.payments.sort((one, other) => other.createdAt - one.createdAt);
  }
}

function pageOf<Row extends { readonly createdAt: number }>(
  all: readonly Row[],
  { createdFrom, after = '0', limit }: PageQuery,
): Page<Row> {
  const from = Number(after);
  const to = from + Math.min(5, limit);
  const rows = all.slice(from, to).filter(({ createdAt }) => createdAt >= createdFrom);
  return to < all.length ? { rows, next: String(to) } : { rows };
}
