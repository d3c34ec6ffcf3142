import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { percentile, startBuyers } from '../test/e2e/support/buyers.ts';
import type { Buyers, Purchase } from '../test/e2e/support/buyers.ts';
import { plenty } from '../test/e2e/support/catalog.ts';
import { Cluster } from '../test/e2e/support/cluster.ts';
import type { NodeName } from '../test/e2e/support/cluster.ts';

/**
 * `npm run catch-up`: how long a node takes to have what the others have, after it was away for so many orders, and
 * after its disk was emptied; and what those who buy meanwhile notice of it. Nobody helps it.
 */
const help = `Usage: npm run catch-up -- [--orders N] [--buyers N] [--snapshot-after N] [--retain DURATION]

  --orders N          orders that one node misses, default 36000: an hour of ten a second
  --buyers N          concurrent customers at the others, who go on all the time, default 16
  --snapshot-after N  ledger.snapshotAfter, default 2000: what is missed is then far behind the ledger's log
  --retain DURATION   orders.retainFor, default 30d; shorter than the absence, the journal is given up as well`;

const { values } = parseArgs({
  options: {
    orders: { type: 'string', default: '36000' },
    buyers: { type: 'string', default: '16' },
    'snapshot-after': { type: 'string', default: '2000' },
    retain: { type: 'string', default: '30d' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(help);
  process.exit(0);
}

const orders = Number(values.orders);
const products = plenty.map((product) => ({ ...product, onHand: 10_000_000 }));
const patienceMs = 600_000;

/** What a node has: entries of each origin's journal, and of the ledger's log. */
interface Place {
  readonly journal: ReadonlyMap<string, number>;
  readonly ledger: number;
}

const cluster = await Cluster.start({
  products,
  set: {
    'log.level': 'warn',
    'ledger.snapshotAfter': values['snapshot-after'],
    'orders.retainFor': values.retain,
  },
  direct: true,
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void cluster.stop().finally(() => process.exit(1));
  });
}
const [n1, n2, n3] = cluster.nodeNames as [NodeName, NodeName, NodeName];
let shopping = shopAt([n1, n2]);
try {
  await cluster.kill(n3);
  const away = performance.now();
  await placed(orders);
  console.log(`${n3} was away for ${String(orders)} orders (${seconds(performance.now() - away)})`);
  await back(n3, n1, 'after it was away');

  const sold = await shopping.stop();
  judge(sold);
  shopping = shopAt([n1, n3]);
  await placed(500);
  await cluster.wipe(n2);
  console.log(`${n2} has an empty disk`);
  await back(n2, n1, 'with an empty disk');
  judge(await shopping.stop());
} finally {
  await shopping.stop();
  await cluster.stop();
}

function shopAt(nodes: readonly NodeName[]): Buyers {
  return startBuyers({
    urls: nodes.map((name) => cluster.url(name)),
    buyers: Number(values.buyers),
    wish: (index) => ({ lines: [{ sku: products[index % products.length]?.sku ?? '', quantity: 1 }] }),
    waitSeconds: 10,
  });
}

async function placed(count: number): Promise<void> {
  let told = 0;
  while (shopping.purchases.length < count) {
    await delay(200);
    const now = shopping.purchases.length;
    if (now - told < 5_000) continue;
    told = now;
    console.log(`  ${String(now)} orders`);
  }
}

/** Starts `node`, and waits until it has what `other` had when it started, and takes orders. */
async function back(node: NodeName, other: NodeName, how: string): Promise<void> {
  const goal = await placeOf(other);
  const before = shopping.purchases.length;
  const startedAt = performance.now();
  await cluster.revive(node);
  let caughtUp: number | undefined;
  let ready: number | undefined;
  while (caughtUp === undefined || ready === undefined) {
    if (performance.now() - startedAt > patienceMs)
      throw new Error(`${node} did not catch up:\n${cluster.describe()}`);
    await delay(50);
    if (caughtUp === undefined && isAt(await placeOf(node).catch(() => undefined), goal))
      caughtUp = performance.now();
    if (ready === undefined && (await statusOf(node)) === 200) ready = performance.now();
  }
  const meanwhile = shopping.purchases.slice(before);
  console.log(
    [
      `${node} ${how}: has what the others had ${seconds(caughtUp - startedAt)} after its start,`,
      `ready after ${seconds(ready - startedAt)};`,
      `${String(meanwhile.length)} orders meanwhile, p99 ${percentile(
        meanwhile.map(({ ms }) => ms),
        0.99,
      ).toFixed(0)} ms`,
    ].join(' '),
  );
}

async function statusOf(node: NodeName): Promise<number> {
  const answer = await cluster.http.ask('GET', `${cluster.url(node)}/readyz`).catch(() => undefined);
  return answer?.status ?? 0;
}

async function placeOf(node: NodeName): Promise<Place> {
  const { members } = await cluster.get<{ members: readonly { id: string; position: number }[] }>(
    `${cluster.url(node)}/cluster`,
  );
  const metrics = await fetch(`${cluster.url(node)}/metrics`).then((answer) => answer.text());
  const [, applied] = /^freehold_ledger_applied_index(?:\{[^}]*\})? (\S+)$/m.exec(metrics) ?? [];
  return { journal: new Map(members.map(({ id, position }) => [id, position])), ledger: Number(applied) };
}

function isAt(place: Place | undefined, goal: Place): boolean {
  if (place === undefined || place.ledger < goal.ledger) return false;
  return [...goal.journal].every(([origin, position]) => (place.journal.get(origin) ?? 0) >= position);
}

/** Whoever bought had to get an answer. */
function judge(purchases: readonly Purchase[]): void {
  const refused = purchases.filter(({ status }) => status !== 200 && status !== 201);
  const slowest = Math.max(...purchases.map(({ ms }) => ms));
  console.log(
    `  ${String(purchases.length)} orders, ${String(refused.length)} not accepted, slowest answer ${slowest.toFixed(0)} ms`,
  );
  if (refused.length > 0) process.exitCode = 1;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
