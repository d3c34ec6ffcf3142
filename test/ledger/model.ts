import type { StockAnswer } from '../../store/ledger/answers.ts';
import type { Command } from '../../store/ledger/commands.ts';
import type { HoldAnswer, StockLevel, StockLine } from '../../store/ledger/port.ts';

/**
 * The ledger's rules written the slow and obvious way: every figure is computed anew from a list of orders, and
 * everything that is due expires before each command. The machine must give the same answers.
 */
interface ModelOrder {
  readonly id: string;
  readonly fingerprint: string;
  readonly lines: readonly StockLine[];
  readonly expiresAt: number;
  /** The answer to the next hold of this id. */
  truth: HoldAnswer;
  /** The system of record contains the sale. */
  counted: boolean;
}

type Row = Pick<StockLevel, 'sku' | 'name' | 'unitPrice' | 'currency'>;

export class LedgerModel {
  orders: ModelOrder[] = [];
  products: { row: Row; reported: number; listed: boolean }[] = [];
  adjustments: { id: string; sku: string; delta: number }[] = [];
  registrations: { orderId: string; registration: string }[] = [];
  lastSyncAt = 0;

  apply(at: number, command: Command): StockAnswer {
    for (const order of this.orders) {
      if (order.truth.kind === 'held' && order.expiresAt <= at) order.truth = { kind: 'expired' };
    }
    this.products = this.products.filter((product) => product.listed || this.promised(product.row.sku) > 0);
    const answer = this.#decide(at, command);
    this.products = this.products.filter((product) => product.listed || this.promised(product.row.sku) > 0);
    return answer;
  }

  held(sku: string): number {
    return this.#units(sku, (order) => order.truth.kind === 'held');
  }

  sold(sku: string): number {
    return this.#units(sku, (order) => order.truth.kind === 'committed' && !order.counted);
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
    return this.orders.filter((o) => o.truth.kind === 'committed' && !o.counted).map((o) => o.id);
  }

  #decide(at: number, command: Command): StockAnswer {
    switch (command.kind) {
      case 'hold': {
        const known = this.#order(command.orderId);
        if (known !== undefined) {
          const sameAsked = known.fingerprint === '' || known.fingerprint === command.fingerprint;
          return sameAsked ? known.truth : { kind: 'conflict' };
        }
        const { orderId: id, fingerprint, lines } = command;
        const expiresAt = at + command.ttlMs;
        const truth = this.#firstAnswer(lines, expiresAt);
        this.orders.push({ id, fingerprint, lines, expiresAt, truth, counted: false });
        return truth;
      }
      case 'commit': {
        const order = this.#order(command.orderId);
        if (order === undefined || order.truth.kind === 'refused') return { kind: 'absent' };
        if (order.truth.kind === 'held') order.truth = { kind: 'committed' };
        return order.truth;
      }
      case 'release': {
        const truth = { kind: 'released', reason: command.reason } as const;
        const order = this.#order(command.orderId);
        if (order === undefined) {
          const id = command.orderId;
          this.orders.push({ id, fingerprint: '', lines: [], expiresAt: 0, truth, counted: false });
          return truth;
        }
        if (order.truth.kind !== 'released' && order.truth.kind !== 'committed') order.truth = truth;
        return order.truth;
      }
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
          if (order.truth.kind === 'committed' && command.applied.includes(order.id)) order.counted = true;
        }
        return { kind: 'synced', outcome: 'applied' };
      }
      case 'adjust': {
        if (this.adjustments.some(({ id }) => id === command.id)) return { kind: 'adjusted', applied: true };
        const listed = this.products.some(({ row, listed }) => listed && row.sku === command.sku);
        if (listed) this.adjustments.push(command);
        return { kind: 'adjusted', applied: listed };
      }
      case 'claim': {
        const first = this.registrations.find(({ orderId }) => orderId === command.orderId);
        if (first === undefined) this.registrations.push(command);
        return { kind: 'claimed', registration: (first ?? command).registration };
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

  #order(id: string): ModelOrder | undefined {
    return this.orders.find((order) => order.id === id);
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
