import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import type { Form } from './form.ts';
import type { Intent } from './intent.ts';
import { behaviourOf } from './test-methods.ts';

/** What a request may say. Much of it means nothing here; a name that is not in the list is a mistake of the client. */
const known = {
  create:
    /^(amount|currency|confirm|capture_method|payment_method|payment_method_types\[\d*\]|automatic_payment_methods\[(enabled|allow_redirects)\]|metadata\[[^\]]+\]|off_session|error_on_requires_action|use_stripe_sdk|description|customer|receipt_email|return_url|statement_descriptor(_suffix)?|expand\[\d*\])$/,
  confirm:
    /^(payment_method|capture_method|off_session|error_on_requires_action|use_stripe_sdk|return_url|receipt_email|expand\[\d*\])$/,
  capture:
    /^(amount_to_capture|metadata\[[^\]]+\]|statement_descriptor(_suffix)?|final_capture|expand\[\d*\])$/,
  cancel: /^(cancellation_reason|expand\[\d*\])$/,
  refund: /^(payment_intent|charge|amount|reason|metadata\[[^\]]+\]|expand\[\d*\])$/,
  authenticate: /^outcome$/,
} as const;

/** In minor units. */
export const amountMin = 1;
const amountMax = 99_999_999;

export function unknownIn(kind: keyof typeof known, form: Form): Failure | undefined {
  for (const name of form.keys()) if (!known[kind].test(name)) return failures.unknownParameter(name);
  return undefined;
}

/** What a new payment must say. */
export interface Creation extends Pick<Intent, 'amount' | 'currency' | 'captureMethod' | 'method'> {
  readonly confirmed: boolean;
}

export function readCreation(form: Form): Creation | Failure {
  const amountText = form.get('amount');
  const currency = form.get('currency');
  const captureMethod = form.get('capture_method') ?? 'automatic_async';
  const method = form.get('payment_method');
  const confirmed = form.get('confirm') === 'true';
  if (amountText === undefined) return failures.missing('amount');
  if (currency === undefined) return failures.missing('currency');
  const amount = wholeNumber(amountText);
  if (amount === undefined) return failures.invalidParameter('amount', amountText);
  if (amount < amountMin) return failures.amountTooSmall();
  if (amount > amountMax) return failures.amountTooLarge();
  if (!/^[a-z]{3}$/.test(currency)) return failures.invalidParameter('currency', currency);
  if (!isCaptureMethod(captureMethod)) return failures.invalidParameter('capture_method', captureMethod);
  if (method !== undefined && behaviourOf(method) === undefined) return failures.noSuchMethod(method);
  if (confirmed && method === undefined) return failures.missing('payment_method');
  return { amount, currency, captureMethod, method, confirmed };
}

export function wholeNumber(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function isCaptureMethod(text: string): text is Intent['captureMethod'] {
  return text === 'automatic' || text === 'automatic_async' || text === 'manual';
}
