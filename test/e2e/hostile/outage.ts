import { setTimeout as delay } from 'node:timers/promises';
import { seededRandom } from '../../support/random.ts';
import { World } from '../nemesis/faults.ts';
import type { Fault } from '../nemesis/faults.ts';
import { plenty } from '../support/catalog.ts';
import type { TestProduct } from '../support/catalog.ts';
import type { Cluster } from '../support/cluster.ts';
import { History } from '../support/history.ts';
import type { OrderExchange } from '../support/history.ts';
import { GaugeWatch } from './gauges.ts';
import type { Gauges } from './gauges.ts';
import { settle } from './settle.ts';
import type { Settled } from './settle.ts';
import { Shoppers } from './shoppers.ts';

/**
 * Something that the shop leans on is away for minutes, while customers come as ever: what they notice, how much waits
 * meanwhile, and how long it takes afterwards until nothing does.
 */

export interface OutageOptions {
  readonly seed: number;
  readonly tills: number;
  readonly fault: Fault;
  readonly products: readonly TestProduct[];
  readonly scarceSku: string;
  readonly settleWithinMs: number;
  /** Until who is not served goes home. */
  readonly patienceMs: number;
  /** Of the readings after the outage, whether nothing waits any more that waited because of it. */
  readonly isDrained: (gauges: Gauges) => boolean;
}

/** What customers met in one part of the run. */
export interface Phase {
  readonly name: 'before' | 'during' | 'after';
  readonly seconds: number;
  readonly attempts: readonly OrderExchange[];
}

export interface Outage extends Settled {
  readonly history: History;
  readonly phases: readonly Phase[];
  /** The most that was read at any time. */
  readonly openAtOneNodeMax: number;
  readonly undeliveredMax: number;
  /** From when it was mended; undefined when it did not come to that while it was watched. */
  readonly drainedAfterMs: number | undefined;
}

const beforeMs = 10_000;
const afterMs = 5_000;

export async function runOutage(
  options: OutageOptions,
  { cluster, log }: { readonly cluster: Cluster; readonly log: (line: string) => void },
): Promise<Outage> {
  const { seed, tills, fault, products, scarceSku, patienceMs, settleWithinMs, isDrained } = options;
  const history = new History();
  const world = new World({ cluster, random: seededRandom(seed), log });
  const shoppers = new Shoppers(
    { tills, seed, skus: plenty.map(({ sku }) => sku), scarceSku, patienceMs, mayGoHome: true },
    { cluster, history, random: seededRandom(seed + 1) },
  );
  const watch = new GaugeWatch({ cluster });
  const begun = performance.now();
  const selling = shoppers.run();
  try {
    await delay(beforeMs);
    await fault.run(world);
    log('mended');
    await delay(afterMs);
  } catch (error) {
    shoppers.giveUp();
    await selling;
    await watch.end();
    throw error;
  }
  shoppers.close();
  const closed = performance.now();
  await selling;
  const settled = await settle({ withinMs: settleWithinMs, products }, { cluster, history, log });
  await watch.end();

  const [strike] = world.strikes;
  const [struckAt, mendedAt] = [strike?.struckAt ?? begun, strike?.mendedAt ?? begun];
  const attempts = history.purchases.flatMap((purchase) => purchase.attempts);
  const phase = (name: Phase['name'], from: number, to: number): Phase => ({
    name,
    seconds: (to - from) / 1_000,
    attempts: attempts.filter(({ invokedAt }) => invokedAt >= from && invokedAt < to),
  });
  const drained = watch.readings.find((gauges) => gauges.at > mendedAt && isDrained(gauges));
  return {
    ...settled,
    history,
    phases: [
      phase('before', begun, struckAt),
      phase('during', struckAt, mendedAt),
      phase('after', mendedAt, closed),
    ],
    openAtOneNodeMax: Math.max(...watch.readings.map(({ openAtOneNode }) => openAtOneNode)),
    undeliveredMax: Math.max(...watch.readings.map(({ undelivered }) => undelivered)),
    drainedAfterMs: drained === undefined ? undefined : drained.at - mendedAt,
  };
}
