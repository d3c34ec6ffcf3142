import { parseArgs } from 'node:util';
import { startBuyers } from '../test/e2e/support/buyers.ts';
import { plenty } from '../test/e2e/support/catalog.ts';
import { JsonClient } from '../test/e2e/support/http.ts';
import { SingleNode } from '../test/e2e/support/single-node.ts';

/**
 * `npm run soak`: whether a node that lets old orders go stays as large as it is. One node, one order after the other
 * by many buyers, each answered when it is durable; what the node keeps is looked at as the orders go through.
 *
 * It is bounded when the second half of the run is not larger than the first, with room for what rises and falls: the
 * disk between two compactions of LevelDB, the heap between two collections.
 */
const help = `Usage: npm run soak -- [--orders N] [--buyers N] [--retain DURATION] [--every N]

  --orders N          how many orders, default 50000
  --buyers N          concurrent customers, default 64
  --retain DURATION   orders.retainFor, default 20s; 0 keeps everything, to compare with
  --every N           orders between two lines, default 10000`;

const { values } = parseArgs({
  options: {
    orders: { type: 'string', default: '50000' },
    buyers: { type: 'string', default: '64' },
    retain: { type: 'string', default: '20s' },
    every: { type: 'string', default: '10000' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(help);
  process.exit(0);
}

interface Line {
  readonly orders: number;
  readonly perSecond: number;
  readonly residentBytes: number;
  readonly diskBytes: number;
  readonly journalEntries: number;
  readonly forgotten: number;
  /** Ended, not in the system of record yet: these may not be forgotten. */
  readonly undelivered: number;
}

const roomRatio = 1.3;
const orders = Number(values.orders);
const every = Number(values.every);
const products = plenty.map((product) => ({ ...product, onHand: 100_000_000 }));
const client = new JsonClient({ connectionsMax: 2 });
const node = await SingleNode.start({ products, retainFor: values.retain === '0' ? 0 : values.retain });
const lines: Line[] = [];
let failed = 0;
try {
  await ready();
  console.log(heading());
  let before = performance.now();
  let done = 0;
  const shopping = startBuyers({
    urls: [node.url],
    buyers: Number(values.buyers),
    purchases: orders,
    wish: (index) => ({ lines: [{ sku: products[index % products.length]?.sku ?? '', quantity: 1 }] }),
    waitSeconds: 0,
  });
  let finished = false;
  void shopping.done.then(() => (finished = true));
  while (!finished || done < shopping.purchases.length) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    const now = shopping.purchases.length;
    if (now - done < every && !(finished && now > done)) continue;
    const seconds = (performance.now() - before) / 1_000;
    before = performance.now();
    const line = await look(now, (now - done) / seconds);
    done = now;
    lines.push(line);
    console.log(rowOf(line));
  }
  failed = (await shopping.done).filter(({ status }) => status !== 201 && status !== 200).length;
} finally {
  client.close();
  await node.stop();
}
verdict();

async function ready(): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt += 1) {
    const { status } = await client.ask('GET', `${node.url}/readyz`);
    if (status === 200) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the node did not get ready');
}

async function look(count: number, perSecond: number): Promise<Line> {
  const metrics = await fetch(`${node.url}/metrics`).then((answer) => answer.text());
  const metric = (name: string): number =>
    [...metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].reduce(
      (sum, [, value]) => sum + Number(value),
      0,
    );
  return {
    orders: count,
    perSecond,
    residentBytes: node.residentBytes(),
    diskBytes: node.diskBytes(),
    journalEntries: metric('freehold_journal_held_entries'),
    forgotten: metric('freehold_orders_forgotten_total'),
    undelivered: metric('freehold_reconciler_pending_orders'),
  };
}

function heading(): string {
  return '    orders   orders/s   RSS MB   disk MB   journal entries   orders forgotten   undelivered';
}

function rowOf(line: Line): string {
  const megabytes = (bytes: number): string => (bytes / 1_000_000).toFixed(0);
  return [
    String(line.orders).padStart(10),
    line.perSecond.toFixed(0).padStart(11),
    megabytes(line.residentBytes).padStart(9),
    megabytes(line.diskBytes).padStart(10),
    String(line.journalEntries).padStart(18),
    String(line.forgotten).padStart(19),
    String(line.undelivered).padStart(14),
  ].join('');
}

function verdict(): void {
  const half = lines.slice(Math.floor(lines.length / 2));
  const rest = lines.slice(0, Math.floor(lines.length / 2));
  const measures = ['residentBytes', 'diskBytes', 'journalEntries'] as const;
  const grown = measures.filter((measure) => {
    const most = (some: readonly Line[]): number => Math.max(...some.map((line) => line[measure]));
    return rest.length > 0 && most(half) > most(rest) * roomRatio;
  });
  console.log(`\n${String(orders)} orders, ${String(failed)} not accepted`);
  if (rest.length === 0) console.log('too few lines to judge');
  else console.log(grown.length === 0 ? 'bounded' : `NOT bounded: ${grown.join(', ')}`);
  process.exitCode = grown.length === 0 && failed === 0 ? 0 : 1;
}
