import { setTimeout as wait } from 'node:timers/promises';

import Fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { Bank, Outcome } from './bank.ts';
import type { Desk } from './desk.ts';
import { failures } from './failures.ts';
import type { Failure } from './failures.ts';
import type { Fault, FaultPlan } from './faults.ts';
import { nested, parseForm } from './form.ts';
import type { Intent } from './intent.ts';
import { summarize } from './summary.ts';
import { behaviourOf } from './test-methods.ts';
import { bodyOf, errorObject, intentObject, listObject, statusOf } from './wire.ts';
import type { Expand } from './wire.ts';

/** Stripe's HTTP in front of the desk and the bank: routes, headers, and the faults that happen on the way. */
export interface ServerDependencies {
  readonly bank: Bank;
  readonly desk: Desk;
  readonly faults: FaultPlan;
  readonly now: () => number;
  readonly slowAnswerMs: number;
  /** Cuts slow answers short. */
  readonly closing: AbortSignal;
}

type Query = Record<string, string | undefined>;

export function createServer(dependencies: ServerDependencies): FastifyInstance {
  const { bank, desk, faults, now, slowAnswerMs, closing } = dependencies;
  const app = Fastify({ forceCloseConnections: true, bodyLimit: 64 * 1024 });
  let requests = 0;

  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_request, body, done) => done(null, body),
  );
  app.setNotFoundHandler((request, reply) =>
    sendFailure(reply, failures.noSuchRoute(request.method, pathOf(request))),
  );

  app.get('/sandbox/summary', (request) => {
    const { after, limit } = request.query as Query;
    return summarize(bank, { after, limit: pageSize(limit, 1_000, 10_000) });
  });

  void app.register(
    async (stripe) => {
      // Stored per request between the hook and the handler.
      const faultOf = new WeakMap<FastifyRequest, Fault>();

      stripe.addHook('preHandler', async (request, reply) => {
        requests += 1;
        const fault = faults({
          number: requests,
          at: now(),
          method: request.method,
          path: pathOf(request),
          orderId: nested(parseForm(textOf(request)), 'metadata')['order_id'],
        });
        if (fault?.kind === 'hangUp' && !fault.done) return hangUp(request, reply);
        if (fault?.kind === 'refuse') {
          if (fault.retryAfterSeconds !== undefined) reply.header('retry-after', fault.retryAfterSeconds);
          const limited = fault.status === 429;
          return sendFailure(reply, limited ? failures.rateLimited() : failures.broken(fault.status));
        }
        const authorization = request.headers.authorization ?? '';
        if (!/^(Bearer|Basic) \S/.test(authorization)) return sendFailure(reply, failures.noApiKey());
        if (fault !== undefined) faultOf.set(request, fault);
      });

      const take = async (request: FastifyRequest, reply: FastifyReply) => {
        const fault = faultOf.get(request);
        const key = request.headers['idempotency-key'];
        const answer = await desk.take({
          at: now(),
          path: pathOf(request),
          body: textOf(request),
          key: typeof key === 'string' ? key : undefined,
          outage: fault?.kind === 'fail',
        });
        try {
          const delayMs =
            fault?.kind === 'delay' ? fault.ms : isSlow(pathOf(request), answer) ? slowAnswerMs : 0;
          if (delayMs > 0) await wait(delayMs, undefined, { signal: closing });
          if (fault?.kind === 'hangUp') return hangUp(request, reply);
          reply.header('request-id', answer.requestId);
          if (typeof key === 'string') reply.header('idempotency-key', key);
          if (answer.replayOf !== undefined) {
            reply.header('idempotent-replayed', 'true').header('original-request', answer.replayOf);
          }
          reply.code(statusOf(answer.outcome));
          return bodyOf(answer.outcome, expandOf(textOf(request)));
        } finally {
          answer.sent();
        }
      };
      stripe.post('/payment_intents', take);
      stripe.post('/payment_intents/:id/confirm', take);
      stripe.post('/payment_intents/:id/capture', take);
      stripe.post('/payment_intents/:id/cancel', take);
      stripe.post('/refunds', take);

      stripe.get('/payment_intents/:id', (request, reply) => {
        const { id } = request.params as { id: string };
        const intent = bank.intent(id);
        if (intent === undefined) return sendFailure(reply, failures.noSuchIntent(id));
        return intentObject(intent, expandOf(queryOf(request)));
      });
      stripe.get('/refunds/:id', (request, reply) => {
        const { id } = request.params as { id: string };
        const refund = bank.refund(id);
        if (refund === undefined) return sendFailure(reply, failures.noSuchRefund(id));
        return bodyOf({ kind: 'refund', refund }, new Set());
      });
      stripe.get('/payment_intents', (request) => {
        const { limit, starting_after: after } = request.query as Query;
        const newestFirst = [...bank.intents()].reverse();
        const start = after === undefined ? 0 : newestFirst.findIndex(({ id }) => id === after) + 1;
        const end = start + pageSize(limit, 10, 100);
        const page = newestFirst.slice(start, end).map(withoutExpansion);
        return listObject(page, '/v1/payment_intents', end < newestFirst.length);
      });
      // Of Stripe's query language, the one clause that finds an order's payments.
      stripe.get('/payment_intents/search', (request, reply) => {
        const { query = '' } = request.query as Query;
        const [, orderId] = /^metadata\[['"]order_id['"]\]:\s*['"]([^'"]+)['"]$/.exec(query) ?? [];
        if (orderId === undefined) return sendFailure(reply, failures.invalidParameter('query', query));
        const expand = searchExpand(expandOf(queryOf(request)));
        const found = [...bank.intentsOf(orderId)].reverse().map((intent) => intentObject(intent, expand));
        return {
          object: 'search_result',
          data: found,
          has_more: false,
          next_page: null,
          url: '/v1/payment_intents/search',
        };
      });
    },
    { prefix: '/v1' },
  );

  return app;
}

/** Only charging the card takes long, and only the first time: a replay comes from the books. */
function isSlow(path: string, answer: { readonly outcome: Outcome; readonly replayOf?: string }): boolean {
  if (answer.replayOf !== undefined || answer.outcome.kind !== 'intent') return false;
  if (path.endsWith('/capture') || path.endsWith('/cancel')) return false;
  const behaviour = behaviourOf(answer.outcome.intent.method ?? '');
  return behaviour?.kind === 'succeeds' && behaviour.slow;
}

function sendFailure(reply: FastifyReply, failure: Failure): FastifyReply {
  return reply.code(failure.status).send(errorObject(failure));
}

function hangUp(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.hijack();
  request.raw.socket.destroy();
  return reply;
}

function withoutExpansion(intent: Intent): unknown {
  return intentObject(intent, new Set());
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? '';
}

function queryOf(request: FastifyRequest): string {
  return request.url.slice(pathOf(request).length + 1);
}

function textOf(request: FastifyRequest): string {
  return typeof request.body === 'string' ? request.body : '';
}

/** `expand[0]=latest_charge.refunds` also means `latest_charge`. */
function expandOf(encoded: string): Expand {
  const expand = new Set<string>();
  if (!encoded.includes('expand')) return expand;
  for (const path of Object.values(nested(parseForm(encoded), 'expand'))) {
    path.split('.').forEach((_, index, words) => expand.add(words.slice(0, index + 1).join('.')));
  }
  return expand;
}

/** In lists and searches, expansions are asked for below `data`. */
function searchExpand(expand: Expand): Expand {
  return new Set([...expand].map((path) => path.replace(/^data\.?/, '')));
}

function pageSize(asked: string | undefined, usual: number, most: number): number {
  const size = Number(asked ?? usual);
  return Number.isInteger(size) && size >= 1 ? Math.min(size, most) : usual;
}
