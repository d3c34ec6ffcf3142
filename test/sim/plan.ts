import type { Random } from '../../store/environment.ts';
import { integerBetween, seededRandom } from '../support/random.ts';

/**
 * What a seed stands for: the size of the run, how everything behaves by itself, and which faults strike. Each run has
 * a part of the faults only (swarm testing, Groce et al. 2012): with all of them at once, none gets far enough to meet
 * the rare state that it would break.
 */
export const faultKinds = [
  // Struck one by one, by faults.ts.
  'kill',
  'killDuringBoot',
  'powerLoss',
  'powerLossOfAll',
  'stand',
  'clockJump',
  'linkBreak',
  'partition',
  'oneWay',
  'cutLeader',
  'diskStall',
  'diskFailure',
  'diskFull',
  'bitFlip',
  'wipe',
  'forgottenPromise',
  'shopDown',
  'bankDown',
  'handOver',
  'absence',
] as const;

/** Dealt by a deck only. */
type DealtFault = 'seclusion' | 'contestedPromise';

export type FaultKind = (typeof faultKinds)[number] | DealtFault;

/** Those that are there all the time, by how things behave; named when they strike. */
export const ambientFaults = [
  'frameLost',
  'frameLate',
  'sendRefused',
  'gossipLost',
  'gossipDoubled',
  'chunkDamaged',
  'paymentLost',
  'paymentAnswerLost',
  'paymentLate',
  'paymentDown',
  'shopLost',
  'shopAnswerLost',
  'shopCrashed',
  'shopRefuses',
  'clockSkew',
  'clockDrift',
  'slowDisk',
] as const;

export type StruckFault = FaultKind | (typeof ambientFaults)[number];

export type Mode = 'safety' | 'liveness';

/** Worlds that have more of one trouble than chance gives them, to show what only that trouble shows. */
export const decks = [
  'elections',
  'clocks',
  'forgetting',
  'snapshots',
  'seclusions',
  'contests',
  'rivals',
] as const;

export type Deck = (typeof decks)[number];

export interface Plan {
  readonly seed: number;
  /** What all chance in the run begins with. */
  readonly chance: number;
  readonly mode: Mode;
  readonly nodes: 3 | 5;
  /** How long orders are kept after they were created, ms; 0: for ever. */
  readonly retainForMs: number;
  /** For how long faults strike and orders come, ms. */
  readonly troubleMs: number;
  readonly buyers: number;
  /** Of a buyer to ask two nodes for the same order at once. */
  readonly doubled: number;
  /** Of a buyer to ask for two orders at once with one key. */
  readonly confused: number;
  /** Entries of the ledger's log that a snapshot takes the place of. */
  readonly snapshotAfterEntries: number;
  readonly capture: 'after-reserve' | 'immediate';
  readonly skus: readonly { readonly sku: string; readonly unitPrice: number; readonly onHand: number }[];
  readonly kinds: readonly FaultKind[];
  /** Mean time between two faults, ms. */
  readonly faultEveryMs: number;
  readonly network: {
    readonly loss: number;
    readonly lateness: number;
    readonly refusal: number;
    readonly latencyMsMax: number;
    /** Of a page of a snapshot's chunks to arrive with a bit flipped. */
    readonly damage: number;
  };
  readonly disk: { readonly syncMsMax: number; readonly readMsMax: number };
  readonly bank: { readonly questionLost: number; readonly answerLost: number; readonly late: number };
  readonly shop: { readonly questionLost: number; readonly answerLost: number; readonly crash: number };
  /** Clocks run this much faster or slower, at most, and are this far apart. */
  readonly clockDrift: number;
  /** The place of one whose clock runs as slow as it may, while all others' run as fast. */
  readonly slowOne: number | undefined;
  readonly clockSkewMs: number;
  /** No wall clock is set further off than this. */
  readonly clockOffMsMax: number;
  /** For how long a program may stand still. */
  readonly standMsMax: number;
  /** Who founded the cluster is told to at every start, also with a disk that was emptied. No members change here. */
  readonly alwaysFounds: boolean;
}

