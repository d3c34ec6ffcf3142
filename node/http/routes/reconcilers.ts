import type { FastifyPluginAsync } from 'fastify';
import { whileAwaited } from '../../ports/deadline.ts';
import { ReconcilerError } from '../../ports/reconcilers.ts';
import { NotSupportedBySystemOfRecord, SystemOfRecordUnavailable } from '../../ports/system-of-record.ts';
import type { HttpDependencies } from '../dependencies.ts';
import { answers, problems } from '../documentation.ts';
import { Problem, retryAfter } from '../problems.ts';
import { readNumbersInQuery } from '../query.ts';
import { orderId, parkedCursor } from '../request-schemas.ts';

/** Look at the reconcilers and run them by hand; decide about what is parked; compare the books. */

const tags = ['reconcilers'];
const RETRY_AFTER_SECONDS = 10;
/** These two are as long as what they read: a large catalogue, all payments. */
const RUN_TIMEOUT_MS = 10 * 60_000;
const REPORT_TIMEOUT_MS = 60 * 60_000;

const orderParams = {
  type: 'object',
  required: ['orderId'],
  properties: { orderId },
} as const;

const parkedQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    after: parkedCursor,
    limit: { type: 'integer', minimum: 1, maximum: 1_000, default: 100 },
  },
} as const;

const reportQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    since: {
      type: 'string',
      pattern: '^[0-9]{1,15}$',
      description: 'Orders created before it are left out; milliseconds since the Unix epoch.',
    },
  },
} as const;

export function reconcilerRoutes({
  reconcilers,
  drift,
  ledger,
}: Pick<HttpDependencies, 'reconcilers' | 'drift' | 'ledger'>): FastifyPluginAsync {
  const asked = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work();
    } catch (error) {
      throw problemOf(error, ledger.status().leader);
    }
  };

  return async (app) => {
    app.get(
      '/reconcilers',
      {
        schema: {
          operationId: 'listReconcilers',
          summary: 'See how far the reconcilers are',
          tags,
          response: { 200: answers('All of them, as this node knows.', 'Reconcilers'), ...problems() },
        },
      },
      async () => {
        const { leader } = ledger.status();
        return { ...(leader === undefined ? {} : { leader }), reconcilers: reconcilers.status() };
      },
    );

    app.post<{ Params: { name: string } }>(
      '/reconcilers/:name/run',
      {
        config: { timeoutMs: () => RUN_TIMEOUT_MS },
        schema: {
          operationId: 'runReconciler',
          summary: 'Run a reconciler now',
          description:
            'Answers when the run is done. Also tries what was parked again. Who hangs up ends no run: others may wait for ' +
            'it too.',
          tags,
          params: {
            type: 'object',
            required: ['name'],
            properties: { name: { type: 'string', description: '`inbound` or `outbound`.' } },
          },
          response: {
            200: answers('What the run did.', 'ReconcilerReport'),
            ...problems(
              'RECONCILER_NOT_FOUND',
              'NOT_LEADER',
              'DEADLINE_EXCEEDED',
              'SYSTEM_OF_RECORD_UNAVAILABLE',
            ),
          },
        },
      },
      async (request) => {
        const { name } = request.params;
        if (!reconcilers.status().some((reconciler) => reconciler.name === name)) {
          throw new Problem('RECONCILER_NOT_FOUND', `There is no reconciler ${name}.`);
        }
        return asked(() => whileAwaited(request.deadline, reconcilers.run(name)));
      },
    );

    app.get<{ Querystring: { after?: string; limit: number } }>(
      '/reconcilers/parked',
      {
        preValidation: readNumbersInQuery('limit'),
        schema: {
          operationId: 'listParked',
          summary: 'List the outcomes that the system of record refuses',
          description: 'Newest first, as this node knows; all nodes come to know the same.',
          tags,
          querystring: parkedQuery,
          response: { 200: answers('One page.', 'ParkedPage'), ...problems('INVALID_REQUEST') },
        },
      },
      async (request) => reconcilers.parked(request.query),
    );

    app.post<{ Params: { orderId: string } }>(
      '/reconcilers/parked/:orderId/retry',
      {
        schema: {
          operationId: 'retryParked',
          summary: 'Send a parked outcome again',
          description: 'On the node that leads the ledger.',
          tags,
          params: orderParams,
          response: {
            200: answers('How it went.', 'RetriedOrder'),
            ...problems(
              'INVALID_REQUEST',
              'NOT_PARKED',
              'NOT_LEADER',
              'DEADLINE_EXCEEDED',
              'SYSTEM_OF_RECORD_UNAVAILABLE',
            ),
          },
        },
      },
      async ({ params, deadline }) => asked(() => reconcilers.retryParked(params.orderId, deadline)),
    );

    app.post<{ Params: { orderId: string }; Body: { reason: string; by: string } }>(
      '/reconcilers/parked/:orderId/discard',
      {
        schema: {
          operationId: 'discardParked',
          summary: 'Give up the delivery of a parked outcome',
          description:
            'Says that somebody has entered it by hand, and that the inventory is as it should be: the next read of ' +
            'the inventory counts the sale as contained in it. On any node; noted by a majority.',
          tags,
          params: orderParams,
          body: { $ref: 'DiscardParked#' },
          response: {
            200: answers('It is not delivered any more.', 'DiscardParked'),
            ...problems(
              'INVALID_REQUEST',
              'MALFORMED_JSON',
              'UNSUPPORTED_MEDIA_TYPE',
              'NOT_PARKED',
              'QUORUM_UNAVAILABLE',
            ),
          },
        },
      },
      async (request) => {
        await asked(() => reconcilers.discardParked(request.params.orderId, request.body));
        return request.body;
      },
    );

    app.get<{ Querystring: { since?: string } }>(
      '/reconcilers/report',
      {
        config: { timeoutMs: () => REPORT_TIMEOUT_MS },
        schema: {
          operationId: 'reportDrift',
          summary: 'Compare journal, ledger, payment provider and system of record',
          description:
            'Names every difference between them. On the node that leads the ledger; takes as long as it takes ' +
            'to read all payments, about a hundred per request to the provider. It is given up when its client hangs up, ' +
            'and after an hour.',
          tags,
          querystring: reportQuery,
          response: {
            200: answers('What was compared, and what differs.', 'DriftReport'),
            ...problems(
              'INVALID_REQUEST',
              'NOT_LEADER',
              'REPORT_UNDER_WAY',
              'NOT_SUPPORTED',
              'DEADLINE_EXCEEDED',
              'BOOK_UNAVAILABLE',
            ),
          },
        },
      },
      async (request) => {
        const { since } = request.query;
        const query = since === undefined ? {} : { since: Number(since) };
        return asked(() => drift.report(query, request.deadline));
      },
    );
  };
}

