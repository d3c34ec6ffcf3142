import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '../../config.ts';
import { CommandError, UsageError } from '../context.ts';
import type { ControlRequest } from './control.ts';
import { whoDialed } from './dialer.ts';
import { isFounded } from './founding.ts';
import { LinkFaults } from './link-faults.ts';
import { actOnLinks, isLinkAction } from './link-actions.ts';
import { askMembers } from './members-asked.ts';
import type { Member } from './members-asked.ts';
import { admit } from './newcomer.ts';
import { writeNodeFile } from './node-file.ts';
import { Part } from './part.ts';
import type { Death } from './part.ts';
import { PeerProxy } from './peer-proxy.ts';
import { newcomers, nodeOf } from './plan.ts';
import type { Plan, PlannedNode, PlannedPart } from './plan.ts';
import type { Roster } from './roster.ts';
import type { DevSettings } from './settings.ts';
import { wipeDataDirectory } from './wipe.ts';
import { remarkOn, strangerRemark } from './words.ts';

/**
 * The processes of a local cluster together, and the cables between the nodes: starts them in order, reports
 * deaths, does what the control socket asks, stops them in reverse. It never restarts anything by itself: a developer who killed a node
 * wants to see the cluster without it. Whenever it is asked for something that depends on who takes part, it asks the
 * cluster first; the roster has the answer for when nobody can be asked.
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

interface NodePart {
  readonly planned: PlannedNode;
  readonly part: Part;
}

function byName(left: NodePart, right: NodePart): number {
  return left.planned.name.localeCompare(right.planned.name);
}

export class Supervisor {
  readonly #plan: Plan;
  readonly #settings: DevSettings;
  readonly #roster: Roster;
  readonly #dependencies: SupervisorDependencies;
  readonly #systemOfRecord: Part | undefined;
  readonly #sandbox: Part;
  /** All that ever took part. */
  readonly #nodes: NodePart[];
  #systemOfRecordUrl = '';
  readonly #linkFaults: LinkFaults;
  #peerProxy: PeerProxy | undefined;
  #stopping = false;

  constructor(
    options: { readonly plan: Plan; readonly settings: DevSettings; readonly roster: Roster },
    dependencies: SupervisorDependencies,
  ) {
    this.#plan = options.plan;
    this.#settings = options.settings;
    this.#roster = options.roster;
    this.#dependencies = dependencies;
    this.#systemOfRecord = options.plan.systemOfRecord && this.#part(options.plan.systemOfRecord);
    this.#sandbox = this.#part(options.plan.sandbox);
    this.#nodes = [...options.plan.nodes, ...options.plan.removed].map((node) => this.#nodePart(node));
    this.#nodes.sort(byName);
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
    await allOrFirstError(
      this.#nodes
        .filter(({ planned }) => this.#plan.nodes.includes(planned))
        .map(({ planned, part }) => this.#startOne(part, planned.founds ? founding : [])),
    );
    return { systemOfRecordUrl: systemOfRecordUrl ?? '' };
  }

  /** To be called with the members once all of them are ready: stops who was started and turns out to be removed. */
  async follow(members: readonly Member[]): Promise<void> {
    this.#roster.follow(members);
    const removed = this.#nodes.filter(({ planned }) => this.#roster.standing(planned.name) === 'removed');
    await Promise.all(removed.map(({ part }) => part.stop(stopGraceMs)));
  }

  /** Nodes drain first, together; then what they lean on. Gives what did not end well. */
  async stop(): Promise<readonly string[]> {
    this.#stopping = true;
    // The last moment in which somebody can tell: the next start leaves out who was removed.
    await this.#askMembers();
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
    await stopAll(this.#nodes.map(({ part }) => part));
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
      const answer = actOnLinks(this.#linkFaults, this.#linkFaults.nodes, request);
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
        const node = this.#nodes.find((candidate) => candidate.part === part)?.planned;
        if (node !== undefined) await this.#prepareToRevive(node);
        const url = await this.#startOne(part);
        return `${title} is up at ${url}`;
      }
      case 'wipe': {
        const node = this.#nodes.find((candidate) => candidate.part === part)?.planned;
        if (node === undefined) throw new CommandError(`only a node can be wiped, not the ${title}`);
        if (part.state !== 'down') await part.signal('SIGKILL');
        wipeDataDirectory(node.dataDirectory);
        // With nothing on its disk it has only its file to find the others by, and they may be others by now.
        await this.#writeNodeFiles([node]);
        return `${title} is down, and its disk is empty but for its key`;
      }
      default:
        throw new CommandError(`${action} is not something a running cluster can do`);
    }
  }

  async #status(): Promise<string> {
    const members = (await this.#askMembers()) ?? [];
    const parts = this.#parts().map((part) => {
      const node = this.#nodes.find((candidate) => candidate.part === part)?.planned;
      const remark = node && remarkOn(node, this.#roster.standing(node.name));
      return statusLine(part.planned.name, part.state, String(part.pid ?? ''), remark);
    });
    const strangers = members
      .filter(({ id }) => this.#roster.standing(id) === undefined)
      .map(({ id }) => statusLine(id, '', '', strangerRemark));
    const links = this.#linkFaults.list().map(([what, how]) => `${what.padEnd(8)} ${how}`);
    return [...parts, ...strangers, ...links].join('\n');
  }

  /** The members by the word of those who run, which the roster takes up; undefined when none of them can tell. */
  async #askMembers(): Promise<readonly Member[] | undefined> {
    const members = await askMembers(
      this.#nodes.filter(({ part }) => part.state === 'up').map(({ planned }) => planned),
    );
    if (members !== undefined) this.#roster.follow(members);
    return members;
  }

  #nodePids(): ReadonlyMap<string, number> {
    return new Map(
      this.#nodes.flatMap(({ planned, part: { pid } }) =>
        pid === undefined ? [] : [[planned.name, pid] as const],
      ),
    );
  }

  #parts(): readonly Part[] {
    return [
      ...this.#nodes.map(({ part }) => part),
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

  /** Starts one more node with an empty disk, and has the others let it in. One that is there already is let in. */
  async #add(name: string): Promise<string> {
    const node = newcomers.includes(name) ? nodeOf(this.#settings, name) : undefined;
    if (node === undefined) throw new CommandError(`a new node is called n4 to n9, not ${name}`);
    await this.#askMembers();
    this.#refuseRemoved(node);
    let known = this.#nodes.find(({ planned }) => planned.name === name);
    if (known !== undefined && known.part.state !== 'down' && this.#roster.standing(name) !== 'joining')
      throw new CommandError(`${name} runs already`);
    this.#roster.join(name);
    if (known === undefined) {
      known = this.#nodePart(node);
      this.#nodes.push(known);
      this.#nodes.sort(byName);
    }
    if (known.part.state === 'down') {
      await this.#writeNodeFiles([node]);
      await this.#connect(node);
      await this.#startOne(known.part);
    }
    const others = this.#nodes
      .filter(({ part, planned }) => part.state === 'up' && planned.name !== name)
      .map(({ planned }) => planned);
    await admit(this.#plan, node, {
      peerId: await this.#dependencies.peerIdIn(node.dataDirectory),
      others,
    });
    await this.#askMembers();
    return `${node.title} is up at ${node.httpUrl}, and catches up; it votes after: freehold members promote ${name} --url ${node.httpUrl}`;
  }

  async #prepareToRevive(node: PlannedNode): Promise<void> {
    await this.#askMembers();
    this.#refuseRemoved(node);
    // Somebody may have let it in again by hand.
    if (!existsSync(node.configFile)) await this.#writeNodeFiles([node]);
    await this.#connect(node);
  }

  #refuseRemoved(node: PlannedNode): void {
    if (this.#roster.standing(node.name) !== 'removed') return;
    const { freeName } = this.#roster;
    const instead =
      freeName === undefined ? '' : ` For another one in its place: npm run freehold -- dev add ${freeName}`;
    throw new CommandError(
      `${node.title} was removed from the cluster, and the others do not let it in. Its data stays in ${node.directory}.${instead}`,
    );
  }

  async #connect(node: PlannedNode): Promise<void> {
    if (this.#peerProxy === undefined) return;
    await this.#peerProxy.add(node);
    this.#linkFaults.add(node.name);
  }

  async #writeNodeFiles(nodes: readonly PlannedNode[]): Promise<void> {
    const systemOfRecordUrl = this.#systemOfRecordUrl;
    const all = this.#nodes.map(({ planned }) => planned);
    const peerIds = new Map<string, string>();
    for (const node of all) peerIds.set(node.name, await this.#dependencies.peerIdIn(node.dataDirectory));
    for (const node of nodes) {
      // Founders stay: the file is what a cluster is founded with. Who joined is there so that it can be found.
      const members = all.filter(
        (one) => one === node || one.founds || this.#roster.standing(one.name) !== 'removed',
      );
      const input = { plan: this.#plan, settings: this.#settings, node, members, peerIds, systemOfRecordUrl };
      writeNodeFile(input);
      try {
        loadConfig(node.configFile);
      } catch (error) {
        // The file is ours, so what is wrong came from the environment or from --set.
        throw new UsageError(error instanceof Error ? error.message : String(error));
      }
    }
  }

  #nodePart(planned: PlannedNode): NodePart {
    return { planned, part: this.#part(planned, this.#profiling(planned)) };
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

function statusLine(name: string, state: string, pid: string, remark = ''): string {
  return `${name.padEnd(8)} ${state.padEnd(8)} ${pid.padEnd(8)} ${remark}`.trimEnd();
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