/** Drawn by themselves, below, are those that only some worlds know. */
const kindsOfSomeWorlds: readonly FaultKind[] = ['handOver', 'absence', 'cutLeader', 'forgottenPromise'];
const kindsOfEveryWorld = faultKinds.filter((kind) => !kindsOfSomeWorlds.includes(kind));

/** The lease allows followers' clocks to run ten per cent faster than the leader's. */
const driftMax = 0.045;

export function planOf(options: {
  readonly seed: number;
  readonly mode: Mode;
  readonly nodes?: 3 | 5;
  readonly deck?: Deck;
}): Plan {
  // The same seed is another world in the other mode, or every safety run would be the beginning of a liveness run.
  const chance = options.seed * 7_919 + (options.mode === 'safety' ? 1 : 2);
  const random = seededRandom(chance);
  const sometimes = (chance: number, value: number): number => (random() < chance ? random() * value : 0);
  // Drawn whether it is asked for or not: a seed means one world, also when its failure is looked at again.
  const drawn = random() < 0.75 ? 3 : 5;
  const nodes = options.nodes ?? drawn;
  const plan: Plan = {
    seed: options.seed,
    chance,
    mode: options.mode,
    nodes,
    troubleMs: integerBetween(random, 2_500, 6_000) * (options.mode === 'safety' ? 1.5 : 1),
    buyers: integerBetween(random, 6, 20),
    doubled: 0.15,
    confused: 0.08,
    retainForMs: 0,
    snapshotAfterEntries: integerBetween(random, 4, 30),
    capture: random() < 0.75 ? 'after-reserve' : 'immediate',
    skus: Array.from({ length: integerBetween(random, 1, 3) }, (_, place) => ({
      sku: `SKU-${place + 1}`,
      unitPrice: 100 * (place + 1),
      onHand: integerBetween(random, 2, 20),
    })),
    kinds: someOf(random, kindsOfEveryWorld),
    faultEveryMs: integerBetween(random, 100, 700),
    network: {
      loss: sometimes(0.5, 0.05),
      lateness: sometimes(0.4, 0.03),
      refusal: sometimes(0.3, 0.03),
      latencyMsMax: random() < 0.7 ? 3 : 40,
      damage: 0,
    },
    disk: { syncMsMax: random() < 0.7 ? 3 : 30, readMsMax: random() < 0.6 ? 0 : 3 },
    bank: {
      questionLost: sometimes(0.5, 0.15),
      answerLost: sometimes(0.5, 0.25),
      late: sometimes(0.3, 0.1),
    },
    shop: {
      questionLost: sometimes(0.5, 0.15),
      answerLost: sometimes(0.5, 0.25),
      crash: sometimes(0.3, 0.1),
    },
    clockDrift: sometimes(0.6, driftMax),
    clockSkewMs: sometimes(0.6, 2_000),
    slowOne: undefined,
    clockOffMsMax: Infinity,
    standMsMax: 2_500,
    alwaysFounds: false,
  };
  if (options.deck !== undefined) return weighted(options.deck, plan, random);
  // What came to the simulator later is drawn later: the worlds that it is no part of stay what they were.
  const isHandedOver = random() < 0.3;
  const handingOver: Plan = isHandedOver ? { ...plan, kinds: [...plan.kinds, 'handOver'] } : plan;
  const keeping = random() < 0.35 ? forgetful(handingOver, random) : handingOver;
  return trapped(keeping, random);
}

/** What takes several things in one order, which chance alone hardly ever brings about. */
function trapped(plan: Plan, random: Random): Plan {
  const traps: FaultKind[] = [];
  if (random() < 0.25) traps.push('cutLeader');
  if (random() < 0.25) traps.push('forgottenPromise');
  const damage = random() < 0.5 ? random() : 0;
  const slowOne = random() < 0.2 ? Math.floor(random() * plan.nodes) : undefined;
  return { ...plan, kinds: [...plan.kinds, ...traps], network: { ...plan.network, damage }, slowOne };
}

