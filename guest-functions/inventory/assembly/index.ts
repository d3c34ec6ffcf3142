import { Answer, OrderInput } from 'sdk';

/** The money is there: set the stock aside, unless the customer has thought better of it. */
export function inventory(): void {
  const input = OrderInput.read();
  const answer = new Answer();
  if (input.cancelRequested) answer.reversePayment();
  else answer.holdStock(input.settings.holdTtlMs);
  answer.send();
}
