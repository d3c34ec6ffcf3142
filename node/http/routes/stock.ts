import type { FastifyPluginAsync } from 'fastify';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { HttpDependencies } from '../dependencies.ts';
import { answers, problems } from '../documentation.ts';
import { Problem } from '../problems.ts';
import { readNumbersInQuery } from '../query.ts';
import { sku } from '../request-schemas.ts';

/** Read stock from this node's copy, with how fresh it is. */

const tags = ['stock'];

const listQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    after: { ...sku, description: '`next` of the page before.' },
    limit: { type: 'integer', minimum: 1, maximum: 1_000, default: 1_000 },
  },
} as const;

export function stockRoutes({ ledger }: Pick<HttpDependencies, 'ledger'>): FastifyPluginAsync {
  const freshly = (levels: readonly StockLevel[]) => {
    const { asOf, linearizable } = ledger.freshness();
    return levels.map((level) => ({ ...level, asOf, linearizable }));
  };

  return async (app) => {
    app.get<{ Querystring: { after?: string; limit: number } }>(
      '/stock',
      {
        preValidation: readNumbersInQuery('limit'),
        schema: {
          operationId: 'listStock',
          summary: 'List stock by SKU',
          tags,
          querystring: listQuery,
          response: { 200: answers('One page.', 'StockPage'), ...problems('INVALID_REQUEST') },
        },
      },
      async (request) => {
        const { after = '', limit } = request.query;
        const rest = ledger
          .stocks()
          .filter((level) => level.sku > after)
          .toSorted((a, b) => (a.sku < b.sku ? -1 : 1));
        const page = rest.slice(0, limit);
        const next = rest.length > limit ? page.at(-1)?.sku : undefined;
        return { stock: freshly(page), ...(next === undefined ? {} : { next }) };
      },
    );

    app.get<{ Params: { sku: string } }>(
      '/stock/:sku',
      {
        schema: {
          operationId: 'readStock',
          summary: 'Read the stock of one SKU',
          tags,
          params: { type: 'object', required: ['sku'], properties: { sku } },
          response: {
            200: answers('How much there is, and how sure that is.', 'Stock'),
            ...problems('INVALID_REQUEST', 'SKU_NOT_FOUND'),
          },
        },
      },
      async (request) => {
        const level = ledger.stock(request.params.sku);
        if (level === undefined) {
          throw new Problem('SKU_NOT_FOUND', `${request.params.sku} is not known to this node.`);
        }
        return freshly([level])[0];
      },
    );
  };
}
