import { Answer, OrderInput } from 'sdk';

/**
 * A new order asks for its money; a refused payment ends it. One that may have been asked for before is asked for
 * again even if the order was cancelled meanwhile: only the provider knows whether there is money to give back. An
 * order keeps the capture mode that it was registered with, whatever the node that drives it now is set to.
 */
export function payment(): void {
  const input = OrderInput.read();
  const answer = new Answer();
  if (input.cancelRequested && input.paymentStatus != 'requested') answer.cancelOrder();
  else if (input.type == 'paymentRefused')
    answer.failOrder(input.code == '' ? 'PAYMENT_REFUSED' : input.code);
  else if (input.capture == 'immediate') answer.chargePayment();
  else answer.authorizePayment();
  answer.send();
}
