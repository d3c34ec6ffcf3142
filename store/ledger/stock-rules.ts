import { limits } from './limits.ts';
import type { SaleRules } from './port.ts';

/**
 * The rules of sale that a product may have of its own, and their shape in commands and snapshots: two numbers, 0
 * where there is no such rule. The ledger carries them from the system of record to whoever decides on orders; no
 * answer of its own depends on them. So they may stand at the end of a shape that had no place for them.
 */
export const noRules: SaleRules = Object.freeze({});

export function rulesOf({ holdMs, maxPerOrder }: SaleRules): SaleRules {
  if (holdMs === undefined && maxPerOrder === undefined) return noRules;
  return {
    ...(holdMs === undefined ? {} : { holdMs }),
    ...(maxPerOrder === undefined ? {} : { maxPerOrder }),
  };
}

export function fieldsOfRules({ holdMs = 0, maxPerOrder = 0 }: SaleRules): readonly number[] {
  return holdMs === 0 && maxPerOrder === 0 ? [] : [holdMs, maxPerOrder];
}

/** Undefined when these are not rules that a product can have. */
export function rulesOfFields(holdMs: unknown = 0, maxPerOrder: unknown = 0): SaleRules | undefined {
  if (!isWithin(holdMs, limits.holdTtlMsMax) || !isWithin(maxPerOrder, limits.unitsMax)) return undefined;
  if (holdMs === 0 && maxPerOrder === 0) return noRules;
  return { ...(holdMs === 0 ? {} : { holdMs }), ...(maxPerOrder === 0 ? {} : { maxPerOrder }) };
}

function isWithin(value: unknown, most: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most;
}
