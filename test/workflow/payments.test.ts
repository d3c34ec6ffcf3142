import { describe, expect, it } from 'vitest';
import type { Order } from '../../node/orders/order.ts';
import { orderIdOf } from '../../node/orders/identity.ts';
import type { PaymentAnswer, Payments } from '../../node/ports/payments.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import type { PaymentDouble } from '../support/payment-double.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** What the order flow makes of a provider that does not simply say yes or no. */

const minutesMs = 60_000;
const id = orderIdOf('k');
const intent = `pi_${id}`;
const redirect = { type: 'redirect', url: 'https://bank.example/3ds' } as const;
const waiting: PaymentAnswer = { kind: 'actionRequired', intent, nextAction: redirect };

class Shop {
  readonly world: FlowCluster;
  /** The provider as it would answer by itself. */
  readonly genuine: PaymentDouble;
  /** Every question to the provider: its name, and the attempt it was asked with. */
  readonly asked: string[] = [];

  private constructor(world: FlowCluster) {
    this.world = world;
    this.genuine = { ...world.payments };
    for (const name of ['pay', 'capture', 'reverse', 'cancel', 'find', 'lookUp', 'lookUpRefund'] as const) {
      this.answer(name, this.genuine[name]);
    }
  }

  static async open(ids: readonly string[] = ['n1']): Promise<Shop> {
    const clock = new VirtualClock();
    const world = await FlowCluster.start({ ids, clock, random: seededRandom(1), onHand: 10 });
    const opened = Promise.all([...world.nodes.values()].map(({ journal }) => journal.opened()));
    await clock.resolve(opened, { withinMs: 10_000 });
    return new Shop(world);
  }

  /** From here on the provider answers so. */
  answer<Name extends keyof Payments>(name: Name, answering: Payments[Name]): void {
    const ask = answering as (request: unknown) => Promise<PaymentAnswer>;
    const counted = (request: unknown): Promise<PaymentAnswer> => {
      const attempt = (request as { readonly attempt?: number }).attempt;
      this.asked.push(attempt === undefined ? name : `${name} ${attempt}`);
      return ask(request);
    };
    Object.assign(this.world.payments, { [name]: counted });
  }

  times(question: string): number {
    return this.asked.filter((one) => one === question).length;
  }

  async place(waitMs = 0): Promise<Order> {
    const placed = this.world.node('n1').service.place(this.world.order('k', { waitMs }));
    const answer = await this.world.clock.resolve(placed, { withinMs: waitMs + 2_000 });
    if (!answer.ok) throw new Error(answer.refusal.code);
    return answer.value.order;
  }

  order(node = 'n1'): Order | undefined {
    return this.world.node(node).views.peek(id)?.order;
  }

  async until(condition: (order: Order) => boolean, withinMs: number, what: string): Promise<void> {
    const holds = (): boolean => {
      const order = this.order();
      return order !== undefined && condition(order);
    };
    await this.world.clock.until(holds, { withinMs, what });
  }

  async ends(outcome: string, withinMs: number): Promise<void> {
    await this.until((order) => order.outcome !== undefined, withinMs, outcome);
    expect(this.order()?.outcome).toBe(outcome);
    await this.world.clock.until(() => !this.world.node('n1').views.open().has(id), {
      withinMs: 60 * minutesMs,
      what: 'nothing is left to do',
    });
  }

  async notify(
    node: string,
    eventId: string,
    of = intent,
    type = 'payment_intent.succeeded',
  ): Promise<string> {
    const message = { eventId, type, orderId: id, intent: of, attempt: 1 };
    const taken = this.world.node(node).service.paymentChanged(message);
    const answer = await this.world.clock.resolve(taken, { withinMs: 5_000 });
    return answer.ok ? answer.value : answer.refusal.code;
  }

  async facts(type: string): Promise<number> {
    const events = await this.world.node('n1').views.events(id);
    return (events ?? []).filter((event) => event.type === type).length;
  }
}

