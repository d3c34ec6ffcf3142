import { createHash } from 'node:crypto';

import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import { nested } from './form.ts';
import type { Form } from './form.ts';
import { amountRefunded } from './intent.ts';
import type { Charge, Intent, IntentStatus, Refund } from './intent.ts';
import { behaviourOf } from './test-methods.ts';

/**
 * Where the sandbox's money is: intents, charges and refunds, and the rules by which they change, which are
 * Stripe's. Pure: the same operations at the same times give the same ids and states, so the file keeps
 * operations and not states. Knows nothing of HTTP, idempotency keys or faults.
 *
 *   B1  Money moves only along the arrows: confirm charges or authorizes, capture takes what was authorized,
 *       cancel lets it go, refund gives back what was captured. Everything else is refused and changes nothing.
 *   B2  Captured ≤ amount, refunded ≤ captured, per intent.
 */
export type Operation =
  | { readonly kind: 'create'; readonly form: Form }
  | { readonly kind: 'confirm' | 'capture' | 'cancel'; readonly intentId: string; readonly form: Form }
  | { readonly kind: 'refund'; readonly form: Form };

export type Outcome =
  | { readonly kind: 'intent'; readonly intent: Intent }
  | { readonly kind: 'refund'; readonly refund: Refund }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** What may be sent. Much of it means nothing here; a name that is not in the list is a mistake of the client. */
const parameters = {
  create:
    /^(amount|currency|confirm|capture_method|payment_method|payment_method_types\[\d*\]|automatic_payment_methods\[(enabled|allow_redirects)\]|metadata\[[^\]]+\]|off_session|error_on_requires_action|description|customer|receipt_email|return_url|statement_descriptor(_suffix)?|expand\[\d*\])$/,
  confirm:
    /^(payment_method|capture_method|off_session|error_on_requires_action|return_url|receipt_email|expand\[\d*\])$/,
  capture:
    /^(amount_to_capture|metadata\[[^\]]+\]|statement_descriptor(_suffix)?|final_capture|expand\[\d*\])$/,
  cancel: /^(cancellation_reason|expand\[\d*\])$/,
  refund: /^(payment_intent|charge|amount|reason|metadata\[[^\]]+\]|expand\[\d*\])$/,
} as const;

const amountMin = 1;
const amountMax = 99_999_999;
const confirmable: readonly IntentStatus[] = [
  'requires_payment_method',
  'requires_confirmation',
  'requires_action',
];
const cancellable: readonly IntentStatus[] = [...confirmable, 'requires_capture'];

export class Bank {
  readonly #seed: string;
  readonly #intents = new Map<string, Intent>();
  readonly #refunds = new Map<string, Refund>();
  readonly #byOrder = new Map<string, string[]>();
  #drawn = 0;

  constructor(seed: string) {
    this.#seed = seed;
  }

  /** `at` in ms. */
  execute(at: number, operation: Operation): Outcome {
    const { kind, form } = operation;
    for (const name of form.keys()) {
      if (!parameters[kind].test(name)) return failed(failures.unknownParameter(name));
    }
    if (kind === 'create') return this.#create(at, form);
    if (kind === 'refund') return this.#refund(at, form);
    const intent = this.#intents.get(operation.intentId);
    if (intent === undefined) return failed(failures.noSuchIntent(operation.intentId));
    switch (kind) {
      case 'confirm':
        return this.#confirm(at, intent, form);
      case 'capture':
        return this.#capture(intent, form);
      case 'cancel':
        return this.#cancel(at, intent);
    }
  }

  intent(id: string): Intent | undefined {
    return this.#intents.get(id);
  }

  refund(id: string): Refund | undefined {
    return this.#refunds.get(id);
  }

  /** All intents, oldest first. */
  intents(): IterableIterator<Intent> {
    return this.#intents.values();
  }

  /** Intents whose metadata names this order, oldest first. */
  intentsOf(orderId: string): readonly Intent[] {
    return (this.#byOrder.get(orderId) ?? []).map((id) => this.#intents.get(id) as Intent);
  }

  #create(at: number, form: Form): Outcome {
    const amountText = form.get('amount');
    const currency = form.get('currency');
    const captureMethod = form.get('capture_method') ?? 'automatic_async';
    if (amountText === undefined) return failed(failures.missing('amount'));
    if (currency === undefined) return failed(failures.missing('currency'));
    const amount = wholeNumber(amountText);
    if (amount === undefined) return failed(failures.invalidParameter('amount', amountText));
    if (amount < amountMin) return failed(failures.amountTooSmall());
    if (amount > amountMax) return failed(failures.amountTooLarge());
    if (!/^[a-z]{3}$/.test(currency)) return failed(failures.invalidParameter('currency', currency));
    if (!isCaptureMethod(captureMethod)) {
      return failed(failures.invalidParameter('capture_method', captureMethod));
    }
    const method = form.get('payment_method');
    if (method !== undefined && behaviourOf(method) === undefined)
      return failed(failures.noSuchMethod(method));
    const confirmed = form.get('confirm') === 'true';
    if (confirmed && method === undefined) return failed(failures.missing('payment_method'));

    const intent: Intent = {
      id: this.#draw('pi'),
      created: seconds(at),
      amount,
      currency,
      captureMethod,
      status: method === undefined ? 'requires_payment_method' : 'requires_confirmation',
      method,
      metadata: nested(form, 'metadata'),
      charge: undefined,
      lastError: undefined,
      canceledAt: undefined,
    };
    const orderId = intent.metadata['order_id'];
    if (orderId !== undefined) {
      const ids = this.#byOrder.get(orderId);
      if (ids === undefined) this.#byOrder.set(orderId, [intent.id]);
      else ids.push(intent.id);
    }
    return confirmed ? this.#attempt(at, intent, form) : this.#keep(intent);
  }

