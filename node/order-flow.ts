import type { Cancel, Environment } from '../store/environment.ts';
import { JournalError, type Entry, type Store } from '../store/index.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { FunctionSettings } from './orders/effects.ts';
import type { FunctionHost } from './ports/functions.ts';
import type { Payments } from './ports/payments.ts';
import { ReconcilerError } from './ports/reconcilers.ts';
import type { StorageState } from './ports/storage.ts';
import type { SystemOfRecord } from './ports/system-of-record.ts';
import {
  createReconcilers,
  type ReconcilersObserver,
  type ReconcilersOptions,
  type RunningReconcilers,
} from './reconcilers/reconcilers.ts';
import type { Subject } from './retention/ports.ts';
import { Retention } from './retention/retention.ts';
import { decodeEntry, encodeEvent } from './views/codec.ts';
import { OrderViews, type ViewsObserver } from './views/order-views.ts';
import { Driver } from './workflow/driver.ts';
import { OrderLog } from './workflow/order-log.ts';
import { createOrderService, type DrainableOrderService } from './workflow/order-service.ts';
import { PAYMENT_POLICY, type PaymentPolicy } from './workflow/payment-policy.ts';
import type { WorkflowObserver } from './workflow/ports.ts';
import { Supervisor } from './workflow/supervisor.ts';

/**
 * The order flow of one node: views, workflow and reconcilers joined to each other and to a store. `compose.ts` gives
 * it the real provider, functions and system of record; the simulator gives it its own and runs the same flow.
 *
 * It decides nothing. It says in which order these parts start: views first, once the journal has caught up, then who
 * drives orders, then who reads and delivers.
 */
export interface OrderFlowOptions {
  readonly self: string;
  /** Of this node's zone, itself included while it is one. Read anew at each use: members come and go. */
  readonly members: readonly { readonly id: string; readonly voter: boolean }[];
  readonly settings: FunctionSettings;
  readonly takeOverAfterMs: number;
  readonly abandonAfterMs: number;
  readonly openOrdersMax: number;
  /** Of these, orders that the payment provider gives no answer to before the door closes; 1,000 by default. */
  readonly unansweredOrdersMax?: number;
  readonly payments?: Partial<PaymentPolicy>;
  /** How long an order that has closed is kept after it was created; for ever by default, and with 0. */
  readonly retainForMs?: number;
  /** Whether all members of the cluster are in this zone; so by default. */
  readonly isOneZone?: boolean;
  /** How long a starting node waits for what its peers have that it lacks; the rest comes while it serves. */
  readonly catchUpTimeoutMs: number;
  readonly reconcilers?: Omit<ReconcilersOptions, 'timers'>;
}

export interface OrderFlowDependencies {
  readonly lifecycle: Lifecycle;
  readonly environment: Environment;
  readonly store: Pick<Store, 'journal' | 'ledger' | 'table' | 'reachable' | 'onReachability'>;
  readonly payments: Payments;
  /** Tells each time that the provider answers again after it did not. */
  readonly onProviderBack?: (listener: () => void) => Cancel;
  readonly functions: Omit<FunctionHost, 'close'>;
  readonly sor: SystemOfRecord;
  /** Once before the first read of the system of record, such as filling an empty catalogue. */
  readonly prepare?: () => Promise<void>;
  /** Without it there is always room on the disk. */
  readonly storage?: Pick<StorageState, 'isLow'>;
  /** A name that nobody can guess or repeat. */
  readonly randomKey: () => string;
  readonly observer: {
    readonly orders: WorkflowObserver;
    readonly reconcilers?: ReconcilersObserver;
    readonly views?: ViewsObserver;
  };
}

export interface OrderFlow {
  readonly views: OrderViews;
  readonly driver: Driver;
  readonly orders: DrainableOrderService;
  readonly reconcilers: RunningReconcilers;
  readonly retention: Retention;
}

