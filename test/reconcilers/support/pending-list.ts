import type { ParkedDelivery } from '../../../node/orders/fold.ts';
import type { OutcomeRecord } from '../../../node/ports/system-of-record.ts';
import type { ReconcilersDependencies } from '../../../node/reconcilers/reconcilers.ts';

/** What the journal tells of ended orders, as a list: outlives the reconcilers that deliver it, as the journal does. */
export class PendingList {
  outcomes: OutcomeRecord[] = [];
  readonly refusals = new Map<string, ParkedDelivery>();
  readonly discarded: string[] = [];
  /** How often a refusal was noted. */
  noted = 0;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** As the reconcilers see it. */
  get port(): ReconcilersDependencies['pending'] {
    const drop = (isDone: (orderId: string) => boolean): void => {
      for (const { order } of this.outcomes) if (isDone(order.id)) this.refusals.delete(order.id);
      this.outcomes = this.outcomes.filter(({ order }) => !isDone(order.id));
    };
    return {
      next: async (limit, except) =>
        this.outcomes.filter(({ order }) => !except.has(order.id)).slice(0, limit),
      count: () => this.outcomes.length,
      one: async (orderId) => this.outcomes.find(({ order }) => order.id === orderId),
      parked: () => this.refusals,
      markParked: async (orderId, refusal) => {
        this.noted += 1;
        this.refusals.set(orderId, { ...refusal, at: this.#now() });
      },
      markSynced: async (applied) => {
        const done = new Set(applied.map(({ orderId }) => orderId));
        drop((orderId) => done.has(orderId));
      },
      discarded: async () => this.discarded,
      discard: async (orderId) => {
        this.discarded.push(orderId);
        drop((one) => one === orderId);
      },
    };
  }
}
