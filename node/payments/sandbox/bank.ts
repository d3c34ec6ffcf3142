import { createHash } from 'node:crypto';

import { Agenda } from './agenda.ts';
import { chargeCard, failAuthentication, settleCharge } from './charging.ts';
import type { Charged, Charging } from './charging.ts';
import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import { noMisfortunes } from './faults.ts';
import type { Misfortunes } from './faults.ts';
import { nested } from './form.ts';
import type { Form } from './form.ts';
import type { Intent, IntentStatus, Refund } from './intent.ts';
import { amountMin, readCreation, unknownIn, wholeNumber } from './parameters.ts';
import { refundPayment, settleRefund } from './refunding.ts';
import { behaviourOf } from './test-methods.ts';

/**
 * Where the sandbox's money is: intents, charges and refunds, and the rules by which they change, which are
 * Stripe's. Pure: the same operations at the same times, with the same misfortunes, give the same ids and states, so
 * the file keeps operations and not states. Knows nothing of HTTP, idempotency keys or faults on the way.
 *
 *   B1  Money moves only along the arrows: confirm and authenticate charge or authorize, capture takes what was
 *       authorized, cancel and expiry let it go, refund gives back what was captured. Everything else is refused
 *       and changes nothing.
 *   B2  0 ≤ refunded ≤ captured ≤ amount, per intent, where a refund that failed is none.
 *   B3  What was captured is never canceled, and what was canceled is never captured.
 *   B4  What happens by itself happens at its time, before any operation that comes later: nobody can tell whether
 *       somebody looked in between.
 */
export type Operation =
  | { readonly kind: 'create'; readonly form: Form }
  | { readonly kind: 'refund'; readonly form: Form }
  | {
      readonly kind: 'confirm' | 'capture' | 'cancel' | 'authenticate';
      readonly intentId: string;
      readonly form: Form;
    };

export type Outcome =
  | { readonly kind: 'intent'; readonly intent: Intent }
  | { readonly kind: 'refund'; readonly refund: Refund }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** Something that the shop may want to hear of: a payment or a refund as it has just become. */
export interface Change {
  /** ms. */
  readonly at: number;
  readonly what: 'created' | 'changed' | 'refunded' | 'refundChanged';
  readonly intent: Intent;
  readonly refund?: Refund;
}

const confirmable: readonly IntentStatus[] = [
  'requires_payment_method',
  'requires_confirmation',
  'requires_action',
];
const cancellable: readonly IntentStatus[] = [...confirmable, 'requires_capture'];

export class Bank {
  readonly #seed: string;
  readonly #onChange: (change: Change) => void;
  readonly #intents = new Map<string, Intent>();
  readonly #refunds = new Map<string, Refund>();
  /** Ids, oldest first. */
  readonly #intentOrder: string[] = [];
  readonly #refundOrder: string[] = [];
  readonly #byOrder = new Map<string, string[]>();
  readonly #agenda = new Agenda();
  #drawn = 0;
  #now = 0;

  /** `onChange` hears of every change, after it is made; it must not call back. */
  constructor(seed: string, onChange: (change: Change) => void = () => undefined) {
    this.#seed = seed;
    this.#onChange = onChange;
  }

  /** `at` in ms. */
  execute(at: number, operation: Operation, misfortunes: Misfortunes = noMisfortunes): Outcome {
    this.settle(at);
    const { kind, form } = operation;
    const mistake = unknownIn(kind, form);
    if (mistake !== undefined) return failed(mistake);
    if (kind === 'create') return this.#create(form, misfortunes);
    if (kind === 'refund') return this.#refund(form, misfortunes);
    const intent = this.#intents.get(operation.intentId);
    if (intent === undefined) return failed(failures.noSuchIntent(operation.intentId));
    switch (kind) {
      case 'confirm':
        return this.#confirm(intent, form, misfortunes);
      case 'capture':
        return this.#capture(intent, form, misfortunes);
      case 'cancel':
        return this.#cancel(intent, form);
      case 'authenticate':
        return this.#authenticate(intent, form, misfortunes);
    }
  }

