import type { SandboxSummary } from '../../../node/payments/sandbox/index.ts';
import type { JsonClient } from './http.ts';

/** Payment methods to which the sandbox gives a meaning. */
export const methods = {
  pays: 'pm_card_visa',
  declines: 'pm_card_chargeDeclined',
  /** Pays, and is answered late. */
  slow: 'pm_card_slow',
} as const;

/** What the provider did for one order, over all payments it was asked for. */
export interface OrderStatement {
  /** Minor units captured and not given back. */
  readonly kept: number;
  readonly timesCaptured: number;
  /** Payments that block the customer's money without having taken it. */
  readonly stillAuthorized: number;
}

export const nothing: OrderStatement = { kept: 0, timesCaptured: 0, stillAuthorized: 0 };

/** The payment provider's own account of what happened. */
export class SandboxBooks {
  readonly #url: string;
  readonly #http: JsonClient;

  constructor(url: string, http: JsonClient) {
    this.#url = url;
    this.#http = http;
  }

  async byOrder(): Promise<ReadonlyMap<string, OrderStatement>> {
    const statements = new Map<string, OrderStatement>();
    let after: string | undefined;
    do {
      const page = await this.summary(after);
      for (const { orderId, intent, status, captured, refunded } of page.payments) {
        // A payment without an order would be nobody's: it stays visible under its own name.
        const name = orderId ?? intent;
        const sum = statements.get(name) ?? nothing;
        statements.set(name, {
          kept: sum.kept + captured - refunded,
          timesCaptured: sum.timesCaptured + (captured > 0 ? 1 : 0),
          stillAuthorized: sum.stillAuthorized + (status === 'requires_capture' ? 1 : 0),
        });
      }
      after = page.next;
    } while (after !== undefined);
    return statements;
  }

  async summary(after?: string): Promise<SandboxSummary> {
    const url = `${this.#url}/sandbox/summary${after === undefined ? '' : `?after=${after}`}`;
    const { status, body } = await this.#http.ask('GET', url);
    if (status !== 200) throw new Error(`the sandbox answers ${String(status)}: ${JSON.stringify(body)}`);
    return body as SandboxSummary;
  }
}
