import { setTimeout as delay } from 'node:timers/promises';
import { parseDuration } from '../config/units.ts';
import { nodeUrl, nodeUrlDefault, parseArguments, required } from './arguments.ts';
import { CommandError, exitCodes, UsageError } from './context.ts';
import type { Command, CommandContext } from './context.ts';
import { askNode, NoAnswer, type NodeAnswer } from './node-client.ts';

/**
 * Changes who takes part in a running cluster, through any node's HTTP interface. Every step may be repeated: what
 * is so already stays so.
 */

const waitDefault = '10m';
const pollMs = 1_000;
/** A change is answered when it is decided, which the nodes bound themselves. */
const requestTimeoutMs = 60_000;
/** A node is given this long to say anything at all, however short the wait. */
const requestTimeoutMsMin = 1_000;

/** Refusals that pass, as a newcomer catches up or an election ends. */
const passing: ReadonlySet<string> = new Set([
  'CHANGE_UNDER_WAY',
  'NOT_CAUGHT_UP',
  'JOURNAL_BEHIND',
  'LEDGER_UNAVAILABLE',
  'CHANGE_UNDECIDED',
]);

export const members: Command = {
  name: 'members',
  summary: 'see and change who takes part in a cluster',
  help: `Usage: freehold members [list] [--url URL]
       freehold members add NODE --peer-id ID --address HOST:PORT [--zone ZONE] [--url URL]
       freehold members promote NODE [--wait DURATION] [--url URL]
       freehold members remove NODE [--wait DURATION] [--url URL]
       freehold members move NODE --address HOST:PORT [--url URL]
       freehold members replace DEAD --with NODE --peer-id ID --address HOST:PORT [--zone ZONE]
                                [--wait DURATION] [--url URL]

Asks any one node, which has the change decided by the cluster. One change at a time; each may be repeated.

  list       who takes part, who leads, and how far they are (the default)
  add        let a new node in: it receives everything, and decides nothing yet
  promote    make a voter of it; waits until it has caught up
  remove     take a node out, dead or alive: it is neither asked nor let in any more
  move       say where a node is reached from now on
  replace    add NODE, take DEAD out, and promote NODE when it has caught up

  --url URL            the HTTP interface of a node (default ${nodeUrlDefault})
  --peer-id ID         what \`freehold identity --data DIR\` prints on the new machine
  --address HOST:PORT  where the others reach its peer port
  --zone ZONE          its zone (default main)
  --wait DURATION      how long to wait, in all, for what passes by itself (default ${waitDefault})

Exit codes: 0 done; 1 refused, or not done in time (the message says why, and what is so now); 2 asked for wrongly.`,

  async run(args, context) {
    const { values, positionals } = parseArguments(
      'members',
      args,
      {
        url: { type: 'string', default: nodeUrlDefault },
        'peer-id': { type: 'string' },
        address: { type: 'string' },
        zone: { type: 'string', default: 'main' },
        wait: { type: 'string', default: waitDefault },
        with: { type: 'string' },
      },
      { names: [], optional: ['ACTION', 'NODE'] },
    );
    const [action = 'list', node] = positionals;
    const waitMs = parseDuration(values.wait);
    if (waitMs === undefined)
      throw new UsageError(`freehold members: --wait must be a duration such as 10m, not ${values.wait}`);
    const cluster = new Cluster(nodeUrl('members', values.url), waitMs, context);
    const named = (): string => {
      if (node === undefined) throw new UsageError(`freehold members ${action}: NODE is missing`);
      return node;
    };
    const newcomer = (id: string) => ({
      id,
      peerId: required('members', 'peer-id', values['peer-id']),
      address: required('members', 'address', values.address),
      zone: values.zone,
    });

    switch (action) {
      case 'list':
        await cluster.print();
        return exitCodes.ok;
      case 'add': {
        const member = newcomer(named());
        await cluster.change(`${member.id} is let in`, 'POST', '', { body: member });
        break;
      }
      case 'promote':
        await cluster.change(`${named()} votes`, 'POST', `/${named()}/promote`);
        break;
      case 'remove':
        await cluster.remove(named());
        break;
      case 'move': {
        const body = { address: required('members', 'address', values.address) };
        await cluster.change(`${named()} is reached there`, 'PUT', `/${named()}/address`, { body });
        break;
      }
      case 'replace': {
        const dead = named();
        const member = newcomer(required('members', 'with', values.with));
        await cluster.change(`${member.id} is let in`, 'POST', '', { body: member });
        await cluster.remove(dead);
        await cluster.change(`${member.id} votes`, 'POST', `/${member.id}/promote`);
        break;
      }
      default:
        throw new UsageError(
          `freehold members: ${action} is not one of list, add, promote, remove, move, replace`,
        );
    }
    await cluster.print();
    return exitCodes.ok;
  },
};

