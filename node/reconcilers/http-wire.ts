import * as z from 'zod';
import type { OutcomeRecord } from '../ports/system-of-record.ts';

/**
 * What an HTTP system of record is sent and may answer (DESIGN.md, "Over HTTP"). Owns the form only; what an answer
 * means is http-system-of-record.ts. A figure of the wrong type becomes NaN, and a text the empty one: such a row is
 * left out by itself (R19), and does not spoil its page.
 */
export const contractVersion = 1;

const figure = z.number().catch(NaN);
const text = z.string().catch('');
const orderIds = z.array(z.string().max(256)).max(100_000);

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
});

export const changesAnswer = z.object({
  /** The same on all pages of a read, and higher with every later snapshot. */
  takenAt: z.number().int().positive().max(Number.MAX_SAFE_INTEGER),
  products: z.array(product),
  /** SKUs that are not sold any more. */
  removed: z.array(z.string()),
  applied: orderIds,
  next: z.string().min(1).max(1_024),
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

export const refusal = z.object({ code, detail }).catch({ code: 'REFUSED', detail: '' });

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
