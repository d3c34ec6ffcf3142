import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OrderFact, RecordedEvent } from '../../node/orders/events.ts';
import { foldOrder } from '../../node/orders/fold.ts';
import { isExpected } from '../../node/orders/money.ts';
import { registeredFact } from '../support/registered-fact.ts';

const registered = registeredFact();

const later: readonly OrderFact[] = [
  { type: 'accepted', data: {} },
  { type: 'withdrawn', data: {} },
  { type: 'deferred', data: { reason: 'QUORUM_UNAVAILABLE' } },
  { type: 'takenOver', data: { from: 'n1' } },
  { type: 'paymentRequested', data: { attempt: 1 } },
  { type: 'paymentRequested', data: { attempt: 2 } },
  { type: 'paymentSpent', data: { attempt: 1, reason: 'STATUS_500' } },
  { type: 'paymentProcessing', data: { intent: 'pi_1', attempt: 1 } },
  {
    type: 'paymentActionRequired',
    data: {
      intent: 'pi_2',
      attempt: 2,
      nextAction: { type: 'redirect', url: 'https://bank.example' },
      expiresAt: 9_000,
    },
  },
  { type: 'paymentNotified', data: { eventId: 'evt_1', eventType: 'x', intent: 'pi_2', attempt: 2 } },
  {
    type: 'paymentNotified',
    data: { eventId: 'evt_3', eventType: 'refund.failed', intent: 'pi_2', attempt: 2 },
  },
  { type: 'paymentNotified', data: { eventId: 'evt_2', eventType: 'y', intent: 'pi_3', attempt: 1 } },
  { type: 'paid', data: { mode: 'authorized', intent: 'pi_1', attempt: 1 } },
  { type: 'paid', data: { mode: 'captured', intent: 'pi_2', attempt: 2 } },
  { type: 'captured', data: { intent: 'pi_2', attempt: 2 } },
  { type: 'refundPending', data: { intent: 'pi_1', attempt: 1, refund: 're_1' } },
  { type: 'refundFailed', data: { intent: 'pi_1', attempt: 1, refund: 're_1', code: 'declined' } },
  { type: 'reversed', data: { how: 'refunded', refund: 're_2', intent: 'pi_2', attempt: 2 } },
  { type: 'paymentRefused', data: { code: 'card_declined' } },
  { type: 'reserved', data: { expiresAt: 9_000 } },
  { type: 'outOfStock', data: { code: 'OUT_OF_STOCK', sku: 'MUG' } },
  { type: 'captured', data: { intent: 'pi_1' } },
  { type: 'captureRefused', data: { code: 'expired' } },
  { type: 'holdLost', data: { code: 'HOLD_EXPIRED' } },
  { type: 'cancelRequested', data: {} },
  { type: 'reversed', data: { how: 'voided' } },
  { type: 'fulfilled', data: {} },
  { type: 'refunded', data: { code: 'OUT_OF_STOCK' } },
  { type: 'failed', data: { code: 'card_declined' } },
  { type: 'cancelled', data: {} },
  { type: 'synced', data: { revision: 1 } },
  { type: 'deliveryRefused', data: { code: 'UNKNOWN_SKU', detail: 'MUG' } },
  { type: 'deliveryRefused', data: { code: 'ON_HAND_SHORT', detail: 'MUG' } },
  { type: 'discarded', data: { reason: 'entered by hand', by: 'ada' } },
];

let place = 0;
function event(fact: OrderFact, over: Partial<RecordedEvent> = {}): RecordedEvent {
  place += 1;
  const base = { id: `n1:${place}`, orderId: 'ord_x', at: place, node: 'n1' };
  return {
    ...base,
    ...(fact.type === 'registered' ? {} : { registration: 'n1:1' }),
    ...fact,
    ...over,
  } as RecordedEvent;
}

