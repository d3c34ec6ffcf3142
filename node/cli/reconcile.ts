import { setInterval } from 'node:timers';
import { parseDuration } from '../config/units.ts';
import { nodeUrl, nodeUrlDefault, parseArguments, required } from './arguments.ts';
import { CommandError, exitCodes, UsageError } from './context.ts';
import type { Command, CommandContext } from './context.ts';
import { askNode } from './node-client.ts';

/** Compares the books of a running cluster, and decides about outcomes that its system of record refuses. */

const progressEveryMs = 5_000;
/** A report takes as long as reading all payments takes. */
const requestTimeoutMs = 30 * 60_000;
const pageSize = 500;

const exits = { clean: exitCodes.ok, different: 1, notCompared: 2 } as const;

export const reconcile: Command = {
  name: 'reconcile',
  summary: 'compare the books, and decide about what the system of record refuses',
  help: `Usage: freehold reconcile report [--since TIME] [--json] [--url URL]...
       freehold reconcile parked [list] [--json] [--url URL]...
       freehold reconcile parked retry ORDER [--json] [--url URL]...
       freehold reconcile parked discard ORDER --reason TEXT --by NAME [--json] [--url URL]...

  report          compare journal, ledger, payment provider and system of record, and name every difference
  parked list     outcomes that the system of record refuses, and why (the default)
  parked retry    send one of them again
  parked discard  give up its delivery: you have entered it by hand, and the inventory is as it should be

  --url URL       the HTTP interface of a node (default ${nodeUrlDefault}); given several times, the node that
                  leads is found among them, which makes reports and retries
  --since TIME    leave out orders created before: a time such as 2026-11-01T00:00Z, or a duration such as 24h
  --json          print what the node answers
  --reason TEXT   why it is given up; kept with the order
  --by NAME       who decided it; kept with the order

Exit codes of report: 0 no difference; 1 differences; 2 not compared, or asked for wrongly (the message says which
book could not be read). Of the others: 0 done; 1 refused; 2 asked for wrongly.`,

  async run(args, context) {
    const { values, positionals } = parseArguments(
      'reconcile',
      args,
      {
        url: { type: 'string', multiple: true, default: [nodeUrlDefault] },
        since: { type: 'string' },
        json: { type: 'boolean', default: false },
        reason: { type: 'string' },
        by: { type: 'string' },
      },
      { names: ['ACTION'], optional: ['WHAT', 'ORDER'] },
    );
    const nodes = new Nodes(
      values.url.map((url) => nodeUrl('reconcile', url)),
      context,
    );
    const [action, what = 'list', order] = positionals;
    const named = (): string => {
      if (order === undefined) throw new UsageError(`freehold reconcile parked ${what}: ORDER is missing`);
      return encodeURIComponent(order);
    };
    const tell = (answer: object, text: () => void): number => {
      if (values.json) context.print(JSON.stringify(answer, undefined, 2));
      else text();
      return exitCodes.ok;
    };

    if (action === 'report') {
      const since = values.since === undefined ? '' : `?since=${String(sinceOf(values.since))}`;
      return report(nodes, since, values.json, context);
    }
    if (action !== 'parked') {
      throw new UsageError(`freehold reconcile: ${String(action)} is not one of report, parked`);
    }
    switch (what) {
      case 'list': {
        const parked = await listParked(nodes);
        return tell({ parked }, () => printParked(parked, context));
      }
      case 'retry': {
        const answer = (await nodes.ask('POST', `/reconcilers/parked/${named()}/retry`, {
          holds: 'delivered',
        })) as Retried;
        const code = tell(answer, () =>
          context.print(
            answer.delivered ? `${answer.orderId} is delivered` : `refused again: ${String(answer.reason)}`,
          ),
        );
        return answer.delivered ? code : exitCodes.failed;
      }
      case 'discard': {
        const decision = {
          reason: required('reconcile', 'reason', values.reason),
          by: required('reconcile', 'by', values.by),
        };
        const answer = await nodes.ask('POST', `/reconcilers/parked/${named()}/discard`, { body: decision });
        return tell(answer, () => context.print(`${String(order)} is not delivered any more`));
      }
      default:
        throw new UsageError(`freehold reconcile parked: ${what} is not one of list, retry, discard`);
    }
  },
};

interface Retried {
  readonly orderId: string;
  readonly delivered: boolean;
  readonly reason?: string;
}