  /** Lets happen what happens by itself, up to `at`. Time never falls: an earlier `at` is the last one again. */
  settle(at: number): void {
    for (;;) {
      const next = this.#agenda.next();
      if (next === undefined || next.dueAt > at) break;
      this.#agenda.remove(next.id);
      this.#now = Math.max(this.#now, next.dueAt);
      this.#settleOne(next.id);
    }
    this.#now = Math.max(this.#now, at);
  }

  /** When something happens by itself, ms. */
  nextChangeAt(): number | undefined {
    return this.#agenda.next()?.dueAt;
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

  /** How many there are, and the one at a position from 0, oldest first. */
  get intentCount(): number {
    return this.#intentOrder.length;
  }
  intentAt(position: number): Intent {
    return this.#intents.get(this.#intentOrder[position] ?? '') as Intent;
  }
  get refundCount(): number {
    return this.#refundOrder.length;
  }
  refundAt(position: number): Refund {
    return this.#refunds.get(this.#refundOrder[position] ?? '') as Refund;
  }

  /** Intents whose metadata names this order, oldest first. */
  intentsOf(orderId: string): readonly Intent[] {
    return (this.#byOrder.get(orderId) ?? []).map((id) => this.#intents.get(id) as Intent);
  }

  #create(form: Form, misfortunes: Misfortunes): Outcome {
    const creation = readCreation(form);
    if ('status' in creation) return failed(creation);
    const { amount, currency, captureMethod, method, confirmed } = creation;
    const intent: Intent = {
      id: this.#draw('pi'),
      position: this.#intentOrder.length,
      created: this.#seconds(),
      amount,
      currency,
      captureMethod,
      status: method === undefined ? 'requires_payment_method' : 'requires_confirmation',
      method,
      metadata: nested(form, 'metadata'),
      returnUrl: form.get('return_url'),
      charge: undefined,
      lastError: undefined,
      canceledAt: undefined,
      cancellationReason: undefined,
      settlesTo: undefined,
    };
    this.#intentOrder.push(intent.id);
    const orderId = intent.metadata['order_id'];
    if (orderId !== undefined) {
      const ids = this.#byOrder.get(orderId);
      if (ids === undefined) this.#byOrder.set(orderId, [intent.id]);
      else ids.push(intent.id);
    }
    const created = this.#keep(intent, 'created');
    return confirmed ? this.#charge(intent, customerIn(form), 'create', misfortunes) : created;
  }

  #confirm(intent: Intent, form: Form, misfortunes: Misfortunes): Outcome {
    if (!confirmable.includes(intent.status)) {
      return failed(failures.unexpectedState('confirmed', intent, confirmable));
    }
    const method = form.get('payment_method') ?? intent.method;
    if (method === undefined) return failed(failures.missing('payment_method'));
    if (behaviourOf(method) === undefined) return failed(failures.noSuchMethod(method));
    const returnUrl = form.get('return_url') ?? intent.returnUrl;
    return this.#charge({ ...intent, method, returnUrl }, customerIn(form), 'confirm', misfortunes);
  }

