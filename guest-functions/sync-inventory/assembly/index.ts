import { Answer } from 'sdk';

/** Inbound: whatever the tick, read the shop's inventory. */
export function syncInventory(): void {
  const answer = new Answer();
  answer.pullInventory();
  answer.send();
}
