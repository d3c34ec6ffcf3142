import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import type { Misfortunes } from './faults.ts';
import { nested } from './form.ts';
import type { Form } from './form.ts';
import { amountRefunded } from './intent.ts';
import type { Intent, Refund, Settlement } from './intent.ts';
import { amountMin, wholeNumber } from './parameters.ts';
import { behaviourOf } from './test-methods.ts';

/** What comes of giving money back. Pure: gives the intent's next version and says when the refund changes by itself. */
export type Refunded =
  | { readonly kind: 'refused'; readonly failure: Failure }
  | {
      readonly kind: 'refunded';
      readonly intent: Intent;
      readonly refund: Refund;
      /** Where the refund settles to something else. */
      readonly changesAfterMs?: number;
    };

export interface Refunding {
  /** Seconds. */
  readonly at: number;
  readonly drawId: () => string;
  /** The new refund's place among all. */
  readonly position: number;
  readonly misfortunes: Misfortunes;
}

/** How long the test cards with slow refunds take. */
const slowRefundMs = 5_000;

export function refundPayment(intent: Intent, form: Form, refunding: Refunding): Refunded {
  const { charge } = intent;
  if (charge?.captured !== true) return refused(failures.nothingToRefund(intent));
  const left = charge.amountCaptured - amountRefunded(charge);
  if (left === 0) return refused(failures.alreadyRefunded(charge.id));
  const asked = form.get('amount');
  const amount = asked === undefined ? left : wholeNumber(asked);
  if (amount === undefined || amount < amountMin) {
    return refused(failures.invalidParameter('amount', asked ?? ''));
  }
  if (amount > left) return refused(failures.refundTooLarge());

  const { at, drawId, position, misfortunes } = refunding;
  const { status, settlesTo, afterMs } = courseOf(intent, misfortunes);
  const refund: Refund = {
    id: drawId(),
    position,
    created: at,
    amount,
    currency: intent.currency,
    status,
    settlesTo,
    intentId: intent.id,
    chargeId: charge.id,
    metadata: nested(form, 'metadata'),
  };
  return {
    kind: 'refunded',
    intent: { ...intent, charge: { ...charge, refunds: [...charge.refunds, refund] } },
    refund,
    ...(settlesTo === undefined ? {} : { changesAfterMs: afterMs }),
  };
}

/** A refund ends as it was going to. What was given back and failed is with the shop again. */
export function settleRefund(
  intent: Intent,
  pending: Refund,
): { readonly intent: Intent; readonly refund: Refund } {
  const refund: Refund = { ...pending, status: pending.settlesTo ?? 'succeeded', settlesTo: undefined };
  const charge = intent.charge && {
    ...intent.charge,
    refunds: intent.charge.refunds.map((one) => (one.id === refund.id ? refund : one)),
  };
  return { intent: { ...intent, charge }, refund };
}

function courseOf(
  intent: Intent,
  misfortunes: Misfortunes,
): { readonly status: Refund['status']; readonly settlesTo?: Settlement; readonly afterMs: number } {
  const pending = misfortunes.strike('refundPending', 'refund');
  if (pending !== undefined) {
    return { status: 'pending', settlesTo: pending.then, afterMs: pending.settlesAfterMs };
  }
  const fails = misfortunes.strike('refundFails', 'refund');
  if (fails?.afterMs === 0) return { status: 'failed', afterMs: 0 };
  if (fails !== undefined) return { status: 'succeeded', settlesTo: 'failed', afterMs: fails.afterMs };
  const behaviour = behaviourOf(intent.method ?? '');
  switch (behaviour?.kind === 'succeeds' ? behaviour.refund : undefined) {
    case 'pendsThenSucceeds':
      return { status: 'pending', settlesTo: 'succeeded', afterMs: slowRefundMs };
    case 'seemsToSucceedThenFails':
      return { status: 'succeeded', settlesTo: 'failed', afterMs: slowRefundMs };
    case undefined:
      return { status: 'succeeded', afterMs: 0 };
  }
}

function refused(failure: Failure): Refunded {
  return { kind: 'refused', failure };
}
