import type { StockAnswer } from '../../store/ledger/answers.ts';
import type { Command } from '../../store/ledger/commands.ts';
import type { HoldAnswer, ProductRow, StockLevel, StockLine } from '../../store/ledger/port.ts';

/**
 * The ledger's rules written the slow and obvious way: every figure is computed anew from a list of orders, and
 * everything that is due expires, and everything behind the horizon is gone, before
 * each command. The machine must give the same answers.
 */
interface ModelOrder {
  readonly id: string;
  fingerprint: string;
  lines: readonly StockLine[];
  expiresAt: number;
  /** The answer to the next hold of this id; none while it was only claimed. */
  truth: HoldAnswer | undefined;
  /** The system of record contains the sale. */
  counted: boolean;
  registration: string | undefined;
  /** The latest of its creation and its closing. */
  datedAt: number;
}

type Row = Omit<ProductRow, 'onHand'>;

export class LedgerModel {
  orders: ModelOrder[] = [];
  products: { row: Row; reported: number; listed: boolean }[] = [];
  adjustments: { id: string; sku: string; delta: number }[] = [];
  lastSyncAt = 0;
  horizon = 0;

  apply(at: number, command: Command): StockAnswer {
    this.#passTime(at);
    const answer = this.#decide(at, command);
    this.#passTime(at);
    return answer;
  }

