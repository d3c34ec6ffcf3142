import type { FastifyPluginAsync } from 'fastify';
import type { HttpDependencies } from '../dependencies.ts';
import { problems } from '../documentation.ts';
import { Problem, problemOf } from '../problems.ts';

/**
 * Events of the payment provider. An event is a hint that something changed: the order's payment is looked up
 * again, so events may come twice, late or in any order. Answered 2xx only once it is kept, or changes nothing.
 */
export function webhookRoutes({
  orders,
  payments,
}: Pick<HttpDependencies, 'orders' | 'payments'>): FastifyPluginAsync {
  return async (app) => {
    // The signature covers the bytes as they were sent: this plugin alone takes bodies unparsed.
    app.removeAllContentTypeParsers();
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

    app.post<{ Body: Buffer | undefined }>(
      '/webhooks/stripe',
      {
        schema: {
          operationId: 'stripeWebhook',
          summary: 'Take an event from Stripe',
          tags: ['webhooks'],
          response: {
            200: {
              description: 'The event was taken.',
              content: {
                'application/json': {
                  schema: {
                    type: 'object',
                    required: ['received'],
                    properties: { received: { type: 'boolean' } },
                  },
                  example: { received: true },
                },
              },
            },
            ...problems(
              'INVALID_SIGNATURE',
              'BODY_TOO_LARGE',
              'QUORUM_UNAVAILABLE',
              'OVERLOADED',
              'DRAINING',
            ),
          },
        },
      },
      async (request) => {
        const signature = request.headers['stripe-signature'];
        const event =
          typeof signature === 'string' && Buffer.isBuffer(request.body)
            ? payments.verifyWebhook(request.body, signature)
            : undefined;
        if (event === undefined) {
          throw new Problem('INVALID_SIGNATURE', 'The event is not signed with the secret of this endpoint.');
        }
        const taken = await orders.paymentChanged(event);
        if (!taken.ok) throw problemOf(taken.refusal);
        return { received: true };
      },
    );
  };
}