describe('a payment that waits for its customer', () => {
  async function waitingShop(ids?: readonly string[]): Promise<Shop> {
    const shop = await Shop.open(ids);
    shop.answer('pay', async () => waiting);
    shop.answer('lookUp', async () => waiting);
    const order = await shop.place(30_000);
    expect(order).toMatchObject({
      state: 'registered',
      payment: { status: 'action_required', intent, nextAction: redirect },
    });
    // Who waits for the order is told at once that somebody has to act.
    expect(shop.world.clock.now() - order.createdAt).toBeLessThan(2_000);
    return shop;
  }

  const request = { orderId: id, attempt: 1, amount: 600, currency: 'EUR' } as const;

  async function authenticate(shop: Shop): Promise<void> {
    await shop.genuine.pay({ ...request, method: 'pm_card_visa', capture: 'after-reserve' });
    shop.answer('lookUp', shop.genuine.lookUp);
  }

  it('goes on when the provider sends word of it, at whatever node', async () => {
    const shop = await waitingShop(['n1', 'n2', 'n3']);
    await shop.world.clock.advance(5 * minutesMs);
    await authenticate(shop);
    expect(await shop.notify('n3', 'evt_1')).toBe('kept');
    await shop.until(
      (order) => order.outcome === 'fulfilled',
      2_000,
      'fulfilled, without waiting for a look',
    );
  });

  it('goes on without word of it, by looking at growing intervals', async () => {
    const shop = await waitingShop();
    await shop.world.clock.advance(10 * minutesMs);
    expect(shop.times('lookUp')).toBeLessThan(60);
    await authenticate(shop);
    await shop.ends('fulfilled', 31_000);
    expect(shop.genuine.timesTaken(id)).toBe(1);
  });

  it('keeps no node from stopping, and takes no place from orders that have work to do', async () => {
    const shop = await waitingShop();
    await shop.world.clock.advance(1_000);
    const { driver } = shop.world.node('n1');
    expect([driver.active, driver.patient]).toEqual([1, 1]);
    await shop.world.clock.resolve(driver.drain(8_000), { withinMs: 10 });
  });

  it('is cancelled when its time is over, and the order fails', async () => {
    const shop = await waitingShop();
    shop.answer('cancel', async () => ({ kind: 'voided', intent }));
    await shop.ends('failed', 16 * minutesMs);
    expect(shop.order()?.reason).toBe('AUTHENTICATION_EXPIRED');
    expect(shop.times('cancel 1')).toBe(1);
    expect(shop.world.clock.now() - (shop.order()?.createdAt ?? 0)).toBeGreaterThanOrEqual(15 * minutesMs);
  });

  it('stands when the provider accepted it just before it was cancelled', async () => {
    const shop = await waitingShop();
    shop.answer('cancel', async () => {
      await authenticate(shop);
      return shop.genuine.capture({ ...request, intent });
    });
    await shop.ends('fulfilled', 16 * minutesMs);
    expect(shop.genuine.timesTaken(id)).toBe(1);
  });

  it('is taken back first when its order is cancelled', async () => {
    const shop = await waitingShop();
    shop.answer('cancel', async () => ({ kind: 'voided', intent }));
    const cancelled = shop.world.node('n1').service.cancel(id);
    expect(await shop.world.clock.resolve(cancelled, { withinMs: 6_000 })).toMatchObject({ ok: true });
    await shop.ends('cancelled', 5_000);
    expect(shop.times('cancel 1')).toBe(1);
  });

  it('ends the order when authentication failed, and can not be completed afterwards', async () => {
    const shop = await waitingShop();
    shop.answer('cancel', async () => ({ kind: 'voided', intent }));
    shop.answer('lookUp', async () => ({ kind: 'refused', code: 'authentication_failed', intent }));
    await shop.ends('failed', 60_000);
    expect(shop.order()?.reason).toBe('authentication_failed');
    expect(shop.times('cancel 1')).toBe(1);
  });
});

