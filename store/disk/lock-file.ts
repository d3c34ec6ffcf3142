/**
 * The lock on a data directory: a file that names the process which holds it.
 *
 * LevelDB has a lock of its own, but it does not say who holds it, a failed second open inside one process can lose it,
 * and this program looks at the files, and may shorten a log, before LevelDB opens. So this lock is asked first, and
 * LevelDB's is asked too (`isInUse`) before anything is touched: it knows processes that cannot be seen from here,
 * such as those of another container on the same volume.
 *
 * A process id alone does not name a process: ids are reused, and in a container every life of the program may
 * be id 1. Where the system tells when a process started, that is part of the name.
 *
 * 1. The file appears with its content: an empty or garbled one is nobody's.
 * 2. Only who has looked at a holder and found it dead takes its file away, and that file only.
 * 3. What cannot be read is not taken for free.
 */
import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync } from 'node:fs';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
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

/**
 * Takes the lock or throws DiskError DISK_LOCKED, naming the holder. A dead holder's lock is taken over.
 * `isInUse` tells whether LevelDB's own lock is held; it is asked only when no other part of this process holds ours.
 */
export async function lockDirectory(
  directory: string,
  { isInUse }: { readonly isInUse: () => Promise<boolean> },
): Promise<DirectoryLock> {
  const path = join(directory, fileName);
  const own = `${path}.${randomUUID()}`;
  const startedAt = await processStartedAt(process.pid);
  const content = JSON.stringify({
    pid: process.pid,
    ...(startedAt === undefined ? {} : { startedAt }),
  } satisfies Holder);
  await writeFile(own, content);
  try {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const found = await readIfAny(path);
      const holder = found === undefined ? undefined : holderIn(found);
      if (holder !== undefined && (await isAlive(holder))) {
        throw held(
          directory,
          holder.pid === process.pid ? 'by this very process' : `by process ${holder.pid}`,
        );
      }
      if (await isInUse()) throw held(directory, 'by a process that cannot be seen from here');
      if (found !== undefined) await takeAway(path, found);
      if (await linked(own, path)) return { release: () => release(path, content) };
    }
    throw held(directory, 'by one of several processes that want it at once');
  } finally {
    await rm(own, { force: true });
  }
}

function held(directory: string, who: string): DiskError {
  return new DiskError(
    'DISK_LOCKED',
    directory,
    `${directory} is held ${who}; stop it, or give this node a data directory of its own`,
  );
}

/**
 * Takes the file away if it still says `content`; a rival may have replaced it meanwhile, and keeps his. Looked at and
 * moved without a pause: a rival of this process cannot come in between, and for one of another process there is no
 * more than an instant, behind which LevelDB's own lock stands.
 */
async function takeAway(path: string, content: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    if (readFileSync(path, 'utf8') !== content) return;
    renameSync(path, aside);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  try {
    if ((await readFile(aside, 'utf8')) !== content) await linked(aside, path);
  } finally {
    await rm(aside, { force: true });
  }
}

async function release(path: string, content: string): Promise<void> {
  if ((await readIfAny(path)) === content) await rm(path, { force: true });
}

/** False when there is a file already. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

async function readIfAny(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function holderIn(content: string): Holder | undefined {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('pid' in value)) return undefined;
  if (typeof value.pid !== 'number' || !Number.isInteger(value.pid) || value.pid <= 0) return undefined;
  if ('startedAt' in value && typeof value.startedAt === 'string') {
    return { pid: value.pid, startedAt: value.startedAt };
  }
  return { pid: value.pid };
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