  /** What the customer did on the bank's page. */
  #authenticate(intent: Intent, form: Form, misfortunes: Misfortunes): Outcome {
    const outcome = form.get('outcome');
    if (outcome !== 'succeeded' && outcome !== 'failed') {
      return failed(failures.invalidParameter('outcome', outcome ?? ''));
    }
    if (intent.status !== 'requires_action') {
      return failed(failures.unexpectedState('authenticated', intent, ['requires_action']));
    }
    if (outcome === 'failed') return this.#keep(failAuthentication(intent));
    return this.#charge(intent, 'authenticated', 'confirm', misfortunes);
  }

  #charge(
    intent: Intent,
    customer: Charging['customer'],
    route: Charging['route'],
    misfortunes: Misfortunes,
  ): Outcome {
    const charged = chargeCard(intent, {
      at: this.#seconds(),
      drawChargeId: () => this.#draw('ch'),
      customer,
      route,
      misfortunes,
    });
    return this.#keepCharged(charged);
  }

  #keepCharged({ intent, failure, changesAfterMs }: Charged): Outcome {
    const kept = this.#keep(intent);
    if (changesAfterMs !== undefined) this.#agenda.set(this.#now, intent.id, changesAfterMs);
    return failure === undefined ? kept : failed(failure);
  }

  #capture(intent: Intent, form: Form, misfortunes: Misfortunes): Outcome {
    if (intent.status !== 'requires_capture' || intent.charge === undefined) {
      return failed(failures.unexpectedState('captured', intent, ['requires_capture']));
    }
    const asked = form.get('amount_to_capture');
    const amountCaptured = asked === undefined ? intent.amount : wholeNumber(asked);
    if (amountCaptured === undefined || amountCaptured < amountMin) {
      return failed(failures.invalidParameter('amount_to_capture', asked ?? ''));
    }
    if (amountCaptured > intent.amount) return failed(failures.captureTooLarge());
    if (misfortunes.strike('captureFails', 'capture') !== undefined) {
      const expired = this.#expired(intent);
      this.#keep(expired);
      return failed(failures.authorizationExpired(expired));
    }
    const charge = { ...intent.charge, captured: true, amountCaptured };
    return this.#keep({ ...intent, status: 'succeeded', charge });
  }

  #cancel(intent: Intent, form: Form): Outcome {
    if (!cancellable.includes(intent.status)) {
      return failed(failures.unexpectedState('canceled', intent, cancellable));
    }
    const cancellationReason = form.get('cancellation_reason');
    return this.#keep({ ...intent, status: 'canceled', canceledAt: this.#seconds(), cancellationReason });
  }

  #refund(form: Form, misfortunes: Misfortunes): Outcome {
    const intentId = form.get('payment_intent');
    if (intentId === undefined) return failed(failures.missing('payment_intent'));
    const intent = this.#intents.get(intentId);
    if (intent === undefined) return failed(failures.noSuchIntent(intentId));
    const refunded = refundPayment(intent, form, {
      at: this.#seconds(),
      drawId: () => this.#draw('re'),
      position: this.#refundOrder.length,
      misfortunes,
    });
    if (refunded.kind === 'refused') return failed(refunded.failure);
    const { refund, changesAfterMs } = refunded;
    this.#refundOrder.push(refund.id);
    if (changesAfterMs !== undefined) this.#agenda.set(this.#now, refund.id, changesAfterMs);
    this.#keepRefund(refunded.intent, refund, 'refunded');
    return { kind: 'refund', refund };
  }

  #settleOne(id: string): void {
    const intent = this.#intents.get(id);
    if (intent === undefined) {
      const pending = this.#refunds.get(id) as Refund;
      const settled = settleRefund(this.#intents.get(pending.intentId) as Intent, pending);
      this.#keepRefund(settled.intent, settled.refund, 'refundChanged');
    } else if (intent.status === 'processing' && intent.charge !== undefined) {
      this.#keepCharged(settleCharge(intent, intent.charge, intent.settlesTo ?? 'succeeded'));
    } else {
      this.#keep(this.#expired(intent));
    }
  }

  #expired(intent: Intent): Intent {
    return { ...intent, status: 'canceled', canceledAt: this.#seconds(), cancellationReason: 'automatic' };
  }

  #keep(intent: Intent, what: Change['what'] = 'changed'): Outcome {
    this.#intents.set(intent.id, intent);
    // Only what waits for something has a time at which it changes by itself.
    if (intent.status !== 'processing' && intent.status !== 'requires_capture')
      this.#agenda.remove(intent.id);
    this.#onChange({ at: this.#now, what, intent });
    return { kind: 'intent', intent };
  }

  #keepRefund(intent: Intent, refund: Refund, what: Change['what']): void {
    this.#refunds.set(refund.id, refund);
    this.#intents.set(intent.id, intent);
    this.#onChange({ at: this.#now, what, intent, refund });
  }

  #seconds(): number {
    return Math.floor(this.#now / 1_000);
  }

  /** The n-th id of this seed: looks random, comes again when the operations are repeated. */
  #draw(prefix: string): string {
    this.#drawn += 1;
    const digest = createHash('sha1').update(`${this.#seed}:${this.#drawn}`).digest();
    // Joined, the text stands by itself; cut out of another, it would keep that in memory, for every id.
    return [prefix, digest.toString('hex', 0, 12)].join('_');
  }
}

function customerIn(form: Form): Charging['customer'] {
  const isAway = form.get('off_session') === 'true' || form.get('error_on_requires_action') === 'true';
  return isAway ? 'away' : 'present';
}

function failed(failure: Failure): Outcome {
  return { kind: 'failed', failure };
}
