import type { Ledger } from '../../store/ledger/port.ts';
import type { Effect, FunctionSettings, OrderInput } from '../orders/effects.ts';
import type { OrderLine } from '../orders/order.ts';

/**
 * How long units are set aside: products and shop propose, the function decides, the host bounds. Pure; the whole
 * policy is the table in DESIGN.md.
 */

/** The products of an order that have a hold time of their own, as the catalogue stands here and now. */
export function ownHoldTimes(
  lines: readonly OrderLine[],
  ledger: Pick<Ledger, 'stock'>,
): OrderInput['products'] {
  return [...new Set(lines.map(({ sku }) => sku))].flatMap((sku) => {
    const holdTtlMs = ledger.stock(sku)?.holdMs;
    return holdTtlMs === undefined ? [] : [{ sku, holdTtlMs }];
  });
}

/** A hold that a function asks for is cut to what the shop allows. */
export function withinBounds(effect: Effect, { holdTtlMsMax }: FunctionSettings): Effect {
  return effect.type === 'stock.hold' ? { ...effect, ttlMs: Math.min(effect.ttlMs, holdTtlMsMax) } : effect;
}
