import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DeadlineExceeded, NO_DEADLINE } from '../../../node/ports/deadline.ts';
import { ReconcilerError } from '../../../node/ports/reconcilers.ts';
import { databases, emptyDatabase, overHttp, sql } from '../support/fixtures.ts';
import type { Database } from '../support/fixtures.ts';
import { Shop } from './shop.ts';

describe.each([...databases.slice(0, 1), overHttp])('the drift report over $name', ({ start }) => {
  let database: Database;
  let shop: Shop;
  beforeAll(async () => {
    database = await start();
  }, 60_000);
  afterAll(() => database.close());
  beforeEach(async () => {
    await emptyDatabase(database.url);
    shop = await Shop.open(database);
    for (const outcome of ['fulfilled', 'refunded', 'failed', 'cancelled', 'fulfilled'] as const) {
      await shop.order(outcome);
    }
  });
  afterEach(() => shop.close());

  it('finds nothing where all books agree, over many pages', async () => {
    for (let index = 0; index < 25; index += 1) await shop.order('fulfilled', { C: 1 });
    await sql(database.url, `UPDATE inventory SET on_hand = on_hand + 50 WHERE sku = 'A'`);
    await sql(database.url, `UPDATE inventory SET on_hand = on_hand - 3 WHERE sku = 'C'`);
    const { differences, compared, unchecked } = await shop.report();
    expect(differences).toEqual([]);
    expect(unchecked).toBe(0);
    expect(compared).toMatchObject({ orders: 30, inFlight: 0, payments: 30, booked: 30, products: 3 });
  });

  const planted: readonly [string, (shop: Shop, url: string) => Promise<string>][] = [
    [
      'PAYMENT_WITHOUT_ORDER',
      async () => {
        shop.pay({ intent: 'pi_lost', orderId: 'ord_lost', captured: 500 });
        return 'ord_lost';
      },
    ],
    [
      'CHARGED_TWICE',
      async () => {
        const id = await shop.order();
        shop.pay({ intent: 'pi_second', orderId: id, captured: 1_500 });
        return id;
      },
    ],
    [
      'MONEY_KEPT',
      async () => {
        const id = await shop.order('refunded');
        shop.bend(id, { payment: { refunded: 0 } });
        return id;
      },
    ],
    [
      'AUTHORIZATION_LEFT',
      async () => {
        const id = await shop.order('cancelled');
        shop.bend(id, { payment: { authorized: 1_500 } });
        return id;
      },
    ],
    [
      'FULFILLED_UNPAID',
      async () => {
        const id = await shop.order();
        shop.bend(id, { payment: { captured: 0 } });
        return id;
      },
    ],
    [
      'AMOUNT_DIFFERS',
      async () => {
        const id = await shop.order();
        shop.bend(id, { payment: { captured: 1_499 } });
        return id;
      },
    ],
    [
      'NOT_DELIVERED',
      async () => {
        const id = await shop.order('failed', { A: 1 }, { deliver: false });
        return id;
      },
    ],
    [
      'MISSING_IN_RECORD',
      async () => {
        const id = await shop.order('failed', { A: 1 }, { deliver: false });
        shop.bend(id, { journal: { delivery: 'delivered' } });
        return id;
      },
    ],
    [
      'UNKNOWN_IN_RECORD',
      async () => {
        const id = await shop.order('failed');
        shop.journal.splice(0, 1);
        shop.payments.splice(0, 1);
        return id;
      },
    ],
    [
      'OUTCOME_DIFFERS',
      async (_, url) => {
        const id = await shop.order('failed');
        await sql(url, `UPDATE orders SET outcome = 'cancelled' WHERE order_id = $1`, [id]);
        return id;
      },
    ],
    [
      'LINES_DIFFER',
      async (_, url) => {
        const id = await shop.order('cancelled');
        await sql(
          url,
          `UPDATE order_lines SET unit_price_minor = 1 WHERE order_id = $1 AND line_number = 1`,
          [id],
        );
        return id;
      },
    ],
    [
      'LINES_DIFFER',
      async (_, url) => {
        const id = await shop.order();
        await sql(url, `UPDATE orders SET total_minor = total_minor + 1 WHERE order_id = $1`, [id]);
        return id;
      },
    ],
    [
      'DISCARDED_BUT_APPLIED',
      async () => {
        const id = await shop.order();
        shop.bend(id, { journal: { delivery: 'discarded' } });
        return id;
      },
    ],
    [
      'FULFILLED_NOT_COMMITTED',
      async () => {
        return shop.order('fulfilled', { A: 1 }, { commit: false });
      },
    ],
    [
      'COMMITTED_NOT_FULFILLED',
      async () => {
        const id = await shop.order('failed');
        const reference = { orderId: `${id}x`, createdAt: 1_700_000_000_000 };
        const lines = [{ sku: 'A', quantity: 1 }];
        await shop.ledger.hold({ ...reference, fingerprint: 'f', lines, ttlMs: 1_000 });
        await shop.ledger.commit(reference);
        shop.journal.push({
          orderId: `${id}x`,
          createdAt: 1_700_000_000_000,
          changedAt: 1_700_000_000_500,
          outcome: 'failed',
          settled: true,
          currency: 'EUR',
          total: 500,
          lines: [{ sku: 'A', quantity: 1, unitPrice: 500 }],
          delivery: 'discarded',
        });
        return `${id}x`;
      },
    ],
    [
      'HOLD_LEFT',
      async () => {
        const id = 'ord_left';
        const createdAt = 1_700_000_000_000;
        const lines = [{ sku: 'A', quantity: 1, unitPrice: 500 }];
        await shop.ledger.hold({ orderId: id, createdAt, fingerprint: 'f', lines, ttlMs: 9_000_000 });
        shop.journal.push({
          orderId: id,
          createdAt,
          changedAt: createdAt,
          outcome: 'failed',
          settled: true,
          currency: 'EUR',
          total: 500,
          lines,
          delivery: 'discarded',
        });
        return id;
      },
    ],
    [
      'PROMISE_WITHOUT_ORDER',
      async () => {
        const lines = [{ sku: 'A', quantity: 1 }];
        const hold = { orderId: 'ord_ghost', createdAt: 0, fingerprint: 'f', lines, ttlMs: 9_000_000 };
        await shop.ledger.hold(hold);
        return 'ord_ghost';
      },
    ],
    [
      'INVENTORY_UNEXPLAINED',
      async (_, url) => {
        await sql(
          url,
          `ALTER TABLE inventory DISABLE TRIGGER USER; UPDATE inventory SET on_hand = on_hand - 1 WHERE sku = 'B';
           ALTER TABLE inventory ENABLE TRIGGER USER`,
        );
        return 'B';
      },
    ],
    [
      'STOCK_DIFFERS',
      async () => {
        // A read from the future: every true one comes too late from now on.
        const row = { sku: 'C', name: 'Product C', unitPrice: 500, currency: 'EUR', onHand: 7 };
        await shop.ledger.sync({ takenAt: 2 ** 50, products: [row], removed: [], applied: [] });
        return 'C';
      },
    ],
  ];

  it.each(planted)('names a planted %s, and nothing else', async (code, plant) => {
    const about = await plant(shop, database.url);
    expect(await shop.codes()).toEqual([`${code} ${about}`]);
  });

  it('says what each book has, and what to do', async () => {
    const id = await shop.order();
    shop.pay({ intent: 'pi_second', orderId: id, captured: 1_500, refunded: 300 });
    const { differences } = await shop.report();
    expect(differences).toEqual([
      {
        code: 'CHARGED_TWICE',
        orderId: id,
        figures: {
          journal: 'fulfilled, 1500 EUR',
          provider: `pi_second: captured 1500, refunded 300 EUR; pi_${id}: captured 1500 EUR`,
        },
        advice: 'Refund all but one of the payments at the provider.',
      },
    ]);
  });

  it('leaves out what is in flight', async () => {
    const open = await shop.order('fulfilled', { A: 1 }, { deliver: false });
    shop.bend(open, { journal: { settled: false }, payment: { captured: 0 } });
    const fresh = await shop.order('fulfilled', { A: 1 }, { deliver: false });
    shop.bend(fresh, { journal: { changedAt: 2 ** 50 } });
    const { differences, compared } = await shop.report();
    expect(differences).toEqual([]);
    expect(compared).toMatchObject({ orders: 5, inFlight: 2 });
  });

  it('says nothing of what differs at the first look only', async () => {
    const id = await shop.order();
    shop.bend(id, { payment: { captured: 0 } });
    shop.pay({ intent: 'pi_early', orderId: 'ord_early', captured: 100 });
    shop.meanwhile = () => {
      shop.bend(id, { payment: { captured: 1_500 } });
      shop.bend('ord_early', { payment: { captured: 0 } });
    };
    expect(await shop.codes()).toEqual([]);
  });

  it('finds a payment that was made long after its order, and one with no order at all', async () => {
    const id = await shop.order();
    for (let index = 0; index < 12; index += 1) await shop.order('failed');
    const late = { createdAt: (shop.journal[0]?.createdAt ?? 0) + 400 };
    shop.bend(id, { payment: late });
    shop.payments.sort((one, other) => other.createdAt - one.createdAt);
    shop.pay({ intent: 'pi_of_the_shop_next_door', captured: 9_900 });
    const { differences, compared } = await shop.report();
    expect(differences).toEqual([]);
    expect(compared.foreignPayments).toBe(1);
  });

  it('compares no orders from before the horizon, or from before what was asked for', async () => {
    const unpaid = await shop.order();
    shop.bend(unpaid, { payment: { captured: 0 } });
    const bound = (shop.journal[0]?.createdAt ?? 0) + 1;
    const later = await shop.order();
    shop.bend(later, { payment: { captured: 0 } });
    const since = await shop.report({ since: bound });
    expect(since.differences.map(({ orderId }) => orderId)).toEqual([later]);
    expect(since.comparedFrom).toBe(bound);
    // What is forgotten is not in the journal; its payment and its row are still there.
    shop.horizon = bound;
    shop.journal.splice(1);
    shop.bend(unpaid, { payment: { captured: 1_500, createdAt: bound + 10 } });
    shop.payments.sort((one, other) => other.createdAt - one.createdAt);
    const { differences, notes } = await shop.report();
    expect(differences.map(({ orderId }) => orderId)).toEqual([later]);
    expect(notes).toEqual([expect.stringMatching(/are forgotten, and were not compared/)]);
    shop.forgot = false;
    expect((await shop.report()).notes).toEqual([]);
  });

  it.each(['journal', 'provider', 'systemOfRecord'] as const)('says which book is away: %s', async (book) => {
    shop.away = book;
    const failure = await shop.report().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ReconcilerError);
    expect(failure).toMatchObject({ code: 'BOOK_UNAVAILABLE' });
    expect((failure as Error).message).toMatch(new RegExp(`^${book}: `));
  });

  it('is made one at a time, and only where the ledger is led', async () => {
    const first = shop.report();
    await expect(shop.report()).rejects.toMatchObject({ code: 'BUSY' });
    await first;
    shop.linearizable = false;
    await expect(shop.report()).rejects.toMatchObject({ code: 'NOT_LEADER' });
  });

  it('asks no book any more once nobody waits for it, and lets the next one be made (D14)', async () => {
    let asked = 0;
    const deadline = {
      ...NO_DEADLINE,
      get givenUp() {
        asked += 1;
        return asked > 3 ? ('clientGone' as const) : undefined;
      },
    };
    await expect(shop.report(undefined, deadline)).rejects.toBeInstanceOf(DeadlineExceeded);
    expect(asked).toBe(4);
    await shop.report();
  });

  it('looks at a thousand orders twice, and counts the others', async () => {
    for (let index = 0; index < 1_010; index += 1) {
      shop.pay({ intent: `pi_${index}`, orderId: `ord_lost_${index}`, captured: 1 });
    }
    const { differences, unchecked } = await shop.report();
    expect(differences).toHaveLength(1_000);
    expect(unchecked).toBe(10);
  });
});
