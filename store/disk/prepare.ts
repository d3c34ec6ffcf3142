/**
 * Makes a data directory fit to be opened, or says why it is not. Owns the verdict on what inspection and witness found;
 * the files themselves are LevelDB's.
 *
 * 1. A database opens only if it holds everything that was acknowledged from it: otherwise this node could take back
 *    its word, and nobody would know. What is damaged is left as it is.
 * 2. What was never synced goes from the first broken byte on. LevelDB would go on behind it, and serve later rows of a
 *    table without the earlier ones.
 */
import { open, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../environment.ts';
import { damaged } from './errors.ts';
import { inspectLevelDb } from './leveldb/inspection.ts';
import type { Witness } from './witness.ts';

export interface Preparation {
  /** Unsynced writes are missing before others that are there: nothing derived is to be believed. */
  readonly hasGap: boolean;
}

/** Rejects with DiskError DISK_CORRUPT, or with what the file system throws. */
export async function prepare(
  directory: string,
  dataPath: string,
  { witness, log }: { readonly witness: Witness; readonly log: Log },
): Promise<Preparation> {
  const inspection = await inspectLevelDb(dataPath, witness.number);
  switch (inspection.kind) {
    case 'empty':
      return { hasGap: false };
    case 'damaged':
      throw damaged(directory, `leveldb/${inspection.file}: ${inspection.detail}`);
    case 'sound': {
      const { bytes, cuts, current, hasGap } = inspection;
      log.info({ bytes, synced: witness.number }, 'data files are whole');
      for (const { name, fromByte } of cuts) {
        await cut(join(dataPath, name), fromByte);
        log.warn({ file: name, fromByte }, 'a log breaks off in what was never synced: cut there');
      }
      if (current !== undefined) {
        await writeFile(join(dataPath, 'CURRENT'), `${current}\n`, { flush: true });
        log.warn({ current }, 'CURRENT was damaged: written anew, there is only one manifest');
      }
      return { hasGap };
    }
  }
}

async function cut(path: string, fromByte: number): Promise<void> {
  await truncate(path, fromByte);
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
