import { fingerprintOf } from '../../node/orders/identity.ts';
import type { PlaceOrder } from '../../node/ports/order-service.ts';
import { Retention } from '../../node/retention/retention.ts';
import { decodeEntry, encodeEvent } from '../../node/views/codec.ts';
import { OrderViews } from '../../node/views/order-views.ts';
import { Driver } from '../../node/workflow/driver.ts';
import { OrderLog } from '../../node/workflow/order-log.ts';
import { createOrderService } from '../../node/workflow/order-service.ts';
import { PAYMENT_POLICY } from '../../node/workflow/payment-policy.ts';
import type { WorkflowObserver } from '../../node/workflow/ports.ts';
import { Supervisor } from '../../node/workflow/supervisor.ts';
import { createCommitter } from '../../store/disk/group-commit.ts';
import { createTable } from '../../store/disk/tables.ts';
import type { Random } from '../../store/environment.ts';
import { openJournal, type OpenJournal } from '../../store/journal/journal.ts';
import { LedgerError, type Ledger } from '../../store/ledger/port.ts';
import { testEnvironment, type TestEnvironment } from './environment.ts';
import { honestFunctions } from './honest-functions.ts';
import { MemoryDisk } from './memory-disk.ts';
import { MemoryNetwork } from './memory-network.ts';
import { paymentDouble } from './payment-double.ts';
import { stockLedger } from './stock-ledger.ts';
import type { NodeClock, VirtualClock } from './virtual-clock.ts';

/**
 * A cluster that runs the real order flow on the real journal, under one virtual clock: network and disks are
 * simulated, the ledger is one real stock machine that a node reaches only while it reaches a majority.
 */
export interface FlowNode {
  readonly id: string;
  readonly clock: NodeClock;
  readonly environment: TestEnvironment;
  readonly journal: OpenJournal;
  readonly views: OrderViews;
  readonly service: ReturnType<typeof createOrderService>;
  readonly driver: Driver;
  /** Only in a cluster that lets orders go. */
  readonly retention: Retention | undefined;
}

/** What a shop of tests asks of its functions. */
export const flowSettings = {
  capture: 'after-reserve',
  holdTtlMs: 1_000,
  holdTtlMsMax: 60_000,
  maxQuantity: 1_000,
} as const;

export class FlowCluster {
  readonly ids: readonly string[];
  readonly clock: VirtualClock;
  readonly network: MemoryNetwork;
  readonly voters: readonly string[];
  readonly payments = paymentDouble();
  readonly disks: ReadonlyMap<string, MemoryDisk>;
  readonly nodes = new Map<string, FlowNode>();
  /** Nodes whose disk has too little room. */
  readonly low = new Set<string>();
  /** What the system of record has: how each order ended, the first time it was told. */
  readonly delivered = new Map<string, string>();
  /** Orders whose end was delivered twice, and differently. */
  readonly contradictions: string[] = [];
  readonly #random: Random;
  readonly #ledger: Ledger;
  readonly #functions: ReturnType<typeof honestFunctions>;
  readonly #retainForMs: number | undefined;

  private constructor(
    { ids, voters }: { readonly ids: readonly string[]; readonly voters: readonly string[] },
    clock: VirtualClock,
    random: Random,
    ledger: Ledger,
    functions: ReturnType<typeof honestFunctions>,
    retainForMs: number | undefined,
  ) {
    this.#functions = functions;
    this.#retainForMs = retainForMs;
    this.ids = ids;
    this.voters = voters;
    this.clock = clock;
    this.#random = random;
    this.#ledger = ledger;
    this.network = new MemoryNetwork({ members: ids }, { clock, random });
    this.disks = new Map(ids.map((id) => [id, new MemoryDisk({ syncMs: 0.3 })]));
  }

