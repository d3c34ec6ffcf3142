import { Answer, OrderInput } from 'sdk';

/** The stock is held: take the money if it is only authorized, then fulfil. */
export function fulfilment(): void {
  const input = OrderInput.read();
  const answer = new Answer();
  if (input.type == 'captured') answer.fulfilOrder();
  else if (input.cancelRequested) answer.reversePayment();
  else if (input.paymentStatus == 'authorized') answer.capturePayment();
  else if (input.paymentStatus == 'captured') answer.fulfilOrder();
  else throw new Error('stock is held but the payment is ' + input.paymentStatus);
  answer.send();
}
