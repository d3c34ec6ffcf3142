import http from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import https from 'node:https';

import Stripe from 'stripe';

import type { Clock } from '../../store/environment.ts';

/**
 * The Stripe client's way to the network: `node:http` with kept connections, which costs a quarter of the CPU of
 * its `fetch` client. The one that comes with the SDK is not used, for three reasons:
 *
 *   - its time-out is for silence on the socket; here the whole call has a deadline, connecting included;
 *   - the SDK repeats a call after a reset connection even when told to repeat nothing. Here only the harmless
 *     case is repeated: a kept connection that the other side had closed before this request was answered;
 *   - answers that are not Stripe's (a proxy's page) reach the SDK as what they are, an error of that status.
 */
export interface StripeHttpClientOptions {
  readonly protocol: 'http' | 'https';
  readonly maxSockets: number;
}

/** No answer of the endpoints in use comes near it. */
const bodyBytesMax = 4 * 1024 * 1024;
const idleSocketMs = 30_000;

type MakeRequest = Stripe.HttpClient['makeRequest'];

export class StripeHttpClient implements Stripe.HttpClient {
  readonly #agent: http.Agent;
  readonly #clock: Clock;
  readonly #request: typeof http.request;

  constructor(options: StripeHttpClientOptions, dependencies: { readonly clock: Clock }) {
    const { protocol, maxSockets } = options;
    const secure = protocol === 'https';
    // Last in, first out: connections that are not needed go idle and are closed.
    const agentOptions = { keepAlive: true, maxSockets, scheduling: 'lifo', timeout: idleSocketMs } as const;
    this.#agent = secure ? new https.Agent(agentOptions) : new http.Agent(agentOptions);
    this.#request = secure ? https.request : http.request;
    this.#clock = dependencies.clock;
  }

  getClientName(): string {
    return 'node';
  }

  makeRequest(...[host, port, path, method, headers, body, , timeoutMs]: Parameters<MakeRequest>) {
    const options = { host, port, path, method, headers: headers as http.OutgoingHttpHeaders };
    const deadline = this.#clock.monotonic() + timeoutMs;
    return this.#send(options, body, deadline).catch((error: unknown) => {
      if (!(error instanceof StaleConnectionError)) throw error;
      return this.#send(options, body, deadline);
    });
  }

  /** Breaks what is under way; those calls end as unknown. */
  close(): void {
    this.#agent.destroy();
  }

  #send(options: http.RequestOptions, body: string, deadline: number): Promise<Stripe.HttpClientResponse> {
    return new Promise((resolve, reject) => {
      const request = this.#request({ ...options, agent: this.#agent });
      const cancelDeadline = this.#clock.after(deadline - this.#clock.monotonic(), () => {
        request.destroy(Stripe.HttpClient.makeTimeoutError());
      });
      const fail = (error: Error): void => {
        cancelDeadline();
        reject(error);
      };
      request.on('error', (error) => fail(connectionError(error, request)));
      request.on('response', (message) => {
        readBody(message).then((text) => {
          cancelDeadline();
          resolve(new Response(message, text));
        }, fail);
      });
      request.end(body);
    });
  }
}

class Response implements Stripe.HttpClientResponse {
  readonly #status: number;
  readonly #headers: Record<string, string>;
  readonly #text: string;

  constructor(message: IncomingMessage, text: string) {
    this.#status = message.statusCode ?? 0;
    this.#headers = message.headers as Record<string, string>;
    this.#text = text;
  }

  getStatusCode(): number {
    return this.#status;
  }

  getHeaders(): Record<string, string> {
    return this.#headers;
  }

  /** The SDK writes on this object; nobody reads it. */
  getRawResponse(): unknown {
    return {};
  }

  toStream(): never {
    throw new Error('payments are not streamed');
  }

  async toJSON(): Promise<unknown> {
    if (this.#status < 400) return JSON.parse(this.#text);
    try {
      const body = JSON.parse(this.#text) as { error?: unknown } | null;
      if (typeof body?.error === 'object') return body;
    } catch {
      // Not Stripe's words: fall through to the status.
    }
    return { error: { type: 'api_error', message: `answered with status ${this.#status}` } };
  }
}

/**
 * The kept connection was gone, most likely before this request. Sending it once more is harmless in any case:
 * what changes anything carries an idempotency key.
 */
class StaleConnectionError extends Error {}

/** Under a code of its own, because the SDK repeats what it finds under the original one. */
class ConnectionLostError extends Error {
  readonly code = 'CONNECTION_LOST';
}

function connectionError(error: Error, request: ClientRequest): Error {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ECONNRESET' && code !== 'EPIPE') return error;
  return request.reusedSocket
    ? new StaleConnectionError(error.message, { cause: error })
    : new ConnectionLostError(error.message, { cause: error });
}

function readBody(message: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    message.setEncoding('utf8');
    message.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > bodyBytesMax) message.destroy(new Error('the answer is too large'));
    });
    message.on('end', () => resolve(text));
    message.on('error', (error) => reject(new ConnectionLostError(error.message, { cause: error })));
    message.on('close', () => {
      if (!message.complete) reject(new ConnectionLostError('the answer broke off'));
    });
  });
}
