import type { Bank } from './bank.ts';
import type { FaultReport } from './faults.ts';
import { amountPending, amountRefunded } from './intent.ts';
import type { IntentStatus } from './intent.ts';
import type { OutboxReport } from './outbox.ts';

/** What a test asks at the end: is every order charged as often, and as much, as it should be, and what went wrong? */
export interface SandboxSummary extends Books {
  /** How often which fault struck which requests. */
  readonly faults: FaultReport['struck'];
  /** Where somebody is told of events. */
  readonly webhooks?: OutboxReport;
}

export interface Books {
  readonly intents: number;
  readonly intentsByStatus: Readonly<Partial<Record<IntentStatus, number>>>;
  /** By currency, in minor units. */
  readonly authorized: Readonly<Record<string, Sum>>;
  readonly captured: Readonly<Record<string, Sum>>;
  readonly refunded: Readonly<Record<string, Sum>>;
  /** One row per intent, oldest first; an order that was charged twice has two. */
  readonly payments: readonly PaymentRow[];
  /** Ask again with `after` set to this; absent on the last page. */
  readonly next?: string;
}

export interface Sum {
  readonly count: number;
  readonly amount: number;
}

export interface PaymentRow {
  readonly intent: string;
  readonly orderId: string | null;
  readonly status: IntentStatus;
  readonly amount: number;
  readonly currency: string;
  readonly captured: number;
  /** Given back, or on its way; what failed is not in it. */
  readonly refunded: number;
  /** The part of it that may still fail. */
  readonly refundPending: number;
}

export function summarize(
  bank: Bank,
  page: { readonly after: string | undefined; readonly limit: number },
): Books {
  const authorized: Record<string, Sum> = {};
  const captured: Record<string, Sum> = {};
  const refunded: Record<string, Sum> = {};
  const intentsByStatus: Partial<Record<IntentStatus, number>> = {};
  const payments: PaymentRow[] = [];
  let intents = 0;
  let reached = page.after === undefined;
  let next: string | undefined;

  for (const intent of bank.intents()) {
    intents += 1;
    intentsByStatus[intent.status] = (intentsByStatus[intent.status] ?? 0) + 1;
    const row: PaymentRow = {
      intent: intent.id,
      orderId: intent.metadata['order_id'] ?? null,
      status: intent.status,
      amount: intent.amount,
      currency: intent.currency,
      captured: intent.charge?.amountCaptured ?? 0,
      refunded: amountRefunded(intent.charge),
      refundPending: amountPending(intent.charge),
    };
    if (intent.status === 'requires_capture') add(authorized, intent.currency, intent.amount);
    if (row.captured > 0) add(captured, intent.currency, row.captured);
    if (row.refunded > 0) add(refunded, intent.currency, row.refunded);
    if (reached) {
      if (payments.length < page.limit) payments.push(row);
      else next ??= payments.at(-1)?.intent;
    } else {
      reached = intent.id === page.after;
    }
  }
  const sums = { intents, intentsByStatus, authorized, captured, refunded, payments };
  return next === undefined ? sums : { ...sums, next };
}

function add(sums: Record<string, Sum>, currency: string, amount: number): void {
  const sum = sums[currency] ?? { count: 0, amount: 0 };
  sums[currency] = { count: sum.count + 1, amount: sum.amount + amount };
}
