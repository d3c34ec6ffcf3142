import type { RecordedEvent } from '../orders/events.ts';
import type { Applied } from './applied.ts';
import { LiveOrder } from './live-order.ts';
import type { Healed, OrderShelf } from './order-shelf.ts';
import type { OrderTable } from './order-table.ts';
import { keysOf } from './table-layout.ts';

/**
 * Looks for orders that the table lacks, or does not list as it should, by going through the journal (V6). Owns what
 * counts as missing; when the journal is read is Healing's.
 */
export interface TableCheckDependencies {
  readonly shelf: OrderShelf;
  readonly table: OrderTable;
  readonly applied: Applied;
  /** Has the journal read, once more if it is being read; each page comes to `look`. */
  readonly readJournal: () => void;
}

/** Orders healed at once; what a check finds beyond them, the next one finds. */
const UNWELL_MAX = 5_000;

export class TableCheck {
  readonly #dependencies: TableCheckDependencies;
  /** Found without a row, or with a damaged one, and forgotten: a check shall not come back to them. */
  readonly #rightlyAbsent = new Set<string>();

  constructor(dependencies: TableCheckDependencies) {
    this.#dependencies = dependencies;
  }

  /** Something is damaged, and nobody knows what it stood for. */
  begin(): void {
    this.#rightlyAbsent.clear();
    this.#dependencies.readJournal();
  }

  healed(orderId: string, as: Healed): void {
    if (as === 'forgotten') this.#rightlyAbsent.add(orderId);
    else if (as === 'unknown') this.begin();
  }

  /** Among those that `events` are about. */
  async look(events: readonly RecordedEvent[]): Promise<void> {
    const { shelf, table } = this.#dependencies;
    if (shelf.unwell >= UNWELL_MAX) {
      this.#dependencies.readJournal();
      return;
    }
    await shelf.flush();
    const ids = [...new Set(events.map(({ orderId }) => orderId))];
    const rows = await table.rows(ids);
    const orders = ids.map((id, index) => {
      const row = rows[index];
      const stored = row === undefined || row === 'damaged' ? undefined : new LiveOrder(id, row);
      return { id, stored, keys: keysOf(id, stored?.listed) };
    });
    const present = await table.present(orders.flatMap(({ keys }) => keys));
    for (const { id, stored, keys } of orders) {
      if (stored !== undefined && shelf.isForgotten(stored)) {
        // What should have listed it for its removal may be what is damaged.
        await shelf.load([id]);
        continue;
      }
      if (stored !== undefined && keys.every((key) => present.has(key))) continue;
      if (shelf.peek(id) !== undefined || !this.#rightlyAbsent.has(id)) shelf.mend(id);
    }
  }

  /** The journal is through, and all that was found is derived again. */
  async finish(): Promise<void> {
    const { shelf, table, applied } = this.#dependencies;
    await shelf.recount();
    await shelf.alone(async () => {
      await table.clearDamage();
      await table.write([], applied.settled);
    });
  }
}
