import type { Environment, NodeId, Random } from '../../store/environment.ts';
import { assembleStore, type AssembledStore } from '../../store/assemble.ts';
import { Lifecycle } from '../../node/lifecycle.ts';
import { startOrderFlow, type OrderFlow } from '../../node/order-flow.ts';
import type { FunctionHost } from '../../node/ports/functions.ts';
import { honestFunctions } from '../support/honest-functions.ts';
import type { PaymentPolicy } from '../../node/workflow/payment-policy.ts';
import type { Payments } from '../../node/ports/payments.ts';
import type { Plan } from './plan.ts';
import type { DiskObserver } from './world/disk.ts';
import { SimDisk } from './world/disk.ts';
import type { SimNetwork } from './world/network.ts';
import { Process, type MachineClock } from './world/process.ts';
import type { Scheduler } from './world/scheduler.ts';
import type { ShopDatabase } from './world/shop-database.ts';
import type { Trace } from './world/trace.ts';

/**
 * One machine of the simulated cluster with one node's program on it: the real store, views, workflow and
 * reconcilers over a simulated disk, network, clock, payment provider and system of record. Owns the lives of the
 * program; what happens in them is the program's.
 *
 * Not the real thing: libp2p, LevelDB, WebAssembly (the functions are TypeScript that decides alike), HTTP, and the
 * adapters of payment provider and database. They have tests of their own.
 */
export const simElectionTimeoutMs = 350;

const drainTimeoutMs = 1_000;

export interface SimNodeOptions {
  readonly id: NodeId;
  readonly members: readonly NodeId[];
  readonly plan: Pick<Plan, 'capture' | 'disk' | 'snapshotAfterEntries' | 'retainForMs' | 'alwaysFounds'>;
  readonly payments?: Partial<PaymentPolicy>;
  readonly machine: MachineClock;
}

export interface SimNodeDependencies {
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  /** The payment provider as a program reaches it. */
  readonly bank: { lineOf(process: Process, environment: Environment): Payments };
  readonly shop: ShopDatabase;
  readonly random: Random;
  readonly trace: Trace;
  readonly diskObserver: DiskObserver;
  readonly watch: NodeWatch;
}

/** What the checkers hear of a node, and put between its parts. */
export interface NodeWatch {
  readonly ran: (id: NodeId) => void;
  /** What the order flow gets instead of the bare store. */
  readonly between: (life: Life, store: AssembledStore) => Pick<AssembledStore, 'journal' | 'ledger'>;
  readonly started: (life: Life, flow: OrderFlow) => void;
  /** The program is about to be gone, and with it what it knew: the last look at it. */
  readonly ending: (life: Life) => void;
  /** The program ends by itself, with this error. */
  readonly failed: (life: Life, error: Error) => void;
}

export interface Life {
  readonly id: NodeId;
  readonly process: Process;
  store: AssembledStore | undefined;
  flow: OrderFlow | undefined;
  readonly lifecycle: Lifecycle;
  readonly environment: Environment;
}

export class SimNode {
  readonly id: NodeId;
  readonly machine: MachineClock;
  readonly disk: SimDisk;
  /** Bits were flipped on this disk since it was last known to be whole. */
  isDamaged = false;
  readonly #options: SimNodeOptions;
  readonly #dependencies: SimNodeDependencies;
  #life: Life | undefined;
  #lives = 0;
  #isWiped = false;

  constructor(options: SimNodeOptions, dependencies: SimNodeDependencies) {
    const { syncMsMax, readMsMax } = options.plan.disk;
    this.id = options.id;
    this.machine = options.machine;
    this.#options = options;
    this.#dependencies = dependencies;
    this.disk = new SimDisk(
      { pace: { syncMsMin: 0.1, syncMsMax, readMsMax } },
      { random: dependencies.random, observer: dependencies.diskObserver },
    );
  }

  get life(): Life | undefined {
    return this.#life;
  }

  /** It runs, and does not stand still. */
  get isAwake(): boolean {
    return this.#life !== undefined && !this.#life.process.isStanding;
  }

  boot(): void {
    if (this.#life !== undefined) return;
    const { scheduler, trace, watch } = this.#dependencies;
    this.#lives += 1;
    const process = new Process(
      { id: this.id, life: this.#lives },
      { scheduler, machine: this.machine, onRun: watch.ran },
    );
    const environment = this.#environmentOf(process);
    const { clock, log } = environment;
    const lifecycle = new Lifecycle({ startTimeoutMs: 60_000, stopTimeoutMs: 5_000 }, { clock, log });
    const life: Life = { id: this.id, process, store: undefined, flow: undefined, lifecycle, environment };
    this.#life = life;
    trace.add(this.id, 'boot', `life ${this.#lives}`);
    process.run('input', () => {
      this.#start(life).catch((error: unknown) => {
        this.#fail(life, error instanceof Error ? error : new Error(String(error)));
      });
    });
  }

  /** Its disk is empty from now on. */
  wipe(): void {
    this.disk.wipe();
    this.#isWiped = true;
  }

  /** The program is gone: its machine goes on (`kill`), or not (`powerLoss`). */
  end(how: 'kill' | 'powerLoss'): void {
    const life = this.#life;
    if (life !== undefined) {
      this.#dependencies.watch.ending(life);
      this.#life = undefined;
      life.process.die();
      this.#dependencies.trace.add(this.id, 'end', how);
      this.#dependencies.network.leave(this.id, { abruptly: how === 'powerLoss' });
    }
    if (how === 'kill') this.disk.killProcess();
    else this.disk.losePower();
  }

