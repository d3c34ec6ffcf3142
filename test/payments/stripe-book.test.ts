import { describe, expect, test } from 'vitest';

import type { ListedPayment, ProviderBook } from '../../node/ports/books.ts';
import { createStripeBook } from '../../node/payments/stripe-book.ts';
import { asked, BadDays, intentOf, openShop } from './harness.ts';

async function readAll(book: ProviderBook, limit: number): Promise<readonly ListedPayment[]> {
  const rows: ListedPayment[] = [];
  let after: string | undefined;
  do {
    const page = await book.page({ createdFrom: 0, limit, ...(after === undefined ? {} : { after }) });
    rows.push(...page.rows);
    after = page.next;
  } while (after !== undefined);
  return rows;
}

describe('the list of payments', () => {
  test('tells of each payment what was set aside, taken and given back, newest first', async () => {
    const { provider } = await openShop();
    const authorized = intentOf(await provider.pay(asked('authorized')));
    const captured = intentOf(await provider.pay(asked('captured')));
    await provider.capture({ ...asked('captured'), intent: captured });
    const refunded = intentOf(await provider.pay(asked('refunded', { capture: 'immediate' })));
    await provider.reverse({ ...asked('refunded'), intent: refunded });
    const voided = intentOf(await provider.pay(asked('voided')));
    await provider.reverse({ ...asked('voided'), intent: voided });
    await provider.pay(asked('declined', { method: 'pm_card_chargeDeclined' }));

    const rows = await readAll(provider.book, 2);
    expect(
      rows.map((row) => [row.orderId, row.authorized, row.captured, row.refunded, row.currency]),
    ).toEqual([
      ['declined', 0, 0, 0, 'EUR'],
      ['voided', 0, 0, 0, 'EUR'],
      ['refunded', 0, 1_250, 1_250, 'EUR'],
      ['captured', 0, 1_250, 0, 'EUR'],
      ['authorized', 1_250, 0, 0, 'EUR'],
    ]);
    expect(rows.at(-1)?.intent).toBe(authorized);
    expect(await provider.book.byIntent(refunded)).toEqual(rows[2]);
    expect(await provider.book.byIntent('pi_none')).toBeUndefined();
  });

  test('is read through a lost answer', async () => {
    const days = new BadDays();
    const { provider } = await openShop({ days });
    await provider.pay(asked('o1'));
    days.begin({ route: 'list', fault: 'dropReply', probability: 1, times: 1 });
    expect(await readAll(provider.book, 10)).toHaveLength(1);
  });

  test('is given up when nobody answers for long, or at once when it is refused', async () => {
    const pauses: number[] = [];
    const clock = {
      after: (delayMs: number, callback: () => void) => {
        pauses.push(delayMs);
        queueMicrotask(callback);
        return () => undefined;
      },
    };
    const bookThatHears = (answer: object): ProviderBook =>
      createStripeBook({
        clock,
        intents: {} as never,
        call: async () => ({ ok: false, failed: { answer: answer as never } }),
      });
    const away = bookThatHears({ kind: 'postponed', reason: 'CIRCUIT_OPEN', retryAfterMs: 2_000 });
    const unavailable = { code: 'BOOK_UNAVAILABLE', book: 'provider' };
    await expect(away.page({ createdFrom: 0, limit: 10 })).rejects.toMatchObject(unavailable);
    expect(pauses).toEqual([2_000, 2_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    const refusing = bookThatHears({ kind: 'refused', code: 'api_key_expired' });
    await expect(refusing.byIntent('pi')).rejects.toMatchObject(unavailable);
    expect(pauses).toHaveLength(9);
  });
});
