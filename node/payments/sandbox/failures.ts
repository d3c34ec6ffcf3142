import type { Intent, PaymentError } from './intent.ts';

/** A refusal in Stripe's terms. `errors.type` decides which class the client raises. */
export interface Failure {
  readonly status: number;
  readonly type: 'invalid_request_error' | 'card_error' | 'idempotency_error' | 'api_error';
  readonly message: string;
  readonly code?: string;
  readonly declineCode?: string;
  readonly param?: string;
  /** The intent as the failure left it; part of the answer. */
  readonly intent?: Intent;
  /**
   * False for a request that was turned away before it was acted upon (a missing parameter, an unknown id): its
   * idempotency key stays free.
   */
  readonly started: boolean;
}

function invalid(message: string, rest: Partial<Failure> = {}): Failure {
  return { status: 400, type: 'invalid_request_error', message, started: false, ...rest };
}

export const failures = {
  noApiKey: (): Failure =>
    invalid('You did not provide an API key. Send it as a bearer token in the Authorization header.', {
      status: 401,
    }),
  noSuchRoute: (method: string, path: string): Failure =>
    invalid(`Unrecognized request URL (${method}: ${path}).`, { status: 404 }),
  missing: (param: string): Failure =>
    invalid(`Missing required param: ${param}.`, { code: 'parameter_missing', param }),
  unknownParameter: (param: string): Failure =>
    invalid(`Received unknown parameter: ${param}`, { code: 'parameter_unknown', param }),
  invalidParameter: (param: string, value: string): Failure =>
    invalid(`Invalid ${param}: ${value}`, { code: 'parameter_invalid', param }),
  amountTooSmall: (): Failure =>
    invalid('Amount must be at least the smallest one that can be charged.', {
      code: 'amount_too_small',
      param: 'amount',
    }),
  amountTooLarge: (): Failure =>
    invalid('Amount must be no more than 999,999.99.', { code: 'amount_too_large', param: 'amount' }),
  noSuchIntent: (id: string): Failure =>
    invalid(`No such payment_intent: '${id}'`, { status: 404, code: 'resource_missing', param: 'intent' }),
  noSuchRefund: (id: string): Failure =>
    invalid(`No such refund: '${id}'`, { status: 404, code: 'resource_missing', param: 'refund' }),
  noSuchMethod: (id: string): Failure =>
    invalid(`No such PaymentMethod: '${id}'`, { code: 'resource_missing', param: 'payment_method' }),

  keyTooLong: (): Failure => invalid('Idempotency keys may be at most 255 characters long.'),
  keyReused: (key: string): Failure =>
    invalid(
      `Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '${key}' if you meant to execute a different request.`,
      { type: 'idempotency_error' },
    ),
  keyInUse: (key: string): Failure =>
    invalid(`There is currently another in-progress request using this Idempotent Key: ${key}.`, {
      status: 409,
      code: 'idempotency_key_in_use',
    }),
  rateLimited: (): Failure => invalid('Request rate limit exceeded.', { status: 429, code: 'rate_limit' }),
  broken: (status: number): Failure => ({
    status,
    type: 'api_error',
    message: 'Something went wrong on our end.',
    started: true,
  }),

  declined: (intent: Intent, { code, declineCode }: PaymentError): Failure => ({
    status: 402,
    type: 'card_error',
    message:
      code === 'authentication_required' ? 'The payment needs authentication.' : 'Your card was declined.',
    code,
    ...(declineCode === undefined ? {} : { declineCode }),
    intent,
    started: true,
  }),
  authorizationExpired: (intent: Intent): Failure =>
    invalid('The charge cannot be captured as its authorization has expired.', {
      code: 'capture_charge_authorization_expired',
      intent,
      started: true,
    }),
  unexpectedState: (verb: string, intent: Intent, allowed: readonly string[]): Failure => {
    const already = verb === 'captured' && intent.charge?.captured === true;
    const message = already
      ? 'This PaymentIntent could not be captured because it has already been captured.'
      : `This PaymentIntent could not be ${verb} because it has a status of ${intent.status}. Only a PaymentIntent with one of the following statuses may be ${verb}: ${allowed.join(', ')}.`;
    return invalid(message, { code: 'payment_intent_unexpected_state', intent, started: true });
  },
  captureTooLarge: (): Failure =>
    invalid('The amount to capture is greater than the amount that can be captured.', {
      code: 'amount_too_large',
      param: 'amount_to_capture',
      started: true,
    }),
  nothingToRefund: (intent: Intent): Failure =>
    invalid(`This PaymentIntent (${intent.id}) does not have a successful charge to refund.`, {
      param: 'payment_intent',
      started: true,
    }),
  alreadyRefunded: (chargeId: string): Failure =>
    invalid(`Charge ${chargeId} has already been refunded.`, {
      code: 'charge_already_refunded',
      started: true,
    }),
  refundTooLarge: (): Failure =>
    invalid('Refund amount is greater than the unrefunded amount on the charge.', {
      param: 'amount',
      started: true,
    }),
} as const;