class Cluster {
  readonly #baseUrl: string;
  readonly #endsAt: number;
  readonly #context: CommandContext;

  /** Waits for `waitMs` in all, whatever it is asked. */
  constructor(baseUrl: string, waitMs: number, context: CommandContext) {
    this.#baseUrl = baseUrl;
    this.#endsAt = performance.now() + waitMs;
    this.#context = context;
  }

  /** Asks until it is done, refused for good, or the wait is over; says what it waits for when that changes. */
  async change(
    done: string,
    method: string,
    path: string,
    { body, unless }: { readonly body?: object; readonly unless?: string } = {},
  ): Promise<void> {
    const begun = performance.now();
    let told = '';
    for (;;) {
      const { status, body: answer } = await this.#decided(method, path, body, told);
      if (status === 200 || answer['code'] === unless) break;
      const reason = `${String(answer['detail'])} (${String(answer['code'])})`;
      if (!passing.has(String(answer['code']))) throw new CommandError(reason);
      if (this.#leftMs() > 0) {
        if (reason !== told) {
          this.#context.print(`  ${seconds(performance.now() - begun)}  waiting: ${reason}`);
        }
        told = reason;
        await delay(Math.min(pollMs, this.#leftMs()), undefined, { signal: this.#context.stop });
      }
      if (this.#leftMs() <= 0) throw new CommandError(`not done in time: ${reason}`);
    }
    this.#context.print(`  ${seconds(performance.now() - begun)}  ${done}`);
  }

  /** A node may take longer to have a change decided than somebody wants to wait. */
  async #decided(method: string, path: string, body: object | undefined, told: string): Promise<NodeAnswer> {
    try {
      return await this.#ask(method, `/cluster/members${path}`, 'members', body);
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      throw new CommandError(
        `not done in time: ${told === '' ? error.message : told}; the change may take effect yet: \`freehold members list\` shows it`,
      );
    }
  }

  /** Who is not there any more was removed: perhaps by the attempt before, whose answer got lost. */
  async remove(id: string): Promise<void> {
    const { body } = await this.#ask('GET', '/cluster/members', 'members');
    const list = (body['members'] ?? []) as readonly { readonly id: string }[];
    if (!list.some((member) => member.id === id)) throw new CommandError(`${id} is not a member`);
    await this.change(`${id} is out`, 'DELETE', `/${id}`, { unless: 'UNKNOWN_MEMBER' });
  }

  async print(): Promise<void> {
    const [{ body: list }, { body: cluster }] = await Promise.all([
      this.#ask('GET', '/cluster/members', 'members'),
      this.#ask('GET', '/cluster', 'self'),
    ]);
    const seen = new Map(
      ((cluster['members'] ?? []) as readonly ClusterMember[]).map((member) => [member.id, member]),
    );
    const rows = ((list['members'] ?? []) as readonly ListedMember[]).map((member) => {
      const { reachable = false, lag = 0 } = seen.get(member.id) ?? {};
      const role = member.id === cluster['leader'] ? 'leader' : member.voter ? 'voter' : 'observer';
      return [
        member.id,
        role,
        reachable ? 'reachable' : 'away',
        `lag ${String(lag)}`,
        member.zone,
        member.address,
      ];
    });
    const widths =
      rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
    this.#context.print(`as ${String(cluster['self'])} sees it, in term ${String(cluster['term'])}:`);
    for (const row of rows)
      this.#context.print(
        `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd(),
      );
  }

  #leftMs(): number {
    return this.#endsAt - performance.now();
  }

  #ask(method: string, path: string, holds: string, body?: object): Promise<NodeAnswer> {
    const timeoutMs = Math.min(requestTimeoutMs, Math.max(requestTimeoutMsMin, this.#leftMs()));
    return askNode(
      this.#baseUrl,
      { method, path, body, holds, timeoutMs: Math.ceil(timeoutMs) },
      this.#context,
    );
  }
}

interface ListedMember {
  readonly id: string;
  readonly zone: string;
  readonly voter: boolean;
  readonly address: string;
}

interface ClusterMember {
  readonly id: string;
  readonly reachable: boolean;
  readonly lag: number;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1).padStart(6)} s`;
}
