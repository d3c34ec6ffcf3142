import type { JsonClient } from './http.ts';

/** Payment methods to which the sandbox gives a meaning. */
export const methods = {
  pays: 'pm_card_visa',
  declines: 'pm_card_chargeDeclined',
  /** Pays, but takes its time: longer than a test needs to do something meanwhile. */
  slow: 'pm_card_slow',
} as const;

interface Intent {
  readonly id: string;
  readonly amount_received: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly amount_refunded?: number;
}

interface Page {
  readonly data: readonly Intent[];
  readonly has_more: boolean;
}

const pageSize = 100;
const pagesMax = 1_000;

/** What the payment provider would put into its statement: who was charged how much. */
export class SandboxBooks {
  readonly #url: string;
  readonly #http: JsonClient;

  constructor(url: string, http: JsonClient) {
    this.#url = url;
    this.#http = http;
  }

  /** Minor units captured and not refunded, by order id; orders that were never charged have no entry. */
  async takenByOrder(): Promise<ReadonlyMap<string, number>> {
    const taken = new Map<string, number>();
    let after = '';
    for (let page = 0; page < pagesMax; page += 1) {
      const { data, has_more: more } = await this.#page(after);
      for (const intent of data) {
        const kept = intent.amount_received - (intent.amount_refunded ?? 0);
        const order = intent.metadata.order_id ?? intent.id;
        if (kept !== 0) taken.set(order, (taken.get(order) ?? 0) + kept);
      }
      after = data.at(-1)?.id ?? '';
      if (!more || after === '') return taken;
    }
    throw new Error('the sandbox lists payments without end');
  }

  async #page(after: string): Promise<Page> {
    const query = after === '' ? '' : `&starting_after=${after}`;
    const url = `${this.#url}/v1/payment_intents?limit=${String(pageSize)}${query}`;
    const { status, body } = await this.#http.ask('GET', url, {
      headers: { authorization: 'Bearer sk_test_sandbox' },
    });
    if (status !== 200) throw new Error(`the sandbox answers ${String(status)}: ${JSON.stringify(body)}`);
    return body as Page;
  }
}
