import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { HttpDependencies, HttpOptions } from './dependencies.ts';
import { carryDeadlines } from './deadline.ts';
import { documentedSchemas, documentRoutes } from './documentation.ts';
import { discardBody } from './discard.ts';
import { closeGently } from './door.ts';
import { answerConnectionError, problemSender } from './errors.ts';
import { acceptStrictJson } from './json-body.ts';
import { answerUnroutedRequests } from './methods.ts';
import { LoopDelay } from './loop-delay.ts';
import { limitClients } from './rate-limit.ts';
import { memberRoutes } from './routes/members.ts';
import { operationRoutes } from './routes/operations.ts';
import { orderRoutes } from './routes/orders.ts';
import { reconcilerRoutes } from './routes/reconcilers.ts';
import { stockRoutes } from './routes/stock.ts';
import { webhookRoutes } from './routes/webhooks.ts';
import { shedLoad, SHEDDING_LIMITS } from './shedding.ts';
import { traceparentOf } from './trace.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The caller's trace, or one begun here. */
    traceparent: string;
  }
}

const BODY_LIMIT_BYTES = 256 * 1_024;
const ARRIVAL_TIMEOUT_MS = 30_000;
const REQUEST_TIMEOUT_MS = 30_000;
const HEADERS_SIZE_BYTES_MAX = 16 * 1_024;
/** Above the think time of clients that call often, and far below the time that a service manager allows for stopping. */
const LINGER_MS = 1_000;

/**
 * The HTTP interface, built and not listening. It owns shapes: what a request must look like, what an answer
 * looks like, which status goes with which refusal. It owns no state and decides nothing about orders.
 *
 *  1. A request reaches the order service only in the form that its schema describes.
 *  2. Every failure is answered by a problem document; what nobody foresaw says nothing about the inside.
 *  3. Every answer carries the `traceparent` of its request.
 *  4. What is done for a request is handed its deadline (deadline.ts), and ends its waiting when its client hangs up.
 *
 * The caller listens and closes. While `draining()` the server still answers, and lets go of connections.
 */
export function createHttpServer(options: HttpOptions, dependencies: HttpDependencies): FastifyInstance {
  const { environment, metrics } = dependencies;
  const sendProblem = problemSender(environment.log, (code) => metrics.http.refused(code));
  const trace = (request: FastifyRequest, reply: FastifyReply) => {
    request.traceparent = traceparentOf(
      request.headers['traceparent'] as string | undefined,
      environment.random,
    );
    void reply.header('traceparent', request.traceparent);
  };

  const app = Fastify({
    bodyLimit: options.bodyLimitBytes ?? BODY_LIMIT_BYTES,
    requestTimeout: options.arrivalTimeoutMs ?? ARRIVAL_TIMEOUT_MS,
    http: { maxHeaderSize: HEADERS_SIZE_BYTES_MAX },
    trustProxy: [...(options.trustProxy ?? [])],
    // Whoever starts and stops this server has bounds of their own; Fastify's, when missed, ends the process.
    pluginTimeout: 0,
    // The order service refuses what it will not take any more; reading goes on until the last connection.
    return503OnClosing: false,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
    clientErrorHandler: answerConnectionError,
    // What is wrong with the path itself is found before any hook runs.
    frameworkErrors: (error, request, reply) => {
      trace(request, reply);
      if (dependencies.draining()) void reply.header('connection', 'close');
      void sendProblem(error, request, reply);
    },
  });

  app.decorateRequest('traceparent', '');
  app.addHook('onRequest', (request, reply, done) => {
    trace(request, reply);
    done();
  });
  carryDeadlines(
    app,
    { timeoutMs: options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS },
    { clock: environment.clock, gaveUp: (reason) => metrics.http.gaveUp(reason) },
  );
  app.addHook('onSend', async (request, reply) => {
    // Looked at now: the node may have been told to leave while this request was waiting.
    if (dependencies.draining()) void reply.header('connection', 'close');
    if (reply.statusCode === 413 || isLast(reply)) await discardBody(request.raw);
  });
  app.addHook('onResponse', (request, reply, done) => {
    metrics.http.answered({
      method: request.method,
      route: request.routeOptions.url ?? 'unmatched',
      status: reply.statusCode,
      seconds: reply.elapsedTime / 1_000,
    });
    done();
  });

  app.setErrorHandler(sendProblem);
  closeGently(app, { lingerMs: options.lingerMs ?? LINGER_MS }, environment);
  answerUnroutedRequests(app);
  acceptStrictJson(app);
  for (const schema of documentedSchemas()) app.addSchema(schema);
  documentRoutes(app);
  limitClients(app, options.rateLimit);
  const loopDelay = new LoopDelay(environment);
  app.addHook('onReady', (done) => {
    loopDelay.start();
    done();
  });
  app.addHook('onClose', (_app, done) => {
    loopDelay.stop();
    done();
  });
  shedLoad(app, SHEDDING_LIMITS, {
    loopDelayMs: () => loopDelay.ms,
    queues: dependencies.queues,
    random: environment.random,
  });

  app.register(orderRoutes(dependencies));
  app.register(stockRoutes(dependencies));
  app.register(reconcilerRoutes(dependencies));
  app.register(webhookRoutes(dependencies));
  app.register(memberRoutes(dependencies));
  app.register(operationRoutes(options, dependencies));
  return app;
}

/** Whether the connection ends with this answer, by the client's wish or this node's. */
function isLast(reply: FastifyReply): boolean {
  return !reply.raw.shouldKeepAlive || reply.getHeader('connection') === 'close';
}
