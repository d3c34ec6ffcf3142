import type { FastifyPluginAsync } from 'fastify';
import type { StockLevel } from '../../../store/ledger/port.ts';
import type { HttpDependencies } from '../dependencies.ts';
import { answers, problems } from '../documentation.ts';
import type { StockAdjustment } from '../../ports/stock-adjustments.ts';
import { NotSupportedBySystemOfRecord, SystemOfRecordUnavailable } from '../../ports/system-of-record.ts';
import { Problem, retryAfter } from '../problems.ts';
import { readNumbersInQuery } from '../query.ts';
import { sku } from '../request-schemas.ts';

/** Read stock from this node's copy, with how fresh it is; and put the system of record's figures right. */

const tags = ['stock'];

const RETRY_AFTER_SECONDS = 10;

const adjustHeaders = {
  type: 'object',
  required: ['Idempotency-Key'],
  properties: {
    'Idempotency-Key': {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      pattern: '^[\\x21-\\x7e]+$',
      description: 'Names the adjustment: the same key is the same adjustment, at any node.',
    },
  },
} as const;

const listQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    after: { ...sku, description: '`next` of the page before.' },
    limit: { type: 'integer', minimum: 1, maximum: 1_000, default: 1_000 },
  },
} as const;

export function stockRoutes({
  ledger,
  adjustments,
}: Pick<HttpDependencies, 'ledger' | 'adjustments'>): FastifyPluginAsync {
  const freshly = (levels: readonly StockLevel[]) => {
    const { asOf, linearizable } = ledger.freshness();
    return levels.map((level) => ({
      ...level,
      short: Math.max(0, -level.available),
      asOf,
      linearizable,
    }));
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

    app.post<{ Params: { sku: string }; Body: Pick<StockAdjustment, 'kind' | 'delta' | 'reason' | 'by'> }>(
      '/stock/:sku/adjustments',
      {
        schema: {
          operationId: 'adjustStock',
          summary: 'Change what is on hand in the system of record',
          description:
            'For what no order explains: deliveries, losses, corrections. It is recorded there with its reason. Units ' +
            'that are gone stop selling at once; units that are new sell when they were read: at once on the node that ' +
            'leads the ledger, at the next run of the inbound reconciler elsewhere.',
          tags,
          headers: adjustHeaders,
          params: { type: 'object', required: ['sku'], properties: { sku } },
          body: { $ref: 'AdjustStock#' },
          response: {
            200: answers('The adjustment that this key made before.', 'StockAdjustment', {
              'Idempotency-Replayed': 'Always `true`.',
            }),
            201: answers('Recorded, and the figure changed.', 'StockAdjustment'),
            ...problems(
              'INVALID_REQUEST',
              'MALFORMED_JSON',
              'INVALID_IDEMPOTENCY_KEY',
              'SKU_NOT_FOUND',
              'BODY_TOO_LARGE',
              'UNSUPPORTED_MEDIA_TYPE',
              'ON_HAND_SHORT',
              'ADJUSTMENT_REFUSED',
              'IDEMPOTENCY_KEY_REUSED',
              'NOT_SUPPORTED',
              'DEADLINE_EXCEEDED',
              'SYSTEM_OF_RECORD_UNAVAILABLE',
            ),
          },
        },
      },
      async (request, reply) => {
        const { kind, delta, reason, by } = request.body;
        const id = request.headers['idempotency-key'] as string;
        const answer = await adjustments
          .adjust({ id, sku: request.params.sku, kind, delta, reason, by }, request.deadline)
          .catch((error: unknown) => {
            throw problemOfAdjusting(error);
          });
        if (answer.kind === 'refused') throw new Problem(answer.code, `${answer.detail}.`);
        void (answer.replayed ? reply.header('idempotency-replayed', 'true') : reply.code(201));
        return { ...answer.adjustment, at: answer.at, onHand: answer.onHand };
      },
    );
  };
}

function problemOfAdjusting(error: unknown): unknown {
  if (error instanceof NotSupportedBySystemOfRecord) return new Problem('NOT_SUPPORTED', `${error.message}.`);
  if (!(error instanceof SystemOfRecordUnavailable)) return error;
  const detail = 'It is not known whether the change was recorded: repeat it with the same Idempotency-Key.';
  return new Problem('SYSTEM_OF_RECORD_UNAVAILABLE', detail, { headers: retryAfter(RETRY_AFTER_SECONDS) });
}
