import type { Journal, Position } from '../../store/journal/port.ts';
import type { Ledger } from '../../store/ledger/port.ts';
import type { Horizon } from '../ports/retention.ts';
import type { OrderLog } from './order-log.ts';
import { positionId } from './order-log.ts';
import type { Membership, Views } from './ports.ts';
import { proposeRegistration, type ClaimSurvey } from './registration.ts';

/**
 * Makes this node the home of an order, and settles which of its registrations is the one.
 *
 * S1  A registration that was answered `201` is the one that is settled on: a majority holds its claim, so a
 *     survey of a majority meets it, and the ledger keeps the first registration proposed to it.
 * S2  A node that does not reach a majority of the voters settles nothing.
 * S3  A deferred order is either taken up, because its client came back, or abandoned, and never both: whoever does
 *     the one or the other first puts its claim to the ledger, where the first one stands.
 * S4  Voters that lost their disk abstain on the claims they find again, and in the end they may be a majority. What
 *     anybody was told is here all the same, once a majority was asked for what it holds; and a registration that was
 *     answered `201` is neither withdrawn nor deferred, so the fold's choice is the one to propose.
 * S5  A claim speaks for its registration only once that has come here. Then it either is one of the order's facts, or
 *     lies behind the horizon: it was never answered, or its order closed long ago and this one has come by its key
 *     again. In neither case does its claim count, or nobody could ever build on what it names.
 * S6  What is settled on was not created before the horizon: the ledger is told when the proposed one was, and keeps none
 *     that would be forgotten as soon as it stands. A registration that lies behind the horizon and came here all the
 *     same, beside a younger one, does not count either.
 *
 * Limit: when a home dies before it has built on its registration (W8 in driver.ts), another registration of the same key
 * is in flight, and of the other voters one is unreachable (two of five) or abstains, the survey may be a tie; then the
 * ledger's choice stands, whichever was answered.
 * And a registration that no majority had acknowledged before is known to be on this node's disk and its origin's
 * only, until the next exchange of version vectors (a second or two) brings it to the others.
 */
export interface SettlementDependencies {
  readonly journal: Pick<Journal, 'holders' | 'covers'>;
  readonly ledger: Pick<Ledger, 'claim'>;
  readonly views: Pick<Views, 'get' | 'events' | 'hasTakenIn'>;
  readonly log: OrderLog;
  readonly membership: Membership;
  /** Without it nothing is ever forgotten. */
  readonly retention?: Pick<Horizon, 'horizon'>;
}

type SurveyDependencies = Pick<SettlementDependencies, 'journal' | 'views' | 'membership' | 'retention'>;

/** `forgotten`: it ended so long ago that the ledger knows it no more. */
export type Settled = 'home' | 'unsettled' | 'forgotten';

const SURVEY_TIMEOUT_MS = 2_000;

/** What stands in the ledger in place of a registration, once an order is given up. */
const ABANDONED = 'abandoned';

/** Rejects with LedgerError or JournalError when no majority answers. */
export async function becomeHome(orderId: string, dependencies: SettlementDependencies): Promise<Settled> {
  const { ledger, views, log } = dependencies;
  const folded = await views.get(orderId);
  if (folded === undefined) return 'unsettled';
  let { registration } = folded.order;
  if (!folded.confirmed) {
    const survey = await surveyed(orderId, dependencies);
    if (survey === undefined) return 'unsettled';
    const proposal = proposeRegistration(survey, registration) ?? registration;
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
 * Whether no client can have been told `201` for this deferred order: every registration that a majority holds a
 * claim for is known here (S5), and all that are known here are deferred or withdrawn. Another one's events may be on
 * their way, when this node comes back after a while.
 */
async function isForsaken(orderId: string, dependencies: SurveyDependencies): Promise<boolean> {
  if ((await surveyed(orderId, dependencies)) === undefined) return false;
  return (await dependencies.views.get(orderId))?.deferred === true;
}

/**
 * Undefined when no majority answers, or what is claimed has not come here yet; empty when a majority can not tell whom
 * it voted for (S4).
 */
async function surveyed(
  orderId: string,
  { journal, views, membership, retention }: SurveyDependencies,
): Promise<ClaimSurvey | undefined> {
  const holders = await journal.holders(orderId, { timeoutMs: SURVEY_TIMEOUT_MS });
  const voters = membership.members.filter((member) => member.voter).length;
  if (holders.size <= Math.floor(voters / 2)) {
    return (await journal.covers(SURVEY_TIMEOUT_MS)) ? new Map() : undefined;
  }
  for (const holder of holders.values()) {
    if (holder !== null && !(await views.hasTakenIn(holder))) return undefined;
  }
  const horizon = retention?.horizon() ?? 0;
  const events = (await views.events(orderId)) ?? [];
  const facts = new Set(events.filter(({ at }) => at >= horizon).map(({ id }) => id));
  const claimed = (holder: Position | null): string | null => {
    const registration = holder === null ? null : positionId(holder);
    return registration !== null && facts.has(registration) ? registration : null;
  };
  return new Map([...holders].map(([node, holder]) => [node, claimed(holder)]));
}
