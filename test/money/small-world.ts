import { Faults, type FaultPlan } from '../../node/payments/sandbox/index.ts';
import { StripeDouble } from '../../node/payments/sandbox/stripe-double.ts';
import { createStripeProvider } from '../../node/payments/stripe-provider.ts';
import type { OrderFlow } from '../../node/order-flow.ts';
import { orderIdOf } from '../../node/orders/identity.ts';
import type { Order } from '../../node/orders/order.ts';
import type { PlaceOrder } from '../../node/ports/order-service.ts';
import type { Payments } from '../../node/ports/payments.ts';
import type { Environment, Random } from '../../store/environment.ts';
import { SimNode } from '../sim/node.ts';
import { SimNetwork } from '../sim/world/network.ts';
import { worldWallClock, type Process } from '../sim/world/process.ts';
import { Scheduler } from '../sim/world/scheduler.ts';
import { ShopDatabase } from '../sim/world/shop-database.ts';
import { Trace } from '../sim/world/trace.ts';
import { seededRandom } from '../support/random.ts';
import type { Books } from './books.ts';
import { calmAtMs, keysKeptForMs, keyWindowMs, skus, type History, type OrderPlan } from './histories.ts';
import { StripeWire } from './stripe-wire.ts';

/**
 * One history lived through: the real store, order flow and Stripe client of one node or three, in virtual time, with
 * the sandbox's bank as the payment provider. Owns the world; what its books must say is for others to judge (books.ts).
 */
export interface WorldOptions {
  /** Between the order flow and its provider: what a test would have it get wrong. */
  readonly between?: (payments: Payments) => Payments;
}

const clientPatienceMs = 4_000;
/** What was begun has come to its end by then, however long the provider's refunds and searches take. */
const restWithinMs = 30 * 60_000;

/** What the provider does by itself sooner than this is waited for; an authorization that is left there for a week is not. */
const soonMs = 60_000;

/** The books at rest, or as they are when the time is over. */
export async function live(history: History, options: WorldOptions = {}): Promise<Books> {
  const world = new World(history, options);
  await world.run();
  return world.books();
}

class World {
  readonly #history: History;
  readonly #scheduler = new Scheduler();
  readonly #double: StripeDouble;
  readonly #faults = new Faults();
  readonly #shop: ShopDatabase;
  readonly #nodes: readonly SimNode[];
  readonly #accepted = new Set<string>();
  readonly #cancelled = new Set<string>();

