import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import type { Order, OrderState } from '../../orders/order.ts';
import { whileAwaited } from '../../ports/deadline.ts';
import type { Answer, PlaceOrder } from '../../ports/order-service.ts';
import type { HttpDependencies } from '../dependencies.ts';
import { answers, problems } from '../documentation.ts';
import { waitSecondsOf } from '../prefer.ts';
import { problemOf } from '../problems.ts';
import { readNumbersInQuery } from '../query.ts';
import { ORDER_STATES, orderCursor, orderId } from '../request-schemas.ts';

/** Place, read, list and cancel orders. */

const tags = ['orders'];
const params = { type: 'object', required: ['id'], properties: { id: orderId } } as const;

/** Documents the headers of `POST /orders`; only the key can be wrong, the others are ignored when malformed. */
const placeHeaders = {
  type: 'object',
  properties: {
    'Idempotency-Key': {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      pattern: '^[\\x21-\\x7e]+$',
      description: 'Names the order: the same key is the same order, at any node.',
    },
    Prefer: {
      type: 'string',
      description:
        '`wait=SECONDS`, at most 60: answer when the order has ended, or its customer has to authenticate.',
    },
    traceparent: { type: 'string', description: 'W3C Trace Context.' },
  },
} as const;

const listQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    state: { type: 'string', enum: ORDER_STATES },
    after: orderCursor,
    limit: { type: 'integer', minimum: 1, maximum: 200, default: 50 },
  },
} as const;

export function orderRoutes({ orders }: Pick<HttpDependencies, 'orders'>): FastifyPluginAsync {
  const absent = (id: string): never => {
    throw problemOf(orders.absent(id));
  };
  return async (app) => {
    app.post<{ Body: Pick<PlaceOrder, 'customer' | 'currency' | 'lines' | 'payment'> }>(
      '/orders',
      {
        config: {
          // The wait comes on top: who asked for one wants to hear how the order ended, not that it took long.
          timeoutMs: (usualMs, request) => usualMs + waitSecondsOf(preferOf(request)) * 1_000,
        },
        schema: {
          operationId: 'placeOrder',
          summary: 'Place an order',
          description:
            'Answered once the order is on the disks of a majority of nodes. A client that hangs up before is not waited ' +
            'for: repeat the request with its key. An order that was accepted goes on without it.',
          tags,
          headers: placeHeaders,
          body: { $ref: 'PlaceOrder#' },
          response: {
            200: answers('The order that this key made before.', 'Order', {
              'Idempotency-Replayed': 'Always `true`.',
              'Preference-Applied': 'The wait that was honoured.',
            }),
            201: answers('The order is registered and will be driven to its end.', 'Order', {
              Location: 'Where the order can be read.',
              'Preference-Applied': 'The wait that was honoured.',
            }),
            ...problems(
              'INVALID_REQUEST',
              'MALFORMED_JSON',
              'INVALID_IDEMPOTENCY_KEY',
              'BODY_TOO_LARGE',
              'UNSUPPORTED_MEDIA_TYPE',
              'UNKNOWN_SKU',
              'WRONG_CURRENCY',
              'INVALID_ORDER',
              'TOTAL_TOO_SMALL',
              'IDEMPOTENCY_KEY_REUSED',
              'REFUSED_BY_FUNCTION',
              'DEADLINE_EXCEEDED',
              'QUORUM_UNAVAILABLE',
              'OVERLOADED',
              'PAYMENTS_UNAVAILABLE',
              'DISK_FULL',
              'CLOCK_BEHIND',
              'DRAINING',
              'NOT_A_MEMBER',
              'LEDGER_UNAVAILABLE',
              'CATALOG_UNAVAILABLE',
              'FUNCTION_FAILED',
            ),
          },
        },
      },
      async (request, reply) => {
        const { deadline } = request;
        const idempotencyKey = request.headers['idempotency-key'] as string | undefined;
        const waitSeconds = waitSecondsOf(preferOf(request));
        const { order, replayed, waited } = valueOf(
          await orders.place(
            {
              ...request.body,
              ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
              traceparent: request.traceparent,
              waitMs: waitSeconds * 1_000,
            },
            deadline,
          ),
        );
        if (waited) void reply.header('preference-applied', `wait=${waitSeconds}`);
        if (replayed) void reply.header('idempotency-replayed', 'true');
        else void reply.code(201).header('location', `/orders/${order.id}`);
        return order;
      },
    );

    app.get<{ Querystring: { state?: OrderState; after?: string; limit: number } }>(
      '/orders',
      {
        preValidation: readNumbersInQuery('limit'),
        schema: {
          operationId: 'listOrders',
          summary: 'List orders, newest first',
          tags,
          querystring: listQuery,
          response: {
            200: answers('One page.', 'OrderPage'),
            ...problems('INVALID_REQUEST', 'DEADLINE_EXCEEDED'),
          },
        },
      },
      (request) => whileAwaited(request.deadline, orders.list(request.query)),
    );

    app.get<{ Params: { id: string } }>(
      '/orders/:id',
      {
        schema: {
          operationId: 'readOrder',
          summary: 'Read an order',
          description: 'From the copy of the node that is asked, which may be a moment behind.',
          tags,
          params,
          response: {
            200: answers('The order.', 'Order'),
            ...problems('INVALID_REQUEST', 'ORDER_NOT_FOUND', 'ORDER_NOT_KEPT', 'DEADLINE_EXCEEDED'),
          },
        },
      },
      async ({ deadline, params: { id } }) => (await whileAwaited(deadline, orders.find(id))) ?? absent(id),
    );

    app.get<{ Params: { id: string } }>(
      '/orders/:id/events',
      {
        schema: {
          operationId: 'readOrderEvents',
          summary: 'Read the audit trail of an order',
          tags,
          params,
          response: {
            200: answers('What happened, oldest first.', 'OrderEvents'),
            ...problems('INVALID_REQUEST', 'ORDER_NOT_FOUND', 'ORDER_NOT_KEPT', 'DEADLINE_EXCEEDED'),
          },
        },
      },
      async ({ deadline, params: { id } }) => ({
        events: (await whileAwaited(deadline, orders.events(id))) ?? absent(id),
      }),
    );

    app.post<{ Params: { id: string } }>(
      '/orders/:id/cancel',
      {
        schema: {
          operationId: 'cancelOrder',
          summary: 'Cancel an order',
          description: 'Accepted until the order is fulfilled: money and stock go back.',
          tags,
          params,
          response: {
            200: answers('The order, which will end cancelled.', 'Order'),
            ...problems(
              'INVALID_REQUEST',
              'ORDER_NOT_FOUND',
              'ORDER_NOT_KEPT',
              'NOT_CANCELLABLE',
              'DEADLINE_EXCEEDED',
              'QUORUM_UNAVAILABLE',
              'DRAINING',
              'LEDGER_UNAVAILABLE',
            ),
          },
        },
      },
      async (request): Promise<Order> => valueOf(await orders.cancel(request.params.id, request.deadline)),
    );
  };
}

function preferOf({ headers }: FastifyRequest): string | undefined {
  return headers['prefer'] as string | undefined;
}

function valueOf<T>(answer: Answer<T>): T {
  if (!answer.ok) throw problemOf(answer.refusal);
  return answer.value;
}
