import type { ProductRow } from '../../store/ledger/port.ts';
import { SKU_LENGTH_MAX, SKU_PATTERN } from '../orders/sku.ts';

/**
 * Rows of a catalogue that nothing can be sold by. One of them must not keep the others out: it is left out itself, and
 * told with its reason. Its product stops selling, for its figure is not taken over either.
 */
/** What a row may hold, as the ledger takes it. */
const nameLengthMax = 512;
const unitsMax = 2 ** 31 - 1;
const holdMsMax = 7 * 24 * 3_600_000;

/** Undefined when the product can be sold. `seen` are the SKUs of the rows before it. */
export function whyUnsellable(row: ProductRow, seen: Pick<ReadonlySet<string>, 'has'>): string | undefined {
  const { sku, name, unitPrice, currency, onHand, holdMs = 1, maxPerOrder = 1 } = row;
  if (sku.length > SKU_LENGTH_MAX) return `SKU_TOO_LONG: a SKU has at most ${SKU_LENGTH_MAX} characters`;
  if (!new RegExp(SKU_PATTERN).test(sku))
    return 'INVALID_SKU: letters, digits and . _ : - make a SKU, and the first is no sign';
  if (seen.has(sku)) return 'DUPLICATE_SKU: another row has it';
  if (name.length > nameLengthMax) return `NAME_TOO_LONG: a name has at most ${nameLengthMax} characters`;
  if (!Number.isSafeInteger(unitPrice) || unitPrice < 0)
    return 'INVALID_PRICE: a price is a whole number, not negative';
  if (!/^[A-Z]{3}$/.test(currency)) return 'INVALID_CURRENCY: a currency is an ISO 4217 code such as EUR';
  if (!Number.isInteger(onHand) || Math.abs(onHand) > unitsMax)
    return 'INVALID_ON_HAND: units are a whole number';
  if (!isPositive(holdMs, holdMsMax)) return 'INVALID_HOLD: a hold is a whole number of ms, a week at most';
  if (!isPositive(maxPerOrder, unitsMax))
    return 'INVALID_MAX_PER_ORDER: units are a whole number, at least 1';
  return undefined;
}

function isPositive(value: number, most: number): boolean {
  return Number.isInteger(value) && value > 0 && value <= most;
}
