import type { Environment } from '../../store/environment.ts';
import { JournalError, type Journal } from '../../store/journal/port.ts';
import { LedgerError, type Ledger } from '../../store/ledger/port.ts';
import type { FunctionSettings } from '../orders/effects.ts';
import type { OrderEvent, OrderFact } from '../orders/events.ts';
import type { FoldedOrder } from '../orders/fold.ts';
import { timeFor, whileAwaited, type Deadline } from '../ports/deadline.ts';
import type { FunctionHost } from '../ports/functions.ts';
import type { Answer, PlaceOrder } from '../ports/order-service.ts';
import type { Horizon } from '../ports/retention.ts';
import type { StorageState } from '../ports/storage.ts';
import type { Driver } from './driver.ts';
import { positionId, positionOf, type OrderLog } from './order-log.ts';
import type { Membership, Views, WorkflowObserver } from './ports.ts';
import { askFunction, type Accepted } from './pricing.ts';
import { refusedByDeadline, refusedByJournal, tooLate, unavailable, type Refused } from './refusals.ts';
import type { Supervisor } from './supervisor.ts';
import type { Waiting } from './waiting.ts';

/**
 * Makes orders of requests, each once: finds the order of a key, or registers one and learns whether that won. Owns what
 * this node says of its own registrations, and who is refused at the door. F1 to F8 are those of order-service.ts.
 */
export interface RegistrarOptions {
  readonly self: string;
  readonly settings: FunctionSettings;
  /** Orders driven at once before the door closes. */
  readonly openOrdersMax: number;
  /** Of these, orders that the payment provider gives no answer to before the door closes. */
  readonly unansweredOrdersMax: number;
  readonly registrationTimeoutMs?: number;
}

export interface RegistrarDependencies {
  readonly environment: Environment;
  readonly journal: Pick<Journal, 'register'>;
  readonly ledger: Pick<Ledger, 'claim' | 'stock' | 'lastSyncAt'>;
  readonly functions: Pick<FunctionHost, 'callHttp'>;
  readonly views: Views;
  /** Of orders: that they arrive here and are known to be settled. */
  readonly arrivals: Waiting;
  readonly log: OrderLog;
  readonly driver: Driver;
  readonly supervisor: Supervisor;
  readonly membership: Pick<Membership, 'members'>;
  readonly observer: Pick<WorkflowObserver, 'registered'>;
  readonly encode: (event: OrderEvent) => Uint8Array;
  /** Without it there is always room. */
  readonly storage?: Pick<StorageState, 'isLow'>;
  /** Without it nothing is ever forgotten. */
  readonly retention?: Pick<Horizon, 'horizon'>;
}

export interface Registrar {
  /** Orders whose registration is under way. */
  readonly registering: number;
  /** Requests with one key that meet at this node share one registration; all but the first are replays. */
  register(orderId: string, fingerprint: string, asked: PlaceOrder, deadline: Deadline): Promise<Registered>;
  /** `own` is the order's registration: what comes next builds on it. */
  driveOwn(orderId: string, own: string | undefined): Promise<Registered>;
  /** F8. Rejects with JournalError. */
  markAccepted(folded: FoldedOrder): Promise<void>;
  /** Registers nothing new from now on; resolves when what is under way is done. */
  drain(): Promise<void>;
}

export type Registered = Answer<{ readonly folded: FoldedOrder; readonly replayed: boolean }>;

/** So many times as many orders may be open while most of them wait for their customers or their banks. */
const PATIENT_ORDERS_RATIO = 10;
const CONFIRMATION_TIMEOUT_MS = 3_000;
const CLAIM_TIMEOUT_MS = 5_000;
/** The queue of this node's own disk was full. */
const NOTED_AGAIN_AFTER_MS = 50;

