import { describe, expect, it } from 'vitest';
import { orderIdOf } from '../../node/orders/identity.ts';
import type { Order } from '../../node/orders/order.ts';
import type { StockLevel } from '../../store/ledger/port.ts';
import { FlowCluster } from '../support/flow-cluster.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** The reservation policy, row by row: node/workflow/DESIGN.md. A hold lasts one second here, at most one minute. */

const SHOP_HOLD_MS = 1_000;
const HOLD_MS_MAX = 60_000;

type Product = { readonly sku: string; readonly onHand: number } & Partial<
  Pick<StockLevel, 'holdMs' | 'maxPerOrder' | 'unitPrice' | 'currency'>
>;

class Shop {
  readonly world: FlowCluster;
  #reads = 0;

  private constructor(world: FlowCluster) {
    this.world = world;
  }

  static async open(...products: readonly Product[]): Promise<Shop> {
    const world = await FlowCluster.start({
      ids: ['n1'],
      clock: new VirtualClock(),
      random: seededRandom(7),
      onHand: 10,
    });
    await world.clock.resolve(world.node('n1').journal.opened(), { withinMs: 10_000 });
    const shop = new Shop(world);
    if (products.length > 0) await shop.read(products);
    return shop;
  }

  /** What the next inbound read finds. */
  async read(products: readonly Product[], removed: readonly string[] = []): Promise<void> {
    this.#reads += 1;
    const { clock, ledger } = this.world;
    const rows = products.map((product) => ({ name: 'P', unitPrice: 600, currency: 'EUR', ...product }));
    const sync = { takenAt: clock.now() + this.#reads, products: rows, removed, applied: [] };
    expect(await ledger.sync(sync)).toEqual({ applied: true });
  }

  async place(key: string, ...skus: readonly string[]): Promise<string> {
    const lines = (skus.length === 0 ? ['MUG'] : skus).map((sku) => ({ sku, quantity: 2 }));
    const { service } = this.world.node('n1');
    const placed = await this.world.clock.resolve(service.place(this.world.order(key, { lines })), {
      withinMs: 5_000,
    });
    expect(placed).toMatchObject({ ok: true });
    return orderIdOf(key);
  }

  async until(orderId: string, what: string, holds: (order: Order) => boolean): Promise<Order> {
    const { views } = this.world.node('n1');
    const seen = (): Order | undefined => views.peek(orderId)?.order;
    await this.world.clock.until(() => holds(seen()!), { withinMs: 30_000, what });
    return seen()!;
  }

  ended(orderId: string): Promise<Order> {
    return this.until(orderId, 'the order ends', ({ outcome }) => outcome !== undefined);
  }

  reserved(orderId: string): Promise<Order> {
    return this.until(orderId, 'units are held', ({ state }) => state === 'reserved');
  }

  /** From now on the provider gives no answer, until it does again. */
  silence(operation: 'pay' | 'capture'): () => void {
    const { payments } = this.world;
    const speaking = { pay: payments.pay.bind(payments), capture: payments.capture.bind(payments) };
    const silent = () => Promise.resolve({ kind: 'unknown', reason: 'silence' } as const);
    Object.assign(payments, { [operation]: silent });
    return () => void Object.assign(payments, { [operation]: speaking[operation] });
  }

  stock(sku = 'MUG'): StockLevel | undefined {
    return this.world.ledger.stock(sku);
  }

  money(orderId: string): string {
    return this.world.payments.state(orderId);
  }
}

describe('how long units are held', () => {
  it.each([
    ['as long as the shop says', ['MUG'], SHOP_HOLD_MS],
    ['as long as the product says, if it says so', ['PATIENT'], 5_000],
    ['as long as the most impatient of several products', ['PATIENT', 'MUG', 'HASTY'], 300],
    ['no longer than the host allows', ['GREEDY'], HOLD_MS_MAX],
  ])('%s', async (_name, skus, holdMs) => {
    const shop = await Shop.open(
      { sku: 'MUG', onHand: 10 },
      { sku: 'PATIENT', onHand: 10, holdMs: 5_000 },
      { sku: 'HASTY', onHand: 10, holdMs: 300 },
      { sku: 'GREEDY', onHand: 10, holdMs: 7 * 24 * 3_600_000 },
    );
    const orderId = await shop.place('k', ...skus);
    await shop.ended(orderId);
    const events = await shop.world.node('n1').views.events(orderId);
    const reserved = events?.find(({ type }) => type === 'reserved');
    expect(reserved).toBeDefined();
    const { expiresAt } = reserved!.data as { expiresAt: number };
    expect(reserved!.at - (expiresAt - holdMs)).toBeLessThan(50);
    expect(reserved!.at - (expiresAt - holdMs)).toBeGreaterThanOrEqual(0);
  });
});

describe('a hold that ends without a sale', () => {
  it('expires when the money comes too late: it goes back, and others may buy', async () => {
    const shop = await Shop.open({ sku: 'MUG', onHand: 2 });
    const speak = shop.silence('capture');
    const late = await shop.place('late');
    await shop.reserved(late);
    expect(shop.stock()).toMatchObject({ available: 0, held: 2 });
    await shop.world.clock.advance(SHOP_HOLD_MS + 1);
    const heir = await shop.place('heir');
    await shop.reserved(heir);
    speak();
    expect(await shop.ended(late)).toMatchObject({ outcome: 'refunded', reason: 'HOLD_EXPIRED' });
    expect(await shop.ended(heir)).toMatchObject({ outcome: 'fulfilled' });
    expect([shop.money(late), shop.money(heir)]).toEqual(['refunded', 'captured']);
    expect(shop.stock()).toMatchObject({ available: 0, held: 0, sold: 2 });
  });

  it('is released by a cancellation, at once', async () => {
    const shop = await Shop.open();
    const speak = shop.silence('capture');
    const orderId = await shop.place('k');
    await shop.reserved(orderId);
    const cancelling = shop.world.node('n1').service.cancel(orderId);
    await shop.world.clock.advance(20);
    expect(shop.stock()).toMatchObject({ available: 10, held: 0 });
    speak();
    expect(await shop.world.clock.resolve(cancelling, { withinMs: 10_000 })).toMatchObject({ ok: true });
    expect(await shop.ended(orderId)).toMatchObject({ outcome: 'cancelled', reason: 'CANCELLED' });
    expect(shop.money(orderId)).toMatch(/voided|refunded/);
    expect(shop.stock()).toMatchObject({ available: 10, held: 0, sold: 0 });
  });

  it('is never taken when the card is declined', async () => {
    const shop = await Shop.open();
    const { clock } = shop.world;
    const order = shop.world.order('k', { payment: { method: 'pm_card_chargeDeclined' } });
    await clock.resolve(shop.world.node('n1').service.place(order), { withinMs: 5_000 });
    expect(await shop.ended(orderIdOf('k'))).toMatchObject({ outcome: 'failed', reason: 'card_declined' });
    expect(shop.stock()).toMatchObject({ available: 10, held: 0, sold: 0 });
  });

  it('is refused whole when one line has too few units, and nobody is charged', async () => {
    const shop = await Shop.open({ sku: 'MUG', onHand: 10 }, { sku: 'RARE', onHand: 1 });
    const orderId = await shop.place('k', 'MUG', 'RARE');
    expect(await shop.ended(orderId)).toMatchObject({ outcome: 'refunded', reason: 'OUT_OF_STOCK' });
    expect(shop.money(orderId)).toBe('voided');
    expect(shop.stock()).toMatchObject({ available: 10, held: 0 });
    expect(shop.stock('RARE')).toMatchObject({ available: 1, held: 0 });
  });
});

describe('what changes in the shop while an order is on its way', () => {
  it('fewer units than are promised: promises stand, the SKU stops selling, and sells again by itself', async () => {
    const shop = await Shop.open({ sku: 'MUG', onHand: 4 });
    const speak = shop.silence('capture');
    const promised = await shop.place('promised');
    await shop.reserved(promised);
    await shop.read([{ sku: 'MUG', onHand: 1 }]);
    expect(shop.stock()).toMatchObject({ available: -1, held: 2 });
    const refused = await shop.place('refused');
    expect(await shop.ended(refused)).toMatchObject({ outcome: 'refunded', reason: 'OUT_OF_STOCK' });
    speak();
    expect(await shop.ended(promised)).toMatchObject({ outcome: 'fulfilled' });
    await shop.read([{ sku: 'MUG', onHand: 5 }]);
    expect(shop.stock()).toMatchObject({ available: 3, sold: 2 });
    expect(await shop.ended(await shop.place('again'))).toMatchObject({ outcome: 'fulfilled' });
  });

  it('a product that is removed: what is held of it is sold, and nothing more', async () => {
    const shop = await Shop.open();
    const speakOfCapture = shop.silence('capture');
    const held = await shop.place('held');
    await shop.reserved(held);
    const speakOfPay = shop.silence('pay');
    const unheld = await shop.place('unheld');
    await shop.read([], ['MUG']);
    speakOfCapture();
    speakOfPay();
    expect(await shop.ended(held)).toMatchObject({ outcome: 'fulfilled' });
    expect(await shop.ended(unheld)).toMatchObject({ outcome: 'refunded', reason: 'UNKNOWN_SKU' });
    expect(shop.money(unheld)).toBe('voided');
    expect(shop.stock()).toMatchObject({ onHand: 0, sold: 2, available: -2 });
  });

  it('another price, another currency: an order costs what it was told to', async () => {
    const shop = await Shop.open();
    const speak = shop.silence('pay');
    const orderId = await shop.place('k');
    await shop.read([{ sku: 'MUG', onHand: 10, unitPrice: 999, currency: 'USD' }]);
    speak();
    const { payments } = shop.world;
    const capture = payments.capture.bind(payments);
    const taken: unknown[] = [];
    payments.capture = (request) => {
      taken.push([request.amount, request.currency]);
      return capture(request);
    };
    expect(await shop.ended(orderId)).toMatchObject({ outcome: 'fulfilled', total: 1_200, currency: 'EUR' });
    expect(taken).toEqual([[1_200, 'EUR']]);
  });
});
