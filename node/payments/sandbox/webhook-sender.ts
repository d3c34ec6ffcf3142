import type { Outbox } from './outbox.ts';
import type { Delivery } from './outbox.ts';
import { Ticker } from './ticker.ts';

/**
 * Posts what the outbox has due to the shop. The addresses are those of one shop, any node of which takes any event:
 * each attempt goes to the next one, as a load balancer would have it, so a dead node only costs an attempt.
 */
export interface WebhookSenderOptions {
  readonly urls: readonly string[];
  readonly timeoutMs?: number;
  readonly concurrentMax?: number;
}

const usual = { timeoutMs: 5_000, concurrentMax: 16 };

export class WebhookSender {
  readonly #options: Required<WebhookSenderOptions>;
  readonly #outbox: Outbox;
  readonly #now: () => number;
  readonly #ticker: Ticker;
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<void>>();
  #turn = 0;

  constructor(
    options: WebhookSenderOptions,
    dependencies: { readonly outbox: Outbox; readonly now: () => number },
  ) {
    this.#options = { ...usual, ...options };
    this.#outbox = dependencies.outbox;
    this.#now = dependencies.now;
    this.#ticker = new Ticker({
      now: this.#now,
      settle: (at) => {
        this.#sendDue(at);
      },
      // With no line free, the next answer is what to wait for.
      nextAt: () => (this.#free() > 0 ? this.#outbox.nextAt() : undefined),
    });
  }

  /** There may be something to send. */
  look(): void {
    this.#ticker.look();
  }

  /** Breaks off what is being sent; what waits is not sent any more. */
  async close(): Promise<void> {
    this.#ticker.stop();
    this.#closing.abort();
    await Promise.all(this.#underWay);
  }

  #free(): number {
    return this.#options.concurrentMax - this.#underWay.size;
  }

  #sendDue(at: number): void {
    for (const delivery of this.#outbox.take(at, this.#free())) {
      const sending = this.#send(delivery).finally(() => {
        this.#underWay.delete(sending);
        this.#ticker.look();
      });
      this.#underWay.add(sending);
    }
  }

  async #send(delivery: Delivery): Promise<void> {
    const { urls, timeoutMs } = this.#options;
    this.#turn += 1;
    const url = urls[this.#turn % urls.length] ?? '';
    let isAccepted = false;
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'stripe-signature': delivery.signature },
        body: delivery.body,
        signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]),
      });
      await response.arrayBuffer();
      isAccepted = response.ok;
    } catch {
      // Nobody there, or no answer in time: it is tried again.
    }
    this.#outbox.settled(this.#now(), delivery, isAccepted);
  }
}