function weighted(deck: Deck, plan: Plan, random: Random): Plan {
  switch (deck) {
    case 'elections':
      return {
        ...plan,
        kinds: ['kill', 'powerLoss', 'powerLossOfAll', 'stand', 'partition', 'oneWay', 'cutLeader'],
        faultEveryMs: integerBetween(random, 100, 300),
      };
    case 'clocks':
      // Quick enough to elect within what clocks differ in one lease.
      return {
        ...plan,
        kinds: ['cutLeader'],
        faultEveryMs: integerBetween(random, 500, 800),
        troubleMs: 15_000,
        buyers: 6,
        network: { ...plan.network, loss: 0, lateness: 0, refusal: 0, latencyMsMax: 0.5 },
        disk: { syncMsMax: 0.5, readMsMax: 0 },
        clockDrift: driftMax,
        slowOne: Math.floor(random() * plan.nodes),
      };
    case 'forgetting':
      return {
        ...plan,
        kinds: ['forgottenPromise'],
        faultEveryMs: integerBetween(random, 200, 500),
        troubleMs: 8_000,
        // Who waits to be told gives no vote, so nothing could be wrong with it.
        alwaysFounds: true,
      };
    case 'snapshots':
      return {
        ...plan,
        kinds: ['kill', 'powerLoss', 'powerLossOfAll', 'partition', 'clockJump', 'wipe', 'wipe', 'wipe'],
        faultEveryMs: integerBetween(random, 100, 400),
        snapshotAfterEntries: integerBetween(random, 3, 8),
        buyers: integerBetween(random, 12, 24),
        network: { ...plan.network, damage: random() },
        clockSkewMs: 10_000,
      };
    case 'contests':
      return {
        ...plan,
        kinds: ['contestedPromise'],
        faultEveryMs: integerBetween(random, 1_000, 3_000),
        troubleMs: 12_000,
      };
    case 'rivals':
      return {
        ...plan,
        kinds: ['diskStall', 'linkBreak', 'kill'],
        buyers: 24,
        doubled: 1,
        confused: 0.5,
        clockSkewMs: 2_000,
      };
    case 'seclusions': {
      const keeping = forgetful(plan, random);
      return {
        ...keeping,
        retainForMs: 3_000,
        kinds: ['seclusion'],
        faultEveryMs: 400,
        troubleMs: 25_000,
        buyers: 30,
        clockOffMsMax: 150,
        clockSkewMs: Math.min(keeping.clockSkewMs, 150),
      };
    }
  }
}

/**
 * The same world, in which closed orders are forgotten while it is under way. What retention does not promise to
 * survive stays out of it: clocks that differ by what is retained, and programs that stand still for a quarter of it.
 */
function forgetful(plan: Plan, random: Random): Plan {
  const retainForMs = integerBetween(random, 3_500, 8_000);
  const clockOffMsMax = Math.floor(retainForMs / 20);
  return {
    ...plan,
    retainForMs,
    troubleMs: plan.troubleMs + retainForMs * 1.5,
    kinds: random() < 0.6 ? [...plan.kinds, 'absence'] : plan.kinds,
    clockDrift: Math.min(plan.clockDrift, 0.01),
    clockSkewMs: Math.min(plan.clockSkewMs, clockOffMsMax),
    clockOffMsMax,
    standMsMax: Math.floor(retainForMs / 5),
  };
}

/** At least one, each with an even chance. */
function someOf<Value>(random: Random, values: readonly Value[]): readonly Value[] {
  const chance = 0.2 + random() * 0.6;
  const chosen = values.filter(() => random() < chance);
  const any = values[Math.floor(random() * values.length)];
  return chosen.length > 0 || any === undefined ? chosen : [any];
}
