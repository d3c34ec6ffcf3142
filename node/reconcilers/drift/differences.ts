import type { Difference, DifferenceCode } from '../../ports/drift.ts';

/** What a person does about each difference. The codes are stable; the words are not. */
const ADVICE: Readonly<Record<DifferenceCode, string>> = {
  PAYMENT_WITHOUT_ORDER:
    'No node knows this order and the system of record does not have it: refund or void the payment at the provider.',
  CHARGED_TWICE: 'Refund all but one of the payments at the provider.',
  MONEY_KEPT: 'The order ended without goods: refund the payment at the provider.',
  AUTHORIZATION_LEFT: 'Money is set aside for nothing: cancel the payment at the provider.',
  FULFILLED_UNPAID: 'The goods went out unpaid: collect the money, or take the goods back.',
  AMOUNT_DIFFERS: 'If nobody refunded a part on purpose: collect or refund what differs.',
  MISSING_IN_RECORD:
    'It was delivered and is gone, as after a restore from a backup: enter the order, its lines and its units by hand.',
  NOT_DELIVERED:
    'See `freehold reconcile parked list` and the lag of the outbound reconciler; retry or discard it.',
  UNKNOWN_IN_RECORD:
    'No node knows this order: find out who entered it; it may be of another cluster on the same database.',
  OUTCOME_DIFFERS: 'The journal is right: find out who changed the row, and correct it.',
  LINES_DIFFER: 'The journal is right: find out who changed the row or its lines, and correct them.',
  DISCARDED_BUT_APPLIED:
    'It was delivered after all, and its units were taken: undo what was entered by hand when it was discarded.',
  FULFILLED_NOT_COMMITTED: 'Its units may be sold again: take them out of the inventory, and report a bug.',
  COMMITTED_NOT_FULFILLED:
    'Units are sold for an order that ended without goods: put them back with an adjustment, and report a bug.',
  COUNTED_NOT_APPLIED:
    'The ledger takes the units for gone from the inventory, but they are in it: they may be sold twice. Enter the order by hand.',
  HOLD_LEFT: 'Units are set aside for an order that has ended; they come back when the hold expires.',
  PROMISED_LINES_DIFFER: 'The ledger set other units aside than were ordered: report a bug.',
  PROMISE_WITHOUT_ORDER: 'The ledger promises units to an order that no node knows: report a bug.',
  INVENTORY_UNEXPLAINED:
    'Orders and movements do not explain the figure: count the units, and correct the figure by an adjustment.',
  STOCK_DIFFERS:
    'The ledger sells from another figure than the system of record has: run the inbound reconciler, and look at its log.',
  PROMISES_DIFFER: 'The counters of the product are not what its orders add up to: report a bug.',
};

export function difference(
  code: DifferenceCode,
  about: Pick<Difference, 'orderId' | 'sku'>,
  figures: Difference['figures'],
): Difference {
  return { code, ...about, figures, advice: ADVICE[code] };
}
