import type { LedgerStatus } from '../../store/ledger/port.ts';
import type { Instruments, Reading } from './instruments.ts';
import { LEDGER } from './names.ts';
import type { CurrentSources } from './sources.ts';

export function ledgerMetrics(instruments: Instruments, sources: CurrentSources) {
  const leaderships = instruments.counter(LEDGER.leaderships);

  const fromStatus = (read: (status: LedgerStatus) => number) => () => {
    const status = sources().ledger?.status();
    return status === undefined ? undefined : read(status);
  };
  instruments.gauge(
    LEDGER.term,
    fromStatus(({ term }) => term),
  );
  instruments.gauge(
    LEDGER.isLeader,
    fromStatus(({ role }) => Number(role === 'leader')),
  );
  instruments.gauge(
    LEDGER.hasLeader,
    fromStatus(({ leader }) => Number(leader !== undefined)),
  );
  instruments.gauge(
    LEDGER.lastIndex,
    fromStatus(({ lastIndex }) => lastIndex),
  );
  instruments.gauge(
    LEDGER.commitIndex,
    fromStatus(({ commitIndex }) => commitIndex),
  );
  instruments.gauge(
    LEDGER.appliedIndex,
    fromStatus(({ appliedIndex }) => appliedIndex),
  );
  instruments.gauge(LEDGER.logEntries, () => sources().ledgerKept?.().logEntries);
  instruments.gauge(LEDGER.snapshotIndex, () => sources().ledgerKept?.().snapshotIndex);
  instruments.gauge(LEDGER.snapshotBytes, () => sources().ledgerKept?.().snapshotBytes);
  instruments.gauges(LEDGER.memberLag, () => {
    const status = sources().ledger?.status();
    if (status?.role !== 'leader') return [];
    return Object.entries(status.match).map(([peer, index]): Reading<'peer'> => [
      { peer },
      Math.max(0, status.lastIndex - index),
    ]);
  });

  return {
    /** For `Ledger.onLeadership`. */
    leadership(leading: boolean): void {
      if (leading) leaderships.inc();
    },
  };
}
