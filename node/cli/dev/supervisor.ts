import { join } from 'node:path';
import { loadConfig } from '../../config.ts';
import { CommandError, UsageError } from '../context.ts';
import type { ControlRequest } from './control.ts';
import { whoDialed } from './dialer.ts';
import { isFounded } from './founding.ts';
import { LinkFaults } from './link-faults.ts';
import { actOnLinks, isLinkAction } from './link-actions.ts';
import { admit } from './newcomer.ts';
import { writeNodeFile } from './node-file.ts';
import { Part } from './part.ts';
import type { Death } from './part.ts';
import { PeerProxy } from './peer-proxy.ts';
import { newcomerOf } from './plan.ts';
import type { Plan, PlannedNode, PlannedPart } from './plan.ts';
import type { DevSettings } from './settings.ts';
import { wipeDataDirectory } from './wipe.ts';

/**
 * The processes of a local cluster together, and the cables between the nodes: starts them in order, reports
 * deaths, does what the control socket asks, stops them in reverse. It never restarts anything by itself: a developer who killed a node
 * wants to see the cluster without it.
 */

const startTimeoutMs = 60_000;
/** What a node has for draining; the others have little to do. */
const stopGraceMs = 15_000;
const killSignals: readonly string[] = ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGABRT', 'SIGSEGV'];

export interface SupervisorDependencies {
  /** The file that `node` runs, absolute. */
  readonly main: string;
  /** The peer id of the node that lives there; its key is made when there is none. */
  readonly peerIdIn: (dataDirectory: string) => Promise<string>;
  /** One line of progress: what, where, how long it took. */
  readonly progress: (what: string, where: string, sinceMs: number) => void;
  readonly onDeath: (death: Death) => void;
}

export class Supervisor {
  readonly #plan: Plan;
  readonly #settings: DevSettings;
  readonly #dependencies: SupervisorDependencies;
  readonly #systemOfRecord: Part | undefined;
  readonly #sandbox: Part;
  readonly #nodes: Part[];
  #systemOfRecordUrl = '';
  readonly #linkFaults: LinkFaults;
  #peerProxy: PeerProxy | undefined;
  #stopping = false;

  constructor(
    options: { readonly plan: Plan; readonly settings: DevSettings },
    dependencies: SupervisorDependencies,
  ) {
    this.#plan = options.plan;
    this.#settings = options.settings;
    this.#dependencies = dependencies;
    this.#systemOfRecord = options.plan.systemOfRecord && this.#part(options.plan.systemOfRecord);
    this.#sandbox = this.#part(options.plan.sandbox);
    this.#nodes = options.plan.nodes.map((node) => this.#part(node, this.#profiling(node)));
    this.#linkFaults = new LinkFaults({ nodes: options.plan.nodes.map(({ name }) => name) });
  }