  constructor(history: History, { between = (payments) => payments }: WorldOptions) {
    this.#history = history;
    const { chance, nodes, capture, faults, providerOutages } = history;
    const scheduler = this.#scheduler;
    const randomOf = (stream: number): Random => seededRandom(chance * 31 + stream);
    this.#double = new StripeDouble(
      { seed: String(chance), origin: () => 'http://stripe', keysKeptForMs },
      { faults: this.#faults },
    );
    const outages = providerOutages.map(({ fromMs, forMs }): FaultPlan['rules'][number] => {
      return { fault: 'dropRequest', probability: 1, fromMs, untilMs: fromMs + forMs };
    });
    this.#faults.put(worldWallClock(scheduler), { seed: chance, rules: [...outages, ...faults] });
    this.#shop = new ShopDatabase(
      {
        products: skus,
        pace: { latencyMsMin: 1, latencyMsMax: 10, questionLost: 0, answerLost: 0.1, crash: 0.05 },
      },
      { scheduler, random: randomOf(1), onFault: () => undefined },
    );
    const members = Array.from({ length: nodes }, (_, place) => `n${place + 1}`);
    const network = new SimNetwork(
      {
        members,
        pace: { latencyMsMin: 0.2, latencyMsMax: 3, loss: 0, lateness: 0, refusal: 0, damage: 0 },
      },
      {
        scheduler,
        random: randomOf(2),
        tap: { sent: () => undefined, struck: () => undefined },
      },
    );
    const wires = randomOf(3);
    const lineOf = (process: Process, environment: Environment): Payments =>
      between(
        createStripeProvider(
          {
            ...{ apiKey: 'sk_test_sandbox', protocol: 'http', host: 'stripe', port: 80 },
            ...{ timeoutMs: 800, maxConcurrent: 16, requestsPerSecond: 1_000, keyWindowMs },
          },
          {
            environment,
            httpClient: new StripeWire(process, { scheduler, random: wires, double: this.#double }),
          },
        ),
      );
    this.#nodes = members.map(
      (id, place) =>
        new SimNode(
          {
            id,
            members,
            plan: {
              capture,
              disk: { syncMsMax: 3, readMsMax: 0 },
              snapshotAfterEntries: 1_000,
              retainForMs: 0,
              alwaysFounds: true,
            },
            payments: { authenticateWithinMs: 5_000, searchLagMs: 3_000 },
            machine: { rate: 1, skewMs: 0 },
          },
          {
            ...{ scheduler, network, shop: this.#shop, bank: { lineOf } },
            random: randomOf(10 + place),
            trace: new Trace({ linesMax: 0 }, { now: () => scheduler.now }),
            diskObserver: { asked: () => undefined, durable: () => undefined },
            watch: {
              ran: () => undefined,
              between: (_, store) => store,
              started: () => undefined,
              ending: () => undefined,
              failed: (life, error) => {
                throw new Error(`${life.id} stopped by itself`, { cause: error });
              },
            },
          },
        ),
    );
  }

  async run(): Promise<void> {
    const scheduler = this.#scheduler;
    for (const node of this.#nodes) node.boot();
    this.#planTroubles();
    for (const [place, order] of this.#history.orders.entries()) this.#planOrder(`key-${place}`, order);
    this.#goOn();
    await scheduler.run(calmAtMs, () => false);
    this.#faults.clear();
    this.#shop.pace = { ...this.#shop.pace, answerLost: 0, crash: 0 };
    for (const [place, order] of this.#history.orders.entries()) this.#insist(`key-${place}`, order);
    let isAtRest = false;
    const look = (): void => {
      isAtRest = this.#isAtRest();
      if (!isAtRest) scheduler.after(100, look);
    };
    look();
    await scheduler.run(calmAtMs + restWithinMs, () => isAtRest);
  }

  async books(): Promise<Books> {
    const orders = new Map<string, readonly Order[]>();
    for (const { id, life } of this.#nodes) {
      const page = await this.#within(life?.flow?.views.list({ limit: 1_000 }));
      orders.set(id, page?.orders ?? []);
    }
    this.#double.settle(worldWallClock(this.#scheduler));
    return {
      orders,
      accepted: this.#accepted,
      cancelled: this.#cancelled,
      intentsOf: (orderId) => this.#double.bank.intentsOf(orderId),
      stocks: this.#nodes[0]?.life?.store?.ledger.stocks() ?? [],
      applied: new Map([...this.#shop.applied].map(([id, { record }]) => [id, record.outcome])),
      shelves: [...this.#shop.products.values()],
    };
  }

  #planTroubles(): void {
    const scheduler = this.#scheduler;
    const { shopOutages, crashes } = this.#history;
    for (const { fromMs, forMs } of shopOutages) {
      scheduler.after(fromMs, () => (this.#shop.isDown = true));
      scheduler.after(Math.min(calmAtMs, fromMs + forMs), () => (this.#shop.isDown = false));
    }
    for (const { place, atMs, forMs, losesPower } of crashes) {
      const node = this.#at(place);
      scheduler.after(atMs, () => {
        node.end(losesPower ? 'powerLoss' : 'kill');
        scheduler.after(forMs, () => node.boot());
      });
    }
  }

  #planOrder(key: string, order: OrderPlan): void {
    const scheduler = this.#scheduler;
    const { place, atMs, again, cancelled } = order;
    scheduler.after(atMs, () => void this.#place(place, key, order));
    if (again !== undefined) {
      scheduler.after(atMs + again.afterMs, () => void this.#place(again.place, key, order));
    }
    if (cancelled === undefined) return;
    scheduler.after(atMs + cancelled.afterMs, () => {
      const id = orderIdOf(key);
      void this.#ask(cancelled.place, ({ orders }) => orders.cancel(id)).then((answer) => {
        if (answer?.ok === true) this.#cancelled.add(id);
      });
    });
  }

  /** Nothing fails any more: its client asks until it is told that it has the order. */
  #insist(key: string, order: OrderPlan): void {
    if (this.#accepted.has(orderIdOf(key))) return;
    void this.#place(order.place, key, order).then(() => {
      this.#scheduler.after(500, () => this.#insist(key, order));
    });
  }

  async #place(place: number, key: string, { sku, quantity, method }: OrderPlan): Promise<void> {
    const order: PlaceOrder = {
      idempotencyKey: key,
      customer: { id: 'c', email: 'a@b.c' },
      currency: 'EUR',
      lines: [{ sku, quantity }],
      payment: { method },
      waitMs: 0,
    };
    const answer = await this.#ask(place, ({ orders }) => orders.place(order));
    if (answer?.ok === true) this.#accepted.add(answer.value.order.id);
  }

  /** Undefined when no answer comes. */
  #ask<Answer>(place: number, call: (flow: OrderFlow) => Promise<Answer>): Promise<Answer | undefined> {
    const { life } = this.#at(place);
    const flow = life?.flow;
    if (life === undefined || flow === undefined) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#scheduler.after(clientPatienceMs, () => resolve(undefined));
      life.process.run('input', () => {
        void call(flow).then((answer) => {
          if (!life.process.isDead) resolve(answer);
        });
      });
    });
  }

  /** What the provider does by itself; and customers who do what their bank asks for, a while after it did. */
  #goOn(): void {
    const at = worldWallClock(this.#scheduler);
    this.#double.settle(at);
    for (const [place, { isWilling }] of this.#history.orders.entries()) {
      if (!isWilling) continue;
      for (const { id, status } of this.#double.bank.intentsOf(orderIdOf(`key-${place}`))) {
        if (status === 'requires_action') this.#double.authenticate(at, id, 'succeeded').sent();
      }
    }
    this.#scheduler.after(400, () => this.#goOn());
  }

  #isAtRest(): boolean {
    if (this.#accepted.size < this.#history.orders.length) return false;
    const nextAt = this.#double.bank.nextChangeAt() ?? Infinity;
    if (nextAt < worldWallClock(this.#scheduler) + soonMs) return false;
    return this.#nodes.every(({ life }) => {
      const { flow, store } = life ?? {};
      if (flow === undefined || store === undefined) return false;
      const isSettled = store.ledger.stocks().every(({ sku, held, sold, onHand }) => {
        return held === 0 && sold === 0 && onHand === this.#shop.products.get(sku)?.onHand;
      });
      const known = [...flow.views.counts().values()].reduce((sum, count) => sum + count, 0);
      return (
        isSettled &&
        known === this.#accepted.size &&
        flow.views.open().size === 0 &&
        flow.views.pendingCount() === 0
      );
    });
  }

  async #within<Value>(asked: Promise<Value> | undefined): Promise<Value | undefined> {
    let value: Value | undefined;
    let isDone = asked === undefined;
    void asked?.then((answer) => {
      value = answer;
      isDone = true;
    });
    await this.#scheduler.run(this.#scheduler.now + 5_000, () => isDone);
    return value;
  }

  #at(place: number): SimNode {
    const node = this.#nodes[place % this.#nodes.length];
    if (node === undefined) throw new Error('a world has nodes');
    return node;
  }
}
