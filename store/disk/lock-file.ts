/**
 * The lock on a data directory: a file that names the process which holds it.
 *
 * LevelDB has a lock of its own, but it does not say who holds it, and a failed second open inside one process
 * can lose it. This one is asked first; LevelDB's stays as the second barrier, for processes that cannot see
 * each other's ids, such as two containers on one volume.
 *
 * A process id alone does not name a process: ids are reused, and in a container every life of the program may
 * be id 1. Where the system tells when a process started, that is part of the name.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DiskError } from './errors.ts';

const fileName = 'lock';
/** Enough for a stale lock, and for a rival that takes it over at the same moment. */
const attemptsMax = 3;

interface Holder {
  readonly pid: number;
  /** Absent where the system does not tell. */
  readonly startedAt?: string;
}

export interface DirectoryLock {
  release(): Promise<void>;
}

/** Takes the lock or throws DiskError DISK_LOCKED, naming the holder. A dead holder's lock is taken over. */
export async function lockDirectory(directory: string): Promise<DirectoryLock> {
  const path = join(directory, fileName);
  const startedAt = await processStartedAt(process.pid);
  const self: Holder = startedAt === undefined ? { pid: process.pid } : { pid: process.pid, startedAt };
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    try {
      await writeFile(path, JSON.stringify(self), { flag: 'wx' });
      return { release: () => rm(path, { force: true }) };
    } catch (error) {
      if (!isErrno(error, 'EEXIST')) throw error;
    }
    const holder = await readHolder(path);
    if (holder !== undefined && (await isAlive(holder))) {
      const who = holder.pid === process.pid ? 'by this very process' : `by process ${holder.pid}`;
      throw new DiskError(
        'DISK_LOCKED',
        directory,
        `${directory} is held ${who}; stop it, or give this node a data directory of its own`,
      );
    }
    await rm(path, { force: true });
  }
  throw new DiskError('DISK_LOCKED', directory, `${directory} is being opened by several processes at once`);
}

/** An empty or garbled file is what a crash between creating and writing leaves: nobody holds it. */
async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof value !== 'object' || value === null || !('pid' in value)) return undefined;
    if (typeof value.pid !== 'number' || !Number.isInteger(value.pid) || value.pid <= 0) return undefined;
    if ('startedAt' in value && typeof value.startedAt === 'string') {
      return { pid: value.pid, startedAt: value.startedAt };
    }
    return { pid: value.pid };
  } catch {
    return undefined;
  }
}

async function isAlive(holder: Holder): Promise<boolean> {
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM means that it lives and belongs to somebody else.
    if (!isErrno(error, 'EPERM')) return false;
  }
  const startedAt = await processStartedAt(holder.pid);
  return holder.startedAt === undefined || startedAt === undefined || holder.startedAt === startedAt;
}

/** Boot and start time of a process as Linux tells them; undefined on other systems. */
async function processStartedAt(pid: number): Promise<string | undefined> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The program's name, in brackets, may hold spaces; the start time is the 20th field after it (proc(5)).
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return ticks === undefined ? undefined : `${boot.trim()}/${ticks}`;
  } catch {
    return undefined;
  }
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
