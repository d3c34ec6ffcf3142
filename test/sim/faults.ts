import type { NodeId, Random } from '../../store/environment.ts';
import { channels, decodeAcknowledgement } from '../../store/journal/wire.ts';
import { integerBetween } from '../support/random.ts';
import { DiskBudget } from './disk-budget.ts';
import type { SimNode } from './node.ts';
import type { FaultKind, Plan, StruckFault } from './plan.ts';
import type { Workload } from './workload.ts';
import type { Bank } from './world/bank.ts';
import type { SimNetwork } from './world/network.ts';
import type { Scheduler } from './world/scheduler.ts';
import type { ShopDatabase } from './world/shop-database.ts';
import type { Trace } from './world/trace.ts';

/**
 * Strikes faults, of the kinds and at the pace of the plan, and repairs what does not repair itself: restarts what
 * ended, empties a disk that a program refuses to run on. Owns no rule about what must hold under them, but one: disks
 * are lost in a minority only (disk-budget.ts), because nothing is promised beyond.
 */
export interface FaultsDependencies {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: Trace;
  readonly nodes: ReadonlyMap<NodeId, SimNode>;
  readonly network: SimNetwork;
  readonly bank: Bank;
  readonly shop: ShopDatabase;
  readonly workload: Pick<Workload, 'contest' | 'cancelAt'>;
  readonly struck: (kind: StruckFault) => void;
  /** What a program left on its disk has changed under it. */
  readonly onDiskChanged: (id: NodeId) => void;
  readonly onWiped: (id: NodeId) => void;
}

/** What an injected failure of a disk rejects with: told apart from everything else by identity. */
export class InjectedDiskError extends Error {
  readonly code = 'DISK_IO';
}

export class Faults {
  readonly #plan: Plan;
  readonly #dependencies: FaultsDependencies;
  readonly #budget: DiskBudget;
  #isOver = false;
  #isOneAway = false;
  /** Waits for one node to give another its vote on a claim. */
  #ambush: { readonly voter: NodeId; readonly asker: NodeId; readonly spring: () => void } | undefined;

  constructor(plan: Plan, dependencies: FaultsDependencies) {
    this.#plan = plan;
    this.#dependencies = dependencies;
    this.#budget = new DiskBudget(dependencies);
  }

