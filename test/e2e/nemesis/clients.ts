import { setTimeout as delay } from 'node:timers/promises';
import { orderIdOf } from '../../../node/orders/identity.ts';
import type { Random } from '../../../store/environment.ts';
import { integerBetween } from '../../support/random.ts';
import type { Wish } from '../support/buyers.ts';
import type { Cluster, NodeName } from '../support/cluster.ts';
import { methods } from '../support/sandbox-books.ts';
import { Witness } from '../support/witness.ts';
import type { History, OrderExchange, PurchaseRecord } from '../support/history.ts';

/**
 * The customers of a shop that is being broken: buyers in a closed loop, who keep to one node while it answers,
 * retry with the same key at the next one until they have their order, ask again for what they have, or change
 * their mind; and readers who ask every node
 * for stock and orders all the time, and wait long enough to hear a node that was frozen meanwhile. All that is
 * asked and answered goes into the history.
 */

export interface ClientsOptions {
  readonly buyers: number;
  /** Products there is plenty of. */
  readonly skus: readonly string[];
  /** A product that runs out, so that overselling would show. */
  readonly scarceSku: string;
  readonly seed: number;
}

export interface ClientsDependencies {
  readonly cluster: Cluster;
  readonly history: History;
  readonly random: Random;
}

const waitSeconds = 2;
const placeTimeoutMs = 4_000;
/** How long a purchase is tried before it counts as lost. */
const patienceMs = 150_000;
const pauseMsMax = 400;
const thinkMsMax = 200;
/** Longer than anything is frozen, so that what it answers when it thaws is heard. */
const readTimeoutMs = 15_000;
const stockReadEveryMs = 100;
const orderReadEveryMs = 50;
const asideMax = 300;
/** Of a purchase, to begin at the buyer's own node again. */
const returnChance = 0.02;
/** Of a purchase that was made, to be asked for once more at any node. */
const askAgainChance = 0.1;

export class Clients {
  readonly #options: ClientsOptions;
  readonly #cluster: Cluster;
  readonly #history: History;
  readonly #random: Random;
  readonly #witness: Witness;
  /** What goes on beside the loops. */
  readonly #aside = new Set<Promise<void>>();
  #next = 0;
  #stopped = false;
  #gaveUp = false;
  #buying: Promise<unknown> = Promise.resolve();
  #reading: Promise<unknown> = Promise.resolve();

  constructor(options: ClientsOptions, { cluster, history, random }: ClientsDependencies) {
    this.#options = options;
    this.#cluster = cluster;
    this.#witness = new Witness({ connectionsMax: 256 }, { cluster });
    this.#history = history;
    this.#random = random;
  }

  start(): void {
    const each = (count: number, work: (number: number) => Promise<void>): Promise<unknown> =>
      Promise.all(Array.from({ length: count }, (_, number) => work(number)));
    this.#buying = each(this.#options.buyers, (number) => this.#buyOn(number));
    this.#reading = Promise.all([
      ...this.#cluster.nodeNames.map((node) => this.#repeat(stockReadEveryMs, () => this.#readStock(node))),
      this.#repeat(orderReadEveryMs, () => this.#readSomeOrder()),
    ]);
  }

  /** Lets each buyer finish what it is buying; with `hurry` they leave without it. */
  async stop(options: { readonly hurry?: boolean } = {}): Promise<void> {
    this.#stopped = true;
    this.#gaveUp = options.hurry === true;
    await this.#buying;
    await this.#reading;
    await Promise.all(this.#aside);
    this.#witness.close();
  }

  async #buyOn(number: number): Promise<void> {
    let node = number;
    while (!this.#stopped) {
      const index = this.#next++;
      const key = `nemesis-${String(this.#options.seed)}-${String(index)}`;
      // Somebody has to notice that a node is back.
      if (this.#random() < returnChance) node = number;
      node = await this.#buy(key, this.#wish(index), node);
      await delay(integerBetween(this.#random, 0, thinkMsMax));
    }
  }

  #wish(index: number): Wish {
    const { skus, scarceSku } = this.#options;
    const whim = this.#random();
    return {
      lines: [
        {
          sku: skus[integerBetween(this.#random, 0, skus.length - 1)] ?? '',
          quantity: integerBetween(this.#random, 1, 3),
        },
        ...(index % 8 === 0 ? [{ sku: scarceSku, quantity: 1 }] : []),
      ],
      method: whim < 0.05 ? methods.declines : whim < 0.1 ? methods.slow : methods.pays,
    };
  }

  /** Begins at `firstNode` (counted round), and gives the one that answered. */
  async #buy(key: string, wish: Wish, firstNode: number): Promise<number> {
    const purchase: PurchaseRecord = { orderId: orderIdOf(key), wish, attempts: [], cancellations: [] };
    this.#history.purchases.push(purchase);
    // Who changes their mind does not wait for the end.
    const changesMind = wish.method === methods.slow && this.#random() < 0.5;
    const begun = performance.now();
    let node = firstNode;
    while (performance.now() - begun < patienceMs && !this.#gaveUp) {
      const attempt = await this.#place(this.#node(node), key, wish, changesMind ? 0 : waitSeconds);
      purchase.attempts.push(attempt);
      if (attempt.order !== undefined) break;
      node += 1;
      const tired = Math.min(pauseMsMax, 20 * 2 ** Math.min(purchase.attempts.length, 5));
      await delay(integerBetween(this.#random, tired / 2, tired));
    }
    const other = this.#node(node + integerBetween(this.#random, 0, 2));
    if (changesMind)
      this.#besides(async () => {
        purchase.cancellations.push(await this.#witness.cancel(other, purchase.orderId, placeTimeoutMs));
      });
    else if (this.#random() < askAgainChance)
      this.#besides(async () => {
        purchase.attempts.push(await this.#place(other, key, wish, waitSeconds));
      });
    return node;
  }

  #place(node: NodeName, key: string, wish: Wish, waitSeconds: number): Promise<OrderExchange> {
    return this.#witness.place(node, { key, wish, waitSeconds }, placeTimeoutMs);
  }

  async #readSomeOrder(): Promise<void> {
    const { purchases } = this.#history;
    // Mostly young ones: those are on their way.
    const age = Math.floor(purchases.length * this.#random() ** 3);
    const orderId = purchases.at(-1 - age)?.orderId;
    if (orderId === undefined) return;
    const node = this.#node(integerBetween(this.#random, 0, 2));
    this.#history.orderReads.push(await this.#witness.readOrder(node, orderId, readTimeoutMs));
  }

  async #readStock(node: NodeName): Promise<void> {
    this.#history.stockReads.push(await this.#witness.readStock(node, readTimeoutMs));
  }

  /** At a steady pace, whether earlier ones were answered or not. */
  async #repeat(everyMs: number, read: () => Promise<void>): Promise<void> {
    while (!this.#stopped) {
      await delay(everyMs);
      if (this.#aside.size < asideMax) this.#besides(read);
    }
  }

  #besides(work: () => Promise<void>): void {
    const pending = work().finally(() => this.#aside.delete(pending));
    this.#aside.add(pending);
  }

  /** Counted round. */
  #node(number: number): NodeName {
    const { nodeNames } = this.#cluster;
    return nodeNames[number % nodeNames.length] ?? 'n1';
  }
}