  #passTime(at: number): void {
    for (const order of this.orders) {
      if (order.truth?.kind !== 'held' || order.expiresAt > at) continue;
      close(order, { kind: 'expired' }, order.expiresAt);
    }
    this.orders = this.orders.filter((order) => promises(order) || order.datedAt >= this.horizon);
    this.products = this.products.filter((product) => product.listed || this.promised(product.row.sku) > 0);
  }

  held(sku: string): number {
    return this.#units(sku, (order) => order.truth?.kind === 'held');
  }

  sold(sku: string): number {
    return this.#units(sku, (order) => order.truth?.kind === 'committed' && !order.counted);
  }

  promised(sku: string): number {
    return this.held(sku) + this.sold(sku);
  }

  levels(): StockLevel[] {
    return this.products.map(({ row, reported }) => {
      const onHand = reported + this.#adjusted(row.sku);
      const held = this.held(row.sku);
      const sold = this.sold(row.sku);
      return { ...row, onHand, held, sold, available: onHand - held - sold };
    });
  }

  unappliedSales(): string[] {
    return this.orders.filter((o) => o.truth?.kind === 'committed' && !o.counted).map((o) => o.id);
  }

  #decide(at: number, command: Command): StockAnswer {
    switch (command.kind) {
      case 'hold': {
        const order = this.#orderOf(at, command);
        if (order === undefined) return { kind: 'forgotten' };
        if (order.truth !== undefined) {
          const sameAsked = order.fingerprint === '' || order.fingerprint === command.fingerprint;
          return sameAsked ? order.truth : { kind: 'conflict' };
        }
        const { fingerprint, lines } = command;
        const expiresAt = at + command.ttlMs;
        const truth = this.#firstAnswer(lines, expiresAt);
        Object.assign(order, { fingerprint, lines, expiresAt, truth });
        if (truth.kind === 'refused') close(order, truth, at);
        return truth;
      }
      case 'commit': {
        const known = this.orders.some(({ id }) => id === command.orderId);
        if (!known) return { kind: this.#isForgotten(at, command) ? 'forgotten' : 'absent' };
        const order = this.#orderOf(at, command);
        if (order?.truth === undefined || order.truth.kind === 'refused') return { kind: 'absent' };
        if (order.truth.kind === 'held') order.truth = { kind: 'committed' };
        return order.truth;
      }
      case 'release': {
        const order = this.#orderOf(at, command);
        if (order === undefined) return { kind: 'forgotten' };
        const truth = { kind: 'released', reason: command.reason } as const;
        if (order.truth?.kind !== 'released' && order.truth?.kind !== 'committed') close(order, truth, at);
        return order.truth ?? truth;
      }
      case 'claim': {
        const order = this.#orderOf(at, command);
        if (order === undefined) return { kind: 'forgotten' };
        order.registration ??= command.registration;
        return { kind: 'claimed', registration: order.registration };
      }
      case 'forget':
        this.horizon = Math.max(this.horizon, Math.min(command.before, at));
        return { kind: 'horizon', horizon: this.horizon };
      case 'stockSync': {
        if (command.takenAt < this.lastSyncAt) return { kind: 'synced', outcome: 'ignored' };
        this.lastSyncAt = command.takenAt;
        this.adjustments = [];
        for (const { onHand, ...row } of command.products) {
          this.products = this.products.filter((product) => product.row.sku !== row.sku);
          this.products.push({ row, reported: onHand, listed: true });
        }
        for (const product of this.products) {
          if (!command.removed.includes(product.row.sku)) continue;
          product.listed = false;
          product.reported = 0;
        }
        for (const order of this.orders) {
          if (order.truth?.kind !== 'committed' || order.counted || !command.applied.includes(order.id))
            continue;
          order.counted = true;
          order.datedAt = Math.max(order.datedAt, at);
        }
        return { kind: 'synced', outcome: 'applied' };
      }
      case 'adjust': {
        if (this.adjustments.some(({ id }) => id === command.id)) return { kind: 'adjusted', applied: true };
        const listed = this.products.some(({ row, listed }) => listed && row.sku === command.sku);
        if (listed) this.adjustments.push(command);
        return { kind: 'adjusted', applied: listed };
      }
      case 'expire':
        throw new Error('the model has no sweep: what is due is expired already');
    }
  }

  #firstAnswer(lines: readonly StockLine[], expiresAt: number): HoldAnswer {
    for (const { sku } of lines) {
      const level = this.levels().find((candidate) => candidate.sku === sku);
      const listed = this.products.some((product) => product.listed && product.row.sku === sku);
      if (level === undefined || !listed) return { kind: 'refused', reason: 'UNKNOWN_SKU', sku };
      const asked = lines.filter((line) => line.sku === sku).reduce((sum, line) => sum + line.quantity, 0);
      if (level.available < asked) return { kind: 'refused', reason: 'OUT_OF_STOCK', sku };
    }
    return { kind: 'held', expiresAt };
  }

  /** The order a command is about, made if need be; undefined when it is forgotten. */
  #orderOf(at: number, command: OfOrder): ModelOrder | undefined {
    let order = this.orders.find(({ id }) => id === command.orderId);
    if (order === undefined) {
      if (this.#isForgotten(at, command)) return undefined;
      order = {
        id: command.orderId,
        fingerprint: '',
        lines: [],
        expiresAt: 0,
        truth: undefined,
        counted: false,
        registration: undefined,
        datedAt: 0,
      };
      this.orders.push(order);
    }
    order.datedAt = Math.max(order.datedAt, command.createdAt ?? at);
    return order;
  }

  #isForgotten(at: number, { createdAt }: OfOrder): boolean {
    return (createdAt ?? at) < this.horizon;
  }

  #adjusted(sku: string): number {
    return this.adjustments.filter((a) => a.sku === sku).reduce((sum, a) => sum + a.delta, 0);
  }

  #units(sku: string, counts: (order: ModelOrder) => boolean): number {
    return this.orders
      .filter(counts)
      .flatMap((order) => order.lines)
      .filter((line) => line.sku === sku)
      .reduce((sum, line) => sum + line.quantity, 0);
  }
}

type OfOrder = Pick<Extract<Command, { kind: 'commit' }>, 'orderId' | 'createdAt'>;

function promises(order: ModelOrder): boolean {
  return order.truth?.kind === 'held' || (order.truth?.kind === 'committed' && !order.counted);
}

function close(order: ModelOrder, truth: HoldAnswer, closedAt: number): void {
  order.truth = truth;
  order.datedAt = Math.max(order.datedAt, closedAt);
}