  /** Asks the program to stop in its own time; whether there is one that could. It may die before it has. */
  stop(onStopped: () => void): boolean {
    const life = this.#life;
    if (life?.store === undefined || life.flow === undefined) return false;
    const { store, flow } = life;
    life.flow = undefined;
    life.process.run('input', () => {
      this.#shutDown(life, store, flow).then(
        () => {
          if (this.#life !== life) return;
          this.end('kill');
          onStopped();
        },
        (error: unknown) => {
          this.#fail(life, error instanceof Error ? error : new Error(String(error)));
        },
      );
    });
    return true;
  }

  async #start(life: Life): Promise<void> {
    const { plan, members, payments } = this.#options;
    const { network, bank, shop, random, watch } = this.#dependencies;
    const { process } = life;
    const { environment } = life;
    const joined = network.join(process);
    const store = await assembleStore(
      {
        self: this.id,
        zone: 'sim',
        members: members.map((id) => ({
          id,
          peerId: id,
          address: { host: id, port: 1 },
          zone: 'sim',
          voter: true,
        })),
        found: plan.alwaysFounds || !this.#isWiped,
        ledger: {
          heartbeatMs: 100,
          electionTimeoutMs: simElectionTimeoutMs,
          commandTimeoutMs: 1_500,
          snapshotAfterEntries: plan.snapshotAfterEntries,
        },
        journal: journalLimits,
      },
      { environment, disk: this.disk.open(process), network: joined },
    );
    life.store = store;
    store.journal.opened().catch(() => undefined);
    joined.listen();
    const watched = watch.between(life, store);
    const flow = await startOrderFlow(
      {
        self: this.id,
        members: members.map((id) => ({ id, voter: true })),
        settings: { capture: plan.capture, holdTtlMs: 1_000, holdTtlMsMax: 60_000, maxQuantity: 1_000 },
        takeOverAfterMs: 800,
        // Well before it would be forgotten.
        abandonAfterMs: plan.retainForMs === 0 ? 4_000 : plan.retainForMs / 2,
        retainForMs: plan.retainForMs,
        openOrdersMax: 1_000,
        ...(payments === undefined ? {} : { payments }),
        catchUpTimeoutMs: 1_500,
        reconcilers: { retryDelayMsMin: 100, retryDelayMsMax: 1_000, batchSize: 4, batchIntervalMs: 5 },
      },
      {
        lifecycle: life.lifecycle,
        environment,
        store: {
          ...watched,
          table: (name) => store.table(name),
          reachable: (peer) => joined.reachable(peer),
          onReachability: (handler) => joined.onReachability(handler),
        },
        payments: bank.lineOf(process, environment),
        functions: functions(),
        sor: shop.lineOf(process),
        randomKey: () => `random-${random()}`,
        observer: { orders: silentObserver },
      },
    );
    life.flow = flow;
    watch.started(life, flow);
  }

  /** As `compose.ts` stops a node: what is under way comes to a point from which others go on. */
  async #shutDown(life: Life, store: AssembledStore, flow: OrderFlow): Promise<void> {
    await flow.orders.drain();
    await store.handOver();
    await flow.driver.drain(drainTimeoutMs);
    await life.lifecycle.stop();
    await store.close();
  }

  #environmentOf(process: Process): Environment {
    const { trace, random } = this.#dependencies;
    const { id } = this;
    const say = (level: string) => (fields: Record<string, unknown>, message: string) => {
      if (!process.isDead) trace.add(id, level, `${message} ${textOf(fields)}`);
    };
    return {
      clock: process.clock,
      random,
      log: { debug: () => undefined, info: say('info'), warn: say('warn'), error: say('error') },
      fatal: (error) => {
        if (this.#life?.process === process) this.#fail(this.#life, error);
      },
    };
  }

  #fail(life: Life, error: Error): void {
    if (life.process.isDead) return;
    const { trace, watch } = this.#dependencies;
    trace.add(this.id, 'fatal', error.message);
    this.end('kill');
    watch.failed(life, error);
  }
}

/** Tight, so that few orders are enough to come to the bounds. */
const journalLimits = {
  tickMs: 60,
  resendAfterMs: 150,
  requestTimeoutMs: 500,
  announceChangedMs: 200,
  announceIdleMs: 1_000,
  exchangeEveryMs: 1_500,
  pullPatienceMs: 250,
  startPatienceMs: 300,
  quorumTimeoutMs: 1_500,
  frameEntriesMax: 6,
  framesInFlightMax: 3,
  pageEntriesMax: 6,
  recentBytesMax: 4_096,
  claimsCachedMax: 4,
  deletedPerBatch: 3,
};

const timers = [
  { name: 'sync-inventory', cron: '*/2 * * * * *', singleton: true },
  { name: 'sync-orders', cron: '*/2 * * * * *', singleton: true },
];

function functions(): Omit<FunctionHost, 'close'> {
  return {
    ...honestFunctions(),
    timers,
    callTimer: async (name) => ({
      effects: [name === 'sync-inventory' ? { type: 'inventory.pull' } : { type: 'orders.push', batch: 4 }],
      function: name,
      version: '0'.repeat(64),
    }),
  };
}

const silentObserver = {
  step: () => undefined,
  ended: () => undefined,
  held: () => undefined,
  parked: () => undefined,
  takenOver: () => undefined,
  notified: () => undefined,
  registered: () => undefined,
};

function textOf(fields: Record<string, unknown>): string {
  return JSON.stringify(fields, (_key, value: unknown) => (value instanceof Error ? String(value) : value));
}
