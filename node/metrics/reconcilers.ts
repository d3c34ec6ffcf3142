import type { ReconcilerStatus } from '../ports/reconcilers.ts';
import type { Instruments, Reading } from './instruments.ts';
import { RECONCILERS } from './names.ts';
import type { CurrentSources } from './sources.ts';

export function reconcilerMetrics(instruments: Instruments, sources: CurrentSources) {
  const runs = instruments.counter(RECONCILERS.runs);
  const processed = instruments.counter(RECONCILERS.processed);
  const duration = instruments.histogram(RECONCILERS.duration);
  const perReconciler = (read: (status: ReconcilerStatus) => number | null) => () =>
    (sources().reconcilers?.status() ?? []).flatMap((status): readonly Reading<'reconciler'>[] => {
      const value = read(status);
      return value === null ? [] : [[{ reconciler: status.name }, value]];
    });
  instruments.gauges(
    RECONCILERS.lag,
    perReconciler(({ lagSeconds }) => lagSeconds),
  );
  instruments.gauges(
    RECONCILERS.pending,
    perReconciler(({ pending }) => pending),
  );
  instruments.gauges(
    RECONCILERS.parked,
    perReconciler(({ parked }) => parked.length),
  );
  instruments.gauges(
    RECONCILERS.rejected,
    perReconciler(({ rejected }) => rejected.length),
  );
  return {
    ran(run: { readonly name: string; readonly seconds: number; readonly processed: number }): void {
      runs.inc({ reconciler: run.name, result: 'ok' });
      processed.inc({ reconciler: run.name }, run.processed);
      duration.observe({ reconciler: run.name }, run.seconds);
    },
    failed(run: { readonly name: string; readonly seconds: number; readonly code: string }): void {
      runs.inc({ reconciler: run.name, result: run.code });
      duration.observe({ reconciler: run.name }, run.seconds);
    },
  };
}
