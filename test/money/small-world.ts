import { Faults, type FaultPlan } from '../../node/payments/sandbox/index.ts';
import { StripeDouble } from '../../node/payments/sandbox/stripe-double.ts';
import { createStripeProvider, type StripeProvider } from '../../node/payments/stripe-provider.ts';
import type { OrderFlow } from '../../node/order-flow.ts';
import { orderIdOf } from '../../node/orders/identity.ts';
import type { Order } from '../../node/orders/order.ts';
import type { Payments } from '../../node/ports/payments.ts';
import type { Environment, Random } from '../../store/environment.ts';
import { SimNode, type Life } from '../sim/node.ts';
import { SimNetwork } from '../sim/world/network.ts';
import { worldWallClock, type Process } from '../sim/world/process.ts';
import { Scheduler } from '../sim/world/scheduler.ts';
import { ShopDatabase } from '../sim/world/shop-database.ts';
import { Trace } from '../sim/world/trace.ts';
import { seededRandom } from '../support/random.ts';
import type { Books } from './books.ts';
import { Customers, keyOf } from './customers.ts';
import { reportDrift, settleMs } from './drift.ts';
import { calmAtMs, keysKeptForMs, keyWindowMs, skus, type History } from './histories.ts';
import { StripeWire } from './stripe-wire.ts';
import { WebhookPost, webhookSecret, type Message, type Receiver } from './webhook-post.ts';

/**
 * One history lived through: the real store, order flow and Stripe client of one node or three, in virtual time, with
 * the sandbox's bank as the payment provider, which also tells by webhook what happens there. Owns the world; what its
 * books must say is for others to judge (books.ts).
 */
export interface WorldOptions {
  /** Between the order flow and its provider: what a test would have it get wrong. */
  readonly between?: (payments: Payments) => Payments;
  /** What becomes of the provider's messages; whether they are taken. */
  readonly take?: (flow: OrderFlow, message: Message) => Promise<boolean>;
}

/** What was begun has come to its end by then, however long the provider's refunds and searches take. */
const restWithinMs = 30 * 60_000;

/** What the provider does by itself sooner than this is waited for; an authorization that is left there for a week is not. */
const soonMs = 60_000;

/** The books at rest, or as they are when the time is over. */
export async function live(history: History, options: WorldOptions = {}): Promise<Books> {
  const world = new World(history, options);
  await world.run();
  return await world.books();
}

class World {
  readonly #history: History;
  readonly #scheduler = new Scheduler();
  readonly #double: StripeDouble;
  readonly #faults = new Faults();
  readonly #shop: ShopDatabase;
  readonly #nodes: readonly SimNode[];
  readonly #customers: Customers;
  readonly #post: WebhookPost;
  readonly #providers = new WeakMap<Process, StripeProvider>();

