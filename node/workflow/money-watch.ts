import type { Views } from './ports.ts';

/** What an operator watches of the money of open orders; ages in seconds, 0 where there is none. */
export interface MoneyWatch {
  /** Of orders whose payment was asked for and not heard of, or waits for its customer or bank. */
  readonly unknownOldestSeconds: number;
  /** Of orders whose money is set aside and not taken: the provider lets it go after a week. */
  readonly authorizedOldestSeconds: number;
  /** Orders that owe their customer money which did not arrive. */
  readonly refundsFailed: number;
  /** Payments that came to an order beside its own, and are not back yet. */
  readonly strays: number;
}

/** `now` in ms. Looks at open orders only, all of which are in memory. */
export function watchMoney(views: Pick<Views, 'open' | 'peek'>, now: number): MoneyWatch {
  let unknownSince = now;
  let authorizedSince = now;
  let refundsFailed = 0;
  let strays = 0;
  for (const orderId of views.open()) {
    const folded = views.peek(orderId);
    if (folded === undefined) continue;
    const { money } = folded;
    const { status, own } = money;
    if (status === 'requested' || status === 'action_required') {
      // A later attempt does not make it younger.
      unknownSince = Math.min(unknownSince, folded.order.createdAt);
    }
    if (status === 'authorized') authorizedSince = Math.min(authorizedSince, own?.fact.at ?? now);
    if (status === 'refund_failed') refundsFailed += 1;
    strays += money.strays.length;
  }
  return {
    unknownOldestSeconds: (now - unknownSince) / 1_000,
    authorizedOldestSeconds: (now - authorizedSince) / 1_000,
    refundsFailed,
    strays,
  };
}