  /** Resolves when every process takes work; gives the URL of the system of record. */
  async start(): Promise<{ readonly systemOfRecordUrl: string }> {
    const embedded = this.#systemOfRecord;
    const [systemOfRecordUrl] = await allOrFirstError([
      embedded === undefined
        ? Promise.resolve(this.#settings.systemOfRecordUrl ?? '')
        : this.#startOne(embedded),
      this.#startOne(this.#sandbox),
    ]);
    if (!this.#settings.direct)
      this.#peerProxy = await PeerProxy.open(this.#plan, {
        faults: this.#linkFaults,
        whoDialed: (fromPort, toPort) => whoDialed(fromPort, toPort, this.#nodePids()),
      });
    this.#systemOfRecordUrl = systemOfRecordUrl ?? '';
    await this.#writeNodeFiles(this.#plan.nodes);
    const founding = isFounded(this.#plan) ? [] : ['--found'];
    await allOrFirstError(this.#nodes.map((node) => this.#startOne(node, founding)));
    return { systemOfRecordUrl: systemOfRecordUrl ?? '' };
  }

  /** Nodes drain first, together; then what they lean on. Gives what did not end well. */
  async stop(): Promise<readonly string[]> {
    this.#stopping = true;
    const problems: string[] = [];
    const stopAll = async (parts: readonly Part[]): Promise<void> => {
      await Promise.all(
        parts.map(async (part) => {
          const { clean, how } = await part.stop(stopGraceMs);
          if (!clean)
            problems.push(`${part.planned.title} did not end well (${how}); see ${part.planned.logFile}`);
        }),
      );
    };
    await stopAll(this.#nodes);
    this.#peerProxy?.close();
    await stopAll([this.#sandbox, ...(this.#systemOfRecord === undefined ? [] : [this.#systemOfRecord])]);
    return problems;
  }

  /** Kills everything at once. */
  abandon(): void {
    for (const part of this.#parts()) part.abandon();
    this.#peerProxy?.close();
  }

  /** Does what `freehold dev ACTION` asks, and answers with a line to print. Rejects with CommandError. */
  async control(request: ControlRequest): Promise<string> {
    const { action, target, signal } = request;
    if (action === 'status') return this.#status();
    // Whoever asked goes on there: a plan may be larger than what this socket takes.
    if (action === 'payments') return this.#plan.sandbox.url;
    if (isLinkAction(action)) {
      if (this.#peerProxy === undefined)
        throw new CommandError('the links of a cluster that was started with --direct cannot be touched');
      const names = this.#plan.nodes.map(({ name }) => name);
      const answer = actOnLinks(this.#linkFaults, names, request);
      this.#peerProxy.update();
      return answer;
    }

    if (action === 'add') return this.#add(target ?? '');
    const part = this.#parts().find((candidate) => candidate.planned.name === target);
    if (part === undefined) {
      const names = this.#parts().map((candidate) => candidate.planned.name);
      throw new CommandError(`${target ?? 'nothing'} is not a part of this cluster: ${names.join(', ')}`);
    }
    const { title } = part.planned;
    switch (action) {
      case 'kill': {
        const kind = signal ?? 'SIGKILL';
        if (!killSignals.includes(kind))
          throw new CommandError(`--signal must be one of ${killSignals.join(', ')}`);
        await part.signal(kind as NodeJS.Signals);
        return `${title} is down`;
      }
      case 'pause':
        await part.signal('SIGSTOP');
        return `${title} is paused`;
      case 'resume':
        await part.signal('SIGCONT');
        return `${title} goes on`;
      case 'revive': {
        const url = await this.#startOne(part);
        return `${title} is up at ${url}`;
      }
      case 'wipe': {
        const node = this.#plan.nodes.find(({ name }) => name === target);
        if (node === undefined) throw new CommandError(`only a node can be wiped, not the ${title}`);
        if (part.state !== 'down') await part.signal('SIGKILL');
        wipeDataDirectory(node.dataDirectory);
        return `${title} is down, and its disk is empty but for its key`;
      }
      default:
        throw new CommandError(`${action} is not something a running cluster can do`);
    }
  }

  #status(): string {
    const parts = this.#parts().map((part) =>
      `${part.planned.name.padEnd(8)} ${part.state.padEnd(8)} ${String(part.pid ?? '')}`.trimEnd(),
    );
    const links = this.#linkFaults.list().map(([what, how]) => `${what.padEnd(8)} ${how}`);
    return [...parts, ...links].join('\n');
  }

  #nodePids(): ReadonlyMap<string, number> {
    return new Map(
      this.#nodes.flatMap(({ planned, pid }) => (pid === undefined ? [] : [[planned.name, pid] as const])),
    );
  }

  #parts(): readonly Part[] {
    return [
      ...this.#nodes,
      ...(this.#systemOfRecord === undefined ? [] : [this.#systemOfRecord]),
      this.#sandbox,
    ];
  }

  async #startOne(part: Part, extra: readonly string[] = []): Promise<string> {
    if (this.#stopping) throw new CommandError('the cluster is stopping');
    const begun = performance.now();
    const url = await part.start(extra);
    this.#dependencies.progress(part.planned.title, withoutPassword(url), begun);
    return url;
  }

  /** Starts one more node with an empty disk, and has the others let it in. */
  async #add(name: string): Promise<string> {
    const node = newcomerOf(this.#settings, name);
    if (node === undefined) throw new CommandError(`a new node is called n4 to n9, not ${name}`);
    const known = this.#nodes.find(({ planned }) => planned.name === name);
    if (known !== undefined && known.state !== 'down') throw new CommandError(`${name} runs already`);
    await this.#writeNodeFiles([node]);
    const part = known ?? this.#part(node, this.#profiling(node));
    if (known === undefined) this.#nodes.push(part);
    const url = await this.#startOne(part);
    await admit(this.#plan, node, await this.#dependencies.peerIdIn(node.dataDirectory));
    return `${node.title} is up at ${url}, and catches up; it votes after: freehold members promote ${name} --url ${url}`;
  }

  async #writeNodeFiles(nodes: readonly PlannedNode[]): Promise<void> {
    const systemOfRecordUrl = this.#systemOfRecordUrl;
    const peerIds = new Map<string, string>();
    for (const node of new Set([...this.#plan.nodes, ...nodes]))
      peerIds.set(node.name, await this.#dependencies.peerIdIn(node.dataDirectory));
    for (const node of nodes) {
      writeNodeFile({ plan: this.#plan, settings: this.#settings, node, peerIds, systemOfRecordUrl });
      try {
        loadConfig(node.configFile);
      } catch (error) {
        // The file is ours, so what is wrong came from the environment or from --set.
        throw new UsageError(error instanceof Error ? error.message : String(error));
      }
    }
  }

  #part(planned: PlannedPart, nodeArguments: readonly string[] = []): Part {
    const { main } = this.#dependencies;
    return new Part({ planned, main, nodeArguments, startTimeoutMs }, this.#dependencies);
  }

  #profiling(node: PlannedNode): readonly string[] {
    const { profileDirectory } = this.#settings;
    if (profileDirectory === undefined) return [];
    return ['--cpu-prof', `--cpu-prof-dir=${join(profileDirectory, node.name)}`];
  }
}

export function withoutPassword(url: string): string {
  const parsed = URL.parse(url);
  if (parsed === null || parsed.password === '') return url;
  parsed.password = '***';
  return parsed.href;
}

/** Waits for all, so that nothing is started behind the back of whoever stops everything after a failure. */
async function allOrFirstError<Value>(work: readonly Promise<Value>[]): Promise<Value[]> {
  const settled = await Promise.allSettled(work);
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}
