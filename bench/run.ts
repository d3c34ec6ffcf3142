import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { countAnswers, percentile, startBuyers } from '../test/e2e/support/buyers.ts';
import type { Purchase } from '../test/e2e/support/buyers.ts';
import { plenty } from '../test/e2e/support/catalog.ts';
import { Cluster } from '../test/e2e/support/cluster.ts';
import { readCpu } from './cpu.ts';
import { summarizeProfiles } from './profile.ts';

/**
 * `npm run bench`: customers in closed loops against three real nodes on this machine, each order of two lines,
 * each answered when it has ended. The load generator shares the machine with everything it measures.
 */

const help = `Usage: npm run bench -- [--seconds N] [--warmup N] [--buyers N] [--capture MODE] [--profile]

  --seconds N       how long to measure, default 20
  --warmup N        seconds before that, which do not count, default 5
  --buyers N        concurrent customers, default 32
  --capture MODE    after-reserve (default) or immediate
  --profile         also say in which modules each node spent its time`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    warmup: { type: 'string', default: '5' },
    buyers: { type: 'string', default: '32' },
    capture: { type: 'string', default: 'after-reserve' },
    profile: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(help);
  process.exit(0);
}

const root = resolve(import.meta.dirname, '..');
const seconds = Number(values.seconds);
const buyers = Number(values.buyers);
const profileDirectory = values.profile ? mkdtempSync(join(tmpdir(), 'freehold-profile-')) : undefined;
const products = plenty.map((product) => ({ ...product, onHand: 10_000_000 }));

const cluster = await Cluster.start({
  capture: values.capture === 'immediate' ? 'immediate' : 'after-reserve',
  products,
  set: { 'log.level': 'warn' },
  direct: true,
  ...(profileDirectory === undefined ? {} : { profileDirectory }),
});
console.log(
  `three nodes, ${String(buyers)} buyers, ${values.seconds} s after ${values.warmup} s of warming up, ` +
    `${String(cpus().length)} cores (${cpus()[0]?.model.trim() ?? 'unknown'})`,
);

const shopping = startBuyers({
  urls: cluster.urls,
  buyers,
  wish: (index) => ({
    lines: [0, 1].map((line) => ({
      sku: products[(index + line) % products.length]?.sku ?? '',
      quantity: 1,
    })),
  }),
  waitSeconds: 10,
});
await delay(Number(values.warmup) * 1_000);
const cpuBefore = readCpu(cluster.pidFiles);
const from = performance.now();
await delay(seconds * 1_000);
const to = performance.now();
const cpuAfter = readCpu(cluster.pidFiles);
const purchases = await shopping.stop();
await cluster.stop();

report(purchases.filter(({ answeredAt }) => answeredAt >= from && answeredAt < to));
if (profileDirectory !== undefined) {
  for (const name of cluster.nodeNames) reportProfile(name, join(profileDirectory, name));
  rmSync(profileDirectory, { recursive: true });
}

function report(measured: readonly Purchase[]): void {
  const fulfilled = measured.filter(({ order }) => order?.outcome === 'fulfilled');
  const latencies = fulfilled.map(({ ms }) => ms);
  const line = (name: string, value: string): void => {
    console.log(`  ${name.padEnd(22)}${value}`);
  };
  line('orders/s', (fulfilled.length / seconds).toFixed(0));
  for (const share of [0.5, 0.95, 0.99])
    line(`p${String(share * 100)} ms`, percentile(latencies, share).toFixed(1));
  for (const [name, after] of cpuAfter) {
    const usedMs = after - (cpuBefore.get(name) ?? 0);
    line(`CPU ms/order ${name}`, (usedMs / Math.max(1, fulfilled.length)).toFixed(2));
  }
  line('asked more than once', String(measured.filter(({ attempts }) => attempts > 1).length));
  for (const [answer, count] of Object.entries(countAnswers(measured))) line(answer, String(count));
}

function reportProfile(name: string, directory: string): void {
  const [main, ...workers] = summarizeProfiles(directory, root);
  const busyMs = main?.reduce((sum, { ms }) => sum + ms, 0) ?? 0;
  console.log(
    `\n${name}: main thread busy ${(busyMs / 1_000).toFixed(1)} s, ${String(workers.length)} other threads`,
  );
  for (const { module, ms, share } of main?.slice(0, 25) ?? [])
    console.log(
      `  ${(100 * share).toFixed(1).padStart(5)} %  ${(ms / 1_000).toFixed(2).padStart(6)} s  ${module}`,
    );
}
