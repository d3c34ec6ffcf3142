import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OrderFact, RecordedEvent } from '../../node/orders/events.ts';
import { foldOrder, type FoldedOrder } from '../../node/orders/fold.ts';
import type { OrderEffect } from '../../node/orders/transitions.ts';
import { PAYMENT_POLICY } from '../../node/workflow/payment-policy.ts';
import { perform } from '../../node/workflow/perform.ts';
import { honestEffect } from '../support/honest-functions.ts';
import { paymentDouble } from '../support/payment-double.ts';
import { registeredFact } from '../support/registered-fact.ts';
import { stockLedger } from '../support/stock-ledger.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/**
 * The invariants of transitions.ts and perform.ts, held against functions that ask for anything at any time and
 * against several homes that drive one order with outdated views of it.
 */

const effects: readonly OrderEffect[] = [
  { type: 'payment.authorize' },
  { type: 'payment.charge' },
  { type: 'payment.capture' },
  { type: 'payment.reverse' },
  { type: 'stock.hold', ttlMs: 1_000 },
  { type: 'order.fulfil' },
  { type: 'order.refund', code: 'OUT_OF_STOCK' },
  { type: 'order.fail', code: 'card_declined' },
  { type: 'order.cancel' },
];

type Move =
  | { readonly kind: 'effect'; readonly home: 0 | 1; readonly effect: OrderEffect }
  | { readonly kind: 'learn'; readonly home: 0 | 1 }
  | { readonly kind: 'cancel' }
  | { readonly kind: 'time'; readonly ms: number };

const moves: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('effect' as const),
      home: fc.constantFrom(0 as const, 1 as const),
      effect: fc.constantFrom(...effects),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('learn' as const),
      home: fc.constantFrom(0 as const, 1 as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.integer({ min: 1, max: 2_000 }) }),
  },
);

describe('an order under functions that ask for anything', () => {
  it('never gives goods without money, keeps money without goods, or ends twice', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(moves, { minLength: 5, maxLength: 60 }),
        fc.constantFrom('after-reserve' as const, 'immediate' as const),
        fc.constantFrom('pm_card_visa', 'pm_card_chargeDeclined'),
        fc.integer({ min: 0, max: 2 }),
        async (history, capture, method, onHand) => {
          const clock = new VirtualClock();
          const ledger = await stockLedger({ clock, products: [{ sku: 'MUG', onHand }] });
          const payments = paymentDouble();
          const observer = { held: () => undefined };
          const dependencies = { clock, ledger, payments, observer, paymentPolicy: PAYMENT_POLICY };
          const registered: RecordedEvent = {
            id: 'n1:1',
            orderId: 'ord_x',
            at: clock.now(),
            node: 'n1',
            ...registeredFact({ method, capture }),
          };
          const journal: RecordedEvent[] = [registered];
          /** What each home has seen; it learns the rest when the history says so. */
          const seen = [new Set<RecordedEvent>([registered]), new Set<RecordedEvent>([registered])] as const;
          const reference = { orderId: 'ord_x', createdAt: registered.at };
          const accepted: string[] = [];

          const folded = (home: 0 | 1): FoldedOrder => {
            const order = foldOrder(seen[home]);
            if (order === undefined) throw new Error('the order is gone');
            return order;
          };
          const record = (home: 0 | 1, fact: OrderFact): void => {
            const event = {
              ...fact,
              id: `n${home + 1}:${journal.length + 1}`,
              orderId: 'ord_x',
              at: clock.now(),
              node: `n${home + 1}`,
              registration: 'n1:1',
            } as RecordedEvent;
            journal.push(event);
            seen[home].add(event);
          };
          record(1, { type: 'takenOver', data: { from: 'n1' } });

          for (const move of history) {
            switch (move.kind) {
              case 'learn':
                for (const event of journal) seen[move.home].add(event);
                break;
              case 'time':
                await clock.advance(move.ms);
                break;
              case 'cancel': {
                const closed = await ledger.release({ ...reference, reason: 'cancelled' });
                if (closed.kind === 'released' && closed.reason === 'cancelled') {
                  accepted.push('cancelled');
                  record(0, { type: 'cancelRequested', data: {} });
                }
                break;
              }
              case 'effect': {
                const before = folded(move.home);
                const { type } = move.effect;
                if (
                  (type === 'payment.authorize' || type === 'payment.charge') &&
                  before.order.payment.status === 'pending'
                ) {
                  record(move.home, { type: 'paymentRequested', data: { attempt: 1 } });
                }
                const performed = await perform(before, move.effect, dependencies);
                if (performed.kind === 'facts') for (const fact of performed.facts) record(move.home, fact);
              }
            }
          }

          // Whatever was done, an honest home that learns of it all brings the order to its end.
          for (const event of journal) seen[0].add(event);
          for (let steps = 0; folded(0).trigger !== undefined; steps += 1) {
            expect(steps).toBeLessThan(10);
            const performed = await perform(folded(0), honestEffect(folded(0)), dependencies);
            expect(performed.kind).toBe('facts');
            if (performed.kind === 'facts') for (const fact of performed.facts) record(0, fact);
          }

          const outcomes = new Set(
            journal
              .map(({ type }) => type)
              .filter((type) => ['fulfilled', 'refunded', 'failed', 'cancelled'].includes(type)),
          );
          const money = payments.state('ord_x');
          expect(outcomes.size).toBeLessThanOrEqual(1);
          if (outcomes.has('fulfilled')) {
            expect(money).toBe('captured');
            expect(await ledger.commit(reference)).toEqual({ kind: 'committed' });
            expect(accepted).toEqual([]);
          }
          if (outcomes.has('refunded') || outcomes.has('failed') || outcomes.has('cancelled')) {
            expect(['none', 'refused', 'voided', 'refunded']).toContain(money);
            expect((await ledger.commit(reference)).kind).not.toBe('committed');
          }
          if (accepted.length > 0)
            expect([...outcomes].filter((outcome) => outcome !== 'cancelled')).toEqual([]);
          expect(payments.timesTaken('ord_x')).toBeLessThanOrEqual(1);
          expect(ledger.conservationResidual()).toBe(0);
        },
      ),
      { numRuns: 5_000 },
    );
  });
});