  start(fromMs: number): void {
    this.#dependencies.scheduler.after(fromMs, () => {
      this.#strikeAndGoOn();
    });
  }

  /** Everything works from now on. */
  end(): void {
    const { network, nodes, bank, shop, trace, random } = this.#dependencies;
    this.#isOver = true;
    this.#ambush = undefined;
    trace.add('world', 'calm');
    network.heal();
    network.pace = { ...network.pace, loss: 0, lateness: 0, refusal: 0, damage: 0 };
    bank.isDown = false;
    bank.unheard.clear();
    shop.isDown = false;
    bank.pace = { ...bank.pace, questionLost: 0, answerLost: 0, late: 0 };
    shop.pace = { ...shop.pace, questionLost: 0, answerLost: 0, crash: 0 };
    for (const node of nodes.values()) {
      node.disk.failure = undefined;
      node.disk.pace = this.#usualPace();
      node.machine.skewMs = 0;
      node.life?.process.proceed(random() < 0.5 ? 'timer' : 'input');
      node.boot();
    }
  }

  /** A frame has left. */
  sent(from: NodeId, to: NodeId, channel: string, payload: Uint8Array): void {
    const ambush = this.#ambush;
    if (ambush?.voter !== from || ambush.asker !== to || channel !== channels.acknowledge) return;
    if (!decodeAcknowledgement(payload).votes.some(({ vote }) => vote.kind === 'granted')) return;
    this.#ambush = undefined;
    ambush.spring();
  }

  /** The program of a node has ended by itself. Whether it should have is for others to judge. */
  failed(id: NodeId, options: { readonly diskIsUnusable: boolean }): void {
    const node = this.#node(id);
    if (options.diskIsUnusable) this.#wipe(node);
    this.#bootLater(node, 200, 1_000);
  }

  #strikeAndGoOn(): void {
    const { random, scheduler } = this.#dependencies;
    if (this.#isOver) return;
    const { kinds, faultEveryMs } = this.#plan;
    const kind = kinds[Math.floor(random() * kinds.length)];
    if (kind !== undefined) this.#strike(kind);
    scheduler.after(faultEveryMs * (0.2 + 1.6 * random()), () => {
      this.#strikeAndGoOn();
    });
  }

  #strike(kind: FaultKind): void {
    const { struck, trace } = this.#dependencies;
    const where = this.#attempt(kind);
    if (where === undefined) return;
    struck(kind);
    trace.add('world', 'fault', `${kind} ${where}`);
  }

  /** Where it struck; undefined when there was nothing to strike. */
  #attempt(kind: FaultKind): string | undefined {
    const { random } = this.#dependencies;
    switch (kind) {
      case 'kill':
        return this.#end('kill');
      case 'killDuringBoot':
        return this.#killDuringBoot();
      case 'powerLoss':
        return this.#end('powerLoss');
      case 'powerLossOfAll':
        return this.#powerLossOfAll();
      case 'stand':
        return this.#stand();
      case 'clockJump':
        return this.#jumpClock();
      case 'linkBreak':
        return this.#breakLink();
      case 'partition':
        return this.#partition();
      case 'oneWay':
        return this.#blockOneWay();
      case 'cutLeader':
        return this.#cutLeader();
      case 'diskStall':
        return this.#stallDisk();
      case 'diskFailure':
        return this.#failDisk('input/output error', 100);
      case 'diskFull':
        return this.#failDisk('no space left on device', integerBetween(random, 300, 2_500));
      case 'bitFlip':
        return this.#flipBit();
      case 'wipe':
        return this.#wipeOne();
      case 'forgottenPromise':
        return this.#forgetPromise();
      case 'shopDown':
        return this.#takeDown(this.#dependencies.shop);
      case 'bankDown':
        return this.#takeDown(this.#dependencies.bank);
      case 'handOver':
        return this.#handOver();
      case 'absence':
        return this.#sendAway();
      case 'seclusion':
        return this.#seclude();
      case 'contestedPromise':
        return this.#contestPromise();
    }
  }

  #end(how: 'kill' | 'powerLoss'): string | undefined {
    const node = this.#any((one) => one.life !== undefined);
    if (node === undefined) return undefined;
    this.#endNode(node, how);
    // Now and then so soon that the others have hardly noticed.
    if (this.#dependencies.random() < 0.3) this.#bootLater(node, 1, 40);
    else this.#bootLater(node, 10, 1_500);
    return node.id;
  }

  #killDuringBoot(): string | undefined {
    const node = this.#any(() => true);
    if (node === undefined) return undefined;
    this.#endNode(node, 'kill');
    node.boot();
    const { scheduler, random, struck } = this.#dependencies;
    scheduler.after(random() * random() * 400, () => {
      // Counted when it comes before the end of the start; it is a kill like others otherwise.
      if (this.#isOver || node.life === undefined) return;
      if (node.life.flow === undefined) struck('killDuringBoot');
      this.#endNode(node, random() < 0.5 ? 'kill' : 'powerLoss');
      this.#bootLater(node, 0, 500);
    });
    return node.id;
  }

  #powerLossOfAll(): string {
    for (const node of this.#dependencies.nodes.values()) {
      this.#endNode(node, 'powerLoss');
      this.#bootLater(node, 10, 600);
    }
    return 'everywhere';
  }

  #stand(): string | undefined {
    const { network, scheduler, random } = this.#dependencies;
    const node = this.#any((one) => one.isAwake);
    const process = node?.life?.process;
    if (node === undefined || process === undefined) return undefined;
    process.stand();
    network.fellSilent(node.id);
    scheduler.after(integerBetween(random, 50, this.#plan.standMsMax), () => {
      process.proceed(random() < 0.5 ? 'timer' : 'input');
    });
    return node.id;
  }

  /** Somebody stops a program as it wants to be stopped: mostly the one that leads. */
  #handOver(): string | undefined {
    const { random } = this.#dependencies;
    const isLeading = random() < 0.7;
    const node = this.#any(
      (one) => one.isAwake && (!isLeading || one.life?.store?.ledger.status().role === 'leader'),
    );
    const isStopping = node?.stop(() => {
      this.#dependencies.onDiskChanged(node.id);
      this.#bootLater(node, 10, 1_500);
    });
    return isStopping === true ? node?.id : undefined;
  }

  /** For so long that what was open when it left is forgotten when it returns; and then it may hear nobody at first. */
  #sendAway(): string | undefined {
    const { scheduler, random, network, nodes } = this.#dependencies;
    if (this.#isOneAway) return undefined;
    const node = this.#any((one) => one.life?.flow !== undefined);
    if (node === undefined) return undefined;
    this.#isOneAway = true;
    this.#endNode(node, 'kill');
    const awayMs = this.#plan.retainForMs * (1.2 + random());
    scheduler.after(awayMs, () => {
      this.#isOneAway = false;
      if (random() < 0.6 && network.isWhole && !this.#isOver) {
        for (const id of nodes.keys()) {
          if (id === node.id) continue;
          network.block(node.id, id, { swallows: false });
          network.block(id, node.id, { swallows: false });
        }
        this.#healLater();
      }
      node.boot();
    });
    return node.id;
  }

  /**
   * One that has orders open hears nobody, for so long that they are forgotten; then its clients cancel them, and it
   * hears the payment provider first, and the others a moment later.
   */
  #seclude(): string | undefined {
    const { scheduler, random, network, nodes, bank, workload } = this.#dependencies;
    const node = this.#any((one) => one.isAwake && (one.life?.flow?.views.open().size ?? 0) > 0);
    if (node === undefined || this.#isOneAway || !network.isWhole) return undefined;
    this.#isOneAway = true;
    this.#separate(
      [node.id],
      [...nodes.keys()].filter((id) => id !== node.id),
      { swallows: random() < 0.5 },
    );
    bank.unheard.add(node.id);
    const forMs = this.#plan.retainForMs * (1.6 + random()) + 2_500;
    scheduler.after(forMs, () => {
      bank.unheard.delete(node.id);
      for (const orderId of node.life?.flow?.views.open() ?? []) workload.cancelAt(node.id, orderId);
    });
    scheduler.after(forMs + integerBetween(random, 50, 1_000), () => {
      this.#isOneAway = false;
      network.heal();
    });
    return node.id;
  }

  #jumpClock(): string | undefined {
    const { random, scheduler } = this.#dependencies;
    const node = this.#any(() => true);
    if (node === undefined) return undefined;
    const before = node.machine.skewMs;
    const { clockOffMsMax } = this.#plan;
    const skewMs = before + integerBetween(random, -30_000, 30_000);
    node.machine.skewMs = Math.max(-clockOffMsMax, Math.min(clockOffMsMax, skewMs));
    if (random() < 0.6) {
      scheduler.after(integerBetween(random, 100, 3_000), () => {
        node.machine.skewMs = before;
      });
    }
    return node.id;
  }

  #breakLink(): string | undefined {
    const [one, other] = this.#anyTwo();
    return this.#dependencies.network.breakLink(one.id, other.id) ? `${one.id}-${other.id}` : undefined;
  }

  #partition(): string | undefined {
    const { network, random, nodes } = this.#dependencies;
    if (!network.isWhole) return undefined;
    const ids = [...nodes.keys()];
    const inside = ids.filter(() => random() < 0.4);
    const outside = ids.filter((id) => !inside.includes(id));
    if (inside.length === 0 || outside.length === 0) return undefined;
    this.#separate(inside, outside, { swallows: random() < 0.5 });
    this.#healLater();
    return `${inside.join(' ')} | ${outside.join(' ')}`;
  }

  /** Who leads is heard by nobody, and knows of it late. */
  #cutLeader(): string | undefined {
    const { network, random, nodes } = this.#dependencies;
    const leader = this.#leader();
    if (!network.isWhole || leader === undefined) return undefined;
    const others = [...nodes.keys()].filter((id) => id !== leader.id);
    this.#separate([leader.id], others, { swallows: random() < 0.5 });
    this.#healLater(400, 900);
    return leader.id;
  }

  #leader(): SimNode | undefined {
    return this.#any((node) => node.isAwake && node.life?.store?.ledger.status().role === 'leader');
  }

  #separate(
    some: readonly NodeId[],
    others: readonly NodeId[],
    options: { readonly swallows: boolean },
  ): void {
    const { network } = this.#dependencies;
    for (const one of some) {
      for (const other of others) {
        network.block(one, other, options);
        network.block(other, one, options);
      }
    }
  }

  #blockOneWay(): string | undefined {
    const { network, random } = this.#dependencies;
    if (!network.isWhole) return undefined;
    const [one, other] = this.#anyTwo();
    const swallows = random() < 0.5;
    network.block(one.id, other.id, { swallows });
    // Or these two do not hear each other at all, and everybody else hears both.
    const isMutual = random() < 0.4;
    if (isMutual) network.block(other.id, one.id, { swallows });
    this.#healLater();
    return `${one.id}${isMutual ? '-' : '>'}${other.id}`;
  }

  #healLater(leastMs = 100, mostMs = 2_500): void {
    const { network, scheduler, random, trace } = this.#dependencies;
    scheduler.after(integerBetween(random, leastMs, mostMs), () => {
      if (network.isWhole) return;
      trace.add('world', 'heal');
      network.heal();
    });
  }

  #stallDisk(): string | undefined {
    const { scheduler, random } = this.#dependencies;
    const node = this.#any((one) => one.isAwake);
    if (node === undefined) return undefined;
    node.disk.pace = { ...node.disk.pace, syncMsMin: 50, syncMsMax: integerBetween(random, 100, 700) };
    scheduler.after(integerBetween(random, 200, 1_500), () => {
      node.disk.pace = this.#usualPace();
    });
    return node.id;
  }

  #failDisk(detail: string, forMs: number): string | undefined {
    const { scheduler } = this.#dependencies;
    const node = this.#any((one) => one.isAwake);
    if (node === undefined || node.disk.failure !== undefined) return undefined;
    const failure = new InjectedDiskError(detail);
    node.disk.failure = failure;
    scheduler.after(forMs, () => {
      if (node.disk.failure === failure) node.disk.failure = undefined;
    });
    return node.id;
  }

  #flipBit(): string | undefined {
    const { random } = this.#dependencies;
    const node = this.#any((one) => this.#budget.mayLose(one));
    if (node === undefined) return undefined;
    const keys = ['journal/', 'raft/', 'table/'].flatMap((prefix) => node.disk.keys(prefix));
    const key = keys[Math.floor(random() * keys.length)];
    if (key === undefined) return undefined;
    node.disk.flipBit(key, integerBetween(random, 0, 4_096));
    this.#budget.damaged(node);
    if (node.life === undefined) this.#dependencies.onDiskChanged(node.id);
    else if (random() < 0.7) {
      // Much of it shows at the next start only.
      this.#endNode(node, 'kill');
      this.#bootLater(node, 10, 300);
    }
    return `${node.id} ${key}`;
  }

  #wipeOne(): string | undefined {
    const node = this.#any((one) => this.#budget.mayLose(one));
    if (node === undefined) return undefined;
    this.#wipe(node);
    this.#bootLater(node, 10, 800);
    return node.id;
  }

  /**
   * The one fault that forgetting is dangerous under. A bare majority decides, the others hear nothing; a member of it
   * loses its disk at once, and wakes up among those who heard nothing, whom somebody asks for the contrary. With it
   * they are a majority too: were it to give a vote or a position again, there would be two of it.
   */
  #forgetPromise(): string | undefined {
    const { network, nodes, random, scheduler, workload } = this.#dependencies;
    const leader = this.#leader();
    const asker = leader !== undefined && random() < 0.5 ? leader : this.#any((node) => node.isAwake);
    const voter = this.#any((node) => node !== asker && node.isAwake && this.#budget.mayLose(node));
    if (asker === undefined || voter === undefined || !network.isWhole || this.#ambush !== undefined)
      return undefined;
    const others = [...nodes.keys()].filter((id) => id !== asker.id && id !== voter.id);
    const majority = Math.floor(nodes.size / 2) + 1;
    const inside = [asker.id, voter.id, ...others.slice(0, majority - 2)];
    const outside = others.slice(majority - 2);
    // Sometimes it is who gave the position out.
    const forgetful = random() < 0.3 ? asker : voter;
    const swallows = { swallows: true };
    const ask = workload.contest();
    const spring = (): void => {
      scheduler.after(integerBetween(random, 3, 80), () => {
        if (this.#isOver || !this.#budget.mayLose(forgetful)) return;
        network.heal();
        // With the asker alone away, the ledger may decide without it, and lists of members be known.
        const isLonely = random() < 0.5;
        const witnesses = inside.filter((id) => id !== forgetful.id);
        this.#separate(
          isLonely ? [asker.id] : witnesses,
          isLonely ? [...outside, ...witnesses.filter((id) => id !== asker.id)] : outside,
          swallows,
        );
        this.#separate(witnesses, [forgetful.id], swallows);
        this.#wipe(forgetful);
        this.#bootLater(forgetful, 1, 40);
        for (const id of [forgetful.id, ...outside]) {
          scheduler.after(integerBetween(random, 100, 900), () => {
            ask(id);
          });
        }
        this.#healLater();
      });
    };
    this.#separate(inside, outside, swallows);
    this.#lieInAmbush(asker.id, voter.id, spring);
    ask(asker.id);
    return `${asker.id} asks ${voter.id}, ${forgetful.id} forgets, ${outside.join(' ')} heard nothing`;
  }

  /**
   * A bare majority promises an order, while somebody else registers another one of its name. Then both that registered
   * die, before they have built on it or said that they lost, and of the majority one is away: who is left counts as many
   * votes for the one as for the other.
   */
  #contestPromise(): string | undefined {
    const { network, nodes, random, scheduler, workload } = this.#dependencies;
    const home = this.#any((node) => node.isAwake);
    const voter = this.#any((node) => node !== home && node.isAwake);
    const rival = this.#any((node) => node !== home && node !== voter && node.isAwake);
    if (home === undefined || voter === undefined || rival === undefined) return undefined;
    if (!network.isWhole || this.#ambush !== undefined) return undefined;
    const others = [...nodes.keys()].filter((id) => ![home.id, voter.id, rival.id].includes(id));
    const majority = Math.floor(nodes.size / 2) + 1;
    const inside = [home.id, voter.id, ...others.slice(0, majority - 2)];
    const outside = [rival.id, ...others.slice(majority - 2)];
    const ask = workload.contest();
    const spring = (): void => {
      scheduler.after(integerBetween(random, 3, 80), () => {
        if (this.#isOver) return;
        for (const node of [home, rival]) {
          this.#endNode(node, random() < 0.5 ? 'kill' : 'powerLoss');
          this.#bootLater(node, 5, 200);
        }
        this.#endNode(voter, 'kill');
        this.#bootLater(voter, 1_500, 4_000);
        network.heal();
      });
    };
    this.#separate(inside, outside, { swallows: true });
    this.#lieInAmbush(home.id, voter.id, spring);
    for (const { id } of random() < 0.5 ? [home, rival] : [rival, home]) ask(id);
    return `${home.id} asks ${voter.id}, and ${rival.id} for another, until ${voter.id} leaves`;
  }

  /** `spring` is called when `voter` votes for what `asker` registered; soon, or never. */
  #lieInAmbush(asker: NodeId, voter: NodeId, spring: () => void): void {
    const { scheduler, network } = this.#dependencies;
    const ambush = { voter, asker, spring };
    this.#ambush = ambush;
    scheduler.after(500, () => {
      if (this.#ambush !== ambush) return;
      this.#ambush = undefined;
      network.heal();
    });
  }

  #wipe(node: SimNode): void {
    const { trace, onWiped } = this.#dependencies;
    this.#endNode(node, 'powerLoss');
    node.wipe();
    this.#budget.wiped(node);
    trace.add(node.id, 'wiped');
    onWiped(node.id);
  }

  #takeDown(part: { isDown: boolean }): string | undefined {
    const { scheduler, random } = this.#dependencies;
    if (part.isDown) return undefined;
    part.isDown = true;
    scheduler.after(integerBetween(random, 200, 2_500), () => {
      part.isDown = false;
    });
    return '';
  }

  #endNode(node: SimNode, how: 'kill' | 'powerLoss'): void {
    node.end(how);
    this.#dependencies.onDiskChanged(node.id);
  }

  #bootLater(node: SimNode, leastMs: number, mostMs: number): void {
    const { scheduler, random } = this.#dependencies;
    scheduler.after(integerBetween(random, leastMs, mostMs), () => {
      node.boot();
    });
  }

  #usualPace(): SimNode['disk']['pace'] {
    return { syncMsMin: 0.1, ...this.#plan.disk };
  }

  #any(suits: (node: SimNode) => boolean): SimNode | undefined {
    const { nodes, random } = this.#dependencies;
    const suiting = [...nodes.values()].filter(suits);
    return suiting[Math.floor(random() * suiting.length)];
  }

  #anyTwo(): readonly [SimNode, SimNode] {
    const { nodes, random } = this.#dependencies;
    const all = [...nodes.values()];
    const place = Math.floor(random() * all.length);
    const other = (place + 1 + Math.floor(random() * (all.length - 1))) % all.length;
    const [one, two] = [all[place], all[other]];
    if (one === undefined || two === undefined) throw new Error('a cluster has two nodes');
    return [one, two];
  }

  #node(id: NodeId): SimNode {
    const node = this.#dependencies.nodes.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    return node;
  }
}
