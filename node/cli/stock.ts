import { randomUUID } from 'node:crypto';
import { nodeUrl, nodeUrlDefault, parseArguments, required } from './arguments.ts';
import { CommandError, exitCodes, UsageError } from './context.ts';
import type { Command, CommandContext } from './context.ts';
import { askNode, type NodeAnswer } from './node-client.ts';

/** Puts right what the system of record says is on hand, through any node's HTTP interface. */

const requestTimeoutMs = 30_000;
/** As many as a node takes in one adjustment. */
const unitsMax = 1_000_000_000;

export const stock: Command = {
  name: 'stock',
  summary: 'put right what is on hand',
  help: `Usage: freehold stock adjust SKU --by UNITS --reason TEXT [--restock] [--who NAME] [--key KEY] [--url URL]

Changes what is on hand in the system of record, and has the change recorded there. Any node can be asked.

  --by UNITS     how many more (5, +5) or fewer (--by=-2)
  --reason TEXT  why
  --restock      units came in; without it the figure is corrected
  --who NAME     who answers for it (default: the user who runs this)
  --key KEY      names the change: the same key again changes nothing more (default: drawn at random, and printed)
  --url URL      the HTTP interface of a node (default ${nodeUrlDefault})

Exit codes: 0 done; 1 refused, or not known to be done (then repeat it with the key that is printed); 2 asked for wrongly.`,

  async run(args, context) {
    const { values, positionals } = parseArguments(
      'stock',
      args,
      {
        by: { type: 'string' },
        reason: { type: 'string' },
        restock: { type: 'boolean', default: false },
        who: { type: 'string' },
        key: { type: 'string' },
        url: { type: 'string', default: nodeUrlDefault },
      },
      { names: ['ACTION', 'SKU'] },
    );
    const [action = '', sku = ''] = positionals;
    if (action !== 'adjust') throw new UsageError(`freehold stock: ${action} is not adjust`);
    const by = required('stock', 'by', values.by);
    if (!/^[+-]?\d+$/.test(by) || Number(by) === 0)
      throw new UsageError(`freehold stock: --by must be a number of units such as 5 or -2, not ${by}`);
    if (Math.abs(Number(by)) > unitsMax)
      throw new UsageError(`freehold stock: --by may be ${unitsMax} units at most, up or down, not ${by}`);
    const key = values.key ?? randomUUID();
    const body = {
      kind: values.restock ? 'restock' : 'correction',
      delta: Number(by),
      reason: required('stock', 'reason', values.reason),
      by: values.who ?? whoRuns(context),
    };
    const path = `/stock/${encodeURIComponent(sku)}/adjustments`;
    const answer = await ask(nodeUrl('stock', values.url), path, key, body, context);
    const { onHand, detail, code } = answer.body;
    const { status } = answer;
    if (status !== 200 && status !== 201) {
      throw new CommandError(`${String(detail)} (${String(code)}; the key was ${key})`);
    }
    const what = status === 200 ? 'was adjusted before' : `is adjusted by ${by}`;
    context.print(`${sku} ${what}: ${String(onHand)} on hand (key ${key})`);
    return exitCodes.ok;
  },
};

function whoRuns(context: CommandContext): string {
  const name = context.userName();
  if (name === undefined)
    throw new UsageError('freehold stock: --who is required, as nothing here says who runs this');
  return name;
}

async function ask(
  url: string,
  path: string,
  key: string,
  body: object,
  context: CommandContext,
): Promise<NodeAnswer> {
  try {
    const headers = { 'idempotency-key': key };
    return await askNode(
      url,
      { method: 'POST', path, headers, body, timeoutMs: requestTimeoutMs, holds: 'onHand' },
      context,
    );
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new CommandError(`${error.message}; if it was asked, the key was ${key}`);
  }
}
