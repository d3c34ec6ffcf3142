import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import type { Log } from '../../store/environment.ts';
import { DeadlineExceeded } from '../ports/deadline.ts';
import { Problem, PROBLEM_MEDIA_TYPE, problemOf, type ProblemCode } from './problems.ts';
import { traceIdOf } from './trace.ts';

/**
 * Every way a request can fail ends here as a problem document: what routes throw, what Fastify finds wrong
 * (validation, body, path), and what Node's HTTP parser finds wrong before there is a request at all.
 * What nobody foresaw is logged and answered 500 without a word about it.
 */

/** Fastify's own codes, as far as a client can cause them. */
const FRAMEWORK_ERRORS: Readonly<Record<string, readonly [code: ProblemCode, detail: string]>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: [
    'MALFORMED_JSON',
    'The body is not JSON, or has a key that is not allowed.',
  ],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: ['UNSUPPORTED_MEDIA_TYPE', 'Send Content-Type: application/json.'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['BODY_TOO_LARGE', 'The body is larger than this node accepts.'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    'MALFORMED_REQUEST',
    'The body is not as long as Content-Length says.',
  ],
  ECONNRESET: ['MALFORMED_REQUEST', 'The connection broke before the body was whole.'],
  FST_ERR_BAD_URL: ['MALFORMED_REQUEST', 'The path is not percent-encoded correctly.'],
  FST_ERR_MAX_PARAM_LENGTH: ['URI_TOO_LONG', 'A part of the path is longer than any name here.'],
};

/** Codes of this interface for statuses that the framework may give. */
const CODE_OF_STATUS: Readonly<Record<number, ProblemCode>> = {
  404: 'NOT_FOUND',
  413: 'BODY_TOO_LARGE',
  414: 'URI_TOO_LONG',
};

/** Node's codes for what is wrong with the bytes on a connection. */
const CONNECTION_ERRORS: Readonly<Record<string, ProblemCode>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'REQUEST_TIMEOUT',
  HPE_HEADER_OVERFLOW: 'HEADERS_TOO_LARGE',
};

const FIELD_LENGTH_MAX = 200;
const RETRY_AFTER_SECONDS = 1;

/** Makes the one error handler. `refused` hears of every problem that is sent to a client which is still there. */
export function problemSender(log: Log, refused: (code: ProblemCode) => void) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const problem = foreseen(error, request.url) ?? unforeseen(error, request, log);
    if (!reply.raw.destroyed) refused(problem.row);
    return reply
      .code(problem.status)
      .headers(problem.headers)
      .type(PROBLEM_MEDIA_TYPE)
      .send(problem.document(pathOf(request.url)));
  };
}

/** Answers what could not even be parsed, on the bare socket, and hangs up. */
export function answerConnectionError(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return;
  const code = CONNECTION_ERRORS[error.code ?? ''] ?? 'MALFORMED_REQUEST';
  const problem = new Problem(code, 'The request could not be read.');
  const body = JSON.stringify(problem.document('/'));
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}\r\nConnection: close\r\n` +
      `Content-Type: ${PROBLEM_MEDIA_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}

/** The path without the query, which may hold what does not belong into an answer or a log. */
export function pathOf(url: string): string {
  const query = url.indexOf('?');
  return query === -1 ? url : url.slice(0, query);
}

function foreseen(error: unknown, url: string): Problem | undefined {
  if (error instanceof Problem) return error;
  if (error instanceof DeadlineExceeded) {
    const { code, message } = error;
    return problemOf({
      code,
      detail: `${message}; it may be asked again`,
      retryAfterSeconds: RETRY_AFTER_SECONDS,
    });
  }
  if (!(error instanceof Error)) return undefined;
  const { validation, validationContext, code } = error as FastifyError;
  if (validation !== undefined) return invalid(validation[0], validationContext);
  const row = Object.hasOwn(FRAMEWORK_ERRORS, code) ? FRAMEWORK_ERRORS[code] : undefined;
  return row === undefined ? refusedByFramework(error, pathOf(url)) : new Problem(...row);
}

/**
 * What Fastify or a plugin refuses for the client's fault. A status alone says nothing: the payment provider's client
 * puts one on its errors too. Fastify's have a code of its own, those of its plugins the marks of `http-errors`.
 * Their words are left out, as they may name a file.
 */
function refusedByFramework(error: Error, path: string): Problem | undefined {
  const {
    code: own,
    statusCode,
    status,
    expose,
  } = error as Partial<FastifyError> & {
    readonly status?: unknown;
    readonly expose?: unknown;
  };
  if (statusCode === undefined || statusCode < 400 || statusCode > 499) return undefined;
  const isFastifys = own?.startsWith('FST_') === true;
  const isPlugins = status === statusCode && typeof expose === 'boolean';
  if (!isFastifys && !isPlugins) return undefined;
  const code = CODE_OF_STATUS[statusCode] ?? 'REQUEST_REFUSED';
  return new Problem(code, `${path} is answered ${statusCode} ${STATUS_CODES[statusCode] ?? ''}.`, {
    refusal: { code, status: statusCode },
  });
}

function unforeseen(error: unknown, request: FastifyRequest, log: Log): Problem {
  const traceId = traceIdOf(request.traceparent);
  log.error(
    {
      method: request.method,
      route: request.routeOptions.url,
      traceId,
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    },
    'a request failed in a way nobody foresaw',
  );
  return new Problem('INTERNAL_ERROR', 'The failure was logged under this trace id.', { traceId });
}

type Violation = NonNullable<FastifyError['validation']>[number];

function invalid(violation: Violation | undefined, context: string | undefined): Problem {
  const field = violation === undefined ? '' : fieldOf(violation);
  const rule = violation?.message ?? 'is not valid';
  if (context === 'headers' && field === 'idempotency-key') {
    return new Problem('INVALID_IDEMPOTENCY_KEY', 'It must be 1 to 255 visible ASCII characters.', {
      field: 'Idempotency-Key',
    });
  }
  return field === ''
    ? new Problem('INVALID_REQUEST', `The ${context ?? 'request'} ${rule}.`)
    : new Problem('INVALID_REQUEST', `${field} ${rule}.`, { field });
}

/** The JSON path that a violation is about: the missing or the unknown member itself, where it is one. */
function fieldOf(violation: Violation): string {
  const parts = violation.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const member = violation.params['missingProperty'] ?? violation.params['additionalProperty'];
  if (typeof member === 'string') parts.push(member);
  return jsonPath(parts).slice(0, FIELD_LENGTH_MAX);
}

function jsonPath(parts: readonly string[]): string {
  let path = '';
  for (const part of parts) {
    if (/^\d+$/.test(part)) path += `[${part}]`;
    else if (/^[\w-]+$/.test(part)) path += path === '' ? part : `.${part}`;
    else path += `[${JSON.stringify(part)}]`;
  }
  return path;
}
