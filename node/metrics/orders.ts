import type { HoldAnswer } from '../../store/ledger/port.ts';
import type { Outcome } from '../orders/order.ts';
import type { Refusal } from '../ports/order-service.ts';
import type { Instruments } from './instruments.ts';
import { ORDERS } from './names.ts';
import type { CurrentSources } from './sources.ts';

export function orderMetrics(instruments: Instruments, sources: CurrentSources) {
  const registered = instruments.counter(ORDERS.registered);
  const refused = instruments.counter(ORDERS.refused);
  const ended = instruments.counter(ORDERS.ended);
  const parked = instruments.counter(ORDERS.parked);
  const takenOver = instruments.counter(ORDERS.takenOver);
  const duration = instruments.histogram(ORDERS.duration);
  const stepDuration = instruments.histogram(ORDERS.stepDuration);
  const holdAnswers = instruments.counter(ORDERS.holdAnswers);
  instruments.gauge(ORDERS.open, () => sources().openOrders?.());

  // A rate over a label that was never seen starts with nothing: the outcomes exist from the beginning.
  for (const outcome of ['fulfilled', 'refunded', 'failed', 'cancelled'] satisfies Outcome[]) {
    ended.inc({ outcome }, 0);
  }

  return {
    registered: (): void => registered.inc(),
    refused: (code: Refusal['code']): void => refused.inc({ code }),
    /** `seconds` since its registration. */
    ended(outcome: Outcome, seconds: number): void {
      ended.inc({ outcome });
      duration.observe({ outcome }, seconds);
    },
    parked: (code: string): void => parked.inc({ code }),
    takenOver: (): void => takenOver.inc(),
    stepped: (step: string, seconds: number): void => stepDuration.observe({ step }, seconds),
    holdAnswered: (answer: HoldAnswer): void =>
      holdAnswers.inc({ answer: answer.kind === 'refused' ? answer.reason : answer.kind }),
  };
}
