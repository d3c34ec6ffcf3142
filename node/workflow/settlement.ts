import type { Environment } from '../../store/environment.ts';
import type { ClaimStanding, Journal } from '../../store/journal/port.ts';
import type { Ledger } from '../../store/ledger/port.ts';
import type { Horizon } from '../ports/retention.ts';
import type { OrderLog } from './order-log.ts';
import { positionId } from './order-log.ts';
import type { Membership, Views } from './ports.ts';
import { judgeRegistrations, type Judgement, type Vote } from './registration.ts';

/**
 * Makes this node the home of an order, and settles which of its registrations is the one.
 *
 * S1  A registration that was answered `201` is the one that is settled on: nothing is settled while another one could
 *     have won, or could still win (B1 to B3 in registration.ts, with the limit told there), and the ledger keeps the
 *     first registration proposed to it.
 * S2  A node that does not reach a majority of the voters settles nothing.
 * S3  A deferred order is either taken up, because its client came back, or abandoned, and never both: whoever does
 *     the one or the other first puts its claim to the ledger, where the first one stands.
 * S4  Voters that lost their disk forgot their votes, and in the end they may be a majority. What anybody was told is
 *     here all the same, once a majority was asked for what it holds.
 * S5  A claim speaks for its registration only once that has come here. Then it either is one of the order's facts, or
 *     lies behind the horizon: it was never answered, or its order closed long ago and this one has come by its key
 *     again. In neither case does its claim count, or nobody could ever build on what it names.
 * S6  What is settled on was not created before the horizon: the ledger is told when the proposed one was, and keeps none
 *     that would be forgotten as soon as it stands. A registration that lies behind the horizon and came here all the
 *     same, beside a younger one, does not count either.
 * S7  A registration that its own node finds unbuilt on, on a disk that remembers its vote and so has not been lost since,
 *     was answered to nobody (F8 in order-service.ts): that node died before, or was not sure. It is deferred,
 *     which tells it from one that was answered when the votes can not. Who gives no vote cannot tell so: its registrations
 *     are settled by the votes of the others.
 */
export interface SettlementDependencies {
  readonly environment: Pick<Environment, 'clock'>;
  readonly journal: Pick<Journal, 'holders' | 'covers' | 'vector'>;
  readonly ledger: Pick<Ledger, 'claim'>;
  readonly views: Pick<Views, 'get' | 'events' | 'hasTakenIn'>;
  readonly log: OrderLog;
  readonly membership: Membership;
  /** Without it nothing is ever forgotten. */
  readonly retention?: Pick<Horizon, 'horizon'>;
}

type SurveyDependencies = Pick<
  SettlementDependencies,
  'environment' | 'journal' | 'views' | 'membership' | 'retention'
>;

/** `forgotten`: it ended so long ago that the ledger knows it no more. */
export type Settled = 'home' | 'unsettled' | 'forgotten';

const SURVEY_TIMEOUT_MS = 2_000;
/** A vote is given when its registration arrives: on a link that is there, or was just made, at once. */
const VOTE_PATIENCE_MS = 1_000;
const VOTE_ASKED_EVERY_MS = 100;

/** What stands in the ledger in place of a registration, once an order is given up. */
const ABANDONED = 'abandoned';

/** Rejects with LedgerError or JournalError when no majority answers. */
export async function becomeHome(orderId: string, dependencies: SettlementDependencies): Promise<Settled> {
  const { ledger, views, log } = dependencies;
  const folded = await views.get(orderId);
  if (folded === undefined) return 'unsettled';
  let { registration } = folded.order;
  if (!folded.confirmed) {
    const judgement = await judged(orderId, dependencies);
    if (judgement?.kind !== 'settled') return 'unsettled';
    const proposal = judgement.registration ?? registration;
    const proposed = (await views.events(orderId))?.find(({ id }) => id === proposal);
    // S6.
    const createdAt = proposed?.at ?? folded.order.createdAt;
    const claimed = await ledger.claim({ orderId, createdAt, registration: proposal });
    if (claimed.kind === 'forgotten') return 'forgotten';
    // S3. It is about to end without having begun, and its client will be told that.
    if (claimed.registration === ABANDONED) return 'unsettled';
    ({ registration } = claimed);
  }
  await log.appendTo(
    orderId,
    registration,
    { type: 'takenOver', data: { from: folded.order.home } },
    'quorum',
    // The last to take over is the home: a clock that is behind must not hide that this node came after.
    folded.order.updatedAt,
  );
  return 'home';
}