  constructor(history: History, { between = (payments) => payments, take = takeMessage }: WorldOptions) {
    this.#history = history;
    this.#customers = new Customers(history.orders, {
      scheduler: this.#scheduler,
      lifeAt: (place) => this.#at(place).life,
    });
    const { chance, nodes, capture, faults, providerOutages } = history;
    const scheduler = this.#scheduler;
    const randomOf = (stream: number): Random => seededRandom(chance * 31 + stream);
    this.#double = new StripeDouble(
      { seed: String(chance), origin: () => 'http://stripe', keysKeptForMs },
      { faults: this.#faults, onEvent: (event) => this.#post.add(event) },
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
    this.#post = new WebhookPost({
      ...{ scheduler, random: randomOf(4), faults: this.#faults },
      receiver: (turn) => this.#receiver(turn),
      take: ({ flow }, message) => take(flow, message),
    });
    const lineOf = (process: Process, environment: Environment): Payments => {
      const provider = createStripeProvider(
        {
          ...{ apiKey: 'sk_test_sandbox', protocol: 'http', host: 'stripe', port: 80, webhookSecret },
          ...{ timeoutMs: 800, maxConcurrent: 16, requestsPerSecond: 1_000, keyWindowMs },
        },
        {
          environment,
          httpClient: new StripeWire(process, { scheduler, random: wires, double: this.#double }),
        },
      );
      this.#providers.set(process, provider);
      return between(provider);
    };
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
    this.#customers.plan();
    this.#goOn();
    await scheduler.run(calmAtMs, () => false);
    this.#faults.clear();
    this.#shop.pace = { ...this.#shop.pace, answerLost: 0, crash: 0 };
    this.#customers.insist();
    let isAtRest = false;
    const look = (): void => {
      isAtRest = this.#isAtRest();
      if (!isAtRest) scheduler.after(100, look);
    };
    look();
    await scheduler.run(calmAtMs + restWithinMs, () => isAtRest);
    if (isAtRest) await scheduler.run(scheduler.now + 2 * settleMs, () => false);
  }

  async books(): Promise<Books> {
    const orders = new Map<string, readonly Order[]>();
    for (const { id, life } of this.#nodes) {
      const page = await this.#within(life?.flow?.views.list({ limit: 1_000 }));
      orders.set(id, page?.orders ?? []);
    }
    this.#double.settle(worldWallClock(this.#scheduler));
    const reported = await this.#within(this.#report());
    const { untold, misjudged } = this.#post;
    return {
      orders,
      accepted: this.#customers.accepted,
      cancelled: this.#customers.cancelled,
      intentsOf: (orderId) => this.#double.bank.intentsOf(orderId),
      stocks: this.#nodes[0]?.life?.store?.ledger.stocks() ?? [],
      applied: new Map([...this.#shop.applied].map(([id, { record }]) => [id, record.outcome])),
      shelves: [...this.#shop.products.values()],
      isUntold: (intent) => untold.has(intent),
      misjudged,
      reported: reported ?? ['no report'],
    };
  }

  /** Of the node that leads, as an operator would ask for it. */
  async #report(): Promise<readonly string[]> {
    for (const { life } of this.#nodes) {
      const { process, store, flow } = life ?? {};
      const provider = process && this.#providers.get(process);
      if (life === undefined || store === undefined || flow === undefined || provider === undefined) continue;
      if (!store.ledger.freshness().linearizable) continue;
      return reportDrift({ life, store, flow, provider: provider.book, shop: this.#shop });
    }
    return ['no node leads'];
  }

  #receiver(turn: number): Receiver | undefined {
    const life: Life | undefined = this.#at(turn).life;
    const provider = life && this.#providers.get(life.process);
    if (life?.flow === undefined || provider === undefined) return undefined;
    return {
      process: life.process,
      flow: life.flow,
      verify: (body, signature) => provider.verifyWebhook(body, signature),
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

  /** What the provider does by itself; and customers who do what their bank asks for, a while after it did. */
  #goOn(): void {
    const at = worldWallClock(this.#scheduler);
    this.#double.settle(at);
    for (const [place, { isWilling }] of this.#history.orders.entries()) {
      if (!isWilling) continue;
      for (const { id, status } of this.#double.bank.intentsOf(orderIdOf(keyOf(place)))) {
        if (status === 'requires_action') this.#double.authenticate(at, id, 'succeeded').sent();
      }
    }
    this.#scheduler.after(400, () => this.#goOn());
  }

  #isAtRest(): boolean {
    if (this.#customers.accepted.size < this.#history.orders.length) return false;
    const nextAt = this.#double.bank.nextChangeAt() ?? Infinity;
    if (nextAt < worldWallClock(this.#scheduler) + soonMs || !this.#post.isIdle) return false;
    return this.#nodes.every(({ life }) => {
      const { flow, store } = life ?? {};
      if (flow === undefined || store === undefined) return false;
      const isSettled = store.ledger.stocks().every(({ sku, held, sold, onHand }) => {
        return held === 0 && sold === 0 && onHand === this.#shop.products.get(sku)?.onHand;
      });
      const known = [...flow.views.counts().values()].reduce((sum, count) => sum + count, 0);
      return (
        isSettled &&
        known === this.#customers.accepted.size &&
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
    await this.#scheduler.run(this.#scheduler.now + 30_000, () => isDone);
    return value;
  }

  #at(place: number): SimNode {
    const node = this.#nodes[place % this.#nodes.length];
    if (node === undefined) throw new Error('a world has nodes');
    return node;
  }
}

async function takeMessage({ orders }: OrderFlow, message: Message): Promise<boolean> {
  return (await orders.paymentChanged(message)).ok;
}
