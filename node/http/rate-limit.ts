import rateLimit, { normalizeIP } from '@fastify/rate-limit';
import type { FastifyInstance, RouteOptions } from 'fastify';
import { problems } from './documentation.ts';
import { Problem } from './problems.ts';

/**
 * How many requests one client may send. Off unless it is configured: most shops send every order from one address,
 * and a limit that nobody chose would be met first on their best day.
 *
 * It owns one counter per client. It does not look at how busy the node is (shedding.ts).
 *
 * R1  Whoever asks how the node is, and the payment provider, is never counted: their calls are what mends things.
 * R2  Bounded: at most `CLIENTS_MAX` counters. Whoever was silent longest is forgotten first, and begins anew.
 * R3  Who is refused hears when to come back.
 */
export interface RateLimit {
  /** Requests of one client in one window. */
  readonly perClient: number;
  readonly windowMs: number;
}

/** Some 100 bytes each. */
const CLIENTS_MAX = 10_000;
const EXEMPT: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics', '/webhooks/stripe']);

/** To be called before the routes are added. Without a limit nothing is counted, and the answer is documented. */
export function limitClients(app: FastifyInstance, limit: RateLimit | undefined): void {
  app.addHook('onRoute', documentRefusal);
  if (limit === undefined) return;
  app.register(rateLimit, {
    max: limit.perClient,
    timeWindow: limit.windowMs,
    cache: CLIENTS_MAX,
    enableDraftSpec: true,
    // Of IPv6, whoever has one address has 2^64 of them: the network is the client.
    keyGenerator: (request) => normalizeIP(request.ip),
    allowList: (request) => EXEMPT.has(request.routeOptions.url ?? ''),
    errorResponseBuilder: (_request, { max }) =>
      new Problem('RATE_LIMITED', `A client may send ${max} requests in ${limit.windowMs / 1_000} seconds.`),
  });
}

function documentRefusal({ url, schema }: RouteOptions): void {
  if (schema?.response === undefined || EXEMPT.has(url)) return;
  schema.response = { ...schema.response, ...problems('RATE_LIMITED') };
}
