import { JournalError } from '../../store/journal/port.ts';
import { LedgerError, type Ledger } from '../../store/ledger/port.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import { fingerprintOf, orderIdOf } from '../orders/identity.ts';
import type { Order } from '../orders/order.ts';
import { NO_DEADLINE, timeFor, type Deadline } from '../ports/deadline.ts';
import type { Answer, MessageTaken, OrderService, PlaceOrder } from '../ports/order-service.ts';
import type { PaymentMessage } from '../ports/payments.ts';
import { takeMessage } from './payment-messages.ts';
import type { WorkflowObserver } from './ports.ts';
import { notCancellable, refuse, refusedByJournal, tooLate, unavailable } from './refusals.ts';
import { createRegistrar, type RegistrarDependencies, type RegistrarOptions } from './registrar.ts';
import { Waiting } from './waiting.ts';

/**
 * The front of the order flow: what clients may ask for. How orders are registered is the registrar's (registrar.ts).
 *
 * F1  An order is answered as accepted only when its registration won its claim on a majority's disks.
 * F2  One idempotency key, one order, whichever nodes are asked and however often: the order id is its hash.
 * F3  What is refused leaves nothing behind. What is answered 503 leaves at most a deferred registration, which is driven
 *     only if the client comes back, unless the ledger has decided for it and its answer was lost; or, in the words of F6,
 *     an order that has won. What a node that died had not answered is deferred when it returns. Others may have taken it
 *     over by then: to them it looks like one that was answered.
 * F4  An order that is forgotten is not one any more: its key may make a new one. Nothing is registered that would be
 *     forgotten at once, which a clock that is behind the horizon would do.
 * F5  A cancellation is accepted for an order whose registration is known to be the one: what is built on another one,
 *     which lost, would make that the order's (O2), with its date and its lines.
 * F6  Whoever asks may stop waiting at any time, and then nothing is begun in their name. What was begun is never raced
 *     against their deadline: it goes into a registration, a command of the ledger and a majority's write as their own
 *     time-out, and what they say stands. A registration that hears no verdict in that time is a deferred one (F3), though
 *     a majority may have it; one that won is driven to its end, whether or not anybody is there to hear it.
 * F7  Nobody's deadline is another's: who shares a registration that was given up goes on with one of its own.
 * F8  Before a client is told that a registration of this node is its order, a fact that builds on it is on this node's
 *     disk. So a node that died, and finds one on which nothing is built, knows that nobody was told (S7 in settlement.ts).
 */
export type OrderServiceOptions = RegistrarOptions;

export interface OrderServiceDependencies extends Omit<RegistrarDependencies, 'arrivals'> {
  readonly ledger: Pick<Ledger, 'claim' | 'release' | 'stock' | 'lastSyncAt'>;
  readonly observer: WorkflowObserver;
  /** A name that nobody can guess or repeat. */
  readonly randomKey: () => string;
}

export interface DrainableOrderService extends OrderService {
  /** Orders whose registration is under way. */
  readonly registering: number;
  /** Requests that wait for something to be known of their order. */
  readonly waiting: number;
  /** Takes no new orders from now on; resolves when those under way are registered. */
  drain(): Promise<void>;
}

type Placed = Answer<{ readonly order: Order; readonly replayed: boolean; readonly waited: boolean }>;

/** Each: for the ledger to close the order, for a majority to have it, and for the order to end. */
const CANCELLATION_TIMEOUT_MS = 5_000;
/** How long an order may be on its way from the node that accepted it. */
const ARRIVAL_TIMEOUT_MS = 1_000;

