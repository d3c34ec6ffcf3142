import type { StockLevel } from '../../store/ledger/port.ts';
import type { Instruments, Reading } from './instruments.ts';
import { STOCK } from './names.ts';
import type { CurrentSources } from './sources.ts';

/** Stock over all SKUs, by this node's copy of the ledger. */
export function stockMetrics(instruments: Instruments, sources: CurrentSources): void {
  instruments.gauges(STOCK.units, (): Reading<'kind'>[] => {
    const levels = sources().ledger?.stocks();
    if (levels === undefined) return [];
    return [
      [{ kind: 'on_hand' }, sumOf(levels, ({ onHand }) => onHand)],
      [{ kind: 'available' }, sumOf(levels, ({ available }) => available)],
      [{ kind: 'held' }, sumOf(levels, ({ held }) => held)],
      [{ kind: 'sold' }, sumOf(levels, ({ sold }) => sold)],
    ];
  });
  instruments.gauge(STOCK.conservationResidual, () => sources().ledger?.conservationResidual());
  instruments.gauge(STOCK.shortfall, () => {
    const levels = sources().ledger?.stocks();
    return levels && sumOf(levels, ({ available }) => Math.max(0, -available));
  });
}

function sumOf(levels: readonly StockLevel[], units: (level: StockLevel) => number): number {
  return levels.reduce((sum, level) => sum + units(level), 0);
}
