import type { PaymentAnswer, Payments } from '../ports/payments.ts';
import type { Instruments, Reading } from './instruments.ts';
import { PAYMENTS } from './names.ts';
import type { BreakerState, CurrentSources } from './sources.ts';

export function paymentMetrics(instruments: Instruments, sources: CurrentSources) {
  const calls = instruments.counter(PAYMENTS.calls);
  const duration = instruments.histogram(PAYMENTS.duration);
  instruments.gauge(PAYMENTS.unknownOldest, () => sources().money?.().unknownOldestSeconds);
  instruments.gauge(PAYMENTS.authorizedOldest, () => sources().money?.().authorizedOldestSeconds);
  instruments.gauge(PAYMENTS.refundsFailed, () => sources().money?.().refundsFailed);
  instruments.gauge(PAYMENTS.strays, () => sources().money?.().strays);
  instruments.gauges(PAYMENTS.breaker, () => {
    const current = sources().paymentBreaker?.();
    if (current === undefined) return [];
    const states: readonly BreakerState[] = ['closed', 'half-open', 'open'];
    return states.map((state): Reading<'state'> => [{ state }, Number(state === current)]);
  });
  return {
    called(operation: keyof Payments, answer: PaymentAnswer['kind'], seconds: number): void {
      calls.inc({ operation, answer });
      duration.observe({ operation }, seconds);
    },
  };
}