describe('an attempt', () => {
  it('that is processing is looked up by its name, and never asked for again (Q2)', async () => {
    const shop = await Shop.open();
    shop.answer('pay', async (request) => {
      await shop.genuine.pay(request);
      return { kind: 'unknown', reason: 'STATE_PROCESSING', intent };
    });
    shop.answer('lookUp', async () => ({ kind: 'unknown', reason: 'STATE_PROCESSING', intent }));
    await shop.place();
    await shop.world.clock.advance(20 * minutesMs);
    expect(shop.order()?.payment).toMatchObject({ status: 'requested', intent });
    expect(shop.times('pay 1')).toBe(1);
    shop.answer('lookUp', shop.genuine.lookUp);
    await shop.ends('fulfilled', 31_000);
  });

  it('is raised when its key is spent and the search has had its time, not before (Q1)', async () => {
    const shop = await Shop.open();
    shop.answer('pay', async (request) =>
      request.attempt === 1 ? { kind: 'spent', reason: 'STATUS_500' } : shop.genuine.pay(request),
    );
    await shop.place();
    await shop.world.clock.advance(1.9 * minutesMs);
    expect([shop.times('pay 1'), shop.times('pay 2')]).toEqual([1, 0]);
    await shop.ends('fulfilled', minutesMs);
    expect(shop.times('pay 2')).toBe(1);
    expect(await shop.facts('paymentSpent')).toBe(1);
  });

  it('is never raised while its outcome is unknown (Q1)', async () => {
    const shop = await Shop.open();
    shop.answer('pay', async () => ({ kind: 'unknown', reason: 'CONNECTION' }));
    await shop.place();
    await shop.world.clock.advance(30 * minutesMs);
    expect(new Set(shop.asked)).toEqual(new Set(['pay 1']));
  });

  it('that is spent and found after all is the order’s payment (Q1)', async () => {
    const shop = await Shop.open();
    shop.answer('pay', async (request) => {
      await shop.genuine.pay(request);
      return { kind: 'spent', reason: 'STATUS_500' };
    });
    await shop.place();
    await shop.ends('fulfilled', 3 * minutesMs);
    expect(shop.times('pay 2')).toBe(0);
  });

  it('is not followed by another when nobody wants the order any more', async () => {
    const shop = await Shop.open();
    shop.answer('pay', async () => ({ kind: 'spent', reason: 'STATUS_500' }));
    await shop.place();
    await shop.world.clock.resolve(shop.world.node('n1').service.cancel(id), { withinMs: 6_000 });
    await shop.ends('cancelled', 3 * minutesMs);
    expect(shop.times('pay 2')).toBe(0);
  });
});

describe('money that came beside the order', () => {
  it('goes back, though the order is fulfilled and closed long ago (Q3)', async () => {
    const shop = await Shop.open();
    await shop.place();
    await shop.ends('fulfilled', 5_000);
    const held = new Set(['pi_stray']);
    shop.answer('lookUp', async (of) =>
      held.has(of) ? { kind: 'authorized', intent: of } : { kind: 'captured', intent: of },
    );
    shop.answer('cancel', async ({ intent: of }) => {
      held.delete(of);
      return { kind: 'voided', intent: of };
    });
    expect(await shop.notify('n1', 'evt_1', 'pi_stray')).toBe('kept');
    await shop.world.clock.until(() => held.size === 0, {
      withinMs: 10_000,
      what: 'the stray is given back',
    });
    await shop.ends('fulfilled', 10_000);
    expect(shop.order()?.payment).toMatchObject({ status: 'captured', intent });
  });

  it('is refunded when it was captured, and the order’s own payment stays (Y2, Y3)', async () => {
    const shop = await Shop.open();
    await shop.place();
    await shop.ends('fulfilled', 5_000);
    const held = new Set([intent, 'pj_stray']);
    shop.answer('lookUp', async (of) => ({ kind: 'captured', intent: of }));
    shop.answer('reverse', async ({ intent: of }) => {
      held.delete(of);
      return { kind: 'refunded', intent: of, refund: 're_1' };
    });
    await shop.notify('n1', 'evt_1', 'pj_stray');
    await shop.world.clock.until(() => held.size === 1, { withinMs: 10_000, what: 'one goes back' });
    await shop.ends('fulfilled', 10_000);
    expect([...held]).toEqual([intent]);
  });
});

describe('a refund', () => {
  /** Its money is taken, and there is nothing to deliver. */
  async function owing(): Promise<Shop> {
    const shop = await Shop.open();
    shop.answer('pay', async () => {
      await shop.world.ledger.release({ orderId: id, createdAt: shop.world.clock.now(), reason: 'refunded' });
      return { kind: 'captured', intent };
    });
    return shop;
  }

  it('that is pending is followed by its id, and the order stays open until it is back (Q4)', async () => {
    const shop = await owing();
    shop.answer('reverse', async () => ({ kind: 'refundPending', intent, refund: 're_1' }));
    shop.answer('lookUpRefund', async () => ({ kind: 'refundPending', intent, refund: 're_1' }));
    await shop.place();
    await shop.world.clock.advance(60 * minutesMs);
    expect(shop.order()).toMatchObject({ payment: { status: 'refund_pending' } });
    expect(shop.order()?.outcome).toBeUndefined();
    expect(shop.times('reverse 1')).toBe(1);
    shop.answer('lookUpRefund', async () => ({ kind: 'refunded', intent, refund: 're_1' }));
    await shop.ends('refunded', 16 * minutesMs);
  });

  it('that failed is tried again at growing intervals, and seen (Q4)', async () => {
    const shop = await owing();
    let tried = 0;
    shop.answer('reverse', async () => {
      tried += 1;
      return tried < 6
        ? { kind: 'refundFailed', intent, refund: `re_${tried}`, code: 'declined' }
        : { kind: 'refunded', intent, refund: 're_6' };
    });
    await shop.place();
    await shop.until((order) => order.payment.status === 'refund_failed', 5_000, 'it is seen');
    await shop.world.clock.advance(10_000);
    expect(tried).toBeLessThan(5);
    await shop.ends('refunded', 2 * minutesMs);
    expect(await shop.facts('refundFailed')).toBe(5);
  });

  it('that the provider takes back is owed again, and goes out once more', async () => {
    const shop = await owing();
    shop.answer('reverse', async () => ({ kind: 'refunded', intent, refund: 're_1' }));
    await shop.place();
    await shop.ends('refunded', 5_000);
    shop.answer('lookUp', async () => ({ kind: 'refundFailed', intent, refund: 're_1', code: 'declined' }));
    shop.answer('reverse', async () => ({ kind: 'refunded', intent, refund: 're_2' }));
    expect(await shop.notify('n1', 'evt_1', intent, 'refund.failed')).toBe('kept');
    await shop.world.clock.until(() => shop.times('reverse 1') === 2, {
      withinMs: 60_000,
      what: 'a second refund',
    });
    await shop.ends('refunded', 60_000);
    expect(shop.order()?.payment.status).toBe('refunded');
    // Heard again, nothing happens.
    expect(await shop.notify('n1', 'evt_1', intent, 'refund.failed')).toBe('repeated');
    await shop.world.clock.advance(minutesMs);
    expect(shop.times('reverse 1')).toBe(2);
  });
});

