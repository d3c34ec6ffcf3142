import { seededRandom } from '../support/random.ts';
import type { AssembledStore } from '../../store/assemble.ts';
import type { NodeId } from '../../store/environment.ts';
import { decodeMessage } from '../../store/ledger/replica-messages.ts';
import type { OrderFlow } from '../../node/order-flow.ts';
import { JournalChecker } from './checkers/journal-checker.ts';
import { LedgerChecker } from './checkers/ledger-checker.ts';
import { OrderChecker } from './checkers/order-checker.ts';
import { PromiseChecker } from './checkers/promise-checker.ts';
import { RaftChecker } from './checkers/raft-checker.ts';
import { RetentionChecker } from './checkers/retention-checker.ts';
import { RestChecker } from './checkers/rest-checker.ts';
import { SnapshotChecker } from './checkers/snapshot-checker.ts';
import { Faults, InjectedDiskError } from './faults.ts';
import { SimNode, simElectionTimeoutMs, type Life } from './node.ts';
import { planOf, type Deck, type Mode, type Plan, type StruckFault } from './plan.ts';
import { Violations, type Violation } from './violations.ts';
import { Workload } from './workload.ts';
import { Bank } from './world/bank.ts';
import { SimNetwork } from './world/network.ts';
import { Scheduler } from './world/scheduler.ts';
import { ShopDatabase } from './world/shop-database.ts';
import { lineOfEntry, lineOfFact } from './wording.ts';
import { Trace } from './world/trace.ts';

/**
 * One run: a world made from a seed, its trouble, and what the checkers say of it. Owns the joining of the parts and
 * the order of things: the checkers look after every single happening, and the first breach ends the run.
 */
export interface RunOptions {
  readonly seed: number;
  readonly mode: Mode;
  readonly nodes?: 3 | 5;
  readonly deck?: Deck;
  /** How much of the trace is kept. */
  readonly traceLinesMax?: number;
}

export interface RunResult {
  readonly seed: number;
  readonly mode: Mode;
  readonly nodes: 3 | 5;
  readonly violation: Violation | undefined;
  /** Two runs with the same digest did the same. */
  readonly digest: string;
  readonly worldMs: number;
  readonly happenings: number;
  readonly accepted: number;
  readonly ended: number;
  readonly decided: number;
  readonly terms: number;
  readonly faults: Readonly<Partial<Record<StruckFault, number>>>;
  /** What the checkers looked at. */
  readonly checks: {
    readonly answers: number;
    readonly quorums: number;
    readonly linearizableReads: number;
    /** Accepted orders that were forgotten, and journal entries that were given up. */
    readonly forgotten: number;
    readonly givenUp: number;
    /** Accepted orders that became another registration of their key when a disk was lost. */
    readonly renamed: number;
  };
}

const troubleBeginsAtMs = 700;
/** How long a world without faults may take to come to rest. */
const restWithinMs = 120_000;
const lookForRestEveryMs = 50;

