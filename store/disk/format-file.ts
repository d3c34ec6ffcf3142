/**
 * The version of the data directory's layout, in a file that is read before any data is: a newer layout must
 * not be opened by an older program, which could misread it and write over it. What the versions are, and how one
 * becomes the next, is said in upgrades.ts.
 *
 * 1. The file is there before the data are, so data without it always mean damage.
 * 2. It is replaced whole or not at all.
 */
import { open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DiskError } from './errors.ts';

const fileName = 'format';

/** The version written there; undefined in a directory that holds no data yet. Throws DiskError. */
export async function readFormat(directory: string, dataPath: string): Promise<number | undefined> {
  const text = await readFile(join(directory, fileName), 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) {
    if (!(await exists(dataPath))) return undefined;
    throw unreadable(directory, 'is missing');
  }
  if (!/^[1-9]\d{0,5}\n?$/.test(text)) throw unreadable(directory, 'is damaged');
  return Number(text);
}

export async function writeFormat(directory: string, format: number): Promise<void> {
  const path = join(directory, fileName);
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w');
  try {
    await file.writeFile(`${format}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  await syncDirectory(directory);
}

function unreadable(directory: string, what: string): DiskError {
  return new DiskError(
    'DISK_CORRUPT',
    directory,
    `${directory} holds data but its file "${fileName}" ${what}; restore it (one line, the layout's number), or ` +
      'move the data aside and start again: the node fetches what it lost from its peers',
  );
}

/** A name is durable when its directory is. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
