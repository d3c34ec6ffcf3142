import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { parseDocument } from 'yaml';
import { askControl } from '../../../node/cli/dev/control.ts';
import type { ControlRequest } from '../../../node/cli/dev/control.ts';
import { lastLines } from '../../../node/cli/dev/log-tail.ts';
import { partsOf, planOf } from '../../../node/cli/dev/plan.ts';
import type { Plan } from '../../../node/cli/dev/plan.ts';
import type { CaptureMode } from '../../../node/orders/order.ts';
import { catalogCsv, plenty } from './catalog.ts';
import type { TestProduct } from './catalog.ts';
import type { ShopRecords } from './discrepancies.ts';
import { JsonClient } from './http.ts';
import { SandboxBooks } from './sandbox-books.ts';

/**
 * A real cluster, started as `npm start` does, in a directory and on ports of its own. Everything done to it
 * goes through what an operator has: the control socket, HTTP, SQL.
 */

export interface ClusterOptions {
  readonly capture?: CaptureMode;
  readonly products?: readonly TestProduct[];
  /** Keys of every node's freehold.yaml, such as `orders.holdFor`. */
  readonly set?: Readonly<Record<string, string>>;
  /** A PostgreSQL, or a service over HTTP, in place of the embedded one. Whoever started it stops it. */
  readonly systemOfRecordUrl?: string;
  readonly systemOfRecordToken?: string;
  /** The PostgreSQL behind a service over HTTP, for what a test looks up itself. */
  readonly databaseUrl?: string;
  /** Nodes connect without a proxy in between; links cannot be cut then. */
  readonly direct?: boolean;
  /** Where each node leaves its CPU profile when it stops. */
  readonly profileDirectory?: string;
}

export type NodeName = 'n1' | 'n2' | 'n3';

/** The embedded database has one session: a query of a test waits for those of the nodes. */
const queryTimeoutMs = 30_000;
const stopTimeoutMs = 45_000;
const membersTimeoutMs = 30_000;
const catalogName = 'catalog.csv';
const portAttemptsMax = 8;
// Below the range from which Linux takes ports for outgoing connections.
const firstPort = 10_000;
const portChoices = 200;
const portsApart = 100;

export class Cluster {
  readonly nodeNames: readonly NodeName[] = ['n1', 'n2', 'n3'];
  readonly http = new JsonClient({ connectionsMax: 32 });
  readonly sandbox: SandboxBooks;
  readonly #options: ClusterOptions;
  readonly #plan: Plan;
  readonly #databaseUrl: string;
  #process: ChildProcess;
  #output: () => string;
  readonly #members: Map<string, string>;

