import { z } from 'zod';
import type { Effect, EffectType, FunctionInput } from '../orders/effects.ts';

/** The shape of every effect as a function may return it. Unknown fields are refused, integers are exact. */

const money = z.int().nonnegative();
/** Stable codes such as `OUT_OF_STOCK` or `card_declined`. */
const code = z.string().min(1).max(100);

const line = z.strictObject({
  sku: z.string().min(1).max(256),
  quantity: z.int().positive(),
  unitPrice: money,
});

export const EFFECT_SCHEMAS: { readonly [T in EffectType]: z.ZodType<Extract<Effect, { type: T }>> } = {
  'order.register': z.strictObject({
    type: z.literal('order.register'),
    currency: z.string().min(1).max(16),
    total: money,
    lines: z.array(line).min(1).max(1_000),
  }),
  'reply.refuse': z.strictObject({
    type: z.literal('reply.refuse'),
    status: z.int().min(400).max(499),
    code,
    detail: z.string().max(1_000),
    field: z.string().max(300),
  }),
  'payment.authorize': z.strictObject({ type: z.literal('payment.authorize') }),
  'payment.charge': z.strictObject({ type: z.literal('payment.charge') }),
  'payment.capture': z.strictObject({ type: z.literal('payment.capture') }),
  'payment.reverse': z.strictObject({ type: z.literal('payment.reverse') }),
  'stock.hold': z.strictObject({ type: z.literal('stock.hold'), ttlMs: z.int().positive() }),
  'order.fulfil': z.strictObject({ type: z.literal('order.fulfil') }),
  'order.refund': z.strictObject({ type: z.literal('order.refund'), code }),
  'order.fail': z.strictObject({ type: z.literal('order.fail'), code }),
  'order.cancel': z.strictObject({ type: z.literal('order.cancel') }),
  'inventory.pull': z.strictObject({ type: z.literal('inventory.pull') }),
  'orders.push': z.strictObject({ type: z.literal('orders.push'), batch: z.int().min(1).max(500) }),
};

/** The kind of input an effect may answer. A manifest may grant its function no others. */
export const EFFECT_KINDS: { readonly [T in EffectType]: FunctionInput['kind'] } = {
  'order.register': 'http',
  'reply.refuse': 'http',
  'payment.authorize': 'order',
  'payment.charge': 'order',
  'payment.capture': 'order',
  'payment.reverse': 'order',
  'stock.hold': 'order',
  'order.fulfil': 'order',
  'order.refund': 'order',
  'order.fail': 'order',
  'order.cancel': 'order',
  'inventory.pull': 'timer',
  'orders.push': 'timer',
};

export function isEffectType(value: unknown): value is EffectType {
  return typeof value === 'string' && Object.hasOwn(EFFECT_SCHEMAS, value);
}
