import type { Environment } from '../../store/environment.ts';
import { LedgerError, type Ledger } from '../../store/ledger/port.ts';
import { DeadlineExceeded, NO_DEADLINE, timeFor, whileAwaited, type Deadline } from '../ports/deadline.ts';
import { ReconcilerError, type Reconcilers } from '../ports/reconcilers.ts';
import type { AdjustmentAnswer, StockAdjustment, StockAdjustments } from '../ports/stock-adjustments.ts';
import { SystemOfRecordUnavailable } from '../ports/system-of-record.ts';
import { RefusedByDatabase, type Session, type Transactions } from './transactions.ts';

/**
 * Changes of stock that no order made. The system of record decides and keeps them (R15); the ledger hears of them as
 * of every other figure there, by the next read.
 *
 * R16  The ledger is never told of units that it may have read already: a loss is told at once, at worst twice until
 *      the next read; a gain waits for that read, which is asked for at once where this node leads.
 * R17  Nobody hears DEADLINE_EXCEEDED of a change that was made: who asked in time for it hears of it, though the ledger or
 *      the read that follows takes longer than they wait.
 */
export interface AdjustmentsDependencies {
  readonly environment: Pick<Environment, 'clock' | 'log'>;
  readonly sor: StockAdjustments;
  readonly ledger: Pick<Ledger, 'adjust'>;
  readonly reconcilers: Pick<Reconcilers, 'run'>;
}

const LEDGER_TIMEOUT_MS = 5_000;
/** What `inventory.on_hand` can hold, an `integer` of PostgreSQL. */
const ON_HAND_MAX = 2_147_483_647;

export function createAdjustments(dependencies: AdjustmentsDependencies): StockAdjustments {
  const { environment, sor, ledger, reconcilers } = dependencies;
  return {
    async adjust(adjustment, deadline = NO_DEADLINE) {
      const answer = await sor.adjust(adjustment, deadline);
      if (answer.kind === 'refused' || answer.replayed) return answer;
      const { id, sku, kind, delta, by } = adjustment;
      environment.log.info({ id, sku, kind, delta, by }, 'stock was adjusted in the system of record');
      if (delta < 0) {
        const timeoutMs = timeFor(LEDGER_TIMEOUT_MS, deadline);
        await unlessAway(ledger.adjust({ id, sku, delta }, { timeoutMs }));
      }
      await unlessAway(whileAwaited(deadline, readAgain()));
      return answer;
    },
  };

  async function readAgain(): Promise<void> {
    const madeAt = environment.clock.now();
    const { startedAt } = await reconcilers.run('inbound');
    // One that was under way may have taken its picture before.
    if (startedAt < madeAt) await reconcilers.run('inbound');
  }

  /** The change is made; whoever leads reads it within the interval of its timer. */
  async function unlessAway(told: Promise<unknown>): Promise<void> {
    try {
      await told;
    } catch (error) {
      const expected =
        error instanceof LedgerError ||
        error instanceof ReconcilerError ||
        error instanceof DeadlineExceeded ||
        error instanceof SystemOfRecordUnavailable;
      if (!expected) throw error;
    }
  }
}

interface Kept extends Omit<StockAdjustment, 'id'> {
  readonly at: number;
}

/** R15. The row and the figure change together: a trigger of the table sees to it (migrations/0002). */
export async function adjustInventory(
  transactions: Transactions,
  adjustment: StockAdjustment,
  deadline: Deadline = NO_DEADLINE,
): Promise<AdjustmentAnswer> {
  const { id, sku, kind, delta, reason, by } = adjustment;
  const work = async (session: Session): Promise<AdjustmentAnswer> => {
    const [row] = await session.query<{ onHand: number }>(
      'SELECT on_hand AS "onHand" FROM inventory WHERE sku = $1 FOR UPDATE',
      [sku],
    );
    const onHand = row?.onHand ?? 0;
    const kept = async (): Promise<Kept | undefined> => {
      const [found] = await session.query<Kept>(
        `SELECT sku, kind, delta, reason, made_by AS by, extract(epoch FROM made_at)::float8 * 1000 AS at
           FROM inventory_adjustments WHERE id = $1`,
        [id],
      );
      return found;
    };
    const adjusted = (at: number, units: number, replayed: boolean): AdjustmentAnswer => ({
      kind: 'adjusted',
      adjustment,
      at: Math.round(at),
      onHand: units,
      replayed,
    });
    const earlier = await kept();
    if (earlier !== undefined)
      return isSame(earlier, adjustment) ? adjusted(earlier.at, onHand, true) : reused(id);
    if (row === undefined) {
      return { kind: 'refused', code: 'SKU_NOT_FOUND', detail: `${sku} is not in the inventory` };
    }
    if (onHand + delta < 0) {
      return {
        kind: 'refused',
        code: 'ON_HAND_SHORT',
        detail: `${onHand} of ${sku} are on hand, not ${-delta}`,
      };
    }
    if (onHand + delta > ON_HAND_MAX) {
      return notRecorded(
        `${onHand} of ${sku} are on hand; with ${delta} more there would be more than the ${ON_HAND_MAX} that the inventory can hold`,
      );
    }
    const inserted = await session.query(
      `INSERT INTO inventory_adjustments (id, sku, kind, delta, reason, made_by) VALUES ($1, $2, $3, $4, $5, $6)
       ON CONFLICT (id) DO NOTHING RETURNING id`,
      [id, sku, kind, delta, reason, by],
    );
    // Whoever took the id meanwhile adjusts another SKU: the row of this one is locked.
    if (inserted.length === 0) return reused(id);
    return adjusted((await kept())?.at ?? 0, onHand + delta, false);
  };
  try {
    return await transactions.run('READ COMMITTED', work, deadline);
  } catch (error) {
    // A rule that the shop gave its own tables. The transaction was rolled back.
    if (error instanceof RefusedByDatabase) return notRecorded(error.message);
    throw error;
  }
}

function notRecorded(why: string): AdjustmentAnswer {
  return { kind: 'refused', code: 'ADJUSTMENT_REFUSED', detail: `${why}; nothing was recorded` };
}

function reused(id: string): AdjustmentAnswer {
  return { kind: 'refused', code: 'IDEMPOTENCY_KEY_REUSED', detail: `${id} names another adjustment` };
}

function isSame(kept: Kept, asked: StockAdjustment): boolean {
  return (
    kept.sku === asked.sku &&
    kept.kind === asked.kind &&
    kept.delta === asked.delta &&
    kept.reason === asked.reason &&
    kept.by === asked.by
  );
}
