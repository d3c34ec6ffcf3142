import { CommandError, type CommandContext } from './context.ts';

/** Asks a node over its HTTP interface, and makes out whether it is one that answers. */

export interface NodeAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Nothing came back in time. What was asked for may be done all the same. */
export class NoAnswer extends CommandError {}

/**
 * Resolves with whatever a node answers, refusals included: those are problem documents with a `code`. Rejects with
 * CommandError when nobody answers, or somebody who is no node; with NoAnswer after `timeoutMs`.
 */
export async function askNode(
  baseUrl: string,
  asked: {
    readonly method?: string;
    readonly path: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: object | undefined;
    readonly timeoutMs: number;
    /** A member that whatever is granted has. */
    readonly holds?: string | undefined;
  },
  { stop }: Pick<CommandContext, 'stop'>,
): Promise<NodeAnswer> {
  const { method = 'GET', path, headers = {}, body, timeoutMs, holds } = asked;
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  let text: string;
  try {
    response = await fetch(baseUrl + path, {
      method,
      signal: AbortSignal.any([stop, timeout]),
      ...(body === undefined
        ? { headers }
        : { body: JSON.stringify(body), headers: { ...headers, 'content-type': 'application/json' } }),
    });
    text = await response.text();
  } catch (error) {
    if (timeout.aborted) {
      throw new NoAnswer(`${baseUrl} has not answered within ${(timeoutMs / 1_000).toFixed(1)} s`);
    }
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new CommandError(
      `${baseUrl} does not answer as a node does (${cause instanceof Error ? cause.message : String(cause)})`,
    );
  }
  const answer = objectIn(text);
  const isNodes =
    answer !== undefined &&
    (response.ok ? holds === undefined || holds in answer : typeof answer['code'] === 'string');
  if (!isNodes) {
    const media = response.headers.get('content-type') ?? 'nothing';
    throw new CommandError(
      `${baseUrl} does not answer as a node does (${method} ${path}: status ${response.status}, ${media}): ` +
        'is that the HTTP interface of a node of this version?',
    );
  }
  return { status: response.status, body: answer };
}

function objectIn(text: string): NodeAnswer['body'] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as NodeAnswer['body']) : undefined;
  } catch {
    return undefined;
  }
}
