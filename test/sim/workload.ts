import type { NodeId, Random } from '../../store/environment.ts';
import type { OrderFlow } from '../../node/order-flow.ts';
import { fingerprintOf, orderIdOf } from '../../node/orders/identity.ts';
import type { PlaceOrder, Refusal } from '../../node/ports/order-service.ts';
import { integerBetween } from '../support/random.ts';
import type { OrderChecker } from './checkers/order-checker.ts';
import type { SimNode } from './node.ts';
import type { Plan } from './plan.ts';
import type { Violations } from './violations.ts';
import type { Scheduler } from './world/scheduler.ts';
import type { ShopDatabase } from './world/shop-database.ts';
import type { Trace } from './world/trace.ts';

/**
 * The shop's customers, and its own work. Each buyer has one Idempotency-Key and sticks to it: asks any node, asks
 * another one when no answer comes, asks two at once, cancels, looks. A few use one key for two different orders.
 */
export interface WorkloadDependencies {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: Trace;
  readonly nodes: ReadonlyMap<NodeId, SimNode>;
  readonly shop: ShopDatabase;
  readonly orders: OrderChecker;
  readonly violations: Violations;
}

const patienceMs = 5_000;
const attemptsMax = 12;

export class Workload {
  readonly #plan: Plan;
  readonly #dependencies: WorkloadDependencies;
  #shopping = 0;
  #contests = 0;
  #isTroubleOver = false;
  /** When each key was first used. */
  readonly #firstAskedAt = new Map<string, number>();
  asked = 0;

  constructor(plan: Plan, dependencies: WorkloadDependencies) {
    this.#plan = plan;
    this.#dependencies = dependencies;
  }

  /** Every buyer has an answer, or has given up. */
  get isDone(): boolean {
    return this.#shopping === 0;
  }

  /** Nothing fails by design any more: who still has no answer may go on asking for one. */
  endTrouble(): void {
    this.#isTroubleOver = true;
  }