  #confirm(at: number, intent: Intent, form: Form): Outcome {
    if (!confirmable.includes(intent.status)) {
      return failed(failures.unexpectedState('confirmed', intent, confirmable));
    }
    const method = form.get('payment_method') ?? intent.method;
    if (method === undefined) return failed(failures.missing('payment_method'));
    return this.#attempt(at, { ...intent, method }, form);
  }

  /** Charges the intent's payment method, or authorizes the charge. */
  #attempt(at: number, intent: Intent, form: Form): Outcome {
    const behaviour = behaviourOf(intent.method ?? '');
    if (behaviour === undefined) return failed(failures.noSuchMethod(intent.method ?? ''));
    if (behaviour.kind === 'succeeds') {
      const captured = intent.captureMethod !== 'manual';
      return this.#keep({
        ...intent,
        status: captured ? 'succeeded' : 'requires_capture',
        charge: this.#charge(at, 'succeeded', captured ? intent.amount : 0),
        lastError: undefined,
      });
    }
    const customerAway =
      form.get('off_session') === 'true' || form.get('error_on_requires_action') === 'true';
    if (behaviour.kind === 'needsAuthentication' && !customerAway) {
      return this.#keep({ ...intent, status: 'requires_action' });
    }
    const { code, declineCode } =
      behaviour.kind === 'declines'
        ? behaviour
        : { code: 'authentication_required', declineCode: 'authentication_required' };
    const declined: Intent = {
      ...intent,
      status: 'requires_payment_method',
      // A declined method is detached: the next attempt must name one.
      method: undefined,
      charge: this.#charge(at, 'failed', 0),
      lastError: { code, declineCode },
    };
    this.#keep(declined);
    return failed(failures.declined(declined, code, declineCode));
  }

  #capture(intent: Intent, form: Form): Outcome {
    if (intent.status !== 'requires_capture' || intent.charge === undefined) {
      return failed(failures.unexpectedState('captured', intent, ['requires_capture']));
    }
    const asked = form.get('amount_to_capture');
    const amountCaptured = asked === undefined ? intent.amount : wholeNumber(asked);
    if (amountCaptured === undefined || amountCaptured < amountMin) {
      return failed(failures.invalidParameter('amount_to_capture', asked ?? ''));
    }
    if (amountCaptured > intent.amount) return failed(failures.captureTooLarge());
    return this.#keep({
      ...intent,
      status: 'succeeded',
      charge: { ...intent.charge, captured: true, amountCaptured },
    });
  }

  #cancel(at: number, intent: Intent): Outcome {
    if (!cancellable.includes(intent.status)) {
      return failed(failures.unexpectedState('canceled', intent, cancellable));
    }
    return this.#keep({ ...intent, status: 'canceled', canceledAt: seconds(at) });
  }

  #refund(at: number, form: Form): Outcome {
    const intentId = form.get('payment_intent');
    if (intentId === undefined) return failed(failures.missing('payment_intent'));
    const intent = this.#intents.get(intentId);
    if (intent === undefined) return failed(failures.noSuchIntent(intentId));
    const charge = intent.charge;
    if (charge?.captured !== true) return failed(failures.nothingToRefund(intent));
    const left = charge.amountCaptured - amountRefunded(charge);
    if (left === 0) return failed(failures.alreadyRefunded(charge.id));
    const asked = form.get('amount');
    const amount = asked === undefined ? left : wholeNumber(asked);
    if (amount === undefined || amount < amountMin) {
      return failed(failures.invalidParameter('amount', asked ?? ''));
    }
    if (amount > left) return failed(failures.refundTooLarge());
    const refund: Refund = {
      id: this.#draw('re'),
      created: seconds(at),
      amount,
      currency: intent.currency,
      intentId,
      chargeId: charge.id,
      metadata: nested(form, 'metadata'),
    };
    this.#refunds.set(refund.id, refund);
    this.#keep({ ...intent, charge: { ...charge, refunds: [...charge.refunds, refund] } });
    return { kind: 'refund', refund };
  }

  #charge(at: number, status: Charge['status'], amountCaptured: number): Charge {
    const captured = amountCaptured > 0;
    return { id: this.#draw('ch'), created: seconds(at), status, captured, amountCaptured, refunds: [] };
  }

  #keep(intent: Intent): Outcome {
    this.#intents.set(intent.id, intent);
    return { kind: 'intent', intent };
  }

  /** The n-th id of this seed: looks random, comes again when the operations are repeated. */
  #draw(prefix: string): string {
    this.#drawn += 1;
    const digest = createHash('sha1').update(`${this.#seed}:${this.#drawn}`).digest('hex');
    return `${prefix}_${digest.slice(0, 24)}`;
  }
}

function failed(failure: Failure): Outcome {
  return { kind: 'failed', failure };
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function seconds(at: number): number {
  return Math.floor(at / 1_000);
}

function isCaptureMethod(text: string): text is Intent['captureMethod'] {
  return text === 'automatic' || text === 'automatic_async' || text === 'manual';
}
