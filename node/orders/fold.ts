import type { TriggerFact } from './effects.ts';
import type { OrderFactType, PaymentName, RecordedEvent } from './events.ts';
import { foldMoney, isExpected, isUnsettled, type Fact, type Money, type Payment } from './money.ts';
import type { Order, OrderState, Outcome } from './order.ts';

/**
 * An order as the fold of its events.
 *
 * O1  The fold depends on the set of events only: not on the order of their arrival, nor on how often one arrives.
 * O2  An order has one registration. Of several, it is the one that later events build on; before there are any,
 *     the earliest that was not withdrawn, and sooner one that may have been answered 201 than a deferred one.
 * O3  An outcome, once folded, never changes as more events arrive, as long as the host ends an order only by the
 *     ledger's answer (transitions.ts). Were two ever to meet, precedence makes all nodes agree all the same.
 * O4  An order stays open until it has ended *and* no money of its customer is left with the shop for nothing: two
 *     homes that did not know of each other may have ended it and asked for money at once. There is one payment
 *     per order, so what is known of it counts whichever registration its home had built on.
 * O5  An idempotency key may be used again once its order is forgotten: what is left of that one (facts from before
 *     this registration, about one that is not here) says nothing of the money of this.
 */
export interface FoldedOrder {
  readonly order: Order;
  readonly money: Money;
  /** The fact to act on next; absent once nothing is left to decide or while it waits for its client's retry. */
  readonly trigger?: TriggerFact;
  /** What the host itself has to do about money once no function has anything to decide. */
  readonly errand?: Errand;
  /** What the trigger is about, such as `OUT_OF_STOCK` or `card_declined`; empty where there is nothing to tell. */
  readonly code: string;
  /** The event behind the trigger. */
  readonly cause: string;
  /** Something is or will be left to do (O4). */
  readonly open: boolean;
  /** Its client was told 503 and has not come back. */
  readonly deferred: boolean;
  /** Why the system of record does not take its outcome, and since when (ms). */
  readonly parked?: ParkedDelivery;
  /** A fact says that its client was told (F8 in workflow/order-service.ts). */
  readonly accepted: boolean;
  /** Later events build on its registration: it won its claim. Until then another one may still turn out to be it. */
  readonly confirmed: boolean;
  /**
   * Until it is confirmed: registrations that may have been answered `201`, for all that their own nodes said (neither
   * withdrawn nor deferred). The one that the fold would choose comes first.
   */
  readonly standing: readonly string[];
  /** Once it is confirmed: registrations that lost to its own, and whose nodes have not said so (not withdrawn). */
  readonly rivals: readonly string[];
  /** The earliest that it may turn out to have been created at, ms: until it is confirmed, by any that was not withdrawn. */
  readonly mayDateFrom: number;
}

/** Money that came to the shop, or may come, beside what the order is about. */
export type Errand =
  /** Give back a payment that the order has no use for, by what is known of it (Y3). */
  | { readonly kind: 'giveBack'; readonly payment: Payment }
  /** The provider sent word of a payment that nobody knows. */
  | { readonly kind: 'lookAt'; readonly payment: PaymentName }
  /** The provider takes a refund back that was done. */
  | { readonly kind: 'lookAgain'; readonly payment: Payment; readonly eventId: string }
  /** An attempt whose answer nobody has heard. */
  | { readonly kind: 'search'; readonly attempt: number };

/** The system of record refuses an outcome, since `at` (ms). */
export interface ParkedDelivery {
  readonly code: string;
  readonly detail: string;
  readonly at: number;
}

