import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../../store/environment.ts';
import { integerBetween } from '../../support/random.ts';
import type { Cluster, NodeName } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';

/**
 * What is done to the cluster. Each fault strikes, lasts a while, and mends what it broke before it returns, so
 * that faults can follow each other, or overlap when they have nothing in common.
 */

export interface Fault {
  readonly name: string;
  /** A majority of nodes, payments and links to answer with stay; without it, customers wait until it is mended. */
  readonly servesOn: boolean;
  /** Whether it may overlap with others: it breaks one node only, or none. */
  readonly mixes: boolean;
  run(world: World): Promise<void>;
}

/** When a fault struck and was mended, by `performance.now()`. */
export interface Strike {
  readonly fault: string;
  readonly servesOn: boolean;
  /** The part that was hit; empty for all. */
  readonly victim: string;
  readonly struckAt: number;
  /** When mending began. */
  mendingAt: number;
  mendedAt: number;
}

const readyWithinMs = 120_000;

/** The cluster as faults see it: which node may be hit, and what was. */
export class World {
  readonly cluster: Cluster;
  readonly random: Random;
  readonly strikes: Strike[] = [];
  readonly #log: (line: string) => void;
  readonly #taken = new Set<NodeName>();

  constructor(dependencies: {
    readonly cluster: Cluster;
    readonly random: Random;
    readonly log: (line: string) => void;
  }) {
    this.cluster = dependencies.cluster;
    this.random = dependencies.random;
    this.#log = dependencies.log;
  }