function problemOf(error: unknown, leader: string | undefined): unknown {
  if (error instanceof SystemOfRecordUnavailable) return systemOfRecordAway();
  if (error instanceof NotSupportedBySystemOfRecord) return new Problem('NOT_SUPPORTED', `${error.message}.`);
  if (!(error instanceof ReconcilerError)) return error;
  switch (error.code) {
    case 'NOT_LEADER':
      return leader === undefined
        ? new Problem('NOT_LEADER', 'No node leads the ledger now; try again soon.')
        : new Problem('NOT_LEADER', `${leader} leads the ledger: ask it.`, { leader });
    case 'SYSTEM_OF_RECORD_UNAVAILABLE':
      return systemOfRecordAway();
    case 'NOT_PARKED':
      return new Problem('NOT_PARKED', error.message);
    case 'BUSY':
      return new Problem('REPORT_UNDER_WAY', error.message);
    case 'BOOK_UNAVAILABLE':
    case 'QUORUM_UNAVAILABLE':
      return new Problem(error.code, error.message, { headers: retryAfter(RETRY_AFTER_SECONDS) });
    case 'UNKNOWN_RECONCILER':
      return new Problem('RECONCILER_NOT_FOUND', error.message);
  }
}

function systemOfRecordAway(): Problem {
  return new Problem(
    'SYSTEM_OF_RECORD_UNAVAILABLE',
    'Orders go on; this run did not. It is tried again by itself.',
    { headers: retryAfter(RETRY_AFTER_SECONDS) },
  );
}
