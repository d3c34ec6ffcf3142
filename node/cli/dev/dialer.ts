import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/**
 * Which process is at the other end of a connection on this machine. All nodes of a local cluster dial from the same
 * address, and what they say is encrypted: only the operating system knows who is who.
 */

/** The name of the process that connected from `fromPort` to `toPort`; undefined when nobody can tell. */
export function whoDialed(
  fromPort: number,
  toPort: number,
  processes: ReadonlyMap<string, number>,
): string | undefined {
  try {
    return process.platform === 'linux'
      ? byInode(fromPort, toPort, processes)
      : byLsof(fromPort, toPort, processes);
  } catch {
    // This machine does not tell.
    return undefined;
  }
}

function byInode(
  fromPort: number,
  toPort: number,
  processes: ReadonlyMap<string, number>,
): string | undefined {
  // One socket per line: number, local and remote address in hexadecimal, seven fields of no interest, inode.
  const socket = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(([, local, remote]) => portIn(local) === fromPort && portIn(remote) === toPort);
  const inode = socket?.[9];
  if (inode === undefined || inode === '0') return undefined;
  return [...processes].find(([, pid]) => holds(pid, `socket:[${inode}]`))?.[0];
}

function portIn(address = ''): number {
  return Number.parseInt(address.split(':')[1] ?? '', 16);
}

function holds(pid: number, what: string): boolean {
  const directory = `/proc/${String(pid)}/fd`;
  try {
    return readdirSync(directory).some((descriptor) => linkAt(`${directory}/${descriptor}`) === what);
  } catch {
    // The process has ended.
    return false;
  }
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // Closed while we looked.
    return undefined;
  }
}

function byLsof(
  fromPort: number,
  toPort: number,
  processes: ReadonlyMap<string, number>,
): string | undefined {
  const pids = [...processes.values()].join(',');
  const connections = execFileSync('lsof', ['-nP', '-a', '-p', pids, '-iTCP', '-F', 'pn'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  // `p123` begins what process 123 holds, `n127.0.0.1:40000->127.0.0.1:9081` is one of it.
  let pid = 0;
  for (const line of connections.split('\n')) {
    if (line.startsWith('p')) pid = Number(line.slice(1));
    else if (line.includes(`:${String(fromPort)}->`) && line.endsWith(`:${String(toPort)}`))
      return [...processes].find(([, candidate]) => candidate === pid)?.[0];
  }
  return undefined;
}