/** Undefined when no registration stands. Events may come in any order, with repetitions. */
export function foldOrder(events: Iterable<RecordedEvent>): FoldedOrder | undefined {
  const all = [...new Map([...events].map((event) => [event.id, event])).values()].toSorted(byTimeThenId);
  const registration = chooseRegistration(all);
  if (registration === undefined) return undefined;

  const chosen = registration;
  const own = all.filter((event) => event.id === chosen.id || event.registration === chosen.id);
  const first = <T extends OrderFactType>(type: T): Fact<T> | undefined =>
    own.find((event): event is Fact<T> => event.type === type);

  const registrations = new Set(all.filter(({ type }) => type === 'registered').map(({ id }) => id));
  const isLeftover = ({ registration: its, at }: RecordedEvent): boolean =>
    its !== undefined && !registrations.has(its) && at < chosen.at;
  const takeOver = own.findLast((event) => event.type === 'takenOver');
  const money = foldMoney(
    all.filter((event) => !isLeftover(event)),
    takeOver !== undefined,
  );
  const { status, own: payment } = money;
  const setback = first('captureRefused') ?? first('outOfStock') ?? first('holdLost');
  const cancelRequested = first('cancelRequested') !== undefined;
  const ending = first('fulfilled') ?? first('cancelled') ?? first('refunded') ?? first('failed');
  const outcome: Outcome | undefined = ending?.type;
  const deferred = first('deferred') !== undefined && takeOver === undefined && status === 'pending';

  const { data } = registration;
  const reason = endingReason();
  const order: Order = {
    id: registration.orderId,
    state: orderState(),
    ...(outcome === undefined ? {} : { outcome }),
    ...(reason === undefined ? {} : { reason }),
    createdAt: registration.at,
    updatedAt: own.at(-1)?.at ?? registration.at,
    customer: data.customer,
    currency: data.currency,
    total: data.total,
    lines: data.lines,
    capture: data.capture,
    payment: {
      method: data.method,
      ...(data.returnUrl === undefined ? {} : { returnUrl: data.returnUrl }),
      status,
      ...(payment === undefined || payment.intent === '' ? {} : { intent: payment.intent }),
      ...(payment?.declineCode === undefined ? {} : { declineCode: payment.declineCode }),
      ...(payment?.action === undefined || outcome !== undefined
        ? {}
        : { nextAction: payment.action.nextAction }),
    },
    cancelRequested,
    home: takeOver?.node ?? registration.node,
    registration: registration.id,
    fingerprint: data.fingerprint,
    ...(registration.traceparent === undefined ? {} : { traceparent: registration.traceparent }),
  };

  const refusal = own.findLast((event): event is Fact<'deliveryRefused'> => event.type === 'deliveryRefused');
  const isDelivering = outcome !== undefined && order.state === outcome;
  const parked = isDelivering && refusal !== undefined ? { ...refusal.data, at: refusal.at } : undefined;
  const left = whatIsLeft();
  const errand = left === undefined ? errandOf() : undefined;
  const confirmed = own.some((event) => decides(event.type));
  const next = deferred || left === undefined ? { code: '', cause: ending?.id ?? registration.id } : left;
  return {
    order,
    money,
    ...next,
    ...(errand === undefined ? {} : { errand }),
    open: left !== undefined || errand !== undefined,
    deferred,
    ...(parked === undefined ? {} : { parked }),
    accepted: first('accepted') !== undefined,
    confirmed,
    standing: confirmed ? [] : undeferredOf(all),
    rivals: confirmed ? standingOf(all).flatMap(({ id }) => (id === chosen.id ? [] : [id])) : [],
    mayDateFrom: confirmed ? chosen.at : Math.min(...standingOf(all).map(({ at }) => at), chosen.at),
  };

  function orderState(): OrderState {
    if (outcome !== undefined) {
      // A person's word stands, also beside a delivery that was under way: the drift report then names the order.
      if (first('discarded') !== undefined) return 'discarded';
      return first('synced') === undefined ? outcome : 'synced';
    }
    if (payment?.paid === undefined) return 'registered';
    return first('reserved') === undefined || setback !== undefined ? 'paid' : 'reserved';
  }

  function whatIsLeft():
    (Pick<FoldedOrder, 'code' | 'cause'> & { readonly trigger: TriggerFact }) | undefined {
    if (ending === undefined) {
      // The furthest fact wins: what comes later in an order's life has everything before it decided.
      const last =
        reversal() ?? setback ?? undoing() ?? payment?.captured ?? first('reserved') ?? settled() ?? chosen;
      return { trigger: triggerOf(last), code: codeOf(last), cause: last.id };
    }
    if (ending.type === 'fulfilled') return undefined;
    // O4: learn what became of the money, or give it back.
    if (status === 'requested') return { trigger: 'registered', code: '', cause: ending.id };
    const isWithShop = payment !== undefined && isUnsettled(payment.standing) && !isExpected(payment);
    return isWithShop ? { trigger: 'holdLost', code: reason ?? '', cause: ending.id } : undefined;
  }

  function errandOf(): Errand | undefined {
    const { strays, unanswered, unseen, doubted } = money;
    const [stray] = payment !== undefined && isExpected(payment) ? [payment] : strays;
    if (stray !== undefined) return { kind: 'giveBack', payment: stray };
    if (unanswered !== undefined) return { kind: 'search', attempt: unanswered };
    const [other] = unseen;
    if (other !== undefined) return { kind: 'lookAt', payment: other };
    const [doubt] = doubted;
    return doubt === undefined ? undefined : { kind: 'lookAgain', ...doubt };
  }

  function reversal(): RecordedEvent | undefined {
    return payment?.fact.type === 'reversed' ? payment.fact : undefined;
  }

  /** Its money is on the way back already, whatever else was to be done. */
  function undoing(): RecordedEvent | undefined {
    return status === 'refund_pending' || status === 'refund_failed' ? payment?.fact : undefined;
  }

  /** What the provider said of its payment; while nothing is settled the registration still is to be acted on. */
  function settled(): RecordedEvent | undefined {
    if (payment === undefined || isExpected(payment)) return undefined;
    return payment.paid ?? payment.fact;
  }

  function triggerOf({ type }: RecordedEvent): TriggerFact {
    switch (type) {
      case 'paymentRefused':
      case 'paid':
      case 'reserved':
      case 'captured':
      case 'captureRefused':
      case 'outOfStock':
      case 'reversed':
        return type;
      case 'holdLost':
      case 'refundPending':
      case 'refundFailed':
        return 'holdLost';
      default:
        return 'registered';
    }
  }

  function codeOf(trigger: RecordedEvent): string {
    switch (trigger.type) {
      case 'paymentRefused':
      case 'captureRefused':
      case 'outOfStock':
      case 'holdLost':
        return trigger.data.code;
      case 'reversed':
        return setback?.data.code ?? (cancelRequested ? 'CANCELLED' : '');
      default:
        return '';
    }
  }

  function endingReason(): string | undefined {
    switch (ending?.type) {
      case 'refunded':
      case 'failed':
        return ending.data.code;
      case 'cancelled':
        return 'CANCELLED';
      default:
        return undefined;
    }
  }
}

