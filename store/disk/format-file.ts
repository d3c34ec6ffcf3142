/**
 * The version of the data directory's layout, in a file that is read before any data is: a newer layout must
 * not be opened by an older program, which could misread it and write over it.
 */
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DiskError } from './errors.ts';

const currentFormat = 1;
const fileName = 'format';

/**
 * Checks the version, or writes it into a directory that holds no data yet (`dataPath` does not exist).
 * Throws DiskError.
 */
export async function checkFormat(directory: string, dataPath: string): Promise<void> {
  const path = join(directory, fileName);
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) {
    if (await exists(dataPath)) {
      throw new DiskError(
        'DISK_CORRUPT',
        directory,
        `${directory} holds data but its file "${fileName}" is missing or unreadable; restore it, or move ` +
          'the data aside and start again: the node fetches what it lost from its peers',
      );
    }
    // Before the data, so that data without this file always means damage.
    await writeSynced(path, `${currentFormat}\n`);
    return;
  }
  if (text.trim() !== String(currentFormat)) {
    throw new DiskError(
      'DISK_FORMAT_UNKNOWN',
      directory,
      `${directory} has layout ${JSON.stringify(text.trim().slice(0, 20))}, this program knows ` +
        `${currentFormat}; run the version that wrote it, or move the directory aside`,
    );
  }
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
