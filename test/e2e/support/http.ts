import { Agent, request } from 'node:http';

/** A small JSON client with its own keep-alive connections, so that a load test measures nodes and not fetch. */

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed; undefined when there was no JSON. */
  readonly body: unknown;
}

/** A request that got no answer, and how far it came. */
export class NoAnswer extends Error {
  /** `ECONNREFUSED` where no node listens, `ECONNRESET`, `ABORT_ERR` when it took too long. */
  readonly code: string;
  /** Nothing had been asked on this connection before. */
  readonly isFirst: boolean;
  /** The server had said something: part of an answer or, where it was asked to, that it has begun to read. */
  readonly wasHeard: boolean;

  constructor(cause: unknown, how: { readonly isFirst: boolean; readonly wasHeard: boolean }) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = String((cause as { readonly code?: unknown }).code);
    this.isFirst = how.isFirst;
    this.wasHeard = how.wasHeard;
  }
}

export class JsonClient {
  readonly #agent: Agent;

  constructor(options: { readonly connectionsMax: number }) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.connectionsMax, scheduling: 'lifo' });
  }

  /** Rejects with NoAnswer when there is none within `timeoutMs`, or the connection breaks. */
  ask(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    url: string,
    options: {
      readonly body?: unknown;
      readonly headers?: Readonly<Record<string, string>>;
      readonly timeoutMs?: number;
    } = {},
  ): Promise<Answer> {
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    return new Promise((resolve, reject) => {
      let wasHeard = false;
      const fail = (error: unknown): void => {
        reject(new NoAnswer(error, { isFirst: !outgoing.reusedSocket, wasHeard }));
      };
      const outgoing = request(
        url,
        {
          method,
          agent: this.#agent,
          signal: AbortSignal.timeout(options.timeoutMs ?? 10_000),
          headers: {
            ...(body === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
            ...options.headers,
          },
        },
        (incoming) => {
          wasHeard = true;
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', fail);
          incoming.on('end', () => {
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: parsed(Buffer.concat(chunks).toString('utf8')),
            });
          });
        },
      );
      outgoing.on('continue', () => (wasHeard = true));
      outgoing.on('error', fail);
      outgoing.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