interface Parked {
  readonly orderId: string;
  readonly reason: string;
  readonly at: number;
}

interface Report {
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly comparedFrom: number;
  readonly comparedUntil: number;
  readonly compared: Readonly<Record<string, number>>;
  readonly differences: readonly {
    readonly code: string;
    readonly orderId?: string;
    readonly sku?: string;
    readonly figures: Readonly<Record<string, string>>;
    readonly advice: string;
  }[];
  readonly unchecked: number;
  readonly notes: readonly string[];
}

async function report(
  nodes: Nodes,
  query: string,
  isJson: boolean,
  context: CommandContext,
): Promise<number> {
  const begun = performance.now();
  const progress = setInterval(() => {
    context.printError(`  ${((performance.now() - begun) / 1_000).toFixed(0)} s  comparing`);
  }, progressEveryMs);
  let answer: Report;
  try {
    answer = (await nodes.ask('GET', `/reconcilers/report${query}`, { holds: 'differences' })) as Report;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    context.printError(`freehold reconcile: not compared: ${error.message}`);
    return exits.notCompared;
  } finally {
    clearInterval(progress);
  }
  if (isJson) context.print(JSON.stringify(answer, undefined, 2));
  else printReport(answer, context);
  return answer.differences.length + answer.unchecked > 0 ? exits.different : exits.clean;
}

function printReport(answer: Report, { print }: CommandContext): void {
  const { compared, differences, unchecked, notes } = answer;
  for (const { code, orderId, sku, figures, advice } of differences) {
    print(`${code}  ${[orderId, sku].filter((part) => part !== undefined).join(' ')}`);
    for (const [book, figure] of Object.entries(figures)) print(`    ${book}: ${figure}`);
    print(`    → ${advice}`);
  }
  if (unchecked > 0)
    print(`and ${unchecked} more that were not looked at twice: ask again after putting these right`);
  const counts = Object.entries(compared).map(([name, count]) => `${count} ${name}`);
  const seconds = ((answer.finishedAt - answer.startedAt) / 1_000).toFixed(1);
  print(`${differences.length} differences; compared ${counts.join(', ')} in ${seconds} s`);
  for (const note of notes) print(`note: ${note}`);
}

async function listParked(nodes: Nodes): Promise<readonly Parked[]> {
  const parked: Parked[] = [];
  let after = '';
  for (;;) {
    const path = `/reconcilers/parked?limit=${pageSize}${after}`;
    const page = (await nodes.ask('GET', path, { holds: 'parked' })) as {
      readonly parked: readonly Parked[];
      readonly next?: string;
    };
    parked.push(...page.parked);
    if (page.next === undefined) return parked;
    after = `&after=${encodeURIComponent(page.next)}`;
  }
}

function printParked(parked: readonly Parked[], { print }: CommandContext): void {
  for (const { orderId, reason, at } of parked)
    print(`${orderId}  since ${new Date(at).toISOString()}  ${reason}`);
  print(`${parked.length} parked`);
}

/** The nodes that were named: the first that answers is asked, and who leads where only that one will do. */
class Nodes {
  readonly #urls: readonly string[];
  readonly #context: CommandContext;

  constructor(urls: readonly string[], context: CommandContext) {
    this.#urls = urls;
    this.#context = context;
  }

  /** Rejects with CommandError, which says what the last one said. */
  async ask(
    method: string,
    path: string,
    more: { readonly body?: object; readonly holds?: string } = {},
  ): Promise<object> {
    let refused = new CommandError('no node was named');
    for (const url of this.#urls) {
      try {
        const asked = { method, path, ...more, timeoutMs: requestTimeoutMs };
        const { status, body: answer } = await askNode(url, asked, this.#context);
        if (status === 200) return answer;
        const { detail, code } = answer;
        refused = new CommandError(`${String(detail)} (${String(code)})`);
        if (code !== 'NOT_LEADER') break;
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        refused = error;
      }
    }
    throw refused;
  }
}

function sinceOf(text: string): number {
  const durationMs = parseDuration(text);
  const at = durationMs === undefined ? Date.parse(text) : Date.now() - durationMs;
  if (Number.isNaN(at) || at < 0) {
    throw new UsageError(`freehold reconcile: --since must be such as 2026-11-01T00:00Z or 24h, not ${text}`);
  }
  return at;
}