  private constructor(
    options: ClusterOptions,
    { plan, process, output }: { plan: Plan; process: ChildProcess; output: () => string },
  ) {
    this.#options = options;
    this.#plan = plan;
    this.#databaseUrl =
      options.databaseUrl ??
      options.systemOfRecordUrl ??
      `postgres://postgres@${plan.host}:${String(plan.systemOfRecord?.port)}/postgres`;
    this.#process = process;
    this.#output = output;
    this.#members = new Map(plan.nodes.map(({ name, httpUrl }) => [name, httpUrl]));
    this.sandbox = new SandboxBooks(plan.sandbox.url, this.http);
  }

  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    let refused = '';
    for (let attempt = 0; attempt < portAttemptsMax; attempt += 1) {
      const started = await tryToStart(options, newPlace(options));
      if (started.kind === 'up') return new Cluster(options, started);
      refused = started.output;
      rmSync(started.plan.dataDirectory, { recursive: true, force: true });
      if (!refused.includes('already in use')) break;
    }
    throw new Error(`the cluster did not start:\n${refused}`);
  }

  /** Ctrl-C, and the same command again in the same place. Gives what that printed. */
  async restart(): Promise<string> {
    await this.#end();
    const started = await tryToStart(this.#options, this.#plan);
    if (started.kind === 'ended') throw new Error(`the cluster did not start again:\n${started.output}`);
    this.#process = started.process;
    this.#output = started.output;
    return started.output();
  }

  /** What `freehold dev ACTION` says to the running cluster. Rejects when it is refused. */
  async dev(action: string, target?: string): Promise<string> {
    return askControl(this.#plan.dataDirectory, { action, ...(target === undefined ? {} : { target }) });
  }

  /** Of every process, by name. */
  get pidFiles(): ReadonlyMap<string, string> {
    return new Map(partsOf(this.#plan).map((part) => [part.name, part.pidFile]));
  }

  get dataDirectory(): string {
    return this.#plan.dataDirectory;
  }

  /** Of who takes part: founders and newcomers that were not taken out. */
  get urls(): readonly string[] {
    return [...this.#members.values()];
  }

  url(name: NodeName): string {
    const node = this.#plan.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw new Error(`${name} is not planned`);
    return node.httpUrl;
  }

  /** Starts one more node, `n4` to `n9`, and has it let in. Gives its URL. */
  async add(name: string): Promise<string> {
    const answer = await askControl(this.#plan.dataDirectory, { action: 'add', target: name });
    const url = /http:\/\/[\w.:]+/.exec(answer)?.[0];
    if (url === undefined) throw new Error(`the new node does not say where it is: ${answer}`);
    this.#members.set(name, url);
    return url;
  }

  /** Asks `through` for a change of members until it is made; refusals that pass are waited for. */
  async changeMembers(through: string, method: 'POST' | 'DELETE', path: string): Promise<void> {
    const deadline = performance.now() + membersTimeoutMs;
    for (;;) {
      const { status, body } = await this.http.ask(method, `${through}/cluster/members/${path}`, {
        timeoutMs: membersTimeoutMs,
      });
      if (status === 200) return;
      if (performance.now() > deadline) throw new Error(`${method} ${path}: ${JSON.stringify(body)}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Takes a node out, dead or alive. */
  async remove(name: string, through: string): Promise<void> {
    await this.changeMembers(through, 'DELETE', name);
    this.#members.delete(name);
  }

  /** GET, parsed. Rejects unless the answer is 200. */
  async get<Body>(url: string): Promise<Body> {
    const { status, body } = await this.http.ask('GET', url);
    if (status !== 200) throw new Error(`GET ${url}: ${String(status)} ${JSON.stringify(body)}`);
    return body as Body;
  }

  /** The node that leads the ledger, by the word of one that answers. */
  async leader(): Promise<NodeName> {
    for (const url of this.urls) {
      const answer = await this.http
        .ask('GET', `${url}/cluster`, { timeoutMs: 1_000 })
        .catch(() => undefined);
      const leader = (answer?.body as { leader?: NodeName } | undefined)?.leader;
      if (leader !== undefined) return leader;
    }
    throw new Error('no node names a leader');
  }

  async kill(part: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.#control({ action: 'kill', target: part, signal });
  }

  async revive(part: string): Promise<void> {
    await this.#control({ action: 'revive', target: part });
  }

  /** Changes keys of one node's freehold.yaml, and has it read them. */
  async reconfigure(name: NodeName, set: Readonly<Record<string, string>>): Promise<void> {
    const file = this.#plan.nodes.find((node) => node.name === name)?.configFile ?? '';
    const document = parseDocument(readFileSync(file, 'utf8'));
    for (const [key, value] of Object.entries(set)) document.setIn(key.split('.'), value);
    writeFileSync(file, document.toString());
    await this.kill(name, 'SIGTERM');
    await this.revive(name);
  }

  async pause(part: string): Promise<void> {
    await this.#control({ action: 'pause', target: part });
  }

  async resume(part: string): Promise<void> {
    await this.#control({ action: 'resume', target: part });
  }

  /** Ends a node and empties its disk, but for its key. */
  async wipe(node: NodeName): Promise<void> {
    await this.#control({ action: 'wipe', target: node });
  }

  /** Cuts the links of a node to all others, or to one, both ways or one. */
  async partition(
    node: NodeName,
    options: { readonly other?: NodeName; readonly oneWay?: 'in' | 'out' } = {},
  ): Promise<void> {
    await this.#control({ action: 'partition', target: node, ...options });
  }

  /** What a node says to the others, and hears, takes so much longer. */
  async slow(node: NodeName, delayMs: number): Promise<void> {
    await this.#control({ action: 'slow', target: node, delay: `${String(delayMs)}ms` });
  }

  /** Mends all links, or those of one node. */
  async heal(node?: NodeName): Promise<void> {
    await this.#control({ action: 'heal', ...(node === undefined ? {} : { target: node }) });
  }

  /** One statement, on a connection of its own. */
  async query<Row extends pg.QueryResultRow>(
    sql: string,
    values: readonly unknown[] = [],
  ): Promise<readonly Row[]> {
    const client = new pg.Client({
      connectionString: this.#databaseUrl,
      query_timeout: queryTimeoutMs,
      connectionTimeoutMillis: queryTimeoutMs,
    });
    // A database that is killed on purpose breaks connections; the query itself rejects.
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query<Row>(sql, [...values])).rows;
    } finally {
      await client.end().catch(() => {});
    }
  }

  /** What the shop's own database holds now. */
  async shopRecords(): Promise<ShopRecords> {
    return {
      orders: await this.query('SELECT order_id, outcome FROM orders'),
      inventory: await this.query('SELECT sku, on_hand FROM inventory'),
    };
  }

  /** What happened, for whoever reads a failed test. */
  describe(): string {
    const logs = partsOf(this.#plan).map((part) => {
      const lines = lastLines(part.logFile, 25).map((line) => `    ${line}`);
      return [`${part.title}:`, ...lines].join('\n');
    });
    return [`the cluster in ${this.#plan.dataDirectory} said:`, this.#output(), ...logs].join('\n');
  }

  /** Ctrl-C. Rejects when the cluster does not drain and end as it should. The data goes unless `keep`. */
  async stop(options: { readonly keep?: boolean } = {}): Promise<void> {
    this.http.close();
    await this.#end();
    if (options.keep !== true) rmSync(this.#plan.dataDirectory, { recursive: true, force: true });
  }

  async #end(): Promise<void> {
    const ended = endOf(this.#process);
    this.#process.kill('SIGINT');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), stopTimeoutMs);
    const how = await ended;
    clearTimeout(timer);
    if (how !== 0) throw new Error(`the cluster ended with ${String(how)}:\n${this.describe()}`);
    const leftPids = partsOf(this.#plan).filter((part) => existsSync(part.pidFile));
    if (leftPids.length > 0) throw new Error(`still there: ${leftPids.map((part) => part.name).join(', ')}`);
  }

  async #control(request: ControlRequest): Promise<void> {
    await askControl(this.#plan.dataDirectory, request);
  }
}

type Start =
  | {
      readonly kind: 'up';
      readonly plan: Plan;
      readonly process: ChildProcess;
      readonly output: () => string;
    }
  | { readonly kind: 'ended'; readonly plan: Plan; readonly output: string };

/** A directory and ports of its own. */
export function newPlace({
  products,
  capture = 'after-reserve',
  direct = false,
  systemOfRecordUrl,
}: ClusterOptions): Plan {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'freehold-e2e-'));
  const catalog = join(dataDirectory, catalogName);
  writeFileSync(catalog, catalogCsv(products ?? plenty));
  const port = firstPort + portsApart * Math.floor(Math.random() * portChoices);
  return planOf({
    ...{ dataDirectory, port, catalog, capture, logLevel: 'info', overrides: [], direct },
    ...(systemOfRecordUrl === undefined ? {} : { systemOfRecordUrl }),
  });
}

/** `freehold dev`, there. Its output is to be read. */
export function runDev(options: ClusterOptions, plan: Plan) {
  const args = Object.entries(options.set ?? {}).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  if (options.direct === true) args.push('--direct');
  if (options.profileDirectory !== undefined) args.push('--profile', options.profileDirectory);
  const main = join(import.meta.dirname, '../../../node/main.ts');
  return spawn(process.execPath, [main, 'dev', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH,
      FREEHOLD_DATA: plan.dataDirectory,
      FREEHOLD_PORT: String(plan.nodes[0]?.httpPort),
      FREEHOLD_CATALOG: join(plan.dataDirectory, catalogName),
      FREEHOLD_CAPTURE: options.capture ?? 'after-reserve',
      ...(options.systemOfRecordUrl === undefined ? {} : { FREEHOLD_SOR_URL: options.systemOfRecordUrl }),
      ...(options.systemOfRecordToken === undefined
        ? {}
        : { FREEHOLD_SOR_TOKEN: options.systemOfRecordToken }),
    },
  });
}

async function tryToStart(options: ClusterOptions, plan: Plan): Promise<Start> {
  const child = runDev(options, plan);
  let output = '';
  const ready = Promise.withResolvers<'ready'>();
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString('utf8');
      if (output.includes('\nReady.')) ready.resolve('ready');
    });
  const outcome = await Promise.race([ready.promise, endOf(child)]);
  if (outcome !== 'ready') return { kind: 'ended', plan, output };
  return { kind: 'up', plan, process: child, output: () => output };
}

/** Its exit code, or the signal that ended it. */
export function endOf(child: ChildProcess): Promise<number | NodeJS.Signals> {
  return new Promise((resolve) => {
    if (child.exitCode !== null) resolve(child.exitCode);
    child.once('exit', (code, signal) => {
      resolve(code ?? signal ?? 0);
    });
  });
}