  /** Hits one node that no other fault has at the moment. `leader` and `follower` are wishes then. */
  async withNode(role: Role, work: (node: NodeName) => Promise<void>): Promise<void> {
    const leader = await eventually(30_000, () => this.cluster.leader()).catch(() => undefined);
    const free = this.cluster.nodeNames.filter((name) => !this.#taken.has(name));
    const fitting = free.filter((name) => (name === leader) === (role === 'leader'));
    const candidates = fitting.length > 0 ? fitting : free;
    const node = candidates[integerBetween(this.random, 0, candidates.length - 1)];
    if (node === undefined) throw new Error('every node is taken by a fault');
    this.#taken.add(node);
    try {
      await work(node);
    } finally {
      this.#taken.delete(node);
    }
  }

  /** Strikes, waits, mends, and writes down when. */
  async strike(
    { name, servesOn }: Pick<Fault, 'name' | 'servesOn'>,
    victim: string,
    act: {
      readonly break: () => Promise<void>;
      readonly holdMs: readonly [from: number, to: number];
      readonly mend: () => Promise<void>;
    },
  ): Promise<void> {
    // From before: what is asked while a fault is on its way may already meet it.
    const struckAt = performance.now();
    const strike: Strike = {
      fault: name,
      servesOn,
      victim,
      struckAt,
      mendingAt: Infinity,
      mendedAt: Infinity,
    };
    this.strikes.push(strike);
    this.#log(`${name}${victim === '' ? '' : ` (${victim})`}`);
    await act.break();
    await delay(integerBetween(this.random, ...act.holdMs));
    strike.mendingAt = performance.now();
    await act.mend();
    strike.mendedAt = performance.now();
  }

  /** Resolves when the node takes orders again. */
  async ready(node: NodeName): Promise<void> {
    await eventually(readyWithinMs, () => this.cluster.get(`${this.cluster.url(node)}/readyz`), 100);
  }
}

type Role = 'leader' | 'follower';

function onNode(
  what: string,
  role: Role,
  holdMs: readonly [number, number],
  breakIt: (cluster: Cluster, node: NodeName) => Promise<void>,
  mendIt: (world: World, node: NodeName) => Promise<void>,
): Fault {
  const fault = {
    name: `${what} the ${role}`,
    servesOn: true,
    mixes: true,
    run: (world: World): Promise<void> =>
      world.withNode(role, (node) =>
        world.strike(fault, node, {
          break: () => breakIt(world.cluster, node),
          holdMs,
          mend: () => mendIt(world, node),
        }),
      ),
  };
  return fault;
}

async function revive(world: World, node: NodeName): Promise<void> {
  await world.cluster.revive(node);
  await world.ready(node);
}

const heal = (world: World, node: NodeName): Promise<void> => world.cluster.heal(node);

/** Longer than the lease and an election (1 to 2 s), shorter and longer than a take-over (3 s). */
const awhileMs = [2_000, 6_000] as const;

function killing(role: Role): Fault {
  return onNode('kill -9', role, [500, 5_000], (cluster, node) => cluster.kill(node), revive);
}

function freezing(role: Role): Fault {
  return onNode(
    'freeze',
    role,
    awhileMs,
    (cluster, node) => cluster.pause(node),
    (world, node) => world.cluster.resume(node),
  );
}

function cutting(role: Role, oneWay?: 'in' | 'out'): Fault {
  const what = oneWay === undefined ? 'cut off' : oneWay === 'in' ? 'deafen' : 'mute';
  return onNode(
    what,
    role,
    awhileMs,
    (cluster, node) => cluster.partition(node, oneWay === undefined ? {} : { oneWay }),
    heal,
  );
}

/** Cuts that are shorter and longer than what an election takes. */
const flapping: Fault = onNode(
  'flap the links of',
  'leader',
  [0, 500],
  async (cluster, node) => {
    for (const cutMs of [300, 1_500, 700, 2_500]) {
      await cluster.partition(node);
      await delay(cutMs);
      await cluster.heal(node);
      await delay(400);
    }
  },
  heal,
);

const slowing: Fault = onNode(
  'slow down',
  'leader',
  [3_000, 6_000],
  (cluster, node) => cluster.slow(node, 150),
  heal,
);

const wiping = (role: Role): Fault =>
  onNode('wipe the disk of', role, [500, 3_000], (cluster, node) => cluster.wipe(node), revive);

/** The disk is filled twice over: what the first attempt left must not mislead the second. */
const wipingTwice: Fault = onNode(
  'wipe, and kill while it fills,',
  'follower',
  [200, 1_500],
  async (cluster, node) => {
    await cluster.wipe(node);
    const filling = cluster.revive(node).catch(() => undefined);
    await delay(1_000);
    await cluster.kill(node);
    await filling;
  },
  revive,
);

/** Two nodes do not hear each other, and both hear the third. */
const parting: Fault = {
  name: 'part the leader from one follower',
  servesOn: true,
  mixes: false,
  run: (world) =>
    world.withNode('leader', (leader) =>
      world.withNode('follower', (other) =>
        world.strike(parting, `${leader}, ${other}`, {
          break: () => world.cluster.partition(leader, { other }),
          holdMs: awhileMs,
          mend: () => world.cluster.heal(),
        }),
      ),
    ),
};

const killingAll: Fault = {
  name: 'kill -9 all nodes at once',
  servesOn: false,
  mixes: false,
  run: (world) =>
    world.strike(killingAll, '', {
      break: async () => {
        await Promise.all(world.cluster.nodeNames.map((node) => world.cluster.kill(node)));
      },
      holdMs: [0, 1_000],
      mend: async () => {
        await Promise.all(world.cluster.nodeNames.map((node) => revive(world, node)));
      },
    }),
};

const killingMost: Fault = {
  name: 'kill -9 the leader and a follower',
  servesOn: false,
  mixes: false,
  run: (world) =>
    world.withNode('leader', (leader) =>
      world.withNode('follower', (other) =>
        world.strike(killingMost, `${leader}, ${other}`, {
          break: async () => {
            await Promise.all([world.cluster.kill(leader), world.cluster.kill(other)]);
          },
          holdMs: awhileMs,
          mend: async () => {
            await Promise.all([revive(world, leader), revive(world, other)]);
          },
        }),
      ),
    ),
};

const isolatingAll: Fault = {
  name: 'cut all nodes off from each other',
  servesOn: false,
  mixes: false,
  run: (world) =>
    world.strike(isolatingAll, '', {
      break: async () => {
        for (const node of world.cluster.nodeNames) await world.cluster.partition(node);
      },
      holdMs: awhileMs,
      mend: () => world.cluster.heal(),
    }),
};

const restarting: Fault = {
  name: 'restart one node after the other',
  servesOn: true,
  mixes: false,
  async run(world) {
    for (const node of world.cluster.nodeNames)
      await world.strike(restarting, node, {
        break: () => world.cluster.kill(node, 'SIGTERM'),
        holdMs: [0, 200],
        mend: () => revive(world, node),
      });
  },
};

const losingDatabase: Fault = {
  name: 'kill -9 the system of record',
  servesOn: true,
  mixes: true,
  run: (world) =>
    world.strike(losingDatabase, 'sor', {
      break: () => world.cluster.kill('sor'),
      holdMs: [4_000, 8_000],
      mend: () => world.cluster.revive('sor'),
    }),
};

const losingPayments: Fault = {
  name: 'kill -9 the payment provider',
  servesOn: false,
  mixes: true,
  run: (world) =>
    world.strike(losingPayments, 'sandbox', {
      break: () => world.cluster.kill('sandbox'),
      holdMs: [500, 3_000],
      mend: () => world.cluster.revive('sandbox'),
    }),
};

export const faults = {
  killLeader: killing('leader'),
  killFollower: killing('follower'),
  freezeLeader: freezing('leader'),
  freezeFollower: freezing('follower'),
  cutLeader: cutting('leader'),
  cutFollower: cutting('follower'),
  deafenLeader: cutting('leader', 'in'),
  muteLeader: cutting('leader', 'out'),
  deafenFollower: cutting('follower', 'in'),
  muteFollower: cutting('follower', 'out'),
  flapping,
  slowing,
  parting,
  wipeLeader: wiping('leader'),
  wipeFollower: wiping('follower'),
  wipingTwice,
  killingMost,
  killingAll,
  isolatingAll,
  restarting,
  losingDatabase,
  losingPayments,
} as const satisfies Readonly<Record<string, Fault>>;

/** Several at once, each at a node of its own, at times of their own. */
export function mixOf(parts: readonly Fault[]): Fault {
  return {
    name: parts.map(({ name }) => name).join(' + '),
    servesOn: false,
    mixes: false,
    async run(world) {
      await Promise.all(
        parts.map(async (fault) => {
          await delay(integerBetween(world.random, 0, mixedWithinMs));
          await fault.run(world);
        }),
      );
    },
  };
}

const mixedWithinMs = 3_000;