/** S7, for what this node registered before it was started. `votes`: they have to tell. Rejects with JournalError. */
export async function deferUntold(
  orderId: string,
  {
    journal,
    views,
    membership,
    log,
  }: Pick<SettlementDependencies, 'journal' | 'views' | 'membership' | 'log'>,
): Promise<'deferred' | 'votes' | 'not yet'> {
  // Who gives no vote has none to remember.
  if (!membership.members.some(({ id, voter }) => voter && id === membership.self)) return 'votes';
  const holders = await journal.holders(orderId, { timeoutMs: SURVEY_TIMEOUT_MS });
  const own = holders.get(membership.self);
  if (own === undefined) return 'not yet';
  if (own.kind !== 'held') return 'votes';
  const standing = (await views.get(orderId))?.standing ?? [];
  for (const registration of standing) {
    if (!registration.startsWith(`${membership.self}:`)) continue;
    await log.appendTo(orderId, registration, { type: 'deferred', data: { reason: 'UNTOLD' } }, 'local');
  }
  return 'deferred';
}

/**
 * What becomes of a deferred order whose client did not come back in time. `abandon`: nobody will ever take it up.
 * `resume`: somebody has begun to, for its client, and did not get far. `wait`: it is not known.
 */
export type Forsaken = 'abandon' | 'resume' | 'wait' | 'forgotten';

/** S3. Rejects with LedgerError or JournalError when no majority answers. */
export async function forsake(
  orderId: string,
  dependencies: Pick<SettlementDependencies, 'ledger'> & SurveyDependencies,
): Promise<Forsaken> {
  if (!(await isForsaken(orderId, dependencies))) return 'wait';
  const folded = await dependencies.views.get(orderId);
  if (folded === undefined) return 'wait';
  const { createdAt } = folded.order;
  const claimed = await dependencies.ledger.claim({ orderId, createdAt, registration: ABANDONED });
  if (claimed.kind === 'forgotten') return 'forgotten';
  return claimed.registration === ABANDONED ? 'abandon' : 'resume';
}

/**
 * Whether no client can have been told `201` for this deferred order, nor will be: none of its registrations can have
 * won. Another one's events may be on their way, when this node comes back after a while.
 */
async function isForsaken(orderId: string, dependencies: SurveyDependencies): Promise<boolean> {
  if ((await judged(orderId, dependencies))?.kind !== 'settled') return false;
  return (await dependencies.views.get(orderId))?.deferred === true;
}

/** Undefined when no majority answers, or what a voter holds has not come here yet (S5). Waits for votes on their way. */
async function judged(orderId: string, dependencies: SurveyDependencies): Promise<Judgement | undefined> {
  const { journal } = dependencies;
  const { clock } = dependencies.environment;
  const deadline = clock.monotonic() + VOTE_PATIENCE_MS;
  let knowsAll = false;
  for (;;) {
    const judgement = await judgedNow(orderId, knowsAll, dependencies);
    if (judgement?.kind !== 'open' || judgement.wants === 'voter') return judgement;
    if (judgement.wants === 'knowledge') {
      // S4.
      knowsAll = await journal.covers(SURVEY_TIMEOUT_MS);
      if (!knowsAll) return undefined;
    } else if (clock.monotonic() >= deadline) {
      return judgement;
    } else await new Promise<void>((resolve) => clock.after(VOTE_ASKED_EVERY_MS, resolve));
  }
}

async function judgedNow(
  orderId: string,
  knowsAll: boolean,
  { journal, views, membership, retention }: SurveyDependencies,
): Promise<Judgement | undefined> {
  const answers = await journal.holders(orderId, { timeoutMs: SURVEY_TIMEOUT_MS });
  const held = [...answers.values()].flatMap((answer) => (answer.kind === 'held' ? [answer.holder] : []));
  const vector = knowsAll ? Object.entries(journal.vector()) : [];
  const neededHere = [...held, ...vector.map(([origin, sequence]) => ({ origin, sequence }))];
  for (const position of neededHere) if (!(await views.hasTakenIn(position))) return undefined;
  const horizon = retention?.horizon() ?? 0;
  const events = (await views.events(orderId)) ?? [];
  const standing = (await views.get(orderId))?.standing ?? [];
  const counting = new Set(events.filter(({ at }) => at >= horizon).map(({ id }) => id));
  const voteOf = (answer: ClaimStanding): Vote => {
    if (answer.kind === 'passed') return { kind: 'none' };
    if (answer.kind !== 'held') return answer;
    const registration = positionId(answer.holder);
    return counting.has(registration) ? { kind: 'for', registration } : { kind: 'none' };
  };
  return judgeRegistrations({
    voters: membership.members.filter(({ voter }) => voter).map(({ id }) => id),
    votes: new Map([...answers].map(([voter, answer]) => [voter, voteOf(answer)])),
    standing: standing.filter((registration) => counting.has(registration)),
    knowsAll,
  });
}
