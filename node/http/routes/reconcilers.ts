import type { FastifyPluginAsync } from 'fastify';
import { SystemOfRecordUnavailable } from '../../ports/system-of-record.ts';
import type { HttpDependencies } from '../dependencies.ts';
import { answers, problems } from '../documentation.ts';
import { Problem, retryAfter } from '../problems.ts';

/** Look at the reconcilers and run them by hand. */

const tags = ['reconcilers'];
const RETRY_AFTER_SECONDS = 10;

export function reconcilerRoutes({
  reconcilers,
  ledger,
}: Pick<HttpDependencies, 'reconcilers' | 'ledger'>): FastifyPluginAsync {
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
      async () => ({ reconcilers: reconcilers.status() }),
    );

    app.post<{ Params: { name: string } }>(
      '/reconcilers/:name/run',
      {
        schema: {
          operationId: 'runReconciler',
          summary: 'Run a reconciler now',
          description: 'Answers when the run is done. Also tries what was parked again.',
          tags,
          params: {
            type: 'object',
            required: ['name'],
            properties: { name: { type: 'string', description: '`inbound` or `outbound`.' } },
          },
          response: {
            200: answers('What the run did.', 'ReconcilerReport'),
            ...problems('RECONCILER_NOT_FOUND', 'NOT_LEADER', 'SYSTEM_OF_RECORD_UNAVAILABLE'),
          },
        },
      },
      async (request) => {
        const { name } = request.params;
        if (!reconcilers.status().some((reconciler) => reconciler.name === name)) {
          throw new Problem('RECONCILER_NOT_FOUND', `There is no reconciler ${name}.`);
        }
        try {
          return await reconcilers.run(name);
        } catch (error) {
          throw problemOfRun(error, ledger.status().leader);
        }
      },
    );
  };
}

function problemOfRun(error: unknown, leader: string | undefined): unknown {
  const code = error instanceof SystemOfRecordUnavailable ? 'SYSTEM_OF_RECORD_UNAVAILABLE' : codeOf(error);
  switch (code) {
    case 'NOT_LEADER':
      return leader === undefined
        ? new Problem('NOT_LEADER', 'No node leads the ledger now; try again soon.')
        : new Problem('NOT_LEADER', `${leader} leads the ledger: ask it.`, { leader });
    case 'SYSTEM_OF_RECORD_UNAVAILABLE':
      return new Problem(code, 'Orders go on; this run did not. It is tried again by itself.', {
        headers: retryAfter(RETRY_AFTER_SECONDS),
      });
    default:
      return error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