/** A registration at n1:1, perhaps another at n2:1, and any facts about either, from any node at any time. */
const histories = fc
  .array(
    fc.record({
      fact: fc.constantFrom(...later),
      origin: fc.constantFrom('n1', 'n2', 'n3'),
      registration: fc.constantFrom('n1:1', 'n2:1'),
      at: fc.integer({ min: 0, max: 5 }),
    }),
    { maxLength: 12 },
  )
  .map((facts) => [
    event(registered, { id: 'n1:1', at: 1, node: 'n1' }),
    event(registered, { id: 'n2:1', at: 1, node: 'n2' }),
    ...facts.map(({ fact, origin, registration, at }, index) =>
      event(fact, { id: `${origin}:${index + 2}`, node: origin, registration, at }),
    ),
  ]);

describe('the fold of an order', () => {
  it('does not depend on the order of arrival, nor on repetitions (O1)', () => {
    fc.assert(
      fc.property(
        histories.chain((events) =>
          fc.tuple(
            fc.constant(events),
            fc.shuffledSubarray(events, { minLength: events.length }),
            fc.array(fc.constantFrom(...events)),
          ),
        ),
        ([events, shuffled, repeated]) => {
          expect(foldOrder([...shuffled, ...repeated])).toEqual(foldOrder(events));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('keeps an outcome once there is one, whatever arrives for it later but another outcome (O3)', () => {
    const endings = ['fulfilled', 'refunded', 'failed', 'cancelled'];
    fc.assert(
      fc.property(histories, fc.constantFrom(...later), (events, fact) => {
        const before = foldOrder(events);
        if (before?.order.outcome === undefined || endings.includes(fact.type)) return;
        const more = event(fact, { id: 'n3:99', node: 'n3', at: 6, registration: before.order.registration });
        expect(foldOrder([...events, more])?.order.outcome).toBe(before.order.outcome);
      }),
    );
  });

  it('is closed exactly when it has ended and no money is left with the shop for nothing (O4)', () => {
    fc.assert(
      fc.property(histories, (events) => {
        const folded = foldOrder(events);
        if (folded === undefined) return;
        const { outcome, payment } = folded.order;
        const { own, strays, unanswered, unseen, doubted } = folded.money;
        const isSettled = ['pending', 'refused', 'voided', 'refunded'].includes(payment.status);
        const isOwnRight = outcome === 'fulfilled' ? own === undefined || !isExpected(own) : isSettled;
        const isAllKnown = [...strays, ...unseen, ...doubted].length === 0 && unanswered === undefined;
        expect(folded.open).toBe(!(outcome !== undefined && isOwnRight && isAllKnown));
        if (!folded.open) expect(folded.trigger).toBeUndefined();
      }),
    );
  });

  it('takes the registration that later events build on, not the earlier one (O2)', () => {
    const first = event(registered, { id: 'n1:1', at: 1 });
    const second = event(registered, { id: 'n2:1', at: 2, node: 'n2' });
    expect(foldOrder([first, second])?.order.registration).toBe('n1:1');
    const built = event({ type: 'paymentRequested', data: { attempt: 1 } }, { registration: 'n2:1' });
    expect(foldOrder([first, second, built])?.order.registration).toBe('n2:1');
    expect(foldOrder([first, second, built])?.confirmed).toBe(true);
  });

  it('forgets a withdrawn registration, and the order when there is no other', () => {
    const first = event(registered, { id: 'n1:1' });
    const gone = event({ type: 'withdrawn', data: {} });
    expect(foldOrder([first, gone])).toBeUndefined();
    const second = event(registered, { id: 'n2:1', node: 'n2' });
    expect(foldOrder([gone, second, first])?.order.registration).toBe('n2:1');
  });

  it('does not drive a deferred order until somebody takes it over', () => {
    const events = [event(registered, { id: 'n1:1' }), event({ type: 'deferred', data: { reason: 'x' } })];
    expect(foldOrder(events)).toMatchObject({ deferred: true });
    expect(foldOrder(events)?.trigger).toBeUndefined();
    const adopted = foldOrder([
      ...events,
      event({ type: 'takenOver', data: { from: 'n1' } }, { node: 'n3' }),
    ]);
    expect(adopted).toMatchObject({ deferred: false, trigger: 'registered', order: { home: 'n3' } });
  });

  it('treats money as perhaps moved as soon as another node drives the order', () => {
    const first = event(registered, { id: 'n1:1' });
    expect(foldOrder([first])?.order.payment.status).toBe('pending');
    const takenOver = event({ type: 'takenOver', data: { from: 'n1' } }, { node: 'n2' });
    expect(foldOrder([first, takenOver])?.order.payment.status).toBe('requested');
  });

  it('is absent without a registration', () => {
    expect(
      foldOrder([event({ type: 'paid', data: { mode: 'captured', intent: 'pi', attempt: 1 } })]),
    ).toBeUndefined();
  });

  it('takes a registration that may have been answered 201 before a deferred one (O2)', () => {
    const first = event(registered, { id: 'n1:1', at: 1 });
    const deferred = event({ type: 'deferred', data: { reason: 'x' } });
    const second = event(registered, { id: 'n2:1', at: 9, node: 'n2' });
    expect(foldOrder([first, deferred, second])).toMatchObject({
      order: { registration: 'n2:1' },
      deferred: false,
    });
  });

  it('may turn out to be of any registration that did not withdraw, until something builds on one', () => {
    const first = event(registered, { id: 'n1:1', at: 1 });
    const second = event(registered, { id: 'n2:1', at: 5, node: 'n2' });
    const third = event(registered, { id: 'n3:1', at: 9, node: 'n3' });
    const withdrawn = event({ type: 'withdrawn', data: {} });
    const deferred = event({ type: 'deferred', data: { reason: 'x' } }, { registration: 'n2:1' });
    const dates = (...events: readonly RecordedEvent[]): readonly (number | undefined)[] => {
      const folded = foldOrder(events);
      return [folded?.order.createdAt, folded?.mayDateFrom];
    };
    expect(dates(third, second, first)).toEqual([1, 1]);
    expect(dates(third, second, first, withdrawn)).toEqual([5, 5]);
    expect(dates(third, second, first, withdrawn, deferred)).toEqual([9, 5]);
    const built = event({ type: 'takenOver', data: { from: 'n2' } }, { registration: 'n3:1', node: 'n3' });
    expect(dates(third, second, first, deferred, built)).toEqual([9, 9]);
  });

  it('gives money back that was asked for under another registration (O4)', () => {
    const cancelled = [
      event(registered, { id: 'n1:1', at: 1 }),
      event({ type: 'cancelRequested', data: {} }, { at: 2 }),
      event({ type: 'cancelled', data: {} }, { at: 3 }),
    ];
    const elsewhere = [
      event(registered, { id: 'n2:1', at: 4, node: 'n2' }),
      event(
        { type: 'paid', data: { mode: 'authorized', intent: 'pi_1', attempt: 1 } },
        { registration: 'n2:1' },
      ),
    ];
    expect(foldOrder([...cancelled, ...elsewhere])).toMatchObject({
      order: {
        registration: 'n1:1',
        outcome: 'cancelled',
        payment: { status: 'authorized', intent: 'pi_1' },
      },
      open: true,
      trigger: 'holdLost',
    });
  });

  it('does not take what is left of a forgotten order for its own, when its key comes again (O5)', () => {
    const paid: OrderFact = { type: 'paid', data: { mode: 'captured', intent: 'pi_1', attempt: 1 } };
    const left = [
      event(paid, { at: 2, registration: 'n1:1' }),
      event({ type: 'fulfilled', data: {} }, { at: 3, registration: 'n1:1' }),
    ];
    const again = event(registered, { id: 'n2:1', at: 10, node: 'n2' });
    expect(foldOrder([...left, again])).toMatchObject({
      order: { registration: 'n2:1', state: 'registered', payment: { status: 'pending' } },
      open: true,
      trigger: 'registered',
    });
    // What comes after it is about it, whichever registration it was built on: that one may still be on its way.
    const elsewhere = event(paid, { at: 11, registration: 'n3:1' });
    expect(foldOrder([...left, again, elsewhere])?.order.payment.status).toBe('captured');
  });
});
