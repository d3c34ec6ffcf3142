import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { expectAllEnded, expectExactBooks, expectMoneyMatches, expectStockAddsUp } from './support/books.ts';
import { countAnswers, percentile, startBuyers } from './support/buyers.ts';
import type { Purchase } from './support/buyers.ts';
import { plenty } from './support/catalog.ts';
import type { NodeName } from './support/cluster.ts';
import { eventually } from './support/eventually.ts';
import type { NoAnswer } from './support/http.ts';
import { fullScale } from './support/scale.ts';
import { useCluster } from './support/use-cluster.ts';

/**
 * Every node is stopped and started again, one after the other, while customers buy: each has an answer, nobody was
 * cut off in the middle of a request, and nobody has two orders.
 */

const rounds = fullScale ? 5 : 1;
const buyers = fullScale ? 32 : 4;
const drainDelayMs = 500;
const cluster = useCluster({ products: plenty, set: { 'http.drainDelay': `${String(drainDelayMs)}ms` } });

/** A rolling restart waits until the node takes requests again before it goes on to the next one. */
async function restart(node: NodeName): Promise<void> {
  await cluster().kill(node, 'SIGTERM');
  await cluster().revive(node);
  await eventually(30_000, async () => {
    const { status } = await cluster().http.ask('GET', `${cluster().url(node)}/readyz`, { timeoutMs: 1_000 });
    expect(status).toBe(200);
  });
}

const dropsNothing = async (): Promise<void> => {
  const shop = startBuyers({
    urls: cluster().urls,
    buyers,
    wish: (index) => ({ lines: [{ sku: plenty[index % plenty.length]?.sku ?? '', quantity: 1 }] }),
    waitSeconds: 10,
    expectContinue: true,
    patienceMs: 30_000,
  });
  await eventually(10_000, async () => {
    expect(shop.purchases.length).toBeGreaterThan(buyers);
  });
  for (let round = 0; round < rounds; round += 1)
    for (const node of cluster().nodeNames) {
      await restart(node);
      await delay(fullScale ? 500 : 100);
    }
  const purchases = await shop.stop();
  console.info(figures(purchases));

  expect(purchases.filter(({ order }) => order === undefined)).toEqual([]);
  expect(new Set(purchases.map(({ order }) => order?.id)).size).toBe(purchases.length);
  expect(unansweredOf(purchases).filter((attempt) => !neverReachedANode(attempt))).toEqual([]);
  expect(purchases.some(({ attempts }) => attempts > 1)).toBe(true);

  const orders = await expectAllEnded(cluster(), purchases, 30_000);
  expect(new Set(orders.map(({ outcome }) => outcome))).toEqual(new Set(['fulfilled']));
  await expectMoneyMatches(cluster(), orders);
  await expectStockAddsUp(cluster(), plenty, orders, 5_000);
  await expectExactBooks(cluster(), plenty, orders, 60_000);
};

it('drops no request and makes no order twice', dropsNothing, fullScale ? 900_000 : 300_000);

function unansweredOf(purchases: readonly Purchase[]): readonly NoAnswer[] {
  return purchases.flatMap(({ unanswered }) => unanswered);
}

/**
 * Nobody listens while a node is away, and the kernel resets who connects in the instant in which a node closes its
 * listener. Such a connection is new, and no node has said on it that it reads. (That nodes keep this instant short, and
 * hang up on nobody whom they have let in, is tested in test/http/door.test.ts.)
 */
function neverReachedANode({ code, isFirst, wasHeard }: NoAnswer): boolean {
  const isReset = code === 'ECONNRESET' || code === 'EPIPE';
  return code === 'ECONNREFUSED' || (isReset && isFirst && !wasHeard);
}

function figures(purchases: readonly Purchase[]): string {
  const times = purchases.map(({ ms }) => ms);
  const unanswered = unansweredOf(purchases);
  const cutOff = unanswered.filter((attempt) => !neverReachedANode(attempt));
  const refused = unanswered.filter(({ code }) => code === 'ECONNREFUSED');
  return (
    `${String(purchases.length)} purchases over ${String(rounds * 3)} restarts: ${JSON.stringify(countAnswers(purchases))}; ` +
    `p50 ${percentile(times, 0.5).toFixed(0)} ms, p99 ${percentile(times, 0.99).toFixed(0)} ms, ` +
    `longest ${Math.max(...times).toFixed(0)} ms; ${String(refused.length)} attempts where nobody listened, ` +
    `${String(unanswered.length - refused.length - cutOff.length)} as a listener closed, ${String(cutOff.length)} cut off`
  );
}