/** Rejects with LifecycleError when a part does not start; `lifecycle` stops what did. */
export async function startOrderFlow(
  options: OrderFlowOptions,
  dependencies: OrderFlowDependencies,
): Promise<OrderFlow> {
  const { self, settings } = options;
  const { lifecycle, environment, store, payments, functions, sor, randomKey, observer } = dependencies;
  const { clock } = environment;

  const views = await lifecycle.start(
    'order views',
    async () => {
      await store.journal.caughtUp(options.catchUpTimeoutMs);
      const part = new OrderViews(
        {},
        {
          environment,
          journal: store.journal,
          table: store.table('orders'),
          ...(observer.views === undefined ? {} : { observer: observer.views }),
        },
      );
      await part.start();
      return part;
    },
    (part) => part.close(),
  );

  const retention = await lifecycle.start(
    'retention',
    () => {
      const { retainForMs = 0, isOneZone = true } = options;
      const { journal, ledger } = store;
      const part = new Retention(
        { retainForMs, isOneZone },
        { environment, journal, ledger, views, subjectOf },
      );
      part.start();
      return part;
    },
    (part) => part.stop(),
  );

  const membership = {
    self,
    get members() {
      return options.members;
    },
    reachable: (id: string) => store.reachable(id),
    onReachability: (handler: (id: string, reachable: boolean) => void) => store.onReachability(handler),
  };
  const log = new OrderLog({ self }, { clock, journal: store.journal, views, encode: encodeEvent });
  const flow = {
    environment,
    clock,
    journal: store.journal,
    ledger: store.ledger,
    payments,
    paymentPolicy: { ...PAYMENT_POLICY, ...options.payments },
    functions,
    views,
    log,
    membership,
    observer: observer.orders,
    encode: encodeEvent,
    randomKey,
    retention,
    ...(dependencies.storage === undefined ? {} : { storage: dependencies.storage }),
  };
  const driver = new Driver({ self, settings }, flow);
  const { takeOverAfterMs, abandonAfterMs, openOrdersMax, unansweredOrdersMax = 1_000 } = options;
  const supervisor = new Supervisor({ takeOverAfterMs, abandonAfterMs }, { ...flow, driver });
  const orders = createOrderService(
    { self, settings, openOrdersMax, unansweredOrdersMax },
    { ...flow, driver, supervisor },
  );
  await lifecycle.start(
    'order flow',
    () => {
      supervisor.start();
      return dependencies.onProviderBack?.(() => driver.providerAnswersAgain());
    },
    (stopListening) => {
      stopListening?.();
      supervisor.stop();
    },
  );

  const reconcilers = await lifecycle.start(
    'reconcilers',
    () => {
      const part = createReconcilers(
        { ...options.reconcilers, timers: functions.timers },
        {
          environment,
          sor,
          ledger: store.ledger,
          pending: {
            next: (limit, except) => views.pending(limit, except),
            count: () => views.pendingCount(),
            one: (orderId) => views.pendingOne(orderId),
            parked: () => views.parked(),
            discarded: () => views.discarded(),
            markSynced: (applied) => markSynced(applied, views, log),
            markParked: async (orderId, refusal) => {
              const folded = await views.get(orderId);
              if (folded !== undefined)
                await log.append(folded, { type: 'deliveryRefused', data: refusal }, 'local');
            },
            discard: (orderId, decision) => discard(orderId, decision, views, log),
          },
          decide: async (name, input) => {
            const at = clock.now();
            const decision = await functions.callTimer(name, { abi: 1, kind: 'timer', name, at, ...input });
            return decision.effects;
          },
          ...(dependencies.prepare === undefined ? {} : { prepare: dependencies.prepare }),
          ...(observer.reconcilers === undefined ? {} : { observer: observer.reconcilers }),
        },
      );
      part.start();
      return part;
    },
    (part) => part.stop(),
  );

  return { views, driver, orders, reconcilers, retention };
}

/** What retention looks at in an entry. */
function subjectOf(entry: Entry): Subject {
  const { orderId, type, at } = decodeEntry(entry);
  return type === 'registered' ? { orderId, registeredAt: at } : { orderId };
}

/** A person's word: it is on a majority's disks before it is answered. */
async function discard(
  orderId: string,
  decision: { readonly reason: string; readonly by: string },
  views: OrderViews,
  log: OrderLog,
): Promise<void> {
  const folded = await views.get(orderId);
  if (folded?.parked === undefined)
    throw new ReconcilerError('NOT_PARKED', `${orderId} is not parked any more`);
  try {
    await log.append(folded, { type: 'discarded', data: decision }, 'quorum');
  } catch (error) {
    if (!(error instanceof JournalError)) throw error;
    throw new ReconcilerError('QUORUM_UNAVAILABLE', error.message);
  }
}

/** Resolves once the facts are on this node's disk, so that they are not offered again. */
async function markSynced(
  applied: readonly { readonly orderId: string; readonly revision: number }[],
  views: OrderViews,
  log: OrderLog,
): Promise<void> {
  await Promise.all(
    applied.map(async ({ orderId, revision }) => {
      const folded = await views.get(orderId);
      if (folded !== undefined) await log.append(folded, { type: 'synced', data: { revision } }, 'local');
    }),
  );
}
