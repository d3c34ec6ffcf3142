import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { aborted, CommandError, exitCodes, UsageError } from './context.ts';
import type { Command, CommandContext } from './context.ts';
import { readAction } from './dev/actions.ts';
import { askControl, listenForControl } from './dev/control.ts';
import { noteFounded } from './dev/founding.ts';
import { stopLeftovers } from './dev/leftovers.ts';
import { planOf } from './dev/plan.ts';
import { checkPortsFree } from './dev/ports.ts';
import { waitForReady, waitForStock } from './dev/readiness.ts';
import { Roster } from './dev/roster.ts';
import { dataDirectoryOf, isHttp, readSettings, variables } from './dev/settings.ts';
import type { DevSettings } from './dev/settings.ts';
import { Supervisor } from './dev/supervisor.ts';
import { deathNotice, progressLine, readyLine, welcome } from './dev/words.ts';

const readyTimeoutMs = 60_000;

const variableWidth = Math.max(...Object.keys(variables).map((name) => name.length)) + 2;

export const dev: Command = {
  name: 'dev',
  summary: 'run a whole cluster on this machine, and break it',
  help: `Usage: freehold dev [--set KEY=VALUE]... [--direct] [--profile DIR]
       freehold dev kill PART [--signal SIGNAL]
       freehold dev pause|resume|revive PART
       freehold dev wipe NODE
       freehold dev add NODE
       freehold dev partition NODE [OTHER] [--one-way in|out]
       freehold dev slow NODE DELAY
       freehold dev heal [NODE]
       freehold dev payments show|calm|hostile [--seed N]
       freehold dev payments faults FILE
       freehold dev status

Without an action: three nodes (n1, n2, n3), a system of record (sor) and a payment sandbox (sandbox), each a
process of its own, until Ctrl-C. The next start finds the data again, with the nodes that were added and without those
that were removed. With an action: tells the running cluster to do it, to the PART named.

  kill, revive      end a process at once; start it again, unless it is a node that was removed from the cluster
  pause, resume     freeze a process, and let it go on (SIGSTOP, SIGCONT)
  wipe              kill a node and empty its disk; only its key stays
  add               start one more node, n4 to n9, and let it in; it votes once promoted (freehold members). A name
                    is used once
  partition         cut a node's links to the others, or to one OTHER, like a pulled cable: nothing is closed,
                    nothing arrives. Customers still reach it
  slow              everything that a node says to the others and hears takes DELAY longer, such as 50ms; 0ms ends it
  heal              mend and speed up all links, or those of one node
  payments          make the payment provider misbehave: in every way there is (hostile), by a plan of yours (faults
                    FILE, see README.md), or no longer (calm); each prints how often which fault struck (show)
  status            what runs, who was removed or does not vote yet, and what is wrong with the links

  --set KEY=VALUE   set a key of every node's freehold.yaml, such as orders.holdFor=20s
  --direct          nodes connect without the proxy that lets partition and slow work
  --profile DIR     each node writes a CPU profile there when it stops
  --signal SIGNAL   for kill: SIGKILL (default), SIGTERM, SIGINT, SIGABRT, SIGSEGV
  --one-way in|out  for partition: it no longer hears the others (in), or they no longer hear it (out)

Environment:
${Object.entries(variables)
  .map(([name, meaning]) => `  ${name.padEnd(variableWidth)}${meaning}`)
  .join('\n')}`,

  async run(args, context) {
    const [action] = args;
    if (action !== undefined && !action.startsWith('-')) return control(args, context);
    return runCluster(readSettings(args, context.environment, context.root, context.printError), context);
  },
};

async function control(args: readonly string[], context: CommandContext): Promise<number> {
  const request = readAction(args);
  const ask = (): Promise<string> => askControl(dataDirectoryOf(context.environment, context.root), request);
  if (request.action === 'payments') {
    const { changePayments, planAskedFor } = await import('./dev/payment-faults.ts');
    const plan = planAskedFor(request);
    context.print(await changePayments(await ask(), plan));
  } else {
    context.print(await ask());
  }
  return exitCodes.ok;
}