/** O2. `all` is sorted by time, then id. */
function chooseRegistration(all: readonly RecordedEvent[]): Fact<'registered'> | undefined {
  const registrations = all.filter((event): event is Fact<'registered'> => event.type === 'registered');
  if (registrations.length === 0) return undefined;
  const builtOn = all.find((event) => event.registration !== undefined && decides(event.type))?.registration;
  const chosen = registrations.find((event) => event.id === builtOn);
  if (chosen !== undefined) return chosen;
  const deferred = saidOf('deferred', all);
  const standing = standingOf(all);
  return standing.find((event) => !deferred.has(event.id)) ?? standing[0];
}

/** Registrations that did not say of themselves that they lost. */
function standingOf(all: readonly RecordedEvent[]): readonly Fact<'registered'>[] {
  const withdrawn = saidOf('withdrawn', all);
  return all.filter(
    (event): event is Fact<'registered'> => event.type === 'registered' && !withdrawn.has(event.id),
  );
}

/** Of those, the ones whose clients may have been answered `201`. */
function undeferredOf(all: readonly RecordedEvent[]): readonly string[] {
  const deferred = saidOf('deferred', all);
  return standingOf(all).flatMap(({ id }) => (deferred.has(id) ? [] : [id]));
}

/** The registrations that this was said of. */
function saidOf(
  type: 'withdrawn' | 'deferred',
  all: readonly RecordedEvent[],
): ReadonlySet<string | undefined> {
  return new Set(all.filter((event) => event.type === type).map((event) => event.registration));
}

/**
 * Whether an event of this type shows that its registration won: all but what its own node says of losing or waiting, and
 * what the provider says, which any node takes down that has one of them.
 */
function decides(type: OrderFactType): boolean {
  return type !== 'registered' && type !== 'withdrawn' && type !== 'deferred' && type !== 'paymentNotified';
}

export function byTimeThenId(a: RecordedEvent, b: RecordedEvent): number {
  return a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
