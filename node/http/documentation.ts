import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { EXAMPLES } from './examples.ts';
import { addRequestExamples } from './request-examples.ts';
import { Problem, PROBLEM_MEDIA_TYPE, PROBLEMS, type ProblemCode } from './problems.ts';
import { SCHEMAS, type SchemaName } from './schemas.ts';

/**
 * The OpenAPI document, made from the schemas that the routes enforce: it cannot say anything else than what
 * the program does. Registered before the routes, which it collects.
 */
export function documentRoutes(app: FastifyInstance): void {
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Freehold',
        version: '1',
        description:
          'Order processing on your own machines. Send a checkout to any node; repeat it with the same ' +
          '`Idempotency-Key`, at any node, as often as needed. Errors are RFC 9457 problem documents.',
      },
      tags: [
        { name: 'orders', description: 'Place, read and cancel orders' },
        { name: 'stock', description: 'What can be sold' },
        { name: 'reconcilers', description: 'Work between Freehold and the system of record' },
        { name: 'operations', description: 'Health, cluster and metrics' },
        { name: 'webhooks', description: 'Called by the payment provider' },
      ],
    },
    transformObject: (document) => {
      if (!('openapiObject' in document)) return document.swaggerObject;
      addRequestExamples(document.openapiObject.paths ?? {});
      return document.openapiObject;
    },
    refResolver: {
      buildLocalReference: (schema, _base, _fragment, index) =>
        typeof schema['$id'] === 'string' ? schema['$id'] : `schema-${index}`,
    },
  });
  app.register(swaggerUi, { routePrefix: '/docs' });
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
}

const RETRY_HEADERS = { 'Retry-After': 'Seconds after which to try again.' };
const RATE_LIMIT_HEADERS = {
  ...RETRY_HEADERS,
  'RateLimit-Limit': 'Requests of one client in one window.',
  'RateLimit-Remaining': 'Those that are left.',
  'RateLimit-Reset': 'Seconds until the next window.',
};

/** The shared schemas, each with its example. */
export function documentedSchemas(): readonly object[] {
  const examples: Readonly<Record<string, object>> = EXAMPLES;
  return SCHEMAS.map((schema) =>
    examples[schema.$id] === undefined ? schema : { ...schema, examples: [examples[schema.$id]] },
  );
}

/** The documentation of one successful status: its body, an example of it, and the headers that come along. */
export function answers(
  description: string,
  name: Exclude<SchemaName, 'Problem'>,
  headers: Readonly<Record<string, string>> = {},
) {
  return {
    description,
    headers: headerSchemas(headers),
    content: { 'application/json': { schema: { $ref: `${name}#` }, example: EXAMPLES[name] } },
  };
}

/** The documentation of every problem that a route can answer, by status, an example for each code. */
export function problems(...codes: readonly ProblemCode[]) {
  const byStatus = Map.groupBy(new Set([...codes, 'INTERNAL_ERROR' as const]), (code) => statusKey(code));
  return Object.fromEntries([...byStatus].map(([status, group]) => [status, problemAnswer(group)]));
}

/** A function may refuse with any 4xx status. */
function statusKey(code: ProblemCode): string {
  return code === 'REFUSED_BY_FUNCTION' ? '4xx' : String(PROBLEMS[code].status);
}

function problemAnswer(codes: readonly ProblemCode[]) {
  const statuses = codes.map((code) => PROBLEMS[code].status);
  const headers = {
    ...(statuses.includes(429) ? RATE_LIMIT_HEADERS : {}),
    ...(statuses.includes(503) ? RETRY_HEADERS : {}),
  };
  return {
    description: codes.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '),
    headers: headerSchemas(headers),
    content: {
      [PROBLEM_MEDIA_TYPE]: {
        schema: { $ref: 'Problem#' },
        examples: Object.fromEntries(
          codes.map((code) => [
            code,
            { value: new Problem(code, `${PROBLEMS[code].title}.`).document('/path') },
          ]),
        ),
      },
    },
  };
}

function headerSchemas(headers: Readonly<Record<string, string>>) {
  return Object.fromEntries(
    Object.entries({ traceparent: 'W3C Trace Context of the request.', ...headers }).map(
      ([name, description]) => [name, { type: 'string', description }],
    ),
  );
}
