import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Order } from '../../../node/orders/order.ts';
import { currency } from './catalog.ts';
import { JsonClient, NoAnswer } from './http.ts';
import type { Answer } from './http.ts';

/**
 * Customers in a hurry: each buys, waits for the answer, buys again (a closed loop). Like a good client, a buyer
 * that gets 503 or loses its connection asks another node, with the same idempotency key.
 */

export interface Wish {
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
  /** Default: a card that pays. */
  readonly method?: string;
  /** Where the customer comes back to when their bank has asked them. */
  readonly returnUrl?: string;
}

export interface Purchase {
  readonly key: string;
  readonly wish: Wish;
  /** The last answer's; 0 when no node answered in the time there was. */
  readonly status: number;
  readonly order?: Order;
  /** The problem's code when it was refused. */
  readonly code?: string;
  /** From the first attempt to the last answer. */
  readonly ms: number;
  /** `performance.now()` at the last answer. */
  readonly answeredAt: number;
  /** The URL of the node that answered last. */
  readonly node: string;
  readonly attempts: number;
  /** The attempts that had no answer. */
  readonly unanswered: readonly NoAnswer[];
}

export interface BuyersOptions {
  readonly urls: readonly string[];
  readonly buyers: number;
  /** Purchases in total; default: until stopped. */
  readonly purchases?: number;
  readonly wish: (index: number) => Wish;
  /** Seconds for `Prefer: wait`; 0 sends none. */
  readonly waitSeconds: number;
  /** Has nodes say when they have begun to read, so that what they cut off can be told from what never reached them. */
  readonly expectContinue?: boolean;
  /** How long one purchase is tried at one node after the other. */
  readonly patienceMs?: number;
}

export interface Buyers {
  /** Grows as answers come. */
  readonly purchases: readonly Purchase[];
  /** Lets each buyer finish what it is buying. */
  stop(): Promise<readonly Purchase[]>;
  /** Resolves when all purchases are made; without a number of them, when stopped. */
  readonly done: Promise<readonly Purchase[]>;
}

const attemptsMax = 40;
const pauseMsMax = 500;

export function startBuyers(options: BuyersOptions): Buyers {
  const client = new JsonClient({ connectionsMax: options.buyers });
  const purchases: Purchase[] = [];
  let next = 0;
  let stopped = false;

  const buyer = async (number: number): Promise<void> => {
    while (!stopped && next < (options.purchases ?? Infinity)) {
      const index = next;
      next += 1;
      purchases.push(await buy(client, options, index, number));
    }
  };
  const done = Promise.all(Array.from({ length: options.buyers }, (_, number) => buyer(number))).then(() => {
    client.close();
    return purchases;
  });
  return {
    purchases,
    done,
    stop() {
      stopped = true;
      return done;
    },
  };
}

/** All purchases, made. */
export function buyAll(
  options: BuyersOptions & { readonly purchases: number },
): Promise<readonly Purchase[]> {
  return startBuyers(options).done;
}

async function buy(
  client: JsonClient,
  options: BuyersOptions,
  index: number,
  buyer: number,
): Promise<Purchase> {
  const { urls, patienceMs = 30_000 } = options;
  const wish = options.wish(index);
  const key = randomUUID();
  const begun = performance.now();
  const unanswered: NoAnswer[] = [];
  for (let attempt = 1; ; attempt += 1) {
    const node = urls[(index + attempt - 1) % urls.length] ?? '';
    const answer = await ask(client, node, { ...options, key, wish, buyer }).catch((error: unknown) => {
      if (!(error instanceof NoAnswer)) throw error;
      unanswered.push(error);
      return undefined;
    });
    const answeredAt = performance.now();
    const worthAnotherTry = answer === undefined || answer.status === 503;
    if (!worthAnotherTry || attempt >= attemptsMax || answeredAt - begun > patienceMs) {
      const { status = 0, body } = answer ?? {};
      const code = (body as { code?: string } | undefined)?.code;
      return {
        key,
        wish,
        status,
        ...(status === 200 || status === 201 ? { order: body as Order } : {}),
        ...(code === undefined ? {} : { code }),
        ms: answeredAt - begun,
        answeredAt,
        node,
        attempts: attempt,
        unanswered,
      };
    }
    await delay(Math.min(pauseMsMax, 25 * 2 ** Math.min(attempt, 5)));
  }
}

function ask(
  client: JsonClient,
  node: string,
  options: Pick<BuyersOptions, 'waitSeconds' | 'expectContinue'> & {
    readonly key: string;
    readonly wish: Wish;
    readonly buyer: number;
  },
): Promise<Answer> {
  const { key, wish, buyer, waitSeconds, expectContinue = false } = options;
  return client.ask('POST', `${node}/orders`, {
    body: orderBody(wish, buyer),
    headers: {
      'idempotency-key': key,
      ...(waitSeconds === 0 ? {} : { prefer: `wait=${String(waitSeconds)}` }),
      ...(expectContinue ? { expect: '100-continue' } : {}),
    },
    timeoutMs: waitSeconds * 1_000 + 5_000,
  });
}

export function orderBody(
  { lines, method = 'pm_card_visa', returnUrl }: Wish,
  buyer = 0,
): Record<string, unknown> {
  return {
    customer: { id: `buyer-${String(buyer)}`, email: `buyer-${String(buyer)}@example.com` },
    currency,
    lines,
    payment: { method, ...(returnUrl === undefined ? {} : { returnUrl }) },
  };
}

/** The value below which a `share` (0 to 1) of `values` lies; 0 when there are none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** How often each answer came: `fulfilled`, `refunded OUT_OF_STOCK`, `503 OVERLOADED`, `no answer`. */
export function countAnswers(purchases: readonly Purchase[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { status, order, code } of purchases) {
    const name =
      order !== undefined
        ? [order.outcome ?? order.state, order.reason].filter((part) => part !== undefined).join(' ')
        : status === 0
          ? 'no answer'
          : [String(status), code].filter((part) => part !== undefined).join(' ');
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
