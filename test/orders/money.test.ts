import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OrderFact, RecordedEvent } from '../../node/orders/events.ts';
import { foldMoney, type Money } from '../../node/orders/money.ts';

function fold(...facts: readonly OrderFact[]): Money {
  return foldMoney(
    facts.map((fact, at): RecordedEvent => ({ ...fact, id: `n1:${at}`, orderId: 'o', at, node: 'n1' })),
    false,
  );
}

const requested = (attempt: number): OrderFact => ({ type: 'paymentRequested', data: { attempt } });
const paid = (attempt: number, mode: 'authorized' | 'captured' = 'authorized'): OrderFact => ({
  type: 'paid',
  data: { mode, intent: `pi_${attempt}`, attempt },
});
const captured = (attempt: number): OrderFact => ({
  type: 'captured',
  data: { intent: `pi_${attempt}`, attempt },
});
const refund = (type: 'refundPending' | 'refundFailed', name: string): OrderFact => {
  const data = { intent: 'pi_1', attempt: 1, refund: name };
  return type === 'refundPending' ? { type, data } : { type, data: { ...data, code: 'declined' } };
};
const reversed = (attempt: number, name?: string): OrderFact => ({
  type: 'reversed',
  data: {
    intent: `pi_${attempt}`,
    attempt,
    ...(name === undefined ? { how: 'voided' } : { how: 'refunded', refund: name }),
  },
});

describe('the order’s own payment (Y2)', () => {
  it.for([
    ['the earlier of two that are authorized', [paid(2), paid(1)], 1],
    ['the one that is captured, though another is earlier', [paid(1), paid(2), captured(2)], 2],
    ['the earlier of two that are captured', [captured(2), captured(1)], 1],
    ['one that is there, though another went back', [paid(1), reversed(1), paid(2)], 2],
  ] as const)('is %s', ([, facts, attempt]) => {
    const { own, strays } = fold(...facts);
    expect(own?.attempt).toBe(attempt);
    expect(strays.map((stray) => stray.attempt)).not.toContain(attempt);
  });

  it('is not known from a decline once the next attempt was begun', () => {
    const refused: OrderFact = {
      type: 'paymentRefused',
      data: { code: 'card_declined', intent: 'pi_1', attempt: 1 },
    };
    expect(fold(requested(1), refused).status).toBe('refused');
    expect(fold(requested(1), refused, requested(2))).toMatchObject({ status: 'requested', attempt: 2 });
  });

  it('is the only one, in facts that name none', () => {
    const old: OrderFact = { type: 'reversed', data: { how: 'voided' } };
    expect(fold(paid(1), old)).toMatchObject({ status: 'voided', strays: [] });
  });
});

describe('two homes with views of their own', () => {
  it('never both give back a captured payment that the other keeps (Y3)', () => {
    const facts = [paid(1), paid(2), paid(3), captured(1), captured(2), captured(3)];
    const view = fc.subarray(facts);
    fc.assert(
      fc.property(view, view, (one, other) => {
        const refunds = (seen: readonly OrderFact[]): readonly number[] =>
          fold(...seen)
            .strays.filter(({ standing }) => standing === 'captured')
            .map(({ attempt }) => attempt);
        const both = [...refunds(one), ...refunds(other)];
        const kept = fold(...one, ...other).own;
        if (kept?.standing === 'captured') expect(both).not.toContain(kept.attempt);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('an attempt that nobody has heard the answer of (Y4)', () => {
  it('is open until it is answered or spent, though another one paid', () => {
    expect(fold(requested(1), requested(2), paid(1)).unanswered).toBe(2);
    const spent: OrderFact = { type: 'paymentSpent', data: { attempt: 2, reason: 'NOT_FOUND' } };
    expect(fold(requested(1), requested(2), paid(1), spent).unanswered).toBeUndefined();
    expect(fold(requested(1), requested(2), paid(1), paid(2)).unanswered).toBeUndefined();
  });
});

describe('a refund', () => {
  it('stands as the last try of it', () => {
    const owed = [captured(1), refund('refundPending', 're_1')];
    expect(fold(...owed).status).toBe('refund_pending');
    const failed = [...owed, refund('refundFailed', 're_1')];
    expect(fold(...failed)).toMatchObject({ status: 'refund_failed', own: { refundsFailed: 1 } });
    expect(fold(...failed, refund('refundPending', 're_2')).status).toBe('refund_pending');
    expect(fold(...failed, reversed(1, 're_2')).status).toBe('refunded');
  });

  it('that was done and then failed is owed again', () => {
    const done = [captured(1), reversed(1, 're_1')];
    const message: OrderFact = {
      type: 'paymentNotified',
      data: { eventId: 'evt_1', eventType: 'refund.failed', intent: 'pi_1' },
    };
    expect(fold(...done, message).doubted).toMatchObject([{ eventId: 'evt_1' }]);
    const answer: OrderFact = {
      type: 'refundFailed',
      data: { intent: 'pi_1', attempt: 1, refund: 're_1', code: 'declined', eventId: 'evt_1' },
    };
    expect(fold(...done, message, answer)).toMatchObject({ status: 'refund_failed', doubted: [] });
  });
});
