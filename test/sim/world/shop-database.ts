import type { Random } from '../../../store/environment.ts';
import {
  SystemOfRecordUnavailable,
  type OutcomeRecord,
  type SystemOfRecord,
} from '../../../node/ports/system-of-record.ts';
import { worldWallClock, type Process } from './process.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * The system of record: a small exact model of the shop's database. Owns products, units on hand and the orders
 * applied. One transaction happens whole or not at all; between two of them the database may go down, and an answer
 * may get lost after everything it tells has happened.
 */
export interface ShopPace {
  readonly latencyMsMin: number;
  readonly latencyMsMax: number;
  /** Probabilities, 0 to 1. */
  readonly questionLost: number;
  readonly answerLost: number;
  /** It fails between two transactions of one delivery. */
  readonly crash: number;
}

export type ShopFault = 'shopLost' | 'shopAnswerLost' | 'shopCrashed' | 'shopDown';

export interface ShopProduct {
  readonly sku: string;
  readonly unitPrice: number;
  onHand: number;
  readonly opening: number;
  restocked: number;
}

interface AppliedOrder {
  readonly record: OutcomeRecord;
  readonly at: number;
}

const patienceMs = 1_000;
/** Sales applied this long ago are told with every read, asked about or not. */
const recentMs = 2_000;

export class ShopDatabase {
  pace: ShopPace;
  isDown = false;
  readonly products: ReadonlyMap<string, ShopProduct>;
  /** Outcomes that did not fit: never, unless something was sold that was not there. */
  readonly refused: string[] = [];
  readonly #applied = new Map<string, AppliedOrder>();
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #onFault: (kind: ShopFault) => void;
  #lastReadAt = 0;

  constructor(
    options: {
      readonly pace: ShopPace;
      readonly products: readonly {
        readonly sku: string;
        readonly unitPrice: number;
        readonly onHand: number;
      }[];
    },
    dependencies: {
      readonly scheduler: Scheduler;
      readonly random: Random;
      readonly onFault: (kind: ShopFault) => void;
    },
  ) {
    this.pace = options.pace;
    this.products = new Map(
      options.products.map((product) => [product.sku, { ...product, opening: product.onHand, restocked: 0 }]),
    );
    this.#scheduler = dependencies.scheduler;
    this.#random = dependencies.random;
    this.#onFault = dependencies.onFault;
  }

  /** Orders that it has, by id. */
  get applied(): ReadonlyMap<string, AppliedOrder> {
    return this.#applied;
  }

  restock(sku: string, units: number): void {
    const product = this.products.get(sku);
    if (product === undefined) throw new Error(`no product ${sku}`);
    product.onHand += units;
    product.restocked += units;
  }

  /** The database as one program reaches it. */
  lineOf(process: Process): SystemOfRecord {
    return {
      migrate: () => this.#ask(process, () => undefined),
      productCount: () => this.#ask(process, () => this.products.size),
      readInventory: (unapplied) => this.#ask(process, () => this.#readInventory(unapplied)),
      applyOutcomes: (outcomes) => this.#ask(process, () => this.#applyOutcomes(outcomes)),
      close: () => Promise.resolve(),
    };
  }

  #ask<Answer>(process: Process, decide: () => Answer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (process.isDead) return;
      const { clock } = process;
      const fail = (detail: string): void => {
        reject(new SystemOfRecordUnavailable(detail));
      };
      if (this.isDown) {
        this.#onFault('shopDown');
        clock.after(5, () => {
          fail('connection refused');
        });
        return;
      }
      const cancelPatience = clock.after(patienceMs, () => {
        fail('no answer');
      });
      if (this.#random() < this.pace.questionLost) {
        this.#onFault('shopLost');
        return;
      }
      // Whatever becomes of the asking program, the question is on its way.
      this.#scheduler.after(this.#latencyMs(), () => {
        let settle: () => void;
        try {
          const answer = decide();
          settle = () => {
            resolve(answer);
          };
        } catch (error) {
          settle = () => {
            reject(error instanceof Error ? error : new Error(String(error)));
          };
        }
        if (this.#random() < this.pace.answerLost) {
          this.#onFault('shopAnswerLost');
          return;
        }
        this.#scheduler.after(this.#latencyMs(), () => {
          process.run('input', () => {
            cancelPatience();
            settle();
          });
        });
      });
    });
  }

  /** Reads never overlap, and their numbers rise in their order, as R7 of the reconcilers has it. */
  #readInventory(unapplied: readonly string[]): Awaited<ReturnType<SystemOfRecord['readInventory']>> {
    this.#lastReadAt = Math.max(this.#lastReadAt + 1, worldWallClock(this.#scheduler));
    const recently = [...this.#applied.values()].filter(
      ({ record, at }) => record.outcome === 'fulfilled' && at > this.#scheduler.now - recentMs,
    );
    const asked = unapplied.filter((orderId) => this.#applied.get(orderId)?.record.outcome === 'fulfilled');
    return {
      takenAt: this.#lastReadAt,
      products: [...this.products.values()].map(({ sku, unitPrice, onHand }) => {
        return { sku, name: sku, unitPrice, currency: 'EUR', onHand };
      }),
      applied: [...new Set([...asked, ...recently.map(({ record }) => record.order.id)])],
    };
  }

  #applyOutcomes(outcomes: readonly OutcomeRecord[]): Awaited<ReturnType<SystemOfRecord['applyOutcomes']>> {
    const applied: { orderId: string; revision: number }[] = [];
    const parked: { orderId: string; reason: string }[] = [];
    for (const record of outcomes) {
      if (this.#random() < this.pace.crash) {
        this.#onFault('shopCrashed');
        throw new SystemOfRecordUnavailable('the connection broke');
      }
      const { id } = record.order;
      const short = this.#apply(record);
      if (short === undefined) applied.push({ orderId: id, revision: record.revision });
      else parked.push({ orderId: id, reason: short });
    }
    return { applied, parked };
  }

  /** One transaction. Why it was refused, or undefined when the database has it now. */
  #apply(record: OutcomeRecord): string | undefined {
    const { order, outcome } = record;
    if (this.#applied.has(order.id)) return undefined;
    if (outcome === 'fulfilled') {
      const short = order.lines.find(({ sku, quantity }) => (this.products.get(sku)?.onHand ?? 0) < quantity);
      if (short !== undefined) {
        this.refused.push(`${order.id}: ${short.quantity} of ${short.sku}`);
        return `${short.sku} is short`;
      }
      for (const { sku, quantity } of order.lines) {
        const product = this.products.get(sku);
        if (product !== undefined) product.onHand -= quantity;
      }
    }
    this.#applied.set(order.id, { record, at: this.#scheduler.now });
    return undefined;
  }

  #latencyMs(): number {
    const { latencyMsMin, latencyMsMax } = this.pace;
    return latencyMsMin + this.#random() * (latencyMsMax - latencyMsMin);
  }
}
