import { parseArgs } from 'node:util';
import { startBuyers } from '../test/e2e/support/buyers.ts';
import { plenty } from '../test/e2e/support/catalog.ts';
import { JsonClient } from '../test/e2e/support/http.ts';
import { SingleNode } from '../test/e2e/support/single-node.ts';

/**
 * `npm run soak`: whether a node that lets old orders go stays as large as it is. One node, one order after the other
 * by many buyers, each answered when it is durable; what the node keeps is looked at as the orders go through.
 *
 * The journal is judged by what was asked for: it may hold `retain` worth of orders at the present rate, twice over and a
 * few seconds more for orders that are on their way to the system of record; with `--retain 0` it has no bound. Disk
 * and memory rise and fall by tens of megabytes whatever happens, so they are judged only in runs that are long enough
 * for a leak to stand out.
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
  /** How many seconds of orders, at the rate since the line before, the journal holds. */
  readonly journalSeconds: number;
  readonly forgotten: number;
  /** Ended, not in the system of record yet: these may not be forgotten. */
  readonly undelivered: number;
}

const roomRatio = 1.3;
/** A leak of one kilobyte per order is then several times what disk and memory swing by. */
const ordersToJudgeSizes = 300_000;
const deliverySeconds = 5;
const retainSeconds = secondsOf(values.retain);
const orders = Number(values.orders);
const every = Number(values.every);
const products = plenty.map((product) => ({ ...product, onHand: 100_000_000 }));
const client = new JsonClient({ connectionsMax: 2 });
const node = await SingleNode.start({ products, retainFor: values.retain === '0' ? 0 : values.retain });
const lines: Line[] = [];
let failed = 0;
// The parts are processes of their own: they end with this one, however it ends.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void node.stop().then(() => process.exit(1));
  });
}
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

function secondsOf(text: string): number {
  const match = /^(\d+)(s|m|h)$/.exec(text);
  if (match === null && text !== '0') throw new Error(`--retain takes 20s, 5m, 1h or 0, not ${text}`);
  return Number(match?.[1] ?? 0) * { s: 1, m: 60, h: 3_600 }[(match?.[2] ?? 's') as 's' | 'm' | 'h'];
}

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
  const journalEntries = metric('freehold_journal_held_entries');
  const entriesPerOrder = metric('freehold_journal_position_entries') / count;
  return {
    orders: count,
    perSecond,
    residentBytes: node.residentBytes(),
    diskBytes: node.diskBytes(),
    journalEntries,
    journalSeconds: journalEntries / entriesPerOrder / perSecond,
    forgotten: metric('freehold_orders_forgotten_total'),
    undelivered: metric('freehold_reconciler_pending_orders'),
  };
}

function heading(): string {
  return '    orders   orders/s   RSS MB   disk MB   journal entries   in seconds   orders forgotten   undelivered';
}

function rowOf(line: Line): string {
  const megabytes = (bytes: number): string => (bytes / 1_000_000).toFixed(0);
  return [
    String(line.orders).padStart(10),
    line.perSecond.toFixed(0).padStart(11),
    megabytes(line.residentBytes).padStart(9),
    megabytes(line.diskBytes).padStart(10),
    String(line.journalEntries).padStart(18),
    line.journalSeconds.toFixed(1).padStart(13),
    String(line.forgotten).padStart(19),
    String(line.undelivered).padStart(14),
  ].join('');
}

/** Of each measure whether it is bounded; undefined when this run cannot tell. */
function judge(): Readonly<Record<'journal' | 'disk' | 'memory', boolean | undefined>> {
  const half = Math.floor(lines.length / 2);
  const early = lines.slice(0, half);
  const late = lines.slice(half);
  const isLong = orders >= ordersToJudgeSizes && half > 1;
  const stays = (sizeOf: (line: Line) => number): boolean | undefined =>
    isLong ? Math.max(...late.map(sizeOf)) <= Math.max(...early.map(sizeOf)) * roomRatio : undefined;
  const limit = retainSeconds * 2 + deliverySeconds;
  return {
    journal: retainSeconds > 0 && late.every((line) => line.journalSeconds <= limit),
    disk: stays((line) => line.diskBytes),
    memory: stays((line) => line.residentBytes),
  };
}

function verdict(): void {
  console.log(`\n${String(orders)} orders, ${String(failed)} not accepted`);
  const judged = Object.entries(judge());
  for (const [name, isBounded] of judged) {
    const word =
      isBounded === undefined ? 'not judged: the run is too short' : isBounded ? 'bounded' : 'NOT bounded';
    console.log(`${name.padEnd(8)} ${word}`);
  }
  process.exitCode = failed === 0 && judged.every(([, isBounded]) => isBounded !== false) ? 0 : 1;
}
