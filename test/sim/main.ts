import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { hunt } from './hunt.ts';
import { mutants } from './mutants.ts';
import { ambientFaults, decks, faultKinds, type Deck, type Mode } from './plan.ts';
import { runAll } from './pool.ts';
import type { RunResult } from './run.ts';
import { Tally } from './tally.ts';
import type { WorkerRequest } from './worker.ts';

/** `npm run sim`: runs seeds, says what came of them, and how to see one again. */
const help = `Usage: npm run sim -- [options]

Runs the whole of Freehold in simulated worlds, one per seed, and checks its promises after everything that happens.

  --seeds N         how many seeds (default 100)
  --from S          the first one (default 1)
  --nodes 3|5       the size of every cluster (default: as the seed has it)
  --mode MODE       safety (faults never stop), liveness (they stop, and everything must come to rest) or both (default)
  --workers K       processes (default: one per core)
  --trace [TEXT]    print what happened in each run; with TEXT only the lines that contain it
  --deck NAME       worlds with more of one trouble: ${decks.join(', ')}
  --mutant NAME     with this breach built into the program; "list" names them all
  --hunt N          tries up to N seeds for the first that shows the mutant; without a mutant, for each in turn
  --help

Exit code 1 when a promise was broken, or a fault never struck in 200 runs or more: then the simulator is at fault.`;

/** With fewer runs, a fault may be missing by chance. */
const runsForEveryFault = 200;
const progressEveryMs = 2_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string' },
    nodes: { type: 'string' },
    mode: { type: 'string', default: 'both' },
    workers: { type: 'string', default: String(availableParallelism()) },
    trace: { type: 'boolean', default: false },
    deck: { type: 'string' },
    mutant: { type: 'string' },
    hunt: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log(help);
} else if (values.mutant === 'list') {
  for (const { name, why } of mutants) console.log(`${name}: ${why}`);
} else if (values.hunt !== undefined) {
  process.exitCode = (await huntMutants(Number(values.hunt))) ? 0 : 1;
} else {
  process.exitCode = (await simulate()) ? 0 : 1;
}

/** For whoever has changed what worlds are made of: which seeds show the mutants now. */
async function huntMutants(count: number): Promise<boolean> {
  let isComplete = true;
  for (const mutant of mutants) {
    if (values.mutant !== undefined && mutant.name !== values.mutant) continue;
    const from = values.from === undefined ? mutant.seeds.from : Number(values.from);
    const caught = await hunt(mutant, { from, count });
    isComplete &&= caught !== undefined;
    const found =
      caught === undefined ? `not noticed from ${from} on` : `${caught.checker} at ${caught.seed}`;
    console.log(`${mutant.name} (named: ${mutant.seeds.from}): ${found}`);
  }
  return isComplete;
}

async function simulate(): Promise<boolean> {
  const nodes = nodesOf(values.nodes);
  const deck = deckOf(values.deck);
  const modes: readonly Mode[] = values.mode === 'both' ? ['safety', 'liveness'] : [modeOf(values.mode)];
  const from = Number(values.from ?? '1');
  const seeds = Number(values.seeds);
  const [filter] = positionals;
  const requests: WorkerRequest[] = [];
  for (let seed = from; seed < from + seeds; seed++) {
    for (const mode of modes) {
      requests.push({
        seed,
        mode,
        ...(nodes === undefined ? {} : { nodes }),
        ...(deck === undefined ? {} : { deck }),
        ...(values.trace ? { trace: true, traceLinesMax: 200_000 } : {}),
        ...(filter === undefined ? {} : { filter }),
      });
    }
  }
  const tally = new Tally();
  const startedAt = performance.now();
  const progress = setInterval(() => {
    process.stderr.write(`${tally.line((performance.now() - startedAt) / 1_000)} of ${requests.length}\n`);
  }, progressEveryMs);
  try {
    const workers = Math.min(Number(values.workers), requests.length);
    const options = { workers, ...(values.mutant === undefined ? {} : { mutant: values.mutant }) };
    await runAll(requests, options, ({ result, trace }) => {
      for (const line of trace) console.log(line);
      tally.add(result);
      if (result.violation !== undefined) console.log(describe(result));
    });
  } finally {
    clearInterval(progress);
  }
  console.log(tally.report((performance.now() - startedAt) / 1_000, [...faultKinds, ...ambientFaults]));
  const missing = tally.missing([...faultKinds, ...ambientFaults]);
  if (deck === undefined && tally.runs >= runsForEveryFault && missing.length > 0) {
    console.log(`These faults never struck: ${missing.join(', ')}. The simulator is at fault.`);
    return false;
  }
  return tally.failed.length === 0;
}

function describe({ seed, mode, nodes, violation }: RunResult): string {
  const { checker = '', detail = '', at = 0 } = violation ?? {};
  const deck = values.deck === undefined ? '' : ` --deck ${values.deck}`;
  const mutant = values.mutant === undefined ? '' : ` --mutant "${values.mutant}"`;
  return (
    `seed ${seed} (${mode}, ${nodes} nodes) broke a promise after ${at.toFixed(0)} ms: ${checker}: ${detail}\n` +
    `  see it again: npm run sim -- --seeds 1 --from ${seed} --mode ${mode} --nodes ${nodes}${deck}${mutant} --trace`
  );
}

function nodesOf(text: string | undefined): 3 | 5 | undefined {
  if (text === undefined) return undefined;
  if (text === '3') return 3;
  if (text === '5') return 5;
  throw new Error(`--nodes is 3 or 5, not ${text}`);
}

function deckOf(text: string | undefined): Deck | undefined {
  const deck = decks.find((name) => name === text);
  if (text !== undefined && deck === undefined) throw new Error(`no deck is called ${text}`);
  return deck;
}

function modeOf(text: string): Mode {
  if (text === 'safety' || text === 'liveness') return text;
  throw new Error(`--mode is safety, liveness or both, not ${text}`);
}
