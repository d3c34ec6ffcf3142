/** What a payment method of the sandbox does when it is charged. Names and codes are those of Stripe's test cards. */
export type Behaviour =
  | {
      readonly kind: 'succeeds';
      readonly slow: boolean;
      /** What becomes of a refund to it later, when not all goes well at once. */
      readonly refund?: 'pendsThenSucceeds' | 'seemsToSucceedThenFails';
    }
  | { readonly kind: 'declines'; readonly decline: Decline }
  | {
      readonly kind: 'needsAuthentication';
      /** Authenticated, it is declined all the same. */
      readonly thenDeclines?: Decline;
    };

export interface Decline {
  readonly code: string;
  /** The card's bank gives a reason; without one, the payment failed before it was asked. */
  readonly declineCode: string | undefined;
}

const succeeds = { kind: 'succeeds', slow: false } as const;
const declined = (code: string, declineCode = code): Decline => ({ code, declineCode });
const declines = (code: string, declineCode?: string): Behaviour => ({
  kind: 'declines',
  decline: declined(code, declineCode),
});

const genericDecline = declines('card_declined', 'generic_decline');
const insufficientFunds = declines('card_declined', 'insufficient_funds');
const lostCard = declines('card_declined', 'lost_card');

const behaviours: ReadonlyMap<string, Behaviour> = new Map<string, Behaviour>([
  ['pm_card_visa', succeeds],
  ['pm_card_mastercard', succeeds],
  ['pm_card_amex', succeeds],
  // Not one of Stripe's: takes the money at once and answers late.
  ['pm_card_slow', { kind: 'succeeds', slow: true }],
  // Stripe renamed some of its cards and still takes the names of old.
  ['pm_card_chargeDeclined', genericDecline],
  ['pm_card_visa_chargeDeclined', genericDecline],
  ['pm_card_chargeDeclinedInsufficientFunds', insufficientFunds],
  ['pm_card_visa_chargeDeclinedInsufficientFunds', insufficientFunds],
  ['pm_card_chargeDeclinedLostCard', lostCard],
  ['pm_card_visa_chargeDeclinedLostCard', lostCard],
  ['pm_card_visa_chargeDeclinedStolenCard', declines('card_declined', 'stolen_card')],
  ['pm_card_chargeDeclinedFraudulent', declines('card_declined', 'fraudulent')],
  ['pm_card_chargeDeclinedExpiredCard', declines('expired_card')],
  ['pm_card_chargeDeclinedIncorrectCvc', declines('incorrect_cvc')],
  ['pm_card_chargeDeclinedProcessingError', declines('processing_error')],
  ['pm_card_authenticationRequired', { kind: 'needsAuthentication' }],
  ['pm_card_threeDSecure2Required', { kind: 'needsAuthentication' }],
  [
    'pm_card_authenticationRequiredChargeDeclinedInsufficientFunds',
    { kind: 'needsAuthentication', thenDeclines: declined('card_declined', 'insufficient_funds') },
  ],
  ['pm_card_pendingRefund', { ...succeeds, refund: 'pendsThenSucceeds' }],
  ['pm_card_refundFail', { ...succeeds, refund: 'seemsToSucceedThenFails' }],
]);

export function behaviourOf(method: string): Behaviour | undefined {
  return behaviours.get(method);
}
