import { integerBetween, seededRandom } from '../../support/random.ts';
import type { Wish } from '../support/buyers.ts';
import { methods } from '../support/sandbox-books.ts';

/** Who buys, what, and how they behave. Pure: the same seed and number give the same customer. */

export type Manner =
  /** Waits for the end; asks the next node when one has no answer. */
  | 'waits'
  /** Has the order, and asks for it again with the same key, at another node. */
  | 'asksAgain'
  /** Presses twice: two nodes are asked at the same time. */
  | 'pressesTwice'
  /** Changes their mind, at another node, whenever that may be. */
  | 'cancels'
  /** Goes away in the middle of the first request. */
  | 'leaves';

/** What they do when their bank wants to know that it is them. */
export type Authentication = 'succeeded' | 'failed' | 'never';

export interface Customer {
  /** Their idempotency key. */
  readonly key: string;
  readonly wish: Wish;
  readonly manner: Manner;
  readonly authentication: Authentication;
}

export interface Assortment {
  /** Products there is plenty of. */
  readonly skus: readonly string[];
  /** A product that runs out. */
  readonly scarceSku: string;
}

const manners: Shares<Manner> = [
  ['waits', 62],
  ['asksAgain', 12],
  ['pressesTwice', 8],
  ['cancels', 10],
  ['leaves', 8],
];
const authentications: Shares<Authentication> = [
  ['succeeded', 75],
  ['failed', 15],
  ['never', 10],
];
const paymentMethods: Shares<string> = [
  [methods.pays, 70],
  [methods.declines, 5],
  [methods.slow, 3],
  [methods.authenticates, 12],
  [methods.authenticatesInVain, 2],
  [methods.refundsLate, 8],
];
const scarceShare = 0.15;
const quantityMax = 3;
const linesMax = 2;
/** Where the bank's page sends the customer back to; without it, the shop's own page would ask. */
const returnUrlShare = 0.8;
const returnUrl = 'https://shop.example/thanks';

export function customerOf(
  index: number,
  { seed, skus, scarceSku }: Assortment & { readonly seed: number },
): Customer {
  const random = seededRandom(Math.imul(seed, 0x9e37_79b1) ^ Math.imul(index + 1, 0x85eb_ca6b));
  const first = integerBetween(random, 0, skus.length - 1);
  const lines = Array.from({ length: integerBetween(random, 1, linesMax) }, (_, line) => ({
    sku: skus[(first + line) % skus.length] ?? '',
    quantity: integerBetween(random, 1, quantityMax),
  }));
  if (random() < scarceShare) lines.push({ sku: scarceSku, quantity: 1 });
  return {
    key: `hostile-${String(seed)}-${String(index)}`,
    wish: {
      lines,
      method: picked(paymentMethods, random()),
      ...(random() < returnUrlShare ? { returnUrl } : {}),
    },
    manner: picked(manners, random()),
    authentication: picked(authentications, random()),
  };
}

/** What may be picked, and its weight. */
type Shares<Item> = readonly (readonly [Item, number])[];

function picked<Item>(shares: Shares<Item>, luck: number): Item {
  let left = luck * shares.reduce((sum, [, share]) => sum + share, 0);
  for (const [item, share] of shares) {
    left -= share;
    if (left < 0) return item;
  }
  throw new RangeError('nothing to pick from');
}
