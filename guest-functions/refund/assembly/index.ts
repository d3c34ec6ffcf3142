import { Answer, OrderInput } from 'sdk';

/** Nothing can be delivered: give the money back, and once it is back, end the order. */
export function refund(): void {
  const input = OrderInput.read();
  const answer = new Answer();
  if (input.type != 'reversed') answer.reversePayment();
  else if (input.cancelRequested) answer.cancelOrder();
  else answer.refundOrder(input.code == '' ? 'REFUNDED' : input.code);
  answer.send();
}
