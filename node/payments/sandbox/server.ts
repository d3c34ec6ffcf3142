import { setTimeout as wait } from 'node:timers/promises';

import Fastify from 'fastify';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { authenticationPage, whereNext } from './authentication-page.ts';
import { failures } from './failures.ts';
import { FaultPlanError, noFaults, parseFaultPlan } from './fault-plan.ts';
import type { FaultPlan } from './fault-plan.ts';
import { parseForm } from './form.ts';
import { pageSize } from './lists.ts';
import type { OperationLog } from './operation-log.ts';
import type { OutboxReport } from './outbox.ts';
import { renderMetrics } from './report.ts';
import type { ProviderReply, StripeDouble } from './stripe-double.ts';
import { summarize } from './summary.ts';
import { errorObject } from './wire.ts';

/**
 * HTTP in front of the double: Stripe's routes under `/v1`, and what only a sandbox has under `/sandbox`: the books,
 * the faults, the page where a customer authenticates. A reply leaves after what it tells of is written.
 */
export interface ServerDependencies {
  readonly double: StripeDouble;
  readonly log: OperationLog;
  /** Undefined where nobody is told of events. */
  readonly posted: () => OutboxReport | undefined;
  /** A plan was put in force by a request, and is to be kept. */
  readonly keepPlan: (plan: FaultPlan) => Promise<void>;
  /** Something changed: what happens by itself may be due at another time. */
  readonly onActivity: () => void;
  readonly onRequest: (request: { readonly method: string; readonly path: string }) => void;
  /** ms. */
  readonly now: () => number;
  /** Cuts slow answers short. */
  readonly closing: AbortSignal;
}

type Query = Record<string, string | undefined>;

const bodyBytesMax = 64 * 1024;
const summaryPageUsual = 1_000;
const summaryPageMax = 10_000;

export function createServer(dependencies: ServerDependencies): FastifyInstance {
  const { double, log, posted, keepPlan, onActivity, onRequest, now, closing } = dependencies;
  const app = Fastify({ forceCloseConnections: true, bodyLimit: bodyBytesMax });

  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string' },
    (_request, body, done) => done(null, body),
  );
  app.setNotFoundHandler((request, reply) => {
    const failure = failures.noSuchRoute(request.method, request.url);
    return reply.code(failure.status).send(errorObject(failure, { expand: new Set(), origin: '' }));
  });

  /** Keeps what was done, waits as long as the reply takes, and sends it, or breaks the connection. */
  async function send(
    { answer, delayMs, logged, sent }: ProviderReply,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<unknown> {
    try {
      if (logged !== undefined) await log.append(logged);
      onActivity();
      if (delayMs > 0) await wait(delayMs, undefined, { signal: closing });
      if (answer === undefined) {
        reply.hijack();
        request.raw.socket.destroy();
        return reply;
      }
      reply.code(answer.status).headers(answer.headers);
      return answer.body;
    } finally {
      sent();
    }
  }

  app.all('/v1/*', (request, reply) => {
    const { authorization, 'idempotency-key': key } = request.headers;
    onRequest({ method: request.method, path: request.url.split('?', 1)[0] ?? '' });
    const handled = double.handle({
      at: now(),
      method: request.method,
      url: request.url,
      body: textOf(request),
      authorization,
      idempotencyKey: typeof key === 'string' ? key : undefined,
    });
    return send(handled, request, reply);
  });

  app.get('/sandbox/summary', (request) => {
    double.settle(now());
    const { after, limit } = request.query as Query;
    const page = { after, limit: pageSize(limit, summaryPageUsual, summaryPageMax) };
    const webhooks = posted();
    return {
      ...summarize(double.bank, page),
      faults: double.faults.report().struck,
      ...(webhooks === undefined ? {} : { webhooks }),
    };
  });

  app.get('/metrics', (_request, reply) => {
    reply.type('text/plain; version=0.0.4');
    return renderMetrics(double.faults.report());
  });

  app.get('/sandbox/faults', () => double.faults.report());
  app.put('/sandbox/faults', { bodyLimit: 1024 * 1024 }, async (request, reply) => {
    try {
      const plan = parseFaultPlan(request.body);
      await keepPlan(plan);
      double.faults.put(now(), plan);
      return double.faults.report();
    } catch (error) {
      if (!(error instanceof FaultPlanError)) throw error;
      const { code, message, mistakes } = error;
      return reply.code(400).send({ error: { type: 'invalid_request_error', code, message, mistakes } });
    }
  });
  app.delete('/sandbox/faults', async () => {
    await keepPlan(noFaults);
    double.faults.clear();
    return double.faults.report();
  });

  app.get<{ Params: { id: string } }>('/sandbox/authenticate/:id', (request, reply) => {
    double.settle(now());
    const intent = double.bank.intent(request.params.id);
    reply.code(intent === undefined ? 404 : 200).type('text/html; charset=utf-8');
    return authenticationPage(intent);
  });
  app.post<{ Params: { id: string } }>('/sandbox/authenticate/:id', async (request, reply) => {
    const { id } = request.params;
    const isForm = typeof request.body === 'string';
    const outcome = isForm
      ? parseForm(textOf(request)).get('outcome')
      : (request.body as { outcome?: unknown } | null)?.outcome;
    const handled = double.authenticate(now(), id, typeof outcome === 'string' ? outcome : '');
    const body = await send(handled, request, reply);
    const intent = double.bank.intent(id);
    return isForm && intent !== undefined ? reply.redirect(whereNext(intent), 303) : body;
  });

  return app;
}

function textOf(request: FastifyRequest): string {
  return typeof request.body === 'string' ? request.body : '';
}
