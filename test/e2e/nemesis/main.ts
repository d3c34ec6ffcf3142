import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { seededRandom } from '../../support/random.ts';
import { Cluster } from '../support/cluster.ts';
import { recoveriesOf, recoveryTable } from './recovery.ts';
import type { Recovery } from './recovery.ts';
import { products, runRound, settings } from './round.ts';
import type { Round } from './round.ts';
import { rounds } from './schedule.ts';

/** `npm run nemesis`: rounds of faults against real clusters, one cluster per round, until one round fails. */

const help = `Usage: npm run nemesis -- [--rounds N] [--seed S] [--first N] [--faults N] [--buyers N] [--keep-going]

  --rounds N     how many rounds, default 10
  --seed S       fixes what strikes when, default by the clock
  --first N      begin with the Nth round of that seed, default 1
  --faults N     faults per round ahead of the mix at its end, default 6
  --buyers N     customers, default 12
  --keep-going   do not stop at the first round that fails`;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    first: { type: 'string', default: '1' },
    faults: { type: 'string', default: '6' },
    buyers: { type: 'string', default: '12' },
    'keep-going': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(help);
  process.exit(0);
}

const settleWithinMs = 180_000;
const seed = Number(values.seed);
const first = Number(values.first);
const last = first + Number(values.rounds) - 1;
const schedule = rounds(seededRandom(seed), Number(values.faults));
const recoveries: Recovery[] = [];
let failed = 0;
let running: Cluster | undefined;

// Its processes would outlive this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    void (running?.stop() ?? Promise.resolve()).catch(() => {}).finally(() => process.exit(130));
  });

console.log(`rounds ${String(first)} to ${String(last)} of seed ${String(seed)}`);
for (let number = 1; number <= last; number += 1) {
  const { value: faults } = schedule.next();
  if (number < first) continue;
  const begun = performance.now();
  const say = (line: string): void => {
    console.log(`${((performance.now() - begun) / 1_000).toFixed(1).padStart(7)} s  ${line}`);
  };
  console.log(`\nround ${String(number)}`);
  const cluster = await Cluster.start({ products, set: settings });
  running = cluster;
  let violations: readonly string[];
  try {
    const options = { seed: seed + number, faults, buyers: Number(values.buyers), settleWithinMs };
    const round = await runRound(options, { cluster, log: say });
    recoveries.push(...recoveriesOf(round.history, round.strikes));
    violations = round.violations;
    say(summaryOf(round));
    if (violations.length > 0) keep(round, cluster, number);
  } catch (error) {
    violations = [error instanceof Error ? error.message : String(error)];
  }
  for (const violation of violations) say(`BROKEN ${violation}`);
  if (violations.length > 0) {
    failed += 1;
    console.log(cluster.describe());
  }
  await cluster.stop({ keep: violations.length > 0 }).catch((error: unknown) => {
    failed += 1;
    say(`BROKEN ${error instanceof Error ? error.message : String(error)}`);
  });
  if (failed > 0 && !values['keep-going']) break;
}

console.log(`\n${recoveryTable(recoveries).join('\n')}`);
console.log(failed === 0 ? '\nall promises kept' : `\n${String(failed)} rounds failed, seed ${String(seed)}`);
process.exitCode = failed === 0 ? 0 : 1;

function summaryOf({ history, settledAfterMs }: Round): string {
  const attempts = history.purchases.flatMap((purchase) => purchase.attempts);
  const unanswered = attempts.filter(({ status }) => status === 0).length;
  const turnedAway = attempts.filter(({ status }) => status === 503).length;
  const linearizable = history.stockReads.filter((read) => read.linearizable).length;
  return (
    `${String(history.purchases.length)} orders in ${String(attempts.length)} attempts ` +
    `(${String(turnedAway)} turned away, ${String(unanswered)} unanswered), ` +
    `${String(history.orderReads.length)} order reads, ${String(linearizable)} linearizable of ` +
    `${String(history.stockReads.length)} stock reads; one story ${(settledAfterMs / 1_000).toFixed(1)} s later`
  );
}

/** Leaves the whole history beside the nodes' data. */
function keep({ history, strikes }: Round, cluster: Cluster, number: number): void {
  mkdirSync(cluster.dataDirectory, { recursive: true });
  const file = `${cluster.dataDirectory}/history-${String(number)}.json`;
  writeFileSync(file, JSON.stringify({ strikes, ...history }));
  console.log(`the history is in ${file}`);
}