describe('word of the provider', () => {
  it('is taken once, and does not grow the journal when it changes nothing (G1, G2)', async () => {
    const shop = await Shop.open();
    shop.answer('pay', async () => ({ kind: 'unknown', reason: 'CONNECTION' }));
    shop.answer('lookUp', async () => ({ kind: 'unknown', reason: 'CONNECTION' }));
    await shop.place();
    await shop.world.clock.advance(1_000);
    expect(await shop.notify('n1', 'evt_0', 'pi_x')).toBe('kept');
    expect(await shop.notify('n1', 'evt_0', 'pi_x')).toBe('repeated');
    for (let flood = 1; flood < 100; flood += 1) await shop.notify('n1', `evt_${flood}`, 'pi_x');
    expect(await shop.facts('paymentNotified')).toBe(32);
  });

  it('about an order that has its money is ignored, and about none is unknown (G2)', async () => {
    const shop = await Shop.open();
    await shop.place();
    await shop.ends('fulfilled', 5_000);
    expect(await shop.notify('n1', 'evt_1')).toBe('ignored');
    const message = { eventId: 'evt_2', type: 'x', orderId: 'ord_nobody' };
    const taken = shop.world.node('n1').service.paymentChanged(message);
    expect(await shop.world.clock.resolve(taken, { withinMs: 1_000 })).toEqual({
      ok: true,
      value: 'unknown',
    });
  });

  it('names a payment whose answer was lost: it is looked up instead of asked for again', async () => {
    const shop = await Shop.open();
    shop.answer('pay', async (request) => {
      await shop.genuine.pay(request);
      return { kind: 'unknown', reason: 'CONNECTION', retryAfterMs: 10 * minutesMs };
    });
    await shop.place();
    await shop.world.clock.advance(1_000);
    await shop.notify('n1', 'evt_1');
    await shop.ends('fulfilled', 2_000);
    expect(shop.times('pay 1')).toBe(1);
  });
});

describe('a provider that does not answer', () => {
  it('closes the door when enough orders wait for it, and opens it when they have gone on', async () => {
    const shop = await Shop.open();
    const { world } = shop;
    const place = async (key: string): Promise<string> => {
      const placed = world.node('n1').service.place(world.order(key));
      const answer = await world.clock.resolve(placed, { withinMs: 2_000 });
      return answer.ok ? 'accepted' : answer.refusal.code;
    };
    shop.answer('pay', async () => ({ kind: 'postponed', reason: 'CIRCUIT_OPEN', retryAfterMs: 1_000 }));
    const answers: string[] = [];
    for (let order = 0; order < 30; order += 1) answers.push(await place(`k${order}`));
    expect(new Set(answers.slice(0, 20))).toEqual(new Set(['accepted']));
    expect(answers.at(-1)).toBe('PAYMENTS_UNAVAILABLE');
    shop.answer('pay', shop.genuine.pay);
    await world.clock.until(() => world.node('n1').views.open().size === 0, {
      withinMs: 30_000,
      what: 'what was accepted ends',
    });
    expect(await place('later')).toBe('accepted');
  });
});
