import type { OrderFact, OrderFactType, PaymentName, RecordedEvent } from './events.ts';
import type { NextAction, PaymentStatus } from './order.ts';

/**
 * The money of an order as the fold of its facts: every payment that the provider made for it, and which of them is
 * the order's own. Pure, and like the fold of the order a function of the set of facts.
 *
 * Y1  A payment is known by the provider's name for it, and goes one way: expected, authorized, captured, reversed.
 *     What is known furthest along counts, in whatever order it was heard.
 * Y2  One payment is the order's own: of several, sooner one that is captured than one that is authorized, and of
 *     equals that of the earlier attempt. All others are strays.
 * Y3  Two homes never give back both of two payments as strays: an authorization is only cancelled, which fails once it
 *     is captured, and who knows of two that are captured knows the earlier one, which stays.
 * Y4  An attempt is answered by a payment or by being spent. Until all are, the order's money is not known.
 */
export interface Money {
  readonly status: PaymentStatus;
  /** The attempt to ask with. */
  readonly attempt: number;
  /** When a majority first had the intention to ask with it, ms. */
  readonly askedAt: number | undefined;
  /** Since when its key is known to be spent, ms. */
  readonly spentAt: number | undefined;
  readonly own: Payment | undefined;
  readonly strays: readonly Payment[];
  /** An attempt that nobody has heard the answer of, though another one's payment is the order's own. */
  readonly unanswered: number | undefined;
  /** Every payment that anything is known of. */
  readonly known: ReadonlySet<string>;
  /** Refunds that the provider takes back, as it says, and that nobody has asked about since. */
  readonly doubted: readonly { readonly payment: Payment; readonly eventId: string }[];
  /** Payments that the provider sent word of, and that nobody here knows. */
  readonly unseen: readonly PaymentName[];
  /** Names of the provider's messages that were kept. */
  readonly messages: ReadonlySet<string>;
}

export type Standing =
  | 'refused'
  | 'processing'
  | 'actionRequired'
  | 'authorized'
  | 'captured'
  | 'refundPending'
  | 'refundFailed'
  | 'voided'
  | 'refunded';

export interface Payment extends PaymentName {
  readonly standing: Standing;
  /** The fact that it stands so by. */
  readonly fact: RecordedEvent;
  readonly paid: Fact<'paid'> | undefined;
  readonly captured: Fact<'captured'> | undefined;
  readonly declineCode: string | undefined;
  /** While it waits for its customer. */
  readonly action: { readonly nextAction: NextAction; readonly expiresAt: number } | undefined;
  /** The refund under way, or that failed last. */
  readonly refund: string | undefined;
  readonly refundsFailed: number;
  /** Messages of the provider that were answered by asking how it stands. */
  readonly answered: ReadonlySet<string>;
}

export type Fact<T extends OrderFactType> = RecordedEvent & Extract<OrderFact, { type: T }>;

/** The provider's word for a refund that did not arrive, also one that it had called done. */
export const REFUND_FAILED = 'refund.failed';

/** What a standing is worth when one payment of several is to be the order's own (Y2). */
const RANKS: Readonly<Record<Standing, number>> = {
  captured: 0,
  refundPending: 0,
  refundFailed: 0,
  authorized: 1,
  voided: 2,
  refunded: 2,
  processing: 3,
  actionRequired: 3,
  refused: 4,
};

const STATUSES: Readonly<Record<Standing, PaymentStatus>> = {
  refused: 'refused',
  processing: 'requested',
  actionRequired: 'action_required',
  authorized: 'authorized',
  captured: 'captured',
  refundPending: 'refund_pending',
  refundFailed: 'refund_failed',
  voided: 'voided',
  refunded: 'refunded',
};

