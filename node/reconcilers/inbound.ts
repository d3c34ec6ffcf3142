import type { Environment } from '../../store/environment.ts';
import type { Ledger, ProductRow } from '../../store/ledger/port.ts';
import type { RejectedRow } from '../ports/reconcilers.ts';
import { SystemOfRecordUnavailable } from '../ports/system-of-record.ts';
import type { SystemOfRecord } from '../ports/system-of-record.ts';
import { whyUnsellable } from './unsellable.ts';

/**
 * Carries catalogue and inventory from the system of record into the ledger. Owns the memory of what was last
 * carried, to send only what changed; does not own when it runs.
 */
export interface Shortfall {
  readonly sku: string;
  /** Units promised beyond what the system of record has. */
  readonly missing: number;
}

export interface InboundResult {
  /** Products read. */
  readonly processed: number;
  readonly shortfalls: readonly Shortfall[];
  /** Rows that were left out. */
  readonly rejected: readonly RejectedRow[];
}

export interface InboundDependencies {
  readonly environment: Pick<Environment, 'log'>;
  readonly sor: Pick<SystemOfRecord, 'readInventory'>;
  readonly ledger: Pick<Ledger, 'sync' | 'unappliedSales' | 'stocks' | 'lastSyncAt'>;
  /** Sales that will never be applied, because somebody has taken their units out of the inventory by hand. */
  readonly discarded?: () => Promise<readonly string[]>;
}

/** The rows that the ledger was last given, by this node. */
interface Baseline {
  readonly takenAt: number;
  readonly rows: ReadonlyMap<string, ProductRow>;
}

export class Inbound {
  readonly #dependencies: InboundDependencies;
  #baseline: Baseline | undefined;

  constructor(dependencies: InboundDependencies) {
    this.#dependencies = dependencies;
  }

  /** Rejects with SystemOfRecordUnavailable or LedgerError; running it again is always safe. */
  async run(): Promise<InboundResult> {
    const { sor, ledger, environment, discarded } = this.#dependencies;
    // R17. Asked before the read: what was taken out before it was discarded is out in the snapshot.
    const settledByHand = (await discarded?.()) ?? [];
    const snapshot = await sor.readInventory(ledger.unappliedSales());
    const { rows, rejected } = this.#sort(snapshot.products);

    // From here to `sync` nothing waits: the ledger's copy does not move in between.
    const stocks = ledger.stocks();
    if (snapshot.products.length === 0 && stocks.length > 0) {
      // More likely the wrong database, or one being loaded, than a shop that stopped selling everything.
      throw new SystemOfRecordUnavailable(`the catalogue is empty, but ${stocks.length} products were known`);
    }
    const unapplied = new Set(ledger.unappliedSales());
    const contained = new Set([...snapshot.applied, ...settledByHand]);
    const { applied: taken } = await ledger.sync({
      takenAt: snapshot.takenAt,
      products: this.#rowsToSend([...rows.values()], stocks),
      removed: stocks.filter(({ sku }) => !rows.has(sku)).map(({ sku }) => sku),
      applied: [...contained].filter((orderId) => unapplied.has(orderId)),
    });
    if (taken) this.#baseline = { takenAt: snapshot.takenAt, rows };
    else environment.log.info({ takenAt: snapshot.takenAt }, 'a later read of the inventory came first');
    return { processed: rows.size, shortfalls: this.#reportShortfalls(), rejected };
  }

  /** R19. A row that cannot be sold by counts as one that is not there: its product stops selling. */
  #sort(products: readonly ProductRow[]): {
    readonly rows: ReadonlyMap<string, ProductRow>;
    readonly rejected: readonly RejectedRow[];
  } {
    const rows = new Map<string, ProductRow>();
    const rejected: RejectedRow[] = [];
    for (const row of products) {
      const reason = whyUnsellable(row, rows);
      if (reason === undefined) rows.set(row.sku, row);
      else rejected.push({ sku: row.sku, reason });
    }
    if (rejected.length > 0) {
      const shown = rejected.slice(0, 20);
      this.#dependencies.environment.log.error(
        { rows: rejected.length, shown },
        'rows of the catalogue were left out: their products do not sell',
      );
    }
    return { rows, rejected };
  }

  /**
   * R8. A row is left out only when (1) the sync that the ledger stands at is the one this node sent last, and
   * the row has not changed since, and (2) nothing of its SKU waits to be counted as sold. Comparing with
   * `stocks()` would not do: they include corrections, which the sync undoes. And without (2) a sale could leave
   * `sold` by this sync while the figure that contains it had been left out and another node's older read,
   * arriving in between, had set a higher one.
   */
  #rowsToSend(
    products: readonly ProductRow[],
    stocks: ReturnType<InboundDependencies['ledger']['stocks']>,
  ): readonly ProductRow[] {
    const baseline = this.#baseline;
    if (baseline === undefined || baseline.takenAt !== this.#dependencies.ledger.lastSyncAt())
      return products;
    const selling = new Set(stocks.filter(({ sold }) => sold > 0).map(({ sku }) => sku));
    return products.filter((row) => selling.has(row.sku) || !isSame(row, baseline.rows.get(row.sku)));
  }

  #reportShortfalls(): readonly Shortfall[] {
    const { ledger, environment } = this.#dependencies;
    const shortfalls = ledger
      .stocks()
      .filter(({ available }) => available < 0)
      .map(({ sku, available }) => ({ sku, missing: -available }));
    if (shortfalls.length > 0) {
      const shown = shortfalls.slice(0, 20);
      environment.log.error(
        { skus: shortfalls.length, shown },
        'more is promised than the system of record has',
      );
    }
    return shortfalls;
  }
}

function isSame(row: ProductRow, other: ProductRow | undefined): boolean {
  return (
    other !== undefined &&
    row.onHand === other.onHand &&
    row.unitPrice === other.unitPrice &&
    row.currency === other.currency &&
    row.name === other.name &&
    row.holdMs === other.holdMs &&
    row.maxPerOrder === other.maxPerOrder
  );
}
