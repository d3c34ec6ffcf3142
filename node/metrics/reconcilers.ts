import type { ReconcilerStatus } from '../ports/reconcilers.ts';
import type { Instruments, Reading } from './instruments.ts';
import { RECONCILERS } from './names.ts';
import type { CurrentSources } from './sources.ts';

export function reconcilerMetrics(instruments: Instruments, sources: CurrentSources) {
  const runs = instruments.counter(RECONCILERS.runs);
  const duration = instruments.histogram(RECONCILERS.duration);
  const perReconciler = (value: (status: ReconcilerStatus) => number) => () =>
    (sources().reconcilers?.status() ?? []).map((status): Reading<'reconciler'> => [
      { reconciler: status.name },
      value(status),
    ]);
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
  return {
    /** `result` is `ok` or an error code. */
    ran(reconciler: string, result: string, seconds: number): void {
      runs.inc({ reconciler, result });
      duration.observe({ reconciler }, seconds);
    },
  };
}
