import type { OrderFlow } from '../../node/order-flow.ts';
import { orderIdOf } from '../../node/orders/identity.ts';
import type { PlaceOrder } from '../../node/ports/order-service.ts';
import type { Life } from '../sim/node.ts';
import type { Scheduler } from '../sim/world/scheduler.ts';
import type { OrderPlan } from './histories.ts';

/** Who buys in a history: asks, asks again, cancels, as planned. Owns what the customers were told. */
const clientPatienceMs = 4_000;

export const keyOf = (order: number): string => `key-${order}`;

export class Customers {
  readonly accepted = new Set<string>();
  readonly cancelled = new Set<string>();
  readonly #orders: readonly OrderPlan[];
  readonly #scheduler: Scheduler;
  readonly #lifeAt: (place: number) => Life | undefined;

  constructor(
    orders: readonly OrderPlan[],
    dependencies: { readonly scheduler: Scheduler; readonly lifeAt: (place: number) => Life | undefined },
  ) {
    this.#orders = orders;
    this.#scheduler = dependencies.scheduler;
    this.#lifeAt = dependencies.lifeAt;
  }

  plan(): void {
    for (const [place, order] of this.#orders.entries()) this.#planOrder(keyOf(place), order);
  }

  /** Nothing fails any more: each asks until it is told that it has its order. */
  insist(): void {
    for (const [place, order] of this.#orders.entries()) this.#insist(keyOf(place), order);
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
        if (answer?.ok === true) this.cancelled.add(id);
      });
    });
  }

  #insist(key: string, order: OrderPlan): void {
    if (this.accepted.has(orderIdOf(key))) return;
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
    if (answer?.ok === true) this.accepted.add(answer.value.order.id);
  }

  /** Undefined when no answer comes. */
  #ask<Answer>(place: number, call: (flow: OrderFlow) => Promise<Answer>): Promise<Answer | undefined> {
    const life = this.#lifeAt(place);
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
}
