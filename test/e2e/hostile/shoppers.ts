import { setTimeout as delay } from 'node:timers/promises';
import { orderIdOf } from '../../../node/orders/identity.ts';
import type { NextAction } from '../../../node/orders/order.ts';
import type { Random } from '../../../store/environment.ts';
import { integerBetween } from '../../support/random.ts';
import type { Cluster, NodeName } from '../support/cluster.ts';
import type { History, OrderExchange, PurchaseRecord, SeenOrder } from '../support/history.ts';
import { Witness } from '../support/witness.ts';
import { customerOf } from './personas.ts';
import type { Assortment, Customer } from './personas.ts';

/**
 * The customers at work: a fixed number of tills, at each of which one customer after the other buys. What a customer
 * does beside and after buying (authenticate, ask again, cancel) goes on while the next one is served.
 */

export interface ShoppersOptions extends Assortment {
  readonly tills: number;
  /** How many customers come; default: until the shop closes. */
  readonly orders?: number;
  readonly seed: number;
  /** How long a customer goes from node to node. */
  readonly patienceMs?: number;
  /** Who has no order by then goes home. Otherwise a promise was broken. */
  readonly mayGoHome?: boolean;
}

export interface ShoppersDependencies {
  readonly cluster: Cluster;
  readonly history: History;
  readonly random: Random;
}

const waitSeconds = 2;
const placeTimeoutMs = 8_000;
const cancelTimeoutMs = 15_000;
const readTimeoutMs = 5_000;
const usualPatienceMs = 180_000;
const pauseMsMax = 1_000;
const leavesWithinMs = 60;
const thinksMs = [0, 1_500] as const;
const looksEveryMs = 700;
const looksMax = 30;
const asideMax = 400;
const stockReadEveryMs = 1_000;

export class Shoppers {
  /** How often customers were asked to authenticate and did what. */
  readonly authentications: Record<Customer['authentication'], number> = {
    succeeded: 0,
    failed: 0,
    never: 0,
  };
  readonly #options: ShoppersOptions;
  readonly #cluster: Cluster;
  readonly #history: History;
  readonly #random: Random;
  readonly #witness: Witness;
  readonly #aside = new Set<Promise<void>>();
  #begun = 0;
  #served = 0;
  #gaveUp = false;
  #isOpen = true;

  constructor(options: ShoppersOptions, { cluster, history, random }: ShoppersDependencies) {
    this.#options = options;
    this.#cluster = cluster;
    this.#history = history;
    this.#random = random;
    this.#witness = new Witness({ connectionsMax: options.tills + asideMax }, { cluster });
  }

  /** Customers who are done with buying. */
  get served(): number {
    return this.#served;
  }