/** `facts` sorted by time, then id. `isTakenOver`: its home before may have asked, and died before saying so. */
export function foldMoney(facts: readonly RecordedEvent[], isTakenOver: boolean): Money {
  const all = <T extends OrderFactType>(type: T): readonly Fact<T>[] =>
    facts.filter((fact): fact is Fact<T> => fact.type === type);
  const requests = all('paymentRequested');
  const spent = all('paymentSpent');
  const messages = all('paymentNotified');
  const attempt = Math.max(1, ...requests.map(({ data }) => data.attempt));

  const payments = paymentsOf(facts);
  const [first, ...others] = payments.toSorted(byRank);
  // A decline that is heard after the next attempt was begun says nothing of that one.
  const isOver = first?.standing === 'refused' && first.attempt < attempt;
  const own = isOver ? undefined : first;
  const isAsked = isTakenOver || requests.length > 0;
  const isAnswered =
    payments.some((payment) => payment.attempt === attempt) ||
    spent.some(({ data }) => data.attempt === attempt);
  const known = new Set(payments.map(({ intent }) => intent));

  return {
    status: own === undefined ? (isAsked ? 'requested' : 'pending') : STATUSES[own.standing],
    attempt,
    askedAt: requests.find(({ data }) => data.attempt === attempt)?.at,
    spentAt: spent.find(({ data }) => data.attempt === attempt)?.at,
    own,
    strays: others.filter(({ standing }) => isUnsettled(standing)),
    unanswered: own === undefined || own.attempt >= attempt || isAnswered ? undefined : attempt,
    known,
    doubted: messages.flatMap(({ data: { eventId, eventType, intent } }) => {
      const payment = payments.find((one) => one.intent === intent && one.standing === 'refunded');
      const isOpen = eventType === REFUND_FAILED && payment?.answered.has(eventId) === false;
      return isOpen ? [{ payment, eventId }] : [];
    }),
    unseen: messages.flatMap(({ data: { intent, attempt: made = 1 } }) =>
      intent === undefined || known.has(intent) ? [] : [{ intent, attempt: made }],
    ),
    messages: new Set(messages.map(({ data }) => data.eventId)),
  };
}

/** Money of the customer is with the shop, or may yet come to it. */
export function isUnsettled(standing: Standing): boolean {
  return standing !== 'refused' && standing !== 'voided' && standing !== 'refunded';
}

/** Its outcome is not known: the provider is asked how it stands, not to pay again. */
export function isExpected({ standing }: Payment): boolean {
  return standing === 'processing' || standing === 'actionRequired';
}

function paymentsOf(facts: readonly RecordedEvent[]): readonly Payment[] {
  const named = facts.filter((fact) => nameOf(fact) !== undefined);
  // Facts of before payments were told apart are about the only one there was.
  const only = named.map((fact) => nameOf(fact)?.intent ?? '').find((intent) => intent !== '') ?? '';
  const byIntent = Map.groupBy(named, (fact) => nameOf(fact)?.intent ?? only);
  return [...byIntent].map(([intent, about]) => paymentOf(intent, about));
}

/** `about`: at least one fact. */
function paymentOf(intent: string, about: readonly RecordedEvent[]): Payment {
  const all = <T extends OrderFactType>(type: T): readonly Fact<T>[] =>
    about.filter((fact): fact is Fact<T> => fact.type === type);
  const paid = all('paid');
  const [captured] = all('captured');
  const [refused] = all('paymentRefused');
  const [action] = all('paymentActionRequired');
  const failed = all('refundFailed');
  const failures = new Set(failed.map(({ data }) => data.refund));
  const fact =
    all('reversed').find(({ data }) => !failures.has(data.refund ?? '')) ??
    all('refundPending').find(({ data }) => !failures.has(data.refund)) ??
    failed.at(-1) ??
    captured ??
    paid.find(({ data }) => data.mode === 'captured') ??
    paid[0] ??
    refused ??
    action ??
    (about[0] as RecordedEvent);
  return {
    intent,
    attempt: Math.min(...about.map((one) => nameOf(one)?.attempt ?? 1)),
    standing: standingOf(fact),
    fact,
    paid: paid[0],
    captured,
    declineCode: refused?.data.declineCode,
    action: fact === action ? action.data : undefined,
    refund: fact.type === 'refundPending' || fact.type === 'refundFailed' ? fact.data.refund : undefined,
    refundsFailed: failures.size,
    answered: new Set([...all('reversed'), ...failed].flatMap(({ data }) => data.eventId ?? [])),
  };
}

/** Which payment a fact tells the standing of. `captureRefused` says what was not done, not how the payment stands. */
function nameOf(fact: RecordedEvent): Partial<PaymentName> | undefined {
  switch (fact.type) {
    case 'paymentProcessing':
    case 'paymentActionRequired':
    case 'paid':
    case 'paymentRefused':
    case 'captured':
    case 'refundPending':
    case 'refundFailed':
    case 'reversed':
      return fact.data;
    default:
      return undefined;
  }
}

function standingOf(fact: RecordedEvent): Standing {
  switch (fact.type) {
    case 'paymentActionRequired':
      return 'actionRequired';
    case 'paid':
      return fact.data.mode;
    case 'paymentRefused':
      return 'refused';
    case 'captured':
    case 'refundPending':
    case 'refundFailed':
      return fact.type;
    case 'reversed':
      return fact.data.how;
    default:
      return 'processing';
  }
}

function byRank(a: Payment, b: Payment): number {
  return (
    RANKS[a.standing] - RANKS[b.standing] ||
    a.attempt - b.attempt ||
    (a.intent < b.intent ? -1 : a.intent > b.intent ? 1 : 0)
  );
}
