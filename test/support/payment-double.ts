import type { PaymentAnswer, Payments } from '../../node/ports/payments.ts';

/**
 * A payment provider in memory, for tests of the order flow that need thousands of payments in virtual time. It
 * keeps the promise that matters: one charge per order, whoever asks and however often. Provider code itself is
 * tested against the sandbox server.
 */
export type MoneyState = 'none' | 'refused' | 'authorized' | 'captured' | 'voided' | 'refunded';

export interface PaymentDouble extends Payments {
  state(orderId: string): MoneyState;
  timesTaken(orderId: string): number;
}

export function paymentDouble(): PaymentDouble {
  const states = new Map<string, MoneyState>();
  const taken = new Map<string, number>();
  const state = (orderId: string): MoneyState => states.get(orderId) ?? 'none';
  const answer = (orderId: string): PaymentAnswer => {
    const intent = `pi_${orderId}`;
    const now = state(orderId);
    if (now === 'refunded') return { kind: 'refunded', intent, refund: `re_${orderId}` };
    if (now === 'refused' || now === 'none') return { kind: 'refused', code: 'card_declined', intent };
    return { kind: now, intent };
  };
  const take = (orderId: string): void => {
    states.set(orderId, 'captured');
    taken.set(orderId, (taken.get(orderId) ?? 0) + 1);
  };

  return {
    state,
    timesTaken: (orderId) => taken.get(orderId) ?? 0,
    async pay({ orderId, method, capture }) {
      if (state(orderId) === 'none') {
        if (method === 'pm_card_chargeDeclined') states.set(orderId, 'refused');
        else if (capture === 'immediate') take(orderId);
        else states.set(orderId, 'authorized');
        return answer(orderId);
      }
      // The idempotency layer gives the first answer again, whatever happened to the payment since.
      if (state(orderId) === 'refused') return answer(orderId);
      return { kind: capture === 'immediate' ? 'captured' : 'authorized', intent: `pi_${orderId}` };
    },
    async capture({ orderId }) {
      if (state(orderId) === 'authorized') take(orderId);
      const now = state(orderId);
      if (now === 'captured') return answer(orderId);
      return { kind: 'refused', code: 'payment_intent_unexpected_state', intent: `pi_${orderId}` };
    },
    async reverse({ orderId }) {
      if (state(orderId) === 'authorized') states.set(orderId, 'voided');
      if (state(orderId) === 'captured') states.set(orderId, 'refunded');
      return answer(orderId);
    },
    async cancel({ orderId }) {
      if (state(orderId) === 'authorized') states.set(orderId, 'voided');
      return answer(orderId);
    },
    async lookUp(intent) {
      return answer(intent.slice(3));
    },
    async lookUpRefund({ intent }) {
      return answer(intent.slice(3));
    },
    async find({ orderId }) {
      return state(orderId) === 'none' ? { kind: 'absent' } : answer(orderId);
    },
  };
}