async function runCluster(settings: DevSettings, context: CommandContext): Promise<number> {
  if (!isHttp(settings.systemOfRecordUrl)) await checkCatalog(settings.catalog);
  const roster = Roster.open(settings);
  const plan = planOf(settings, roster);
  mkdirSync(plan.dataDirectory, { recursive: true });

  const broken = new AbortController();
  const supervisor = new Supervisor(
    { plan, settings, roster },
    {
      main: join(context.root, 'node/main.ts'),
      async peerIdIn(dataDirectory) {
        const { loadOrCreateIdentity, peerIdOf } = await import('../../store/index.ts');
        return peerIdOf(await loadOrCreateIdentity(dataDirectory));
      },
      progress(what, where, begunMs) {
        context.print(progressLine(what, where, performance.now() - begunMs));
      },
      onDeath(death) {
        context.printError(deathNotice(death, roster.standing(death.part.name)));
        broken.abort(new CommandError(`${death.part.title} died while the cluster was starting`));
      },
    },
  );

  const socket = await listenForControl(plan.dataDirectory, (request) => supervisor.control(request));
  context.hurry.addEventListener('abort', () => {
    context.printError('Killing everything.');
    supervisor.abandon();
    socket.close();
    context.exitNow(130);
  });

  let failed = false;
  try {
    await stopLeftovers(plan, context.print);
    await checkPortsFree(plan);
    context.print(`Freehold ${context.version}: starting a local cluster in ${plan.dataDirectory}`);
    const interrupted = AbortSignal.any([context.stop, broken.signal]);
    const { systemOfRecordUrl } = await orAborted(supervisor.start(), context.stop);
    const begun = performance.now();
    const wait = { timeoutMs: readyTimeoutMs, during: interrupted, note: context.print };
    const members = await waitForReady(plan.nodes, wait);
    await supervisor.follow(members);
    noteFounded(plan);
    // Who was removed is known now, and has been stopped.
    const present = planOf(settings, roster);
    const seller = present.nodes.find(({ name }) => members.some(({ id }) => id === name));
    if (seller === undefined) throw new CommandError('none of the members is run from here');
    const offer = await waitForStock(seller, wait);
    const attendance = { plan: present, roster, members };
    context.print(progressLine('ready', readyLine(attendance), performance.now() - begun));
    context.print(welcome({ ...attendance, systemOfRecordUrl, offer, idempotencyKey: randomUUID() }));
    await aborted(context.stop);
  } catch (error) {
    if (!context.stop.aborted) {
      failed = true;
      const cause: unknown = broken.signal.aborted ? broken.signal.reason : error;
      if (cause instanceof UsageError) context.printError(cause.message);
      else context.printError(`freehold dev: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }

  context.print(
    failed ? 'Stopping what was started.' : 'Stopping: nodes finish what they have (Ctrl-C again kills).',
  );
  const problems = await supervisor.stop();
  socket.close();
  for (const problem of problems) context.printError(problem);
  if (!failed && problems.length === 0) context.print('Stopped.');
  return failed || problems.length > 0 ? exitCodes.failed : exitCodes.ok;
}

/** `work`, or a rejection as soon as `signal` is aborted; what `work` then comes to is of no interest. */
async function orAborted<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  work.catch(() => {});
  const stopped = aborted(signal).then(() => {
    throw new CommandError('stopped');
  });
  stopped.catch(() => {});
  return Promise.race([work, stopped]);
}

/** Throws UsageError when the file is not there or is not a catalogue: before anything starts. */
async function checkCatalog(file: string): Promise<void> {
  const { loadCatalog } = await import('../reconcilers/catalog.ts');
  try {
    await loadCatalog(file);
  } catch (error) {
    throw new UsageError(`FREEHOLD_CATALOG: ${error instanceof Error ? error.message : String(error)}`);
  }
}
