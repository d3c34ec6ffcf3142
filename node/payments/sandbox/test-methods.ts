/** What a payment method of the sandbox does when it is charged. Names and codes are those of Stripe's test cards. */
export type Behaviour =
  | { readonly kind: 'succeeds'; readonly slow: boolean }
  | { readonly kind: 'declines'; readonly code: string; readonly declineCode: string }
  | { readonly kind: 'needsAuthentication' };

const succeeds: Behaviour = { kind: 'succeeds', slow: false };

function declines(code: string, declineCode = code): Behaviour {
  return { kind: 'declines', code, declineCode };
}

const behaviours: ReadonlyMap<string, Behaviour> = new Map([
  ['pm_card_visa', succeeds],
  ['pm_card_mastercard', succeeds],
  ['pm_card_amex', succeeds],
  // Not one of Stripe's: takes the money at once and answers late.
  ['pm_card_slow', { kind: 'succeeds', slow: true }],
  ['pm_card_chargeDeclined', declines('card_declined', 'generic_decline')],
  ['pm_card_chargeDeclinedInsufficientFunds', declines('card_declined', 'insufficient_funds')],
  ['pm_card_chargeDeclinedLostCard', declines('card_declined', 'lost_card')],
  ['pm_card_chargeDeclinedFraudulent', declines('card_declined', 'fraudulent')],
  ['pm_card_chargeDeclinedExpiredCard', declines('expired_card')],
  ['pm_card_chargeDeclinedIncorrectCvc', declines('incorrect_cvc')],
  ['pm_card_chargeDeclinedProcessingError', declines('processing_error')],
  ['pm_card_authenticationRequired', { kind: 'needsAuthentication' }],
]);

export function behaviourOf(method: string): Behaviour | undefined {
  return behaviours.get(method);
}
