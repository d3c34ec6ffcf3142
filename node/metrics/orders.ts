import type { Outcome } from '../orders/order.ts';
import type { Instruments } from './instruments.ts';
import { JOURNAL, ORDERS, PAYMENTS } from './names.ts';
import type { CurrentSources } from './sources.ts';

/** What the order flow tells. The names of the callbacks are those of its observer, so it can be handed over whole. */
export function orderMetrics(instruments: Instruments, sources: CurrentSources) {
  const registered = instruments.counter(ORDERS.registered);
  const quorumAppendDuration = instruments.histogram(JOURNAL.quorumAppendDuration);
  const ended = instruments.counter(ORDERS.ended);
  const parked = instruments.counter(ORDERS.parked);
  const takenOver = instruments.counter(ORDERS.takenOver);
  const forgotten = instruments.counter(ORDERS.forgotten);
  const messages = instruments.counter(PAYMENTS.messages);
  const duration = instruments.histogram(ORDERS.duration);
  const stepDuration = instruments.histogram(ORDERS.stepDuration);
  const holdAnswers = instruments.counter(ORDERS.holdAnswers);
  instruments.gauge(ORDERS.open, () => sources().openOrders?.());

  // A rate over a label that was never seen starts with nothing: the outcomes exist from the beginning.
  for (const outcome of ['fulfilled', 'refunded', 'failed', 'cancelled'] satisfies Outcome[]) {
    ended.inc({ outcome }, 0);
  }

  return {
    /** `verdict` is the journal's; `seconds` until it was known. */
    registered(verdict: string, seconds: number): void {
      registered.inc({ verdict });
      quorumAppendDuration.observe({ verdict }, seconds);
    },
    step: (step: string, seconds: number): void => stepDuration.observe({ step }, seconds),
    /** The kind of a hold's answer; the reason where it was refused. */
    held: (answer: string): void => holdAnswers.inc({ answer }),
    /** `seconds` since its registration. */
    ended(outcome: Outcome, seconds: number): void {
      ended.inc({ outcome });
      duration.observe({ outcome }, seconds);
    },
    parked: (code: string): void => parked.inc({ code }),
    takenOver: (): void => takenOver.inc(),
    /** What became of a message of the payment provider. */
    notified: (taken: string): void => messages.inc({ taken }),
    /** The views' own word. */
    forgotten: (orders: number): void => forgotten.inc(orders),
  };
}
