import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { PostgresServer } from '../../support/postgres-server.ts';
import { Cluster } from '../support/cluster.ts';
import type { ClusterOptions } from '../support/cluster.ts';
import type { History } from '../support/history.ts';
import { crashingDatabase, losingProvider, stormActs } from './acts.ts';
import { ordersIn } from './checks.ts';
import { runOutage } from './outage.ts';
import type { Outage } from './outage.ts';
import {
  answerRows,
  checkRows,
  latencyRow,
  neverStruck,
  outcomeRows,
  phaseRows,
  providerRows,
  row,
} from './report.ts';
import type { Settled } from './settle.ts';
import { productsFor, runStorm, settings, stormPlan } from './storm.ts';
import type { Storm } from './storm.ts';
import { trailOf } from './trails.ts';

/** `npm run hostile`: money and stock, whatever happens outside. One scenario, one cluster, one verdict. */

const help = `Usage: npm run hostile -- [--scenario NAME] [--orders N] [--seed S] [--tills N] [--outage SECONDS]

  --scenario NAME     storm (default): N orders, a provider that misbehaves in every way, nodes that are killed,
                        a real PostgreSQL that hangs once and crashes once
                      sor-outage: PostgreSQL is away while customers buy
                      provider-outage: the payment provider is away, hanging at first, then dead
  --orders N          of the storm, default 20000
  --seed S            fixes who buys what, and what the provider does; default by the clock
  --tills N           customers at a time, default 64
  --outage SECONDS    how long each outage lasts, default 30 in the storm, 120 for PostgreSQL, 60 for the provider
  --max-waiting N     payments.maxUnanswered of each node in provider-outage, default 200
  --settle SECONDS    how long everything may take to end and agree afterwards, default 300

Progress goes to standard error, the report to standard output. Exit code 1: a promise was broken.`;

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'storm' },
    orders: { type: 'string', default: '20000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    tills: { type: 'string', default: '64' },
    outage: { type: 'string' },
    'max-waiting': { type: 'string', default: '200' },
    settle: { type: 'string', default: '300' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(help);
  process.exit(0);
}

const trailsMax = 10;
const outageOrdersMax = 100_000;
const seed = Number(values.seed);
const tills = Number(values.tills);
const settleWithinMs = Number(values.settle) * 1_000;
const begun = performance.now();
const log = (line: string): void => {
  console.error(`${((performance.now() - begun) / 1_000).toFixed(1).padStart(7)} s  ${line}`);
};

const database = await PostgresServer.start();
let cluster: Cluster | undefined;
// Their processes would outlive this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    void stop().finally(() => process.exit(130));
  });
try {
  process.exitCode = (await scenarioOf(values.scenario)()) ? 0 : 1;
} finally {
  await stop({ keep: process.exitCode !== 0 });
}

function scenarioOf(name: string): () => Promise<boolean> {
  if (name === 'storm') return storm;
  if (name === 'sor-outage') return recordOutage;
  if (name === 'provider-outage') return providerOutage;
  throw new Error(`no scenario is called ${name}; see --help`);
}

async function storm(): Promise<boolean> {
  const orders = Number(values.orders);
  const shop = await open({ products: productsFor(orders) });
  const run = await runStorm(
    {
      ...{ orders, seed, tills, settleWithinMs },
      plan: stormPlan(seed, orders),
      acts: stormActs(database, outageMs(30)),
    },
    { cluster: shop, log },
  );
  console.log(`\nthe storm, seed ${String(seed)}: ${String(orders)} customers at ${String(tills)} tills`);
  print('how orders ended', outcomeRows(ordersOf(run)));
  print('what customers were answered', [...answerRows(run.history), latencyRow(run.history)]);
  print('customers who were asked to authenticate', [
    ...Object.entries(run.authentications).map(([how, count]) => row(how, count)),
  ]);
  print('what the provider did', providerRows(run.provider));
  print('what befell the shop', run.strikes.map(strikeRow));
  print('figures', [
    row('orders a second, while it lasted', (orders / (run.soldWithinMs / 1_000)).toFixed(1)),
    row('seconds until all books agreed', (run.afterMs / 1_000).toFixed(1)),
  ]);
  const untested = [
    ...neverStruck(run.provider).map((fault) => `the provider never did: ${fault}`),
    ...run.missed.map(({ fault }) => `came too late to happen: ${fault.name}`),
  ];
  for (const line of untested) console.log(`NOT TESTED ${line}`);
  return (await verdict(run)) && untested.length === 0;
}

