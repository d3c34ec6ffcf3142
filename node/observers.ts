import type { StoreObserver } from '../store/index.ts';
import type { FunctionObserver } from './functions/host.ts';
import type { Metrics } from './metrics/index.ts';
import type { PaymentObserver } from './payments/stripe-provider.ts';
import type { ReconcilersObserver } from './reconcilers/reconcilers.ts';
import type { WorkflowObserver } from './workflow/ports.ts';

/** What the parts tell of themselves, and which metric hears it. */
export function observersOf(metrics: Metrics): {
  readonly store: StoreObserver;
  readonly functions: FunctionObserver;
  readonly payments: PaymentObserver;
  readonly reconcilers: ReconcilersObserver;
  readonly workflow: WorkflowObserver;
} {
  const { orders, reconcilers } = metrics;
  return {
    store: { fsync: (seconds, operations) => metrics.disk.committed(operations, seconds) },
    functions: {
      called: (name, seconds, outcome) =>
        metrics.functions.called(name, seconds, outcome === 'ok' ? 'OK' : outcome),
      workerRestarted: (reason) => metrics.functions.workerRestarted(reason),
    },
    payments: { called: (operation, answer, seconds) => metrics.payments.called(operation, answer, seconds) },
    reconcilers: {
      ran: ({ name, seconds }) => reconcilers.ran(name, 'ok', seconds),
      failed: ({ name, seconds, code }) => reconcilers.ran(name, code, seconds),
      delivered: () => undefined,
      shortfalls: () => undefined,
    },
    workflow: {
      step: orders.stepped,
      ended: orders.ended,
      held: orders.holdAnswered,
      parked: orders.parked,
      takenOver: orders.takenOver,
      refused: orders.refused,
      registered: (seconds) => {
        orders.registered();
        metrics.journal.quorumAppended(seconds);
      },
    },
  };
}