  static async start(options: {
    readonly ids: readonly string[];
    readonly clock: VirtualClock;
    readonly random: Random;
    readonly onHand: number;
    /** Lets closed orders go after this; then ended ones are delivered to `delivered`. For ever by default. */
    readonly retainForMs?: number;
    /** Honest ones that answer at once by default. */
    readonly functions?: ReturnType<typeof honestFunctions>;
    /** All of them by default. */
    readonly voters?: readonly string[];
  }): Promise<FlowCluster> {
    const { ids, clock, random, onHand, retainForMs } = options;
    const ledger = await stockLedger({ clock, products: [{ sku: 'MUG', onHand }] });
    const functions = options.functions ?? honestFunctions();
    const voters = options.voters ?? ids;
    const cluster = new FlowCluster({ ids, voters }, clock, random, ledger, functions, retainForMs);
    for (const id of ids) await cluster.boot(id);
    return cluster;
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  async boot(id: string): Promise<void> {
    const clock = this.clock.node();
    const environment = testEnvironment({ clock, random: this.#random });
    const disk = this.disks.get(id)?.open(clock);
    if (disk === undefined) throw new Error(`no such node: ${id}`);
    const network = this.network.join(id);
    const peers = this.ids.filter((other) => other !== id);
    const committer = createCommitter({}, { disk, environment });
    const journal = await openJournal(
      { self: id, zonePeers: peers, zoneVoters: this.voters },
      { environment, disk, committer, network },
    );
    const views = new OrderViews(
      {},
      { environment, journal, table: createTable('orders', { disk, log: environment.log }) },
    );
    await views.start();
    const reachesMajority = (): boolean =>
      1 + peers.filter((peer) => network.reachable(peer)).length > this.ids.length / 2;
    const membership = {
      self: id,
      members: this.ids.map((member) => ({ id: member, voter: this.voters.includes(member) })),
      reachable: (peer: string) => network.reachable(peer),
      onReachability: (handler: (peer: string, reachable: boolean) => void) =>
        network.onReachability(handler),
    };
    const log = new OrderLog({ self: id }, { clock, journal, views, encode: encodeEvent });
    const ledger = this.#ledgerFor(clock, reachesMajority);
    const retention = this.#retain(environment, journal, ledger, views);
    const flow = {
      environment,
      clock,
      journal,
      ledger,
      payments: this.payments,
      paymentPolicy: PAYMENT_POLICY,
      functions: this.#functions,
      views,
      log,
      membership,
      observer: silentObserver,
      encode: encodeEvent,
      randomKey: () => `random-${this.#random()}`,
      storage: storageOf(() => this.low.has(id)),
      ...(retention === undefined ? {} : { retention }),
    };
    const settings = flowSettings;
    const driver = new Driver({ self: id, settings }, flow);
    const supervisor = new Supervisor(
      { takeOverAfterMs: 1_000, abandonAfterMs: 30_000 },
      { ...flow, driver },
    );
    const service = createOrderService(
      { self: id, settings, openOrdersMax: 1_000, unansweredOrdersMax: 20 },
      { ...flow, driver, supervisor },
    );
    supervisor.start();
    if (retention !== undefined) this.#deliver(clock, views, log);
    this.nodes.set(id, { id, clock, environment, journal, views, service, driver, retention });
  }

  /** `kill -9`, or with `power` also whatever its disk had not synced. */
  kill(id: string, options: { readonly power?: boolean } = {}): void {
    this.nodes.get(id)?.clock.stop();
    this.nodes.delete(id);
    this.network.leave(id);
    const disk = this.disks.get(id);
    if (options.power === true) disk?.losePower(this.#random);
    else disk?.killProcess();
  }

  node(id: string): FlowNode {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`${id} is not running`);
    return node;
  }

  order(key: string | undefined, over: Partial<PlaceOrder> = {}): PlaceOrder {
    return {
      ...(key === undefined ? {} : { idempotencyKey: key }),
      customer: { id: 'c', email: 'a@b.c' },
      currency: 'EUR',
      lines: [{ sku: 'MUG', quantity: 1 }],
      payment: { method: 'pm_card_visa' },
      waitMs: 0,
      ...over,
    };
  }

  fingerprint(over: Partial<PlaceOrder> = {}): string {
    return fingerprintOf(this.order(undefined, over));
  }

  #retain(
    environment: TestEnvironment,
    journal: OpenJournal,
    ledger: Ledger,
    views: OrderViews,
  ): Retention | undefined {
    if (this.#retainForMs === undefined) return undefined;
    const retention = new Retention(
      { retainForMs: this.#retainForMs, isOneZone: true },
      {
        environment,
        journal,
        ledger,
        views,
        subjectOf: (entry) => {
          const { orderId, type, at } = decodeEntry(entry);
          return type === 'registered' ? { orderId, registeredAt: at } : { orderId };
        },
      },
    );
    retention.start();
    return retention;
  }

  /** Every node delivers what it takes for pending: the system of record keeps what it was told first. */
  #deliver(clock: NodeClock, views: OrderViews, log: OrderLog): void {
    clock.after(100, () => {
      void views.pending(50, new Set()).then(async (outcomes) => {
        for (const { order, outcome } of outcomes) {
          const known = this.delivered.get(order.id) ?? outcome;
          if (known !== outcome) this.contradictions.push(`${order.id}: ${known}, then ${outcome}`);
          this.delivered.set(order.id, known);
          const folded = await views.get(order.id);
          if (folded === undefined) continue;
          await log.append(folded, { type: 'synced', data: { revision: 1 } }, 'local').catch(() => undefined);
        }
        this.#deliver(clock, views, log);
      });
    });
  }

  /** A node's own copy of the horizon follows when it reaches a majority. */
  #ledgerFor(clock: NodeClock, reachesMajority: () => boolean): Ledger {
    let horizon = 0;
    const handlers = new Set<(horizon: number) => void>();
    const follow = (): void => {
      if (reachesMajority() && this.#ledger.horizon() > horizon) {
        horizon = this.#ledger.horizon();
        for (const handler of handlers) handler(horizon);
      }
      clock.after(50, follow);
    };
    if (this.#retainForMs !== undefined) follow();
    const roundTrip = <T>(ask: () => Promise<T>): Promise<T> =>
      new Promise((resolve, reject) => {
        clock.after(1, () => {
          if (reachesMajority()) ask().then(resolve, reject);
          else clock.after(500, () => reject(new LedgerError('NO_LEADER', 'no majority')));
        });
      });
    const ledger = this.#ledger;
    return {
      ...ledger,
      hold: (hold) => roundTrip(() => ledger.hold(hold)),
      commit: (order) => roundTrip(() => ledger.commit(order)),
      release: (release) => roundTrip(() => ledger.release(release)),
      claim: (claim) => roundTrip(() => ledger.claim(claim)),
      forget: (before) => roundTrip(() => ledger.forget(before)),
      horizon: () => horizon,
      onHorizon: (handler) => {
        handlers.add(handler);
        return () => handlers.delete(handler);
      },
    };
  }
}

const silentObserver: WorkflowObserver = {
  step: () => undefined,
  ended: () => undefined,
  held: () => undefined,
  parked: () => undefined,
  takenOver: () => undefined,
  notified: () => undefined,
  registered: () => undefined,
};

function storageOf(isLow: () => boolean): { readonly isLow: boolean } {
  return {
    get isLow() {
      return isLow();
    },
  };
}