async function recordOutage(): Promise<boolean> {
  const shop = await open({ products: productsFor(outageOrdersMax) });
  const seconds = outageMs(120) / 1_000;
  const run = await runOutage(
    {
      ...outageOptions(),
      fault: crashingDatabase(database, seconds * 1_000),
      isDrained: ({ undelivered }) => undelivered <= tills,
    },
    { cluster: shop, log },
  );
  console.log(
    `\nPostgreSQL away for ${String(seconds)} s (ten minutes are ${(600 / seconds).toFixed(1)} times that)`,
  );
  return outageVerdict(run, [row('most outcomes that waited', run.undeliveredMax)]);
}

async function providerOutage(): Promise<boolean> {
  const maxWaiting = Number(values['max-waiting']);
  const shop = await open({
    products: productsFor(outageOrdersMax),
    set: { 'payments.maxUnanswered': String(maxWaiting) },
  });
  const seconds = outageMs(60) / 1_000;
  const run = await runOutage(
    {
      ...outageOptions(),
      fault: losingProvider(seconds * 1_000),
      isDrained: ({ open: count }) => count <= tills * 2,
    },
    { cluster: shop, log },
  );
  console.log(
    `\nthe provider away for ${String(seconds)} s (five minutes are ${(300 / seconds).toFixed(1)} times that)`,
  );
  const closed = run.phases.flatMap(({ name, attempts }) =>
    name === 'during' ? attempts.filter(({ status }) => status === 503) : [],
  );
  // Who came in before it was known that the provider does not answer comes on top: a time-out of customers.
  const openMax = maxWaiting + tills * 2;
  const queueHeld = run.openAtOneNodeMax <= openMax;
  const kept = await outageVerdict(run, [
    row(`most open orders at one node, of ${String(openMax)} it may have`, run.openAtOneNodeMax),
  ]);
  if (!queueHeld) console.log('BROKEN the queue is bounded');
  if (closed.length === 0) console.log('BROKEN the door closes: nobody was answered 503');
  return kept && queueHeld && closed.length > 0;
}

function outageOptions() {
  return {
    ...{ seed, tills, settleWithinMs },
    products: productsFor(outageOrdersMax),
    scarceSku: 'SCARCE',
    patienceMs: 15_000,
  };
}

async function outageVerdict(run: Outage, more: readonly string[]): Promise<boolean> {
  for (const phase of run.phases) print(`${phase.name}, ${phase.seconds.toFixed(0)} s`, phaseRows(phase));
  print('how orders ended', outcomeRows(ordersOf(run)));
  print('figures', [
    ...more,
    row('seconds until nothing waited that the outage held up', seconds(run.drainedAfterMs)),
    row('seconds until all books agreed, after closing', seconds(run.afterMs)),
  ]);
  return verdict(run);
}

/** Prints what the checks found, and what is known of some of the orders that they found; true when there is nothing. */
async function verdict(run: Settled & { readonly history: History }): Promise<boolean> {
  const broken = run.findings.filter(({ breaches }) => breaches.length > 0);
  const orders = ordersOf(run).length;
  print(
    `breaches, of ${String(orders)} orders and ${String(run.books.payments.length)} payments`,
    checkRows(run.findings),
  );
  for (const { check, breaches } of broken)
    for (const line of breaches.slice(0, trailsMax)) console.log(`BROKEN ${check}: ${line}`);
  if (broken.length === 0) {
    console.log('\nall promises kept');
    return true;
  }
  const shop = cluster;
  if (shop === undefined) return false;
  for (const orderId of ordersIn(broken).slice(0, trailsMax)) {
    const { history, books } = run;
    console.log((await trailOf(orderId, { cluster: shop, history, books })).join('\n'));
  }
  mkdirSync(shop.dataDirectory, { recursive: true });
  const file = `${shop.dataDirectory}/history.json`;
  writeFileSync(file, JSON.stringify({ seed, findings: run.findings, purchases: run.history.purchases }));
  console.log(`\nwhat was asked and answered is in ${file}`);
  return false;
}

async function open(options: Pick<ClusterOptions, 'products' | 'set'>): Promise<Cluster> {
  cluster = await Cluster.start({
    ...options,
    set: { ...settings, ...options.set },
    systemOfRecordUrl: database.url,
  });
  log(`the shop is open in ${cluster.dataDirectory}`);
  return cluster;
}

async function stop(options: { readonly keep?: boolean } = {}): Promise<void> {
  try {
    await cluster?.stop(options);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  } finally {
    await database.close();
  }
}

function outageMs(usualSeconds: number): number {
  return Number(values.outage ?? usualSeconds) * 1_000;
}

function ordersOf({ books }: Settled) {
  return [...books.orders.values()][0] ?? [];
}

function strikeRow({ fault, victim, struckAt, mendedAt }: Storm['strikes'][number]): string {
  return row(`${fault} (${victim})`, `${((mendedAt - struckAt) / 1_000).toFixed(1)} s`);
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? 'never' : (ms / 1_000).toFixed(1);
}

function print(title: string, rows: readonly string[]): void {
  console.log([`\n${title}`, ...rows].join('\n'));
}
