import { setTimeout as delay } from 'node:timers/promises';
import { integerBetween, seededRandom } from '../../support/random.ts';
import { plenty } from '../support/catalog.ts';
import type { TestProduct } from '../support/catalog.ts';
import type { Cluster } from '../support/cluster.ts';
import { finalCheckers, lastingCheckers, violationsOf } from '../support/checkers.ts';
import type { Evidence } from '../support/checkers.ts';
import { Clients } from './clients.ts';
import { collectEvidence } from '../support/evidence.ts';
import { World } from './faults.ts';
import type { Fault, Strike } from './faults.ts';
import { History } from '../support/history.ts';

/**
 * One round: customers buy, faults strike one after the other, all is mended; then the cluster has time to tell one
 * story, and the history is held against it. The seed fixes what is bought and what strikes when; how the processes
 * interleave it cannot fix.
 */

const scarce: TestProduct = { sku: 'SCARCE', unitPrice: 900, onHand: 40 };

/** What the cluster of a round must sell. */
export const products: readonly TestProduct[] = [...plenty, scarce];

/** What its nodes are set to: snapshots soon enough that who lost its disk, or was long away, comes back by one. */
export const settings: Readonly<Record<string, string>> = { 'ledger.snapshotAfter': '200' };

export interface RoundOptions {
  readonly seed: number;
  readonly faults: readonly Fault[];
  readonly buyers: number;
  /** How long the cluster may take, once whole, until all is at every node and in the books. */
  readonly settleWithinMs: number;
}

export interface RoundDependencies {
  readonly cluster: Cluster;
  readonly log: (line: string) => void;
}

export interface Round {
  readonly seed: number;
  readonly history: History;
  readonly strikes: readonly Strike[];
  readonly evidence: Evidence;
  /** From the end of buying until the story was one. */
  readonly settledAfterMs: number;
  /** The promises that were not kept. */
  readonly violations: readonly string[];
}

const lullMs = [1_500, 3_000] as const;
const warmUpMs = 2_000;

/** Rejects when a fault cannot be mended, such as a node that does not come up again. */
export async function runRound(
  { seed, faults, buyers, settleWithinMs }: RoundOptions,
  { cluster, log }: RoundDependencies,
): Promise<Round> {
  const history = new History();
  const random = seededRandom(seed);
  const world = new World({ cluster, random, log });
  const clients = new Clients(
    { buyers, skus: plenty.map(({ sku }) => sku), scarceSku: scarce.sku, seed },
    { cluster, history, random: seededRandom(seed + 1) },
  );

  clients.start();
  try {
    await delay(warmUpMs);
    for (const fault of faults) {
      await fault.run(world);
      await delay(integerBetween(random, ...lullMs));
    }
  } catch (error) {
    await clients.stop({ hurry: true });
    throw error;
  }
  await clients.stop();

  const wholeAt = performance.now();
  const { evidence, violations } = await settle(history, cluster, settleWithinMs);
  return {
    seed,
    history,
    strikes: world.strikes,
    evidence,
    settledAfterMs: performance.now() - wholeAt,
    violations: [...violationsOf(lastingCheckers, history, evidence, products), ...violations],
  };
}

/** Looks again and again until the end has come, or the time is over. */
async function settle(
  history: History,
  cluster: Cluster,
  withinMs: number,
): Promise<{ readonly evidence: Evidence; readonly violations: readonly string[] }> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const evidence = await collectEvidence(cluster);
    const violations = violationsOf(finalCheckers, history, evidence, products);
    if (violations.length === 0 || performance.now() > deadline) return { evidence, violations };
    await delay(1_000);
  }
}