export function createOrderService(
  options: OrderServiceOptions,
  dependencies: OrderServiceDependencies,
): DrainableOrderService {
  const { environment, ledger, views, log, observer } = dependencies;
  /** Of orders: their end, and that they arrive here and are known to be settled. */
  const ends = new Waiting({ clock: environment.clock, views });
  const arrivals = new Waiting({ clock: environment.clock, views });
  const registrar = createRegistrar(options, { ...dependencies, arrivals });
  let draining = false;

  return {
    place,
    find: async (orderId) => (await views.get(orderId))?.order,
    events: (orderId) => views.events(orderId),
    list: (query) => views.list(query),
    absent,
    cancel,
    paymentChanged,
    get registering() {
      return registrar.registering;
    },
    get waiting() {
      return ends.size + arrivals.size;
    },
    drain: async () => {
      draining = true;
      ends.release();
      await registrar.drain();
    },
  };

  async function paymentChanged(message: PaymentMessage): Promise<Answer<MessageTaken>> {
    try {
      const value = await takeMessage(message, { views, log });
      observer.notified(value);
      return { ok: true, value };
    } catch (error) {
      return refusedByJournal(error);
    }
  }

  async function place(asked: PlaceOrder, deadline: Deadline = NO_DEADLINE): Promise<Placed> {
    const waitUntil = environment.clock.monotonic() + asked.waitMs;
    const orderId = orderIdOf(asked.idempotencyKey ?? dependencies.randomKey());
    const fingerprint = fingerprintOf(asked);
    const registered = await registrar.register(orderId, fingerprint, asked, deadline);
    if (!registered.ok) return registered;
    const { folded, replayed } = registered.value;
    if (folded.order.fingerprint !== fingerprint) {
      return refuse({
        code: 'IDEMPOTENCY_KEY_REUSED',
        detail: `this key belongs to order ${orderId}, which asked for something else`,
      });
    }
    // Who has to act is told at once: the wait could not end before.
    let latest = await untilEnded(
      orderId,
      { timeoutMs: waitUntil - environment.clock.monotonic(), deadline },
      ({ order }) => order.outcome !== undefined || order.payment.nextAction !== undefined,
    );
    if (latest !== undefined && latest.order.registration !== folded.order.registration) {
      // F1: the registration of a rival came in before anything was built on the one that won; see O2. What it asked for
      // may be something else, and the date that it would tell is not the order's in any case.
      const settled = await registrar.driveOwn(orderId, folded.order.registration);
      if (!settled.ok) return settled;
      latest = settled.value.folded;
    }
    const told = latest ?? folded;
    try {
      if (deadline.givenUp !== 'clientGone') await registrar.markAccepted(told);
    } catch (error) {
      return refusedByJournal(error);
    }
    return { ok: true, value: { order: told.order, replayed, waited: asked.waitMs > 0 } };
  }

  /** A node that is about to stop tells what it has: the order is accepted, and a cut connection would hide that. */
  async function untilEnded(
    orderId: string,
    patience: { readonly timeoutMs: number; readonly deadline: Deadline },
    when = ({ order }: FoldedOrder): boolean => order.outcome !== undefined,
  ): Promise<FoldedOrder | undefined> {
    return draining ? views.get(orderId) : ends.until(orderId, when, patience);
  }

  function horizon(): number {
    return dependencies.retention?.horizon() ?? 0;
  }

  function absent(orderId: string): ReturnType<OrderService['absent']> {
    const before = horizon();
    if (before === 0) return { code: 'ORDER_NOT_FOUND', detail: `no order ${orderId} is known to this node` };
    const since = new Date(before).toISOString();
    return {
      code: 'ORDER_NOT_KEPT',
      detail: `no order ${orderId} is known to this node; if it was placed before ${since}, it is in the system of record`,
    };
  }

  /** Exact, because the ledger decides: an order is fulfilled or given back, never both. */
  async function cancel(orderId: string, deadline: Deadline = NO_DEADLINE): Promise<Answer<Order>> {
    // It may have been accepted at another node a moment ago.
    const folded = await arrivals.until(orderId, ({ confirmed }) => confirmed, {
      timeoutMs: ARRIVAL_TIMEOUT_MS,
      deadline,
    });
    if (deadline.givenUp !== undefined) return tooLate();
    if (folded === undefined) return refuse(absent(orderId));
    if (folded.order.outcome === 'cancelled') return { ok: true, value: folded.order };
    if (folded.order.outcome !== undefined) return notCancellable(orderId, folded.order.state);
    // F5.
    if (!folded.confirmed) {
      return unavailable('QUORUM_UNAVAILABLE', 'the order is not durable yet, as far as this node knows', 1);
    }
    try {
      const { createdAt } = folded.order;
      const closed = await ledger.release(
        { orderId, createdAt, reason: 'cancelled' },
        { timeoutMs: timeFor(CANCELLATION_TIMEOUT_MS, deadline) },
      );
      if (closed.kind === 'forgotten') return refuse(absent(orderId));
      if (closed.kind === 'committed' || closed.reason !== 'cancelled') {
        const ended = await untilEnded(orderId, { timeoutMs: CANCELLATION_TIMEOUT_MS, deadline });
        return notCancellable(orderId, (ended ?? folded).order.state);
      }
      // F6: the ledger has closed it, so this is written though nobody may wait for it any more.
      await log.append(folded, { type: 'cancelRequested', data: {} }, 'quorum', {
        timeoutMs: timeFor(CANCELLATION_TIMEOUT_MS, deadline),
      });
    } catch (error) {
      if (error instanceof LedgerError)
        return unavailable('LEDGER_UNAVAILABLE', 'the stock ledger does not answer; try again', 1);
      if (error instanceof JournalError)
        return unavailable('QUORUM_UNAVAILABLE', 'no majority of the nodes answers; try again', 1);
      throw error;
    }
    const ended = await untilEnded(orderId, { timeoutMs: CANCELLATION_TIMEOUT_MS, deadline });
    return { ok: true, value: (ended ?? folded).order };
  }
}
