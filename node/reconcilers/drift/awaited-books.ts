import type { JournalBook, ProviderBook, SystemOfRecordBook } from '../../ports/books.ts';
import { demandInterest, type Deadline } from '../../ports/deadline.ts';
import type { InventorySnapshot } from '../../ports/system-of-record.ts';

/** What a report waits for. */
export interface Books {
  readonly journal: JournalBook;
  readonly provider: ProviderBook;
  readonly record: SystemOfRecordBook;
  readonly readInventory: (unappliedSales: readonly string[]) => Promise<InventorySnapshot>;
  /** Brings the ledger to what the system of record has; rejects with ReconcilerError. */
  readonly readInbound: () => Promise<void>;
}

/** D14: the same books, which answer with DeadlineExceeded once nobody waits for the report any more. */
export function onlyWhileAwaited(deadline: Deadline, books: Books): Books {
  const { journal, provider, record, readInventory, readInbound } = books;
  const ifAwaited =
    <Question extends readonly unknown[], Answer>(ask: (...question: Question) => Promise<Answer>) =>
    async (...question: Question): Promise<Answer> => {
      demandInterest(deadline);
      return ask(...question);
    };
  return {
    journal: {
      horizon: () => journal.horizon(),
      page: ifAwaited((query) => journal.page(query)),
      byIds: ifAwaited((orderIds) => journal.byIds(orderIds)),
      catchUp: ifAwaited(() => journal.catchUp()),
    },
    provider: {
      page: ifAwaited((query) => provider.page(query)),
      byIntent: ifAwaited((intent) => provider.byIntent(intent)),
    },
    record: {
      page: ifAwaited((query) => record.page(query)),
      byIds: ifAwaited((orderIds) => record.byIds(orderIds)),
      inventory: ifAwaited(() => record.inventory()),
    },
    readInventory: ifAwaited(readInventory),
    readInbound: ifAwaited(readInbound),
  };
}
