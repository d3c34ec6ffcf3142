import type { FastifyInstance, RouteOptions } from 'fastify';
import type { Random } from '../../store/environment.ts';
import { problems } from './documentation.ts';
import { Problem, retryAfter } from './problems.ts';

/**
 * What is refused while the node has more to do than it can, so that what it has accepted comes to its end in time.
 *
 * It looks at how late the event loop is and at how full the queues are. It owns nothing and remembers nothing. How
 * many orders may be open at all is the order service's to say.
 *
 * S1  Only the beginning of something new is refused, before its body is read. What was accepted, what other nodes ask,
 *     cancellations, webhooks, and whatever tells operators what is going on pass always.
 * S2  New orders are refused first, reads much later: a shop that shows its stock but takes no order for a moment is
 *     better than one that does neither.
 * S3  A part of every queue is for the orders that are here: none of them ever finds one full because of a newcomer.
 * S4  The later the loop, the more is refused, by chance: a door that is either open or shut would slam and flap.
 */
export interface SheddingLimits {
  /** From here on some are refused; from twice this on all. */
  readonly newOrdersFromMs: number;
  readonly readsFromMs: number;
}

export interface SheddingDependencies {
  readonly loopDelayMs: () => number;
  /** What new orders would have to wait in; `limit` is how much may be in it for one to be let in. */
  readonly queues: () => readonly QueueLoad[];
  readonly random: Random;
}

export interface QueueLoad {
  readonly name: string;
  readonly items: number;
  readonly limit: number;
}

type Kind = 'newOrder' | 'read';

const KINDS: ReadonlyMap<string, Kind> = new Map([
  ['POST /orders', 'newOrder'],
  ['GET /orders', 'read'],
  ['GET /orders/:id', 'read'],
  ['GET /orders/:id/events', 'read'],
  ['GET /stock', 'read'],
  ['GET /stock/:sku', 'read'],
]);

export const SHEDDING_LIMITS: SheddingLimits = { newOrdersFromMs: 200, readsFromMs: 1_000 };
/** Those who were refused together do not come back together. */
const RETRY_SECONDS_MAX = 5;

/** To be called before the routes are added. */
export function shedLoad(
  app: FastifyInstance,
  limits: SheddingLimits,
  dependencies: SheddingDependencies,
): void {
  app.addHook('onRoute', documentRefusal);
  app.addHook('onRequest', (request, _reply, done) => {
    const kind = KINDS.get(`${request.method} ${request.routeOptions.url ?? ''}`);
    const reason = kind === undefined ? undefined : refusal(kind, limits, dependencies);
    if (reason === undefined) return done();
    const seconds = 1 + Math.floor(dependencies.random() * RETRY_SECONDS_MAX);
    done(new Problem('OVERLOADED', reason, { headers: retryAfter(seconds) }));
  });
}

/** Why a request of this kind is not begun now; undefined when it may be. */
export function refusal(
  kind: Kind,
  { newOrdersFromMs, readsFromMs }: SheddingLimits,
  { loopDelayMs, queues, random }: SheddingDependencies,
): string | undefined {
  if (kind === 'newOrder') {
    const full = queues().find(({ items, limit }) => items >= limit);
    if (full !== undefined) return `Too much waits on this node (${full.name}).`;
  }
  const from = kind === 'newOrder' ? newOrdersFromMs : readsFromMs;
  const excess = loopDelayMs() / from - 1;
  return excess >= 0 && random() < excess ? 'This node has more to do than it can.' : undefined;
}

function documentRefusal({ method, url, schema }: RouteOptions): void {
  const isRead = [method].flat().some((one) => KINDS.get(`${one} ${url}`) === 'read');
  if (isRead && schema?.response !== undefined)
    schema.response = { ...schema.response, ...problems('OVERLOADED') };
}