  start(fromMs: number): void {
    const { random, scheduler } = this.#dependencies;
    const { buyers, troubleMs } = this.#plan;
    for (let buyer = 1; buyer <= buyers; buyer++) {
      this.#shopping += 1;
      scheduler.after(fromMs + random() * troubleMs * 0.9, () => {
        void this.#shop(`key-${buyer}`).finally(() => {
          this.#shopping -= 1;
        });
      });
    }
    for (let delivery = 0; delivery < 4; delivery++) {
      scheduler.after(fromMs + random() * troubleMs, () => {
        const { sku } = this.#anySku();
        const units = integerBetween(random, 1, 6);
        this.#dependencies.shop.restock(sku, units);
        this.#dependencies.trace.add('shop', 'restock', `${units} of ${sku}`);
      });
    }
  }

  /** A buyer who uses one key for another order each time. Gives what has them ask a node. */
  contest(): (at: NodeId) => void {
    this.#contests += 1;
    const key = `contested-${this.#contests}`;
    return (at) => {
      this.#shopping += 1;
      void this.#place(at, this.#anyOrder(key)).finally(() => {
        this.#shopping -= 1;
      });
    };
  }

  /** Somebody cancels an order at a node that has it. */
  cancelAt(id: NodeId, orderId: string): void {
    this.#shopping += 1;
    void this.#cancel(orderId, id).finally(() => {
      this.#shopping -= 1;
    });
  }

  async #shop(key: string): Promise<void> {
    const { random } = this.#dependencies;
    const order = this.#anyOrder(key);
    if (random() < this.#plan.confused) void this.#place(this.#anyNode(), this.#anyOrder(key));
    if (random() < this.#plan.doubled) void this.#place(this.#anyNode(), order);
    if (!(await this.#placeStubbornly(order))) return;
    const chance = random();
    if (chance < 0.2) {
      await this.#pause(300);
      await this.#cancel(orderIdOf(key), this.#anyNode());
    } else if (chance < 0.35) await this.#place(this.#anyNode(), order);
    await this.#pause(2_000);
    await this.#look(orderIdOf(key));
  }

  /** False when the buyer gives up: whether the order exists is then open. */
  async #placeStubbornly(order: PlaceOrder): Promise<boolean> {
    const { random } = this.#dependencies;
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const answer = await this.#place(this.#anyNode(), order);
      if (answer === 'accepted') return true;
      if (answer === 'refused') return false;
      if (!this.#isTroubleOver && random() < 0.06) return false;
      await this.#pause(1_200);
    }
    return false;
  }

  async #place(id: NodeId, order: PlaceOrder): Promise<'accepted' | 'refused' | 'unknown'> {
    const { orders, trace } = this.#dependencies;
    if (!this.#isRemembered(order.idempotencyKey ?? '')) return 'refused';
    this.asked += 1;
    const answer = await this.#ask(id, 'place', ({ orders: service }) => service.place(order));
    if (answer === undefined) return 'unknown';
    if (answer.ok) {
      const { order: placed, replayed } = answer.value;
      trace.add(
        'clients',
        'accepted',
        `${placed.id} at ${id}${replayed ? ' (replayed)' : ''} ${placed.state}`,
      );
      orders.acceptedBy(id, placed, { replayed, asked: fingerprintOf(order) });
      return 'accepted';
    }
    trace.add('clients', 'refused', `${order.idempotencyKey ?? ''} at ${id}: ${answer.refusal.code}`);
    return isFinal(answer.refusal) ? 'refused' : 'unknown';
  }

  /** A key is remembered for as long as its order: a buyer who comes back with it later would make a new one. */
  #isRemembered(key: string): boolean {
    const { now } = this.#dependencies.scheduler;
    const { retainForMs } = this.#plan;
    const first = this.#firstAskedAt.get(key) ?? now;
    this.#firstAskedAt.set(key, first);
    return retainForMs === 0 || now - first < retainForMs / 2;
  }

  async #cancel(orderId: string, id: NodeId): Promise<void> {
    const { orders, trace } = this.#dependencies;
    const answer = await this.#ask(id, 'cancel', ({ orders: service }) => service.cancel(orderId));
    if (answer === undefined) return;
    trace.add('clients', 'cancel', `${orderId} at ${id}: ${answer.ok ? 'accepted' : answer.refusal.code}`);
    if (answer.ok) orders.cancelledBy(id, answer.value);
  }

  async #look(orderId: string): Promise<void> {
    const id = this.#anyNode();
    const order = await this.#ask(id, 'find', ({ orders: service }) => service.find(orderId));
    if (order !== undefined) this.#dependencies.orders.read(id, order);
  }

  /** Asks a node; undefined when no answer comes. */
  #ask<Answer>(
    id: NodeId,
    what: string,
    call: (flow: OrderFlow) => Promise<Answer>,
  ): Promise<Answer | undefined> {
    const { scheduler, nodes, random, violations } = this.#dependencies;
    return new Promise((resolve) => {
      const life = nodes.get(id)?.life;
      const { flow } = life ?? {};
      if (life === undefined || flow === undefined) {
        scheduler.after(5, () => {
          resolve(undefined);
        });
        return;
      }
      const stopWaiting = scheduler.after(patienceMs, () => {
        resolve(undefined);
      });
      scheduler.after(random(), () => {
        life.process.run('input', () => {
          call(flow).then(
            (answer) => {
              if (life.process.isDead) return;
              scheduler.after(random(), () => {
                stopWaiting();
                resolve(answer);
              });
            },
            (error: unknown) => {
              if (!life.process.isDead)
                violations.report('crash', `${what} at ${id} threw: ${String(error)}`);
            },
          );
        });
      });
    });
  }

  #pause(msMax: number): Promise<void> {
    const { scheduler, random } = this.#dependencies;
    return new Promise((resolve) => {
      scheduler.after(random() * msMax, resolve);
    });
  }

  #anyOrder(idempotencyKey: string): PlaceOrder {
    const { random } = this.#dependencies;
    const { sku } = this.#anySku();
    const other = this.#anySku();
    const lines = [{ sku, quantity: integerBetween(random, 1, 3) }];
    if (other.sku !== sku) lines.push({ sku: other.sku, quantity: 1 });
    return {
      idempotencyKey,
      customer: { id: `customer-${Math.floor(random() * 1_000_000)}`, email: 'a@b.c' },
      currency: 'EUR',
      lines,
      payment: { method: random() < 0.12 ? 'pm_card_chargeDeclined' : 'pm_card_visa' },
      waitMs: random() < 0.3 ? 400 : 0,
    };
  }

  #anySku(): Plan['skus'][number] {
    const { skus } = this.#plan;
    const any = skus[Math.floor(this.#dependencies.random() * skus.length)];
    if (any === undefined) throw new Error('a plan has products');
    return any;
  }

  #anyNode(): NodeId {
    const ids = [...this.#dependencies.nodes.keys()];
    return ids[Math.floor(this.#dependencies.random() * ids.length)] ?? 'n1';
  }
}

function isFinal({ code }: Refusal): boolean {
  return code === 'IDEMPOTENCY_KEY_REUSED' || code === 'UNKNOWN_SKU' || code === 'INVALID_ORDER';
}