  /** Resolves when all have bought, and done what they do afterwards. */
  async run(): Promise<void> {
    const reading = Promise.all(this.#cluster.nodeNames.map((node) => this.#readStockOf(node)));
    await Promise.all(Array.from({ length: this.#options.tills }, (_, till) => this.#serve(till)));
    this.#isOpen = false;
    await reading;
    while (this.#aside.size > 0) await Promise.all(this.#aside);
    this.#witness.close();
  }

  /** Nobody comes in any more; who is there is served. */
  close(): void {
    this.#isOpen = false;
  }

  /** Everybody leaves without waiting. */
  giveUp(): void {
    this.#isOpen = false;
    this.#gaveUp = true;
  }

  async #serve(till: number): Promise<void> {
    let node = till;
    while (this.#begun < (this.#options.orders ?? Infinity) && this.#isOpen) {
      const customer = customerOf(this.#begun, this.#options);
      this.#begun += 1;
      node = await this.#buy(customer, node);
      this.#served += 1;
      // Now and then one comes to another door.
      if (this.#random() < 0.1) node += 1;
    }
  }

  /** Begins at `firstNode` (counted round), and gives the one that answered. */
  async #buy(customer: Customer, firstNode: number): Promise<number> {
    const { key, wish, manner } = customer;
    const leaves = manner === 'leaves';
    const purchase: PurchaseRecord = {
      ...{ orderId: orderIdOf(key), wish, attempts: [], cancellations: [] },
      ...(leaves ? { left: true } : {}),
    };
    this.#history.purchases.push(purchase);
    const place = async (node: number, timeoutMs = placeTimeoutMs): Promise<OrderExchange> => {
      const seconds = manner === 'cancels' ? 0 : waitSeconds;
      const order = { key, wish, waitSeconds: seconds };
      const attempt = await this.#witness.place(this.#node(node), order, timeoutMs);
      purchase.attempts.push(attempt);
      return attempt;
    };
    if (leaves) {
      await place(firstNode, integerBetween(this.#random, 1, leavesWithinMs));
      return firstNode;
    }
    let node = firstNode;
    if (manner === 'pressesTwice') this.#besides(async () => void (await place(firstNode + 1)));
    if (manner === 'cancels') this.#besides(() => this.#cancel(purchase, firstNode + 1));
    const begun = performance.now();
    for (let attempts = 1; ; attempts += 1) {
      if (performance.now() - begun > this.#patienceMs || this.#gaveUp) {
        if (this.#options.mayGoHome === true) purchase.left = true;
        break;
      }
      const { order, status } = await place(node);
      // Asking again would not help; the checks have something to say about it.
      if (status >= 400 && status < 500) break;
      if (order !== undefined) {
        if (order.outcome === undefined) this.#besides(() => this.#follow(customer, order, node));
        if (manner === 'asksAgain')
          this.#besides(async () => {
            await this.#think();
            await place(node + 1);
          });
        break;
      }
      node += 1;
      const tired = Math.min(pauseMsMax, 20 * 2 ** Math.min(attempts, 6));
      await delay(integerBetween(this.#random, tired / 2, tired));
    }
    return node;
  }

  async #cancel(purchase: PurchaseRecord, node: number): Promise<void> {
    await this.#think();
    const { orderId, cancellations } = purchase;
    cancellations.push(await this.#witness.cancel(this.#node(node), orderId, cancelTimeoutMs));
  }

  /** Looks what became of the order, and does what the bank asks for. */
  async #follow(customer: Customer, order: SeenOrder, node: number): Promise<void> {
    let { outcome, nextAction } = order;
    for (let look = 0; look < looksMax && outcome === undefined && !this.#gaveUp; look += 1) {
      if (nextAction !== undefined) {
        await this.#think();
        await this.#authenticate(customer, nextAction);
        return;
      }
      await delay(looksEveryMs);
      const read = await this.#witness.readOrder(this.#node(node), order.id, readTimeoutMs);
      this.#history.orderReads.push(read);
      if (read.order === undefined) node += 1;
      else ({ outcome, nextAction } = read.order);
    }
  }

  async #authenticate({ authentication }: Customer, action: NextAction): Promise<void> {
    this.authentications[authentication] += 1;
    if (authentication === 'never') return;
    const where = action.type === 'redirect' ? { url: action.url } : { clientSecret: action.clientSecret };
    await this.#cluster.sandbox.authenticate(where, authentication);
  }

  async #readStockOf(node: NodeName): Promise<void> {
    while (this.#isOpen) {
      this.#history.stockReads.push(await this.#witness.readStock(node, placeTimeoutMs));
      await delay(stockReadEveryMs);
    }
  }

  get #patienceMs(): number {
    return this.#options.patienceMs ?? usualPatienceMs;
  }

  #think(): Promise<void> {
    return delay(integerBetween(this.#random, ...thinksMs));
  }

  /** Who finds too many others at it goes without. */
  #besides(work: () => Promise<void>): void {
    if (this.#aside.size >= asideMax) return;
    const pending = work().finally(() => this.#aside.delete(pending));
    this.#aside.add(pending);
  }

  /** Counted round. */
  #node(number: number): NodeName {
    const { nodeNames } = this.#cluster;
    return nodeNames[number % nodeNames.length] ?? 'n1';
  }
}
