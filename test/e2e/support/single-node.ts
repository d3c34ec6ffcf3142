import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { stringify } from 'yaml';
import { catalogCsv } from './catalog.ts';
import type { TestProduct } from './catalog.ts';

/**
 * One real node that is a whole cluster, with its system of record and payment sandbox, each a process: what a run of
 * hours needs, without the supervisor of the local cluster.
 */
export interface SingleNodeOptions {
  readonly products: readonly TestProduct[];
  /** As in `orders.retainFor`. */
  readonly retainFor: string | 0;
  /** As in `orders.maxOpen`; the default of the program. */
  readonly maxOpen?: number;
  /** As in `payments.requestsPerSecond`; more than there is time for. */
  readonly paymentRequestsPerSecond?: number;
}

const root = resolve(import.meta.dirname, '../../..');
const program = join(root, 'node/main.ts');
const startTimeoutMs = 60_000;

export class SingleNode {
  readonly url: string;
  readonly #directory: string;
  readonly #parts: readonly ChildProcess[];

  private constructor(directory: string, url: string, parts: readonly ChildProcess[]) {
    this.#directory = directory;
    this.url = url;
    this.#parts = parts;
  }

  static async start(options: SingleNodeOptions): Promise<SingleNode> {
    const { products, retainFor, maxOpen, paymentRequestsPerSecond = 100_000 } = options;
    const directory = mkdtempSync(join(tmpdir(), 'freehold-single-'));
    const data = join(directory, 'data');
    const parts: ChildProcess[] = [];
    try {
      const start = (args: readonly string[]): Promise<string> => {
        const part = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
        parts.push(part);
        return servingAt(part, args[0] ?? '');
      };
      const peerId = await outputOf(['identity', '--data', data]);
      const sor = await start(['sor', '--data', join(directory, 'sor'), '--port', '0']);
      const sandbox = await start(['sandbox', '--port', '0']);
      writeFileSync(join(directory, 'catalog.csv'), catalogCsv(products));
      const config = join(directory, 'freehold.yaml');
      const peers = 10_000 + Math.floor(Math.random() * 20_000);
      writeFileSync(
        config,
        stringify({
          node: 'n1',
          data,
          http: { port: 0 },
          peers: { port: peers },
          members: [{ id: 'n1', peerId, address: `127.0.0.1:${String(peers)}` }],
          systemOfRecord: { url: sor },
          catalog: join(directory, 'catalog.csv'),
          payments: {
            apiKey: 'sk_test_sandbox',
            webhookSecret: 'whsec_sandbox',
            apiBase: sandbox,
            requestsPerSecond: paymentRequestsPerSecond,
            maxConcurrent: 256,
          },
          orders: { retainFor, abandonAfter: '5s', ...(maxOpen === undefined ? {} : { maxOpen }) },
          log: { level: 'info' },
        }),
      );
      const url = await start(['node', '--config', config, '--found']);
      return new SingleNode(directory, url, parts);
    } catch (error) {
      for (const part of parts) part.kill('SIGKILL');
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Resident memory of the node's process. */
  residentBytes(): number {
    const pid = this.#parts.at(-1)?.pid ?? 0;
    const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1_024;
  }

  /** Of the node's own data directory: not of the system of record, which keeps everything. */
  diskBytes(): number {
    return sizeOf(join(this.#directory, 'data'));
  }

  async stop(): Promise<void> {
    for (const part of this.#parts.toReversed()) {
      if (part.exitCode !== null || part.signalCode !== null) continue;
      const ended = new Promise((done) => part.once('exit', done));
      part.kill('SIGTERM');
      await ended;
    }
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** What a part says once it serves, in its log of JSON lines. */
function servingAt(part: ChildProcess, name: string): Promise<string> {
  const { stdout } = part;
  if (stdout === null) throw new Error('no output to read');
  return new Promise((resolveUrl, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`${name} did not serve in time`));
    }, startTimeoutMs);
    part.once('exit', (code) => {
      clearTimeout(late);
      reject(new Error(`${name} ended with ${String(code)}`));
    });
    createInterface({ input: stdout }).on('line', (line) => {
      const { msg, url } = JSON.parse(line) as { readonly msg?: string; readonly url?: string };
      if (msg === 'serving' && url !== undefined) {
        clearTimeout(late);
        resolveUrl(url);
      }
    });
  });
}

function outputOf(args: readonly string[]): Promise<string> {
  const part = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  part.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return new Promise((resolveText, reject) => {
    part.once('exit', (code) => {
      if (code === 0) resolveText(text.trim());
      else reject(new Error(`${args[0] ?? ''} ended with ${String(code)}`));
    });
  });
}

function sizeOf(path: string): number {
  let bytes = 0;
  for (const name of readdirSync(path)) {
    // LevelDB removes files while they are being counted.
    const stats = statSync(join(path, name), { throwIfNoEntry: false });
    if (stats === undefined) continue;
    bytes += stats.isDirectory() ? sizeOf(join(path, name)) : stats.size;
  }
  return bytes;
}
