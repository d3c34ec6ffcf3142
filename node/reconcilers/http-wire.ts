import * as z from 'zod';
import type { BookedOrder, InventoryBook } from '../ports/books.ts';
import type { StockAdjustment } from '../ports/stock-adjustments.ts';
import type { OutcomeRecord } from '../ports/system-of-record.ts';

/**
 * What an HTTP system of record is sent and may answer (DESIGN.md, "Over HTTP"). Owns the form only; what an answer
 * means is for those who ask. In the catalogue, a figure of the wrong type becomes NaN, and a text the empty one: such a row
 * is left out by itself (R19), and does not spoil its page. The books are taken whole or not at all (D12).
 */
export const contractVersion = 1;

const figure = z.number().catch(NaN);
const text = z.string().catch('');
const orderId = z.string().min(1).max(256);
const orderIds = z.array(orderId).max(100_000);
const cursor = z.string().min(1).max(1_024);

const product = z
  .object({
    sku: text,
    name: text,
    unitPrice: figure,
    currency: text,
    onHand: figure,
    holdMs: figure.optional(),
    maxPerOrder: figure.optional(),
  })
  .transform(({ holdMs, maxPerOrder, ...row }) => ({
    ...row,
    ...(holdMs === undefined ? {} : { holdMs }),
    ...(maxPerOrder === undefined ? {} : { maxPerOrder }),
  }));

const code = z
  .string()
  .regex(/^[A-Z0-9_]{1,64}$/)
  .catch('REFUSED');
const detail = text.transform((words) => words.slice(0, 500));

export const healthAnswer = z.object({
  contract: z.literal(contractVersion),
  products: z.number().int().nonnegative(),
  /** What it can do beyond what it must; words that are not known here are for others. */
  offers: z.array(z.string()).max(100).default([]),
});

export type Offer = 'books' | 'adjustments';

export const changesAnswer = z.object({
  /** The same on all pages of a read, and higher with every later snapshot. */
  takenAt: z.int().positive(),
  products: z.array(product),
  /** SKUs that are not sold any more. */
  removed: z.array(z.string()),
  applied: orderIds,
  next: cursor,
  /** Another page of this snapshot follows after `next`. */
  more: z.boolean(),
});

export const appliedAnswer = z.object({ applied: orderIds });

export const outcomesAnswer = z.object({
  results: z.array(
    z.discriminatedUnion('result', [
      z.object({ result: z.enum(['applied', 'already']), orderId: z.string(), revision: z.number() }),
      z.object({ result: z.literal('refused'), orderId: z.string(), revision: z.number(), code, detail }),
    ]),
  ),
});

const bookedOrder: z.ZodType<BookedOrder> = z.object({
  orderId,
  createdAt: z.int(),
  outcome: z.string(),
  currency: z.string(),
  total: z.int(),
  lines: z.array(z.object({ sku: z.string(), quantity: z.int(), unitPrice: z.int() })),
});

export const ordersPage = z.object({
  orders: z.array(bookedOrder),
  /** Absent on the last page. */
  next: cursor.optional(),
});

export const ordersAnswer = z.object({ orders: z.array(bookedOrder) });

const inventoryRow: z.ZodType<InventoryBook> = z.object({
  sku: z.string().min(1),
  onHand: z.int(),
  opening: z.int(),
  changed: z.int(),
  sold: z.int(),
});

export const inventoryPage = z.object({
  /** The same on all pages of a read. */
  takenAt: z.int().positive(),
  inventory: z.array(inventoryRow),
  next: cursor.optional(),
});

export const adjustmentAnswer = z.discriminatedUnion('result', [
  z.object({
    result: z.literal('adjusted'),
    id: z.string(),
    at: z.int(),
    onHand: z.int(),
    replayed: z.boolean(),
  }),
  z.object({ result: z.literal('refused'), id: z.string(), code, detail }),
]);

export const refusal = z.object({ code, detail }).catch({ code: 'REFUSED', detail: '' });

export function sentAdjustment({ id, sku, kind, delta, reason, by }: StockAdjustment): object {
  return { id, sku, kind, delta, reason, by };
}

/** What of an order leaves the cluster: nothing of its payment but the total. */
export function sentOutcome({ order, outcome, revision, events }: OutcomeRecord): object {
  const { id, reason, customer, currency, total, lines, createdAt, updatedAt } = order;
  return {
    orderId: id,
    revision,
    outcome,
    ...(reason === undefined ? {} : { reason }),
    createdAt,
    endedAt: updatedAt,
    customer,
    currency,
    total,
    lines,
    events,
  };
}
