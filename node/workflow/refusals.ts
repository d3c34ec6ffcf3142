import { JournalError } from '../../store/journal/port.ts';
import type { OrderState } from '../orders/order.ts';
import { DeadlineExceeded } from '../ports/deadline.ts';
import type { Refusal } from '../ports/order-service.ts';

/** How the order service says no. */
export interface Refused {
  readonly ok: false;
  readonly refusal: Refusal;
}

/** Nothing was written, and nobody waits any more. */
export function tooLate(): Refused {
  const detail = 'the time for this request was over before anything was done for it; send it again as it is';
  return { ok: false, refusal: { code: 'DEADLINE_EXCEEDED', detail, retryAfterSeconds: 1 } };
}

/** Nothing was written. Rethrows what is not the journal's refusal. */
export function refusedByJournal(error: unknown): Refused {
  if (!(error instanceof JournalError)) throw error;
  switch (error.code) {
    case 'QUEUE_FULL':
      return unavailable('OVERLOADED', 'too many orders wait to be written', 2);
    case 'CLOSED':
      return unavailable('DRAINING', 'this node is shutting down; another one will take the order', 1);
    case 'UNAVAILABLE':
      return unavailable(
        'QUORUM_UNAVAILABLE',
        'no majority of the nodes answers; repeat it with the same Idempotency-Key',
        1,
      );
    case 'ENTRY_TOO_LARGE':
    case 'COMPACTED':
      throw error;
  }
}

export function refusedByDeadline(error: unknown): Refused {
  if (error instanceof DeadlineExceeded) return tooLate();
  throw error;
}

export function notCancellable(orderId: string, state: OrderState): Refused {
  return refuse({ code: 'NOT_CANCELLABLE', detail: `order ${orderId} is ${state}`, state });
}

export function refuse(refusal: Refusal): Refused {
  return { ok: false, refusal };
}

export function unavailable(
  code:
    | 'QUORUM_UNAVAILABLE'
    | 'OVERLOADED'
    | 'PAYMENTS_UNAVAILABLE'
    | 'DISK_FULL'
    | 'CLOCK_BEHIND'
    | 'DRAINING'
    | 'NOT_A_MEMBER'
    | 'LEDGER_UNAVAILABLE',
  detail: string,
  retryAfterSeconds: number,
): Refused {
  return refuse({ code, detail, retryAfterSeconds });
}