export async function runSeed(
  options: RunOptions,
): Promise<{ readonly result: RunResult; readonly trace: Trace }> {
  const world = new World(planOf(options), options.traceLinesMax ?? 2_000);
  const onRejection = (error: unknown): void => {
    world.violations.report('crash', `unhandled rejection: ${String(error)}`);
  };
  process.on('unhandledRejection', onRejection);
  try {
    await world.run();
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  return { result: world.result(), trace: world.trace };
}

class World {
  readonly plan: Plan;
  readonly scheduler = new Scheduler();
  readonly trace: Trace;
  readonly violations: Violations;
  readonly nodes = new Map<NodeId, SimNode>();
  readonly #network: SimNetwork;
  readonly #workload: Workload;
  readonly #faults: Faults;
  readonly #raft: RaftChecker;
  readonly #ledger: LedgerChecker;
  readonly #journal: JournalChecker;
  readonly #orders: OrderChecker;
  readonly #retention: RetentionChecker;
  readonly #rest: RestChecker;
  readonly #struck = new Map<StruckFault, number>();
  readonly #ran = new Set<NodeId>();
  #disksLost = 0;
  /** Something was decided since the checkers last looked. */
  #isNews = false;

  constructor(plan: Plan, traceLinesMax: number) {
    this.plan = plan;
    const { scheduler } = this;
    const now = (): number => scheduler.now;
    // A stream of its own for each source of chance: what one of them draws does not change the others.
    const randomOf = (stream: number) => seededRandom(plan.chance * 31 + stream);
    this.trace = new Trace({ linesMax: traceLinesMax }, { now });
    this.violations = new Violations({ now });
    const { trace, violations, nodes } = this;
    const struck = (kind: StruckFault): void => {
      this.#struck.set(kind, (this.#struck.get(kind) ?? 0) + 1);
    };

    const members = Array.from({ length: plan.nodes }, (_, place) => `n${place + 1}`);
    const shop = new ShopDatabase(
      { products: plan.skus, pace: { latencyMsMin: 1, latencyMsMax: 10, ...plan.shop } },
      {
        scheduler,
        random: randomOf(1),
        onFault: (kind) => {
          struck(kind === 'shopDown' ? 'shopRefuses' : kind);
        },
      },
    );
    const bank = new Bank(
      { pace: { latencyMsMin: 1, latencyMsMax: 30, ...plan.bank } },
      {
        scheduler,
        random: randomOf(2),
        onFault: struck,
        onMove: (orderId, what) => {
          trace.add('bank', what, orderId);
          this.#orders.checkMoney(orderId);
        },
        onAsked: (orderId, what, by) => {
          this.#retention.asked(orderId, what, by);
        },
      },
    );
    this.#ledger = new LedgerChecker({ violations, now });
    this.#raft = new RaftChecker(
      { members, electionTimeoutMs: simElectionTimeoutMs },
      {
        violations,
        now,
        onDecided: (entry) => {
          trace.add('world', 'decided', lineOfEntry(entry));
          this.#ledger.decided(entry);
        },
      },
    );
    this.#journal = new JournalChecker({ members }, { violations });
    this.#orders = new OrderChecker({
      violations,
      bank,
      shop,
      ledger: this.#ledger,
      disksLost: () => this.#disksLost,
    });
    this.#retention = new RetentionChecker(plan, {
      violations,
      now,
      ledger: this.#ledger,
      orders: this.#orders,
      bank,
      shop,
      onFact: (fact, by) => {
        trace.add(by, 'fact', lineOfFact(fact));
      },
    });
    const snapshots = new SnapshotChecker({ violations, diskOf: (id) => this.#node(id).disk });
    const promises = new PromiseChecker({ violations, diskOf: (id) => this.#node(id).disk });
    const network = new SimNetwork(
      { members, pace: { latencyMsMin: 0.2, ...plan.network } },
      {
        scheduler,
        random: randomOf(3),
        tap: {
          sent: (from, to, channel, payload) => {
            trace.add(from, 'send', `${channel} to ${to}, ${payload.byteLength} bytes`);
            const message = channel === 'raft' ? decodeMessage(from, to, payload) : undefined;
            if (message === undefined) {
              promises.sent(from, to, channel, payload);
              this.#faults.sent(from, to, channel, payload);
            } else {
              this.#raft.sentMessage(message, this.#node(from).life?.process.clock.monotonic() ?? Infinity);
              promises.sentMessage(message);
            }
          },
          struck,
        },
      },
    );
    this.#network = network;

    const clocks = randomOf(4);
    for (const [place, id] of members.entries()) {
      const { slowOne } = plan;
      const drift = clocks() * 2 - 1;
      const rate = 1 + (slowOne === undefined ? drift : slowOne === place ? -1 : 1) * plan.clockDrift;
      const skewMs = Math.round((clocks() * 2 - 1) * plan.clockSkewMs);
      if (rate !== 1) struck('clockDrift');
      if (skewMs !== 0) struck('clockSkew');
      if (plan.disk.readMsMax > 0) struck('slowDisk');
      const node = new SimNode(
        { id, members, plan, machine: { rate, skewMs } },
        {
          scheduler,
          network,
          bank,
          shop,
          random: randomOf(10 + place),
          trace,
          diskObserver: {
            asked: (operations) => {
              trace.add(id, 'write', `${operations.length} rows`);
              this.#raft.asked(id, operations);
            },
            durable: (operations) => {
              this.#raft.durable(id, operations);
              snapshots.durable(id, operations);
              this.#journal.durable(id, operations);
              this.#retention.durable(id, operations);
            },
          },
          watch: {
            ran: (ran) => this.#ran.add(ran),
            between: (life, store) => this.#between(life, store),
            started: (life, flow) => {
              this.#started(life, flow);
            },
            ending: ({ id: ended, store }) => {
              if (store !== undefined && this.#raft.check(ended, store.ledger)) this.#isNews = true;
            },
            failed: (life, error) => {
              this.#failed(life, error);
            },
          },
        },
      );
      nodes.set(id, node);
    }
    const parts = { scheduler, trace, nodes, shop };
    this.#workload = new Workload(plan, { ...parts, random: randomOf(6), orders: this.#orders, violations });
    this.#faults = new Faults(plan, {
      ...parts,
      random: randomOf(5),
      network,
      bank,
      workload: this.#workload,
      struck,
      onDiskChanged: (id) => {
        this.#raft.ended(id, this.#node(id).disk);
      },
      onWiped: (id) => {
        this.#disksLost += 1;
        this.#journal.wiped(id);
        this.#raft.ended(id, this.#node(id).disk);
      },
    });
    this.#rest = new RestChecker(plan, {
      nodes,
      shop,
      orders: this.#orders,
      ledger: this.#ledger,
      retention: this.#retention,
      violations,
    });
  }

  async run(): Promise<void> {
    const { plan, scheduler, violations } = this;
    const random = seededRandom(plan.chance * 31 + 7);
    for (const node of this.nodes.values()) {
      scheduler.after(random() * 150, () => {
        node.boot();
      });
    }
    this.#workload.start(troubleBeginsAtMs);
    this.#faults.start(troubleBeginsAtMs);
    const calmAt = troubleBeginsAtMs + plan.troubleMs;
    await scheduler.run(calmAt, () => this.#check());
    if (plan.mode === 'safety' || violations.first !== undefined) return;
    this.#faults.end();
    this.#workload.endTrouble();
    await this.#comeToRest(calmAt + restWithinMs);
    // Damage that nobody had met may end a node while everything is read back: then it heals, and all is read again.
    while (violations.first === undefined && !(await this.#isReadBack())) {
      await this.#comeToRest(scheduler.now + restWithinMs);
    }
  }

  result(): RunResult {
    const { seed, mode, nodes } = this.plan;
    return {
      seed,
      mode,
      nodes,
      violation: this.violations.first,
      digest: this.trace.digest,
      worldMs: Math.round(this.scheduler.now),
      happenings: this.scheduler.happened,
      accepted: this.#orders.accepted.size,
      ended: this.#orders.outcomes.size,
      decided: this.#raft.decidedCount,
      terms: this.#raft.terms,
      faults: Object.fromEntries(this.#struck),
      checks: {
        answers: this.#ledger.answers,
        quorums: this.#journal.quorums,
        linearizableReads: this.#raft.linearizableReads,
        forgotten: this.#retention.forgotten,
        givenUp: this.#retention.givenUp,
        renamed: this.#orders.renamed,
      },
    };
  }

  async #comeToRest(deadlineMs: number): Promise<void> {
    const { scheduler, violations } = this;
    let isAtRest = false;
    const look = (): void => {
      isAtRest = this.#workload.isDone && this.#rest.unrest() === undefined;
      if (!isAtRest) scheduler.after(lookForRestEveryMs, look);
    };
    look();
    await scheduler.run(deadlineMs, () => this.#check() || isAtRest);
    if (isAtRest || violations.first !== undefined) return;
    const what = this.#workload.isDone ? this.#rest.unrest() : 'a buyer still waits';
    violations.report('liveness', `${restWithinMs} ms after the last fault: ${what ?? 'at rest too late'}`);
  }

  /**
   * Reads back what the nodes hold, which takes simulated time: damaged records heal on the way. False when a node has
   * ended meanwhile, and nothing can be said.
   */
  async #isReadBack(): Promise<boolean> {
    const { scheduler, violations, nodes } = this;
    const lives = [...nodes.values()].map(({ life }) => life);
    const isInterrupted = (): boolean => [...nodes.values()].some(({ life }, place) => life !== lives[place]);
    let isDone = false;
    const checking = this.#rest.check().then(
      () => {
        isDone = true;
      },
      (error: unknown) => {
        if (isInterrupted()) return;
        violations.report('convergence', `what is held can not be read: ${String(error)}`);
      },
    );
    await scheduler.run(scheduler.now + 30_000, () => this.#check() || isDone || isInterrupted());
    if (violations.first !== undefined) return true;
    if (isInterrupted()) return false;
    if (isDone) await checking;
    else violations.report('liveness', 'what is held can not be read back');
    return true;
  }

  /** After each happening. True when the run is over. */
  #check(): boolean {
    for (const id of this.#ran) {
      const ledger = this.nodes.get(id)?.life?.store?.ledger;
      if (ledger !== undefined && this.#raft.check(id, ledger)) this.#isNews = true;
    }
    const isNews = this.#isNews;
    this.#isNews = false;
    for (const id of isNews ? this.nodes.keys() : this.#ran) {
      const node = this.#node(id);
      const ledger = node.life?.store?.ledger;
      if (ledger === undefined || !node.isAwake) continue;
      this.#raft.checkRead(id, ledger);
      if (isNews) this.#ledger.checkFigures(id, ledger);
    }
    this.#ran.clear();
    this.#ledger.checkAnswers();
    this.#orders.check();
    this.#retention.check();
    if (isNews) this.#orders.checkStock();
    return this.violations.first !== undefined;
  }

  #between(life: Life, store: AssembledStore): Pick<AssembledStore, 'journal' | 'ledger'> {
    return {
      journal: this.#journal.between(life.id, store.journal),
      ledger: this.#ledger.between(life.id, store.ledger),
    };
  }

  #started(life: Life, flow: OrderFlow): void {
    this.trace.add(life.id, 'started');
    flow.views.onChange((orderId, folded) => {
      if (life.process.isDead) return;
      this.trace.add(life.id, 'order', `${orderId} ${folded.order.state} ${folded.trigger ?? ''}`);
      this.#orders.viewed(life.id, folded);
    });
  }

  /** A program ends by itself when its disk fails or was damaged; everything else is a bug. */
  #failed(life: Life, error: Error): void {
    const node = this.#node(life.id);
    this.#raft.ended(life.id, node.disk);
    const causes = causesOf(error);
    const isInjected = causes.some((cause) => cause instanceof InjectedDiskError);
    const isDamage = node.isDamaged && causes.some(tellsOfDamage);
    // It could not read what was damaged while nobody was there to give it again: it is started once more.
    const isLonely =
      node.isDamaged && causes.some((cause) => 'code' in cause && cause.code === 'UNAVAILABLE');
    if (!isInjected && !isDamage && !isLonely) {
      this.violations.report('crash', `${life.id} stopped: ${error.stack ?? error.message}`);
    }
    this.#faults.failed(life.id, { diskIsUnusable: isDamage });
  }

  #node(id: NodeId): SimNode {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }
}

function causesOf(error: unknown): readonly Error[] {
  const causes: Error[] = [];
  for (let cause = error; cause instanceof Error && causes.length < 8; cause = cause.cause)
    causes.push(cause);
  return causes;
}

/** The clear stops that a damaged disk may end in. */
const damageCodes = new Set(['LOG_DAMAGED', 'CORRUPT_RECORD']);

function tellsOfDamage(error: Error): boolean {
  if ('code' in error && damageCodes.has(String(error.code))) return true;
  return error.message.endsWith('is damaged on this disk and no other member has it');
}
