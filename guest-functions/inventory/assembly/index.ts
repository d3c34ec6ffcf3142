import { Answer, OrderInput } from 'sdk';

/** The money is there: set the stock aside, unless the customer has thought better of it. */
export function inventory(): void {
  const input = OrderInput.read();
  const answer = new Answer();
  if (input.cancelRequested) answer.reversePayment();
  else answer.holdStock(holdTime(input));
  answer.send();
}

/** An order waits no longer than the most impatient of its products; one that says nothing waits as the shop does. */
function holdTime(input: OrderInput): i64 {
  const own = new Map<string, i64>();
  for (let i = 0; i < input.products.length; i++) own.set(input.products[i].sku, input.products[i].holdTtlMs);
  let shortest = i64.MAX_VALUE;
  for (let i = 0; i < input.lines.length; i++) {
    const sku = input.lines[i].sku;
    shortest = min(shortest, own.has(sku) ? own.get(sku) : input.settings.holdTtlMs);
  }
  return shortest;
}
