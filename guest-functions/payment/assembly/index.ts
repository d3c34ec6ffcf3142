import { Answer, OrderInput } from '../../sdk/assembly';

/** A new order asks for its money; a refused payment ends it. */
export function payment(): void {
  const input = OrderInput.read();
  const answer = new Answer();
  if (input.cancelRequested) answer.cancelOrder();
  else if (input.type == 'paymentRefused')
    answer.failOrder(input.code == '' ? 'PAYMENT_REFUSED' : input.code);
  else if (input.settings.capture == 'immediate') answer.chargePayment();
  else answer.authorizePayment();
  answer.send();
}
