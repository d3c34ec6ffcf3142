import type * as z from 'zod';
import type { Environment } from '../../store/environment.ts';
import { SystemOfRecordUnavailable } from '../ports/system-of-record.ts';
import { refusal } from './http-wire.ts';

/**
 * Requests to an HTTP system of record, and what their failures mean. Owns the bounds of time and size, and the pause
 * that the other side asks for; does not own what is asked.
 *
 *   L1  Every request ends within `timeoutMs`, its answer read to the end, and no answer takes more than
 *       `answerBytesMax`.
 *   L2  Only 400, 409, 413 and 422 blame what was sent. All else that is not an answer of the contract is an outage:
 *       a changed token must not park every order of the shop.
 *   L3  After 429 nothing is sent until the pause is over.
 *   L4  Redirections are not followed: the token would go along.
 */
export interface HttpLineOptions {
  readonly url: string;
  readonly token?: string;
  readonly timeoutMs: number;
  readonly answerBytesMax: number;
}

/** The other side refuses this request and always will until somebody changes something: not an outage. */
export class RefusedByHttp extends Error {
  override readonly name = 'RefusedByHttp';
  readonly code: string;
  readonly detail: string;
  constructor(code: string, detail: string) {
    super(`${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
  }
}

/** The cursor is not known any more: read everything anew. */
export class CursorGone extends SystemOfRecordUnavailable {}

const statusesThatBlameTheData: ReadonlySet<number> = new Set([400, 409, 413, 422]);
const pauseMsDefault = 1_000;
const pauseMsMax = 5 * 60_000;

export class HttpLine {
  readonly #options: HttpLineOptions;
  readonly #clock: Pick<Environment['clock'], 'now' | 'monotonic'>;
  readonly #closing = new AbortController();
  #pausedUntil = -Infinity;

  constructor(options: HttpLineOptions, dependencies: { readonly environment: Pick<Environment, 'clock'> }) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, '') };
    this.#clock = dependencies.environment.clock;
  }

  /**
   * A question: it has no data to blame, so whatever is refused of it is an outage. Rejects with SystemOfRecordUnavailable
   * or CursorGone. `path` begins with a slash.
   */
  async ask<Answer>(path: string, schema: z.ZodType<Answer>, body?: object): Promise<Answer> {
    try {
      return await this.send(path, schema, body);
    } catch (error) {
      if (error instanceof RefusedByHttp)
        throw new SystemOfRecordUnavailable(error.message, { cause: error });
      throw error;
    }
  }

  /** Data, which may be refused for what is in it: rejects with RefusedByHttp as well. */
  async send<Answer>(path: string, schema: z.ZodType<Answer>, body?: object): Promise<Answer> {
    const pauseMs = this.#pausedUntil - this.#clock.monotonic();
    if (pauseMs > 0)
      throw new SystemOfRecordUnavailable(`it asked for a pause of ${Math.ceil(pauseMs)} ms more`);
    const { status, headers, content } = await this.#exchange(path, body);
    if (status === 429) this.#pause(headers.get('retry-after'));
    if (status === 410) throw new CursorGone('the cursor is not known any more');
    const answer = parsed(content);
    if (statusesThatBlameTheData.has(status)) {
      const { code, detail } = refusal.parse(answer);
      throw new RefusedByHttp(code, detail || `status ${status}`);
    }
    if (status !== 200) throw new SystemOfRecordUnavailable(`it answers with status ${status}`);
    const { success, data } = schema.safeParse(answer);
    if (!success) throw new SystemOfRecordUnavailable('its answer is not as agreed');
    return data;
  }

  close(): void {
    this.#closing.abort();
  }

  async #exchange(
    path: string,
    body: object | undefined,
  ): Promise<{ readonly status: number; readonly headers: Headers; readonly content: string }> {
    const { url, token, timeoutMs } = this.#options;
    try {
      const response = await fetch(url + path, {
        method: body === undefined ? 'GET' : 'POST',
        redirect: 'error',
        signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(timeoutMs)]),
        headers: {
          accept: 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, headers: response.headers, content: await this.#read(response) };
    } catch (error) {
      if (error instanceof SystemOfRecordUnavailable) throw error;
      throw new SystemOfRecordUnavailable(describe(error), { cause: error });
    }
  }

  /** L1. Leaving the loop early cancels the body, and with it the connection. */
  async #read(response: Response): Promise<string> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      bytes += chunk.byteLength;
      if (bytes > this.#options.answerBytesMax) {
        throw new SystemOfRecordUnavailable(
          `its answer is longer than ${this.#options.answerBytesMax} bytes`,
        );
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  /** L3. Seconds, or a date; bounded, for a mistake over there must not stop the delivery for days. */
  #pause(retryAfter: string | null): void {
    const seconds = Number(retryAfter ?? NaN);
    const askedMs = Number.isNaN(seconds)
      ? Date.parse(retryAfter ?? '') - this.#clock.now()
      : seconds * 1_000;
    const pauseMs = Number.isNaN(askedMs) ? pauseMsDefault : Math.min(Math.max(askedMs, 0), pauseMsMax);
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.monotonic() + pauseMs);
  }
}

/** Undefined when it is no JSON. */
function parsed(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}

/** fetch says "fetch failed", and why in its cause. */
function describe(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return String(cause);
  const { code } = cause as NodeJS.ErrnoException;
  return (
    [code, cause.message].filter((part) => typeof part === 'string' && part !== '').join(': ') || cause.name
  );
}