export function createRegistrar(options: RegistrarOptions, dependencies: RegistrarDependencies): Registrar {
  const { environment, journal, ledger, views, arrivals, log, driver, supervisor, membership, observer } =
    dependencies;
  const registrationTimeoutMs = options.registrationTimeoutMs ?? 3_000;
  const placing = new Map<
    string,
    { readonly fingerprint: string; readonly deadline: Deadline; readonly registered: Promise<Registered> }
  >();
  /** By registration: facts of acceptance on their way to the disk. */
  const accepting = new Map<string, Promise<void>>();
  /** Orders that were deferred here. Of some, something else has become since. */
  const deferrals = new Set<string>();
  let draining = false;

  return {
    register: registerOnce,
    driveOwn,
    markAccepted,
    get registering() {
      return placing.size;
    },
    drain: async () => {
      draining = true;
      await Promise.allSettled([...placing.values()].map(({ registered }) => registered));
    },
  };

  /** Requests with one key that meet at this node share one registration; all but the first are replays. */
  async function registerOnce(
    orderId: string,
    fingerprint: string,
    asked: PlaceOrder,
    deadline: Deadline,
  ): Promise<Registered> {
    if (deadline.givenUp !== undefined) return tooLate();
    const running = placing.get(orderId);
    if (running !== undefined) {
      const first = await whileAwaited(deadline, running.registered).catch(refusedByDeadline);
      // What the first one is told is about what it asked for and how long it waits (F7).
      const isForAll =
        running.fingerprint === fingerprint && (first.ok || running.deadline.givenUp === undefined);
      if (!isForAll) return registerOnce(orderId, fingerprint, asked, deadline);
      return first.ok ? { ok: true, value: { ...first.value, replayed: true } } : first;
    }
    const registered = supervisor
      .whileRegistering(orderId, () => findOrRegister(orderId, fingerprint, asked, deadline))
      .catch(refusedByJournal);
    placing.set(orderId, { fingerprint, deadline, registered });
    try {
      return await registered;
    } finally {
      placing.delete(orderId);
    }
  }

  async function findOrRegister(
    orderId: string,
    fingerprint: string,
    asked: PlaceOrder,
    deadline: Deadline,
  ): Promise<Registered> {
    const existing = await views.get(orderId);
    if (existing !== undefined) return replay(existing, fingerprint, deadline);
    if (!membership.members.some(({ id }) => id === options.self)) {
      const detail = 'this node is no member of its cluster; another one will take the order';
      return unavailable('NOT_A_MEMBER', detail, 5);
    }
    if (draining)
      return unavailable('DRAINING', 'this node is shutting down; another one will take the order', 1);
    // Orders that are here go on, and need what is left.
    if (environment.clock.now() < horizon()) return clockBehind();
    if (dependencies.storage?.isLow === true) {
      return unavailable('DISK_FULL', 'this node runs out of disk; another one may take the order', 10);
    }
    // Those that wait for somebody else take no more than their place in memory.
    const busy = driver.active - driver.patient + driver.patient / PATIENT_ORDERS_RATIO;
    if (busy + placing.size > options.openOrdersMax) {
      return unavailable(
        'OVERLOADED',
        `${driver.active} orders are in progress here, the limit is ${options.openOrdersMax}`,
        2,
      );
    }
    if (isFullOfDeferred()) {
      const detail = `${deferrals.size} orders that could not be made durable wait here for their clients`;
      return unavailable('OVERLOADED', detail, 5);
    }
    if (driver.waitingForProvider >= options.unansweredOrdersMax) {
      return unavailable(
        'PAYMENTS_UNAVAILABLE',
        `${driver.waitingForProvider} orders wait here for the payment provider, which does not answer`,
        5,
      );
    }
    const priced = await askFunction(orderId, asked, options.settings, deadline, dependencies);
    if (!priced.ok) return priced;
    // F6: up to here nothing was written.
    if (deadline.givenUp !== undefined) return tooLate();
    return register(orderId, fingerprint, asked, priced.value, deadline);
  }

  /** They are in memory until their clients ask again, or are given up. */
  function isFullOfDeferred(): boolean {
    if (deferrals.size < options.openOrdersMax) return false;
    const isWaiting = (folded?: FoldedOrder): boolean => folded?.deferred === true && folded.open;
    for (const orderId of deferrals) if (!isWaiting(views.peek(orderId))) deferrals.delete(orderId);
    return deferrals.size >= options.openOrdersMax;
  }

  async function register(
    orderId: string,
    fingerprint: string,
    asked: PlaceOrder,
    accepted: Accepted,
    deadline: Deadline,
  ): Promise<Registered> {
    const event: OrderEvent = {
      ...log.header(
        { id: orderId, ...(asked.traceparent === undefined ? {} : { traceparent: asked.traceparent }) },
        { decision: accepted.decision },
      ),
      type: 'registered',
      data: {
        customer: asked.customer,
        currency: accepted.currency,
        total: accepted.total,
        lines: accepted.lines,
        method: asked.payment.method,
        ...(asked.payment.returnUrl === undefined ? {} : { returnUrl: asked.payment.returnUrl }),
        capture: options.settings.capture,
        fingerprint,
      },
    };
    const startedAt = environment.clock.monotonic();
    const { position, verdict } = await journal.register(orderId, dependencies.encode(event), {
      timeoutMs: timeFor(registrationTimeoutMs, deadline),
    });
    observer.registered(verdict.kind, (environment.clock.monotonic() - startedAt) / 1_000);
    const own = position === undefined ? undefined : positionId(position);
    if (own !== undefined) views.record({ ...event, id: own });

    switch (verdict.kind) {
      case 'won':
        // F4. It took so long that everybody has dropped it.
        return event.at < horizon() ? clockBehind() : driveOwn(orderId, own);
      case 'lost':
        return yieldTo(orderId, positionId(verdict.holder), own, fingerprint, deadline);
      case 'split': {
        const seen = own ?? verdict.seen.map(positionId).toSorted()[0] ?? '';
        try {
          const claimed = await ledger.claim(
            { orderId, createdAt: event.at, registration: seen },
            { timeoutMs: timeFor(CLAIM_TIMEOUT_MS, deadline) },
          );
          if (claimed.kind === 'forgotten') return defer(orderId, own);
          const { registration } = claimed;
          return registration === own
            ? driveOwn(orderId, own)
            : yieldTo(orderId, registration, own, fingerprint, deadline);
        } catch (error) {
          if (!(error instanceof LedgerError)) throw error;
          return defer(orderId, own);
        }
      }
      case 'unavailable':
        return defer(orderId, own);
    }
  }

  /** `own` is the order's registration now. */
  async function driveOwn(orderId: string, own: string | undefined): Promise<Registered> {
    let folded = await views.get(orderId);
    if (own !== undefined && folded !== undefined && folded.order.registration !== own) {
      // Another one came first here, and the fold goes by time until something builds on one of them (O2).
      const { home, updatedAt } = folded.order;
      await note(orderId, own, { type: 'takenOver', data: { from: home } }, updatedAt);
      folded = await views.get(orderId);
    }
    if (folded === undefined) return unavailable('QUORUM_UNAVAILABLE', 'the order is not readable yet', 1);
    driver.drive(orderId, own);
    return { ok: true, value: { folded, replayed: false } };
  }

  /** Another registration is the order's: this one says so, and its client gets that order. */
  async function yieldTo(
    orderId: string,
    holder: string,
    own: string | undefined,
    fingerprint: string,
    deadline: Deadline,
  ): Promise<Registered> {
    if (await isLeftBehind(orderId, holder)) return defer(orderId, own);
    if (own !== undefined && own !== holder) await note(orderId, own, { type: 'withdrawn', data: {} });
    const folded = await arrivals.until(orderId, ({ order }) => order.registration === holder, {
      timeoutMs: CONFIRMATION_TIMEOUT_MS,
      deadline,
    });
    if (folded?.order.registration !== holder) {
      return unavailable(
        'QUORUM_UNAVAILABLE',
        'this order was accepted by another node and has not arrived here yet',
        1,
      );
    }
    return replay(folded, fingerprint, deadline);
  }

  /** `holder` is of an order that is forgotten, whose claim has not gone everywhere yet: it counts no more (S5). */
  async function isLeftBehind(orderId: string, holder: string): Promise<boolean> {
    if (!(await views.hasTakenIn(positionOf(holder)))) return false;
    return (await views.events(orderId))?.some(({ id }) => id === holder) !== true;
  }

  async function defer(orderId: string, own: string | undefined): Promise<Registered> {
    if (own !== undefined) {
      deferrals.add(orderId);
      await note(orderId, own, { type: 'deferred', data: { reason: 'QUORUM_UNAVAILABLE' } });
    }
    return unavailable(
      'QUORUM_UNAVAILABLE',
      'no majority of the nodes answers, so it is not known whether the order was accepted; repeat it with the same Idempotency-Key',
      1,
    );
  }

  /** The same key came again. The answer is the order itself, once it is certain that it is one (F1). */
  async function replay(existing: FoldedOrder, fingerprint: string, deadline: Deadline): Promise<Registered> {
    const { id } = existing.order;
    let folded: FoldedOrder | undefined = existing;
    if (!existing.confirmed) {
      const patience = { timeoutMs: CONFIRMATION_TIMEOUT_MS, deadline };
      // Its home may be starting again just now, and be about to say that it told nobody (S7).
      if (!existing.deferred) {
        folded = await arrivals.until(id, ({ confirmed, deferred }) => confirmed || deferred, patience);
      }
      if (folded?.deferred === true) {
        // Nobody takes up what somebody else asked for; and whether that is the order is not known yet.
        const isAskedFor = folded.order.fingerprint === fingerprint;
        if (isAskedFor && !(await supervisor.takeOver(id))) {
          return unavailable(
            'QUORUM_UNAVAILABLE',
            'no majority of the nodes answers; retry with the same Idempotency-Key',
            1,
          );
        }
        folded = await arrivals.until(id, ({ confirmed }) => confirmed, patience);
      }
      if (folded?.confirmed !== true) {
        return unavailable(
          'QUORUM_UNAVAILABLE',
          'the order is not durable yet; retry with the same Idempotency-Key',
          1,
        );
      }
    }
    return { ok: true, value: { folded, replayed: true } };
  }

  /** F8. What is known of a payment is on disk by then: it was asked for when a majority knew (W3 in driver.ts). */
  async function markAccepted({ order, accepted }: FoldedOrder): Promise<void> {
    const { id, registration, payment } = order;
    const isOwn = registration.startsWith(`${options.self}:`);
    const isBuiltOn = payment.status !== 'pending' && payment.status !== 'requested';
    if (!isOwn || isBuiltOn) return;
    let marking = accepting.get(registration);
    if (marking === undefined) {
      if (accepted) return;
      marking = note(id, registration, { type: 'accepted', data: {} }).finally(() => {
        accepting.delete(registration);
      });
      accepting.set(registration, marking);
    }
    await marking;
  }

  /**
   * What this node says of a registration of its own. It is never given up: without it others would go on with what nobody
   * was promised, or give up what somebody was.
   */
  async function note(orderId: string, own: string, fact: OrderFact, after?: number): Promise<void> {
    for (;;) {
      try {
        await log.appendTo(orderId, own, fact, 'local', after);
        return;
      } catch (error) {
        if (!(error instanceof JournalError) || error.code !== 'QUEUE_FULL') throw error;
        await new Promise<void>((resolve) => environment.clock.after(NOTED_AGAIN_AFTER_MS, resolve));
      }
    }
  }

  function horizon(): number {
    return dependencies.retention?.horizon() ?? 0;
  }

  function clockBehind(): Refused {
    const { log: lines, clock } = environment;
    lines.error(
      { now: clock.now(), horizon: horizon() },
      'the clock of this node is behind what is forgotten',
    );
    return unavailable('CLOCK_BEHIND', 'the clock of this node is wrong; another one may take the order', 10);
  }
}
