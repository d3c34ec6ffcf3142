import type { FastifyPluginAsync } from 'fastify';
import {
  MembershipError,
  type MemberChange,
  type MemberRecord,
  type MembershipErrorCode,
} from '../../../store/membership/port.ts';
import { demandInterest, timeFor, type Deadline } from '../../ports/deadline.ts';
import type { HttpDependencies } from '../dependencies.ts';
import { answers, problems } from '../documentation.ts';
import { Problem, PROBLEMS, retryAfter, type ProblemCode } from '../problems.ts';

/** Who takes part in the cluster, and how an operator changes that: any node can be asked. */

const tags = ['operations'];
const RETRY_AFTER_SECONDS = 2;
/** For a newcomer to be heard of by the others, and a leader to be found. */
const CHANGE_TIMEOUT_MS = 20_000;

/** How each refusal of the store is told. */
const CODES: Readonly<Record<MembershipErrorCode, ProblemCode>> = {
  INVALID_MEMBER: 'INVALID_MEMBER',
  ALREADY_MEMBER: 'ALREADY_MEMBER',
  UNKNOWN_MEMBER: 'UNKNOWN_MEMBER',
  LAST_VOTER: 'LAST_VOTER',
  CHANGE_UNDER_WAY: 'CHANGE_UNDER_WAY',
  NOT_CAUGHT_UP: 'NOT_CAUGHT_UP',
  JOURNAL_BEHIND: 'JOURNAL_BEHIND',
  QUORUM_AT_RISK: 'QUORUM_AT_RISK',
  NO_LEADER: 'LEDGER_UNAVAILABLE',
  TIMEOUT: 'CHANGE_UNDECIDED',
};

const nameParameter = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', maxLength: 64, description: "The node's name, such as `n4`." } },
} as const;

interface AddMember {
  readonly id: string;
  readonly peerId: string;
  readonly zone: string;
  readonly address: string;
}

export function memberRoutes({ membership }: Pick<HttpDependencies, 'membership'>): FastifyPluginAsync {
  const view = (members: readonly MemberRecord[]) => ({
    members: members.map((member) => ({ ...member, address: textOf(member.address) })),
  });
  const decided = async (change: MemberChange, deadline: Deadline) => {
    demandInterest(deadline);
    try {
      return view(
        (await membership.change(change, { timeoutMs: timeFor(CHANGE_TIMEOUT_MS, deadline) })).members,
      );
    } catch (error) {
      throw error instanceof MembershipError ? problemOf(error) : error;
    }
  };

  return async (app) => {
    app.get(
      '/cluster/members',
      {
        schema: {
          operationId: 'listMembers',
          summary: 'See who takes part, as the ledger has decided it',
          tags,
          response: { 200: answers('The members, as this node knows.', 'Members'), ...problems() },
        },
      },
      async () => view(membership.list().members),
    );

    app.post<{ Body: AddMember }>(
      '/cluster/members',
      {
        schema: {
          operationId: 'addMember',
          summary: 'Add a member',
          description:
            'It receives everything and decides nothing until it is promoted. Answers when this is decided; ' +
            'adding the same member again changes nothing.',
          tags,
          body: { $ref: 'AddMember#' },
          response: {
            200: answers('The members from now on.', 'Members'),
            ...problems(
              'INVALID_REQUEST',
              'MALFORMED_JSON',
              'UNSUPPORTED_MEDIA_TYPE',
              'BODY_TOO_LARGE',
              'INVALID_MEMBER',
              'ALREADY_MEMBER',
              'CHANGE_UNDER_WAY',
              'LEDGER_UNAVAILABLE',
              'CHANGE_UNDECIDED',
              'DEADLINE_EXCEEDED',
            ),
          },
        },
      },
      async (request) => {
        const { id, peerId, zone, address } = request.body;
        const member = { id, peerId, zone, address: addressOf(address) };
        return decided({ kind: 'add', member }, request.deadline);
      },
    );

    app.post<{ Params: { id: string } }>(
      '/cluster/members/:id/promote',
      {
        schema: {
          operationId: 'promoteMember',
          summary: 'Make a voter of a member that has caught up',
          description:
            'Refused with 409 while it lacks too much: `detail` says how much, and asking again later does no harm.',
          tags,
          params: nameParameter,
          response: {
            200: answers('The members from now on.', 'Members'),
            ...problems(
              'INVALID_REQUEST',
              'UNKNOWN_MEMBER',
              'NOT_CAUGHT_UP',
              'JOURNAL_BEHIND',
              'QUORUM_AT_RISK',
              'CHANGE_UNDER_WAY',
              'LEDGER_UNAVAILABLE',
              'CHANGE_UNDECIDED',
              'DEADLINE_EXCEEDED',
            ),
          },
        },
      },
      async ({ params: { id }, deadline }) => decided({ kind: 'promote', id }, deadline),
    );

    app.put<{ Params: { id: string }; Body: { readonly address: string } }>(
      '/cluster/members/:id/address',
      {
        schema: {
          operationId: 'moveMember',
          summary: 'Say where a member is reached from now on',
          tags,
          params: nameParameter,
          body: { $ref: 'MoveMember#' },
          response: {
            200: answers('The members from now on.', 'Members'),
            ...problems(
              'INVALID_REQUEST',
              'MALFORMED_JSON',
              'UNSUPPORTED_MEDIA_TYPE',
              'BODY_TOO_LARGE',
              'UNKNOWN_MEMBER',
              'INVALID_MEMBER',
              'ALREADY_MEMBER',
              'CHANGE_UNDER_WAY',
              'LEDGER_UNAVAILABLE',
              'CHANGE_UNDECIDED',
              'DEADLINE_EXCEEDED',
            ),
          },
        },
      },
      async ({ params: { id }, body, deadline }) =>
        decided({ kind: 'move', id, address: addressOf(body.address) }, deadline),
    );

    app.delete<{ Params: { id: string } }>(
      '/cluster/members/:id',
      {
        schema: {
          operationId: 'removeMember',
          summary: 'Take a member out, dead or alive',
          description:
            'Its orders go to the others. Take it out before its successor is promoted. It must not be started ' +
            'again with what is on its disk, unless it was added again.',
          tags,
          params: nameParameter,
          response: {
            200: answers('The members from now on.', 'Members'),
            ...problems(
              'INVALID_REQUEST',
              'UNKNOWN_MEMBER',
              'LAST_VOTER',
              'JOURNAL_BEHIND',
              'QUORUM_AT_RISK',
              'CHANGE_UNDER_WAY',
              'LEDGER_UNAVAILABLE',
              'CHANGE_UNDECIDED',
              'DEADLINE_EXCEEDED',
            ),
          },
        },
      },
      async ({ params: { id }, deadline }) => decided({ kind: 'remove', id }, deadline),
    );
  };
}

function problemOf({ code, detail, member }: MembershipError): Problem {
  const row = CODES[code];
  return new Problem(row, `${detail}.`, {
    ...(member === undefined ? {} : { member }),
    ...(PROBLEMS[row].status === 503 ? { headers: retryAfter(RETRY_AFTER_SECONDS) } : {}),
  });
}

/** The schema has seen to the form. */
function addressOf(text: string): MemberRecord['address'] {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

function textOf({ host, port }: MemberRecord['address']): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
