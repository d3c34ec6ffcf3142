import type { TriggerFact } from './effects.ts';
import type { OrderFact, OrderFactType, RecordedEvent } from './events.ts';
import type { Order, OrderState, Outcome, PaymentStatus } from './order.ts';

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
  /** The fact to act on next; absent once nothing is left to do or while it waits for its client's retry. */
  readonly trigger?: TriggerFact;
  /** What the trigger is about, such as `OUT_OF_STOCK` or `card_declined`; empty where there is nothing to tell. */
  readonly code: string;
  /** The event behind the trigger. */
  readonly cause: string;
  /** Something is or will be left to do (O4). */
  readonly open: boolean;
  /** Its client was told 503 and has not come back. */
  readonly deferred: boolean;
  /** Later events build on its registration: it won its claim. Until then another one may still turn out to be it. */
  readonly confirmed: boolean;
}

type Fact<T extends OrderFactType> = RecordedEvent & Extract<OrderFact, { type: T }>;

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
  const money = <T extends OrderFactType>(type: T): Fact<T> | undefined =>
    all.find((event): event is Fact<T> => event.type === type && !isLeftover(event));

  const paid = money('paid');
  const captured = money('captured');
  const reversed = money('reversed');
  const refused = money('paymentRefused');
  const takeOver = own.findLast((event) => event.type === 'takenOver');
  const setback = first('captureRefused') ?? first('outOfStock') ?? first('holdLost');
  const cancelRequested = first('cancelRequested') !== undefined;
  const ending = first('fulfilled') ?? first('cancelled') ?? first('refunded') ?? first('failed');
  const outcome: Outcome | undefined = ending?.type;
  const status = paymentStatus();
  const deferred = first('deferred') !== undefined && !mayHaveBeenAsked();

  const { data } = registration;
  const intent = paid?.data.intent ?? refused?.data.intent;
  const declineCode = refused?.data.declineCode;
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
      status,
      ...(intent === undefined ? {} : { intent }),
      ...(declineCode === undefined ? {} : { declineCode }),
    },
    cancelRequested,
    home: takeOver?.node ?? registration.node,
    registration: registration.id,
    fingerprint: data.fingerprint,
    ...(registration.traceparent === undefined ? {} : { traceparent: registration.traceparent }),
  };

  const left = whatIsLeft();
  const next = deferred || left === undefined ? { code: '', cause: registration.id } : left;
  return {
    order,
    ...next,
    open: left !== undefined,
    deferred,
    confirmed: own.some((event) => decides(event.type)),
  };

  function mayHaveBeenAsked(): boolean {
    return (
      paid !== undefined ||
      refused !== undefined ||
      takeOver !== undefined ||
      money('paymentRequested') !== undefined
    );
  }

  function paymentStatus(): PaymentStatus {
    if (reversed !== undefined) return reversed.data.how;
    if (captured !== undefined || paid?.data.mode === 'captured') return 'captured';
    if (paid !== undefined) return 'authorized';
    if (refused !== undefined) return 'refused';
    return mayHaveBeenAsked() ? 'requested' : 'pending';
  }

  function orderState(): OrderState {
    if (outcome !== undefined) return first('synced') === undefined ? outcome : 'synced';
    if (paid === undefined) return 'registered';
    return first('reserved') === undefined || setback !== undefined ? 'paid' : 'reserved';
  }

  function whatIsLeft():
    (Pick<FoldedOrder, 'code' | 'cause'> & { readonly trigger: TriggerFact }) | undefined {
    if (ending === undefined) {
      // The furthest fact wins: what comes later in an order's life has everything before it decided.
      const last = reversed ?? setback ?? captured ?? first('reserved') ?? paid ?? refused ?? chosen;
      return { trigger: last.type, code: codeOf(last), cause: last.id };
    }
    if (ending.type === 'fulfilled') return undefined;
    // O4: learn what became of the money, or give it back.
    if (status === 'requested') return { trigger: 'registered', code: '', cause: ending.id };
    if (status === 'authorized' || status === 'captured') {
      return { trigger: 'holdLost', code: reason ?? '', cause: ending.id };
    }
    return undefined;
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
  const saidOf = (type: 'withdrawn' | 'deferred'): ReadonlySet<string | undefined> =>
    new Set(all.filter((event) => event.type === type).map((event) => event.registration));
  const withdrawn = saidOf('withdrawn');
  const deferred = saidOf('deferred');
  const standing = registrations.filter((event) => !withdrawn.has(event.id));
  return standing.find((event) => !deferred.has(event.id)) ?? standing[0];
}

/** Whether an event of this type shows that its registration won: all but what its own node says of losing or waiting. */
function decides(type: OrderFactType): boolean {
  return type !== 'registered' && type !== 'withdrawn' && type !== 'deferred';
}

export function byTimeThenId(a: RecordedEvent, b: RecordedEvent): number {
  return a.at - b.at || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
