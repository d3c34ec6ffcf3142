import type { FastifyPluginAsync } from 'fastify';
import type { HttpDependencies, HttpOptions } from '../dependencies.ts';
import { answers, problems } from '../documentation.ts';

/** For operators and their machines: the index, the cluster, health and metrics. */

const tags = ['operations'];

export function operationRoutes(
  { self }: Pick<HttpOptions, 'self'>,
  { cluster, readiness, metrics }: Pick<HttpDependencies, 'cluster' | 'readiness' | 'metrics'>,
): FastifyPluginAsync {
  const index = {
    name: 'freehold',
    node: self,
    links: {
      orders: '/orders',
      stock: '/stock',
      reconcilers: '/reconcilers',
      cluster: '/cluster',
      liveness: '/healthz',
      readiness: '/readyz',
      metrics: '/metrics',
      documentation: '/docs',
      openapi: '/openapi.json',
    },
  };

  return async (app) => {
    app.get('/', { schema: { hide: true } }, async () => index);

    app.get(
      '/cluster',
      {
        schema: {
          operationId: 'readCluster',
          summary: 'See the cluster as this node sees it',
          tags,
          response: { 200: answers('The members.', 'Cluster'), ...problems() },
        },
      },
      async () => cluster(),
    );

    app.get(
      '/healthz',
      {
        schema: {
          operationId: 'liveness',
          summary: 'Is the process alive?',
          description: 'Restart the process when this does not answer; never because of /readyz.',
          tags,
          response: {
            200: {
              description: 'It is.',
              content: {
                'application/json': {
                  schema: {
                    type: 'object',
                    required: ['status'],
                    properties: { status: { type: 'string', enum: ['alive'] } },
                  },
                  example: { status: 'alive' },
                },
              },
            },
            ...problems(),
          },
        },
      },
      async () => ({ status: 'alive' }),
    );

    app.get(
      '/readyz',
      {
        schema: {
          operationId: 'readiness',
          summary: 'Should this node get requests?',
          tags,
          response: {
            200: answers('It should.', 'Readiness'),
            ...problems(),
            503: answers('It should not, for these reasons.', 'Readiness'),
          },
        },
      },
      async (_request, reply) => {
        const { ready, reasons } = readiness();
        return reply.code(ready ? 200 : 503).send({ ready, reasons });
      },
    );

    app.get(
      '/metrics',
      {
        schema: {
          operationId: 'metrics',
          summary: 'Metrics for Prometheus',
          tags,
          response: {
            200: {
              description: 'Prometheus text format.',
              content: {
                'text/plain': { schema: { type: 'string' }, example: 'freehold_ledger_term 7\n' },
              },
            },
            ...problems(),
          },
        },
      },
      async (_request, reply) => reply.type(metrics.contentType).send(await metrics.render()),
    );
  };
}
