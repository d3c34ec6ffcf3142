import { Answer, TimerInput } from 'sdk';

const ORDERS_PER_TRANSACTION = 200;

/** Outbound: bring ended orders to the system of record, when there are any. */
export function syncOrders(): void {
  const input = TimerInput.read();
  const answer = new Answer();
  if (input.pendingOrders > 0) answer.pushOrders(ORDERS_PER_TRANSACTION);
  answer.send();
}
