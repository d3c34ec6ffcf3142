import Stripe from 'stripe';
import type { StripeDouble } from '../../node/payments/sandbox/stripe-double.ts';
import type { Random } from '../../store/environment.ts';
import { worldWallClock, type Process } from '../sim/world/process.ts';
import type { Scheduler } from '../sim/world/scheduler.ts';

/**
 * Stripe's own client on a simulated network: what it sends reaches the sandbox's provider in world time, and the answer
 * comes back to the process that asked, if that still runs.
 */
type MakeRequest = Stripe.HttpClient['makeRequest'];

const latencyMsMax = 10;

export class StripeWire implements Stripe.HttpClient {
  readonly #process: Process;
  readonly #dependencies: {
    readonly scheduler: Scheduler;
    readonly random: Random;
    readonly double: StripeDouble;
  };

  constructor(
    process: Process,
    dependencies: {
      readonly scheduler: Scheduler;
      readonly random: Random;
      readonly double: StripeDouble;
    },
  ) {
    this.#process = process;
    this.#dependencies = dependencies;
  }

  getClientName(): string {
    return 'simulated';
  }

  makeRequest(...[, , url, method, headers, body, , timeoutMs]: Parameters<MakeRequest>) {
    const { scheduler, double } = this.#dependencies;
    const process = this.#process;
    const { 'Idempotency-Key': idempotencyKey, Authorization: authorization } = headers as Record<
      string,
      string | undefined
    >;
    return new Promise<Stripe.HttpClientResponse>((resolve, reject) => {
      if (process.isDead) return;
      const cancelPatience = process.clock.after(timeoutMs, () =>
        reject(Stripe.HttpClient.makeTimeoutError()),
      );
      // Whatever becomes of the asking program, the question is on its way.
      scheduler.after(this.#latencyMs(), () => {
        const at = worldWallClock(scheduler);
        const reply = double.handle({ at, method, url, body, authorization, idempotencyKey });
        scheduler.after(reply.delayMs, () => reply.sent());
        scheduler.after(reply.delayMs + this.#latencyMs(), () => {
          process.run('input', () => {
            cancelPatience();
            if (reply.answer === undefined) reject(new ConnectionLost('the connection broke'));
            else resolve(new Response(reply.answer));
          });
        });
      });
    });
  }

  close(): void {
    // Nothing is kept open.
  }

  #latencyMs(): number {
    return 1 + this.#dependencies.random() * latencyMsMax;
  }
}

/** Not a code that Stripe's client repeats a call for. */
class ConnectionLost extends Error {
  readonly code = 'CONNECTION_LOST';
}

class Response implements Stripe.HttpClientResponse {
  readonly #status: number;
  readonly #headers: Record<string, string>;
  readonly #body: unknown;

  constructor(answer: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: unknown;
  }) {
    this.#status = answer.status;
    this.#headers = { ...answer.headers };
    // As it would look after its way through JSON.
    this.#body = JSON.parse(JSON.stringify(answer.body));
  }

  getStatusCode(): number {
    return this.#status;
  }

  getHeaders(): Record<string, string> {
    return this.#headers;
  }

  getRawResponse(): unknown {
    return {};
  }

  toStream(): never {
    throw new Error('payments are not streamed');
  }

  async toJSON(): Promise<unknown> {
    return this.#body;
  }
}
