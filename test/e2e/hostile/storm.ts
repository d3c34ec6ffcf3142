import { hostilePlan } from '../../../node/payments/sandbox/index.ts';
import type { FaultPlan, FaultReport, Rule } from '../../../node/payments/sandbox/index.ts';
import { eventually } from '../support/eventually.ts';
import { seededRandom } from '../../support/random.ts';
import { World } from '../nemesis/faults.ts';
import type { Strike } from '../nemesis/faults.ts';
import { plenty } from '../support/catalog.ts';
import type { TestProduct } from '../support/catalog.ts';
import type { Cluster } from '../support/cluster.ts';
import { History } from '../support/history.ts';
import { perform } from './acts.ts';
import type { Act } from './acts.ts';
import { settle } from './settle.ts';
import type { Settled } from './settle.ts';
import { Shoppers } from './shoppers.ts';

/**
 * Customers of all kinds buy from three nodes, of a provider that misbehaves in every way, while nodes are killed and
 * the system of record goes away. Then the faults stop, and everything that is written down anywhere has to agree.
 */

const scarceShare = 0.05;
const scarceSku = 'SCARCE';

/** Of the scarce product there is a third of what is asked for. */
export function productsFor(orders: number): readonly TestProduct[] {
  const scarce = { sku: scarceSku, unitPrice: 900, onHand: Math.ceil(orders * scarceShare) };
  return [...plenty, scarce];
}

/** Short enough that what nobody goes on with ends within a test. */
export const settings: Readonly<Record<string, string>> = {
  'log.level': 'warn',
  'orders.abandonAfter': '20s',
  'orders.authenticateWithin': '20s',
  'payments.timeout': '3s',
  'payments.keyWindow': '5s',
  'payments.searchLag': '3s',
  'ledger.snapshotAfter': '2000',
};

/** One of them takes the money before it looks for the goods, so that there is something to refund. */
const chargesFirst = { 'payments.capture': 'immediate' };

/**
 * Everything at once, but for two things. The provider forgets keys a good while after the nodes stop to rely on them
 * (`payments.keyWindow`), and not after a day, which no test lasts. And it does not take back a refund that it called
 * done without a word: no order is asked about for ever, so only the drift report finds that. Its words get lost in the
 * first part of the storm, and refunds fail that late in the second.
 */
export function stormPlan(seed: number, orders: number): FaultPlan {
  const wordsLostForMs = orders * wordsLostMsPerOrder;
  const rules = hostilePlan(seed).rules.map((rule): Rule => {
    if (rule.fault === 'forgetKeys') return { ...rule, keyWindowMs: forgetsKeysAfterMs };
    if (rule.fault === 'dropped') return { ...rule, untilMs: wordsLostForMs };
    if (rule.fault === 'refundFails' && rule.afterMs > 0)
      return { ...rule, fromMs: wordsLostForMs + latestWordMs };
    return rule;
  });
  return { seed, rules };
}

const forgetsKeysAfterMs = 20_000;
/** About a quarter of the storm. */
const wordsLostMsPerOrder = 10;
const latestWordMs = 3_000;
const readyWithinMs = 60_000;

export interface StormOptions {
  readonly orders: number;
  readonly seed: number;
  readonly tills: number;
  readonly plan: FaultPlan;
  readonly acts: readonly Act[];
  /** How long everything may take to end and agree after the faults stopped. */
  readonly settleWithinMs: number;
}

export interface Storm extends Settled {
  readonly history: History;
  readonly strikes: readonly Strike[];
  readonly authentications: Shoppers['authentications'];
  readonly provider: FaultReport;
  /** From the first customer to the last. */
  readonly soldWithinMs: number;
  /** Acts that came too late to happen. */
  readonly missed: readonly Act[];
}

const progressEveryMs = 10_000;

export async function runStorm(
  { orders, seed, tills, plan, acts, settleWithinMs }: StormOptions,
  { cluster, log }: { readonly cluster: Cluster; readonly log: (line: string) => void },
): Promise<Storm> {
  const history = new History();
  const world = new World({ cluster, random: seededRandom(seed), log });
  const shoppers = new Shoppers(
    { tills, orders, seed, skus: plenty.map(({ sku }) => sku), scarceSku },
    { cluster, history, random: seededRandom(seed + 1) },
  );
  await cluster.reconfigure('n3', chargesFirst);
  await eventually(readyWithinMs, () => cluster.get(`${cluster.url('n3')}/readyz`));
  await cluster.sandbox.suffer(plan);
  const begun = performance.now();
  const progress = setInterval(() => {
    const perSecond = shoppers.served / ((performance.now() - begun) / 1_000);
    log(`${String(shoppers.served)} customers, ${perSecond.toFixed(0)} a second`);
  }, progressEveryMs);
  let soldWithinMs = 0;
  const selling = shoppers.run().finally(() => {
    clearInterval(progress);
    soldWithinMs = performance.now() - begun;
  });
  let performed: readonly Act[];
  try {
    performed = await perform(acts, { world, share: () => shoppers.served / orders });
  } catch (error) {
    shoppers.giveUp();
    await selling;
    throw error;
  }
  await selling;
  await cluster.sandbox.calm();
  log('sold; the faults stop');
  const settled = await settle(
    { withinMs: settleWithinMs, products: productsFor(orders) },
    { cluster, history, log },
  );
  return {
    ...settled,
    history,
    strikes: world.strikes,
    authentications: shoppers.authentications,
    // What was under way when the faults stopped could still be struck.
    provider: { ...(await cluster.sandbox.faults()), plan },
    soldWithinMs,
    missed: acts.filter((act) => !performed.includes(act)),
  };
}
