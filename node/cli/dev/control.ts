import { createHash } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { CommandError } from '../context.ts';

/**
 * The socket by which `freehold dev kill n2` and its like reach the running `freehold dev`: one JSON line asked,
 * one answered, per connection. Only who may write in the data directory can reach it.
 */

export interface ControlRequest {
  readonly action: string;
  /** A part's name. */
  readonly target?: string;
  /** For `kill`. */
  readonly signal?: string;
  /** For `partition`: the node at the other end; without it all others. */
  readonly other?: string;
  /** For `partition`: `in` or `out`. */
  readonly oneWay?: string;
  /** For `slow`: a duration such as `50ms`. */
  readonly delay?: string;
  /** For `payments`: what is asked of the provider, a file with faults, and the seed of the hostile ones. */
  readonly mood?: string;
  readonly file?: string;
  readonly seed?: string;
}

export type ControlAnswer =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly text: string };

/** macOS allows 104 bytes, Linux 108. */
const socketPathBytesMax = 100;
const requestBytesMax = 4_096;

export function controlSocketOf(dataDirectory: string): string {
  const inside = join(dataDirectory, 'control.sock');
  if (Buffer.byteLength(inside) <= socketPathBytesMax) return inside;
  const name = createHash('sha256').update(dataDirectory).digest('hex').slice(0, 16);
  return join(tmpdir(), `freehold-${name}.sock`);
}

/** Listens for requests. Throws CommandError when another `freehold dev` answers there already. */
export async function listenForControl(
  dataDirectory: string,
  handle: (request: ControlRequest) => Promise<string>,
): Promise<{ close(): void }> {
  const path = controlSocketOf(dataDirectory);
  if (await somebodyListens(path))
    throw new CommandError(
      `a cluster is already running in ${dataDirectory}. Stop it, or set FREEHOLD_DATA and FREEHOLD_PORT for another one`,
    );
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });

  const server: Server = createServer((socket) => {
    // The asker may go away at any time.
    socket.on('error', () => {});
    void answer(socket, handle);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    close() {
      server.close();
      rmSync(path, { force: true });
    },
  };
}

async function answer(socket: Socket, handle: (request: ControlRequest) => Promise<string>): Promise<void> {
  let reply: ControlAnswer;
  try {
    reply = { ok: true, text: await handle(JSON.parse(await firstLine(socket)) as ControlRequest) };
  } catch (error) {
    reply = { ok: false, text: error instanceof Error ? error.message : String(error) };
  }
  socket.end(`${JSON.stringify(reply)}\n`);
}

/** Asks the running `freehold dev`. Rejects with CommandError when there is none, or it refuses. */
export async function askControl(dataDirectory: string, request: ControlRequest): Promise<string> {
  const socket = createConnection(controlSocketOf(dataDirectory));
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', () => {
        reject(
          new CommandError(
            `no cluster is running in ${dataDirectory} (set FREEHOLD_DATA if it is elsewhere)`,
          ),
        );
      });
    });
    socket.on('error', () => {});
    socket.write(`${JSON.stringify(request)}\n`);
    const reply = JSON.parse(await firstLine(socket)) as ControlAnswer;
    if (!reply.ok) throw new CommandError(reply.text);
    return reply.text;
  } finally {
    socket.destroy();
  }
}

function firstLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received > requestBytesMax) reject(new Error('the request is too long'));
    });
    const lines = createInterface({ input: socket });
    lines.once('line', resolve);
    lines.once('close', () => {
      reject(new CommandError('the running cluster closed the connection without an answer'));
    });
  });
}

function somebodyListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => {
      resolve(false);
    });
  });
}
