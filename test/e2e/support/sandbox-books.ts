import type { FaultPlan, FaultReport, SandboxSummary } from '../../../node/payments/sandbox/index.ts';
import type { JsonClient } from './http.ts';

/** Payment methods to which the sandbox gives a meaning. */
export const methods = {
  pays: 'pm_card_visa',
  declines: 'pm_card_chargeDeclined',
  /** Pays, and is answered late. */
  slow: 'pm_card_slow',
  authenticates: 'pm_card_authenticationRequired',
  authenticatesInVain: 'pm_card_authenticationRequiredChargeDeclinedInsufficientFunds',
  /** Pays; what is given back takes a while. */
  refundsLate: 'pm_card_pendingRefund',
} as const;

/** What the provider did for one order, over all payments it was asked for. */
export interface OrderStatement {
  /** Minor units captured and not given back. */
  readonly kept: number;
  readonly timesCaptured: number;
  /** Payments that block the customer's money without having taken it. */
  readonly stillAuthorized: number;
  /** Payments that wait for the customer or the bank, or are on their way back. */
  readonly unsettled: number;
}

export const nothing: OrderStatement = { kept: 0, timesCaptured: 0, stillAuthorized: 0, unsettled: 0 };

/** One payment, as the provider's summary lists it. */
export type PaymentRow = SandboxSummary['payments'][number];

/** The payment provider's own account of what happened. */
export class SandboxBooks {
  readonly #url: string;
  readonly #http: JsonClient;

  constructor(url: string, http: JsonClient) {
    this.#url = url;
    this.#http = http;
  }

  async byOrder(): Promise<ReadonlyMap<string, OrderStatement>> {
    return statementsOf(await this.payments());
  }

  /** Every payment there is, oldest first. */
  async payments(): Promise<readonly PaymentRow[]> {
    const payments: PaymentRow[] = [];
    let after: string | undefined;
    do {
      const page = await this.summary(after);
      payments.push(...page.payments);
      after = page.next;
    } while (after !== undefined);
    return payments;
  }

  /** What the provider is made to suffer from now on. */
  async suffer(plan: FaultPlan): Promise<void> {
    await this.#ask('PUT', '/sandbox/faults', plan);
  }

  /** Ends what it suffers; what was set going takes its course. */
  async calm(): Promise<void> {
    await this.#ask('DELETE', '/sandbox/faults');
  }

  async faults(): Promise<FaultReport> {
    return (await this.#ask('GET', '/sandbox/faults')) as FaultReport;
  }

  /** What a customer does on the bank's page, or on the shop's own, which knows the payment's secret. */
  async authenticate(
    payment: { readonly url: string } | { readonly clientSecret: string },
    outcome: 'succeeded' | 'failed',
  ): Promise<void> {
    const path = 'url' in payment ? new URL(payment.url).pathname : authenticationPath(payment.clientSecret);
    // Too late is the customer's affair: the shop may have given up on them.
    await this.#http
      .ask('POST', `${this.#url}${path}`, { body: { outcome }, timeoutMs: askTimeoutMs })
      .catch(() => undefined);
  }

  async summary(after?: string): Promise<SandboxSummary> {
    const query = after === undefined ? '' : `?after=${after}`;
    return (await this.#ask('GET', `/sandbox/summary${query}`)) as SandboxSummary;
  }

  async #ask(method: 'GET' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const answer = await this.#http.ask(method, `${this.#url}${path}`, {
      ...(body === undefined ? {} : { body }),
      timeoutMs: askTimeoutMs,
    });
    if (answer.status !== 200)
      throw new Error(`the sandbox answers ${String(answer.status)}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
}

const askTimeoutMs = 30_000;

/** The secret of `pi_1` is `pi_1_secret_…`. */
function authenticationPath(clientSecret: string): string {
  return `/sandbox/authenticate/${clientSecret.split('_secret', 1)[0] ?? ''}`;
}

const unsettledStatuses: readonly PaymentRow['status'][] = ['requires_action', 'processing'];

export function statementsOf(payments: readonly PaymentRow[]): ReadonlyMap<string, OrderStatement> {
  const statements = new Map<string, OrderStatement>();
  for (const { orderId, intent, status, captured, refunded, refundPending } of payments) {
    // A payment without an order would be nobody's: it stays visible under its own name.
    const name = orderId ?? intent;
    const sum = statements.get(name) ?? nothing;
    const isUnsettled = refundPending > 0 || unsettledStatuses.includes(status);
    statements.set(name, {
      kept: sum.kept + captured - refunded,
      timesCaptured: sum.timesCaptured + (captured > 0 ? 1 : 0),
      stillAuthorized: sum.stillAuthorized + (status === 'requires_capture' ? 1 : 0),
      unsettled: sum.unsettled + (isUnsettled ? 1 : 0),
    });
  }
  return statements;
}
