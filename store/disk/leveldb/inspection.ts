/**
 * Looks at every file of a LevelDB directory before LevelDB does, and says whether the database that would open is the
 * one that was written. LevelDB cannot be asked: what is damaged it skips or serves, what is gone it never knew.
 *
 * 1. Every byte that LevelDB may read is covered by one of its checksums, or by a rule about what may stand there.
 * 2. The live files are all there: those that the manifest names, and the logs since.
 * 3. Nothing that was acknowledged is missing from tables and logs taken together (log-check.ts).
 * 4. Nothing is changed here.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { commitNumberKey, openCommitNumber } from '../commit-number.ts';
import { RecordError } from '../record.ts';
import { LogChecker, LogCheckError, type LogCheck } from './log-check.ts';
import { readManifest, type Manifest } from './manifest.ts';
import { FormatError } from './reader.ts';
import { checkTable, type FoundValue } from './table-file.ts';

export type Inspection =
  /** LevelDB has never opened here, or did not come to its first write. */
  | { readonly kind: 'empty' }
  | ({
      readonly kind: 'sound';
      readonly bytes: number;
      /** What the file CURRENT must say; it does not. */
      readonly current?: string;
    } & LogCheck)
  /** `file` is as far as the trouble could be traced. */
  | { readonly kind: 'damaged'; readonly file: string; readonly detail: string };

class Damage extends Error {
  readonly file: string;
  constructor(file: string, detail: string) {
    super(detail);
    this.file = file;
  }
}

/** `synced` is the last batch that was acknowledged for certain. Rejects with what the file system throws. */
export async function inspectLevelDb(path: string, synced: number): Promise<Inspection> {
  try {
    return await inspect(path, synced);
  } catch (error) {
    if (error instanceof Damage || error instanceof LogCheckError) {
      return { kind: 'damaged', file: error.file, detail: error.message };
    }
    throw error;
  }
}

async function inspect(path: string, synced: number): Promise<Inspection> {
  const names = await namesIn(path);
  const data = names.filter((name) => /^\d+\.(ldb|sst|log)$/.test(name));
  const manifests = names.filter((name) => /^MANIFEST-\d+$/.test(name));
  const current = await readCurrent(path);
  if (current === undefined && data.length === 0 && synced === 0) return { kind: 'empty' };
  const isCurrentSound = current !== undefined && manifests.includes(current);
  // LevelDB removes the old manifest only after CURRENT names the new one: a single one is the one.
  const name = isCurrentSound ? current : manifests.length === 1 ? manifests[0] : undefined;
  if (name === undefined) throw new Damage(current ?? 'CURRENT', 'it is missing or damaged');

  const manifest = await judged(name, () => readFile(join(path, name)), readManifest);
  let bytes = 0;
  let newest: FoundValue | undefined;
  for (const [number, size] of manifest.tables) {
    const table = tableNames(number).find((candidate) => data.includes(candidate));
    if (table === undefined) throw new Damage(tableNames(number)[0], 'it is missing');
    const { size: held } = await stat(join(path, table));
    if (held !== size) throw new Damage(table, `it has ${held} bytes, and had ${size}`);
    const found = await judged(
      table,
      () => readFile(join(path, table)),
      (file) => checkTable(file, commitNumberKey),
    );
    if (found !== undefined && found.sequence > (newest?.sequence ?? -1)) newest = found;
    bytes += size;
  }
  const commitNumber = newest === undefined ? 0 : commitNumberIn(newest.value);
  const inTables = { sequence: manifest.lastSequence, commitNumber };
  const logs = new LogChecker({ inTables, synced });
  for (const log of liveLogs(manifest, data)) {
    const file = await readFile(join(path, log));
    logs.add(log, file);
    bytes += file.length;
  }
  return { kind: 'sound', bytes, ...logs.finish(), ...(isCurrentSound ? {} : { current: name }) };
}

/** Sealed by us, in a block that LevelDB sealed: were it wrong nevertheless, it was written so. */
function commitNumberIn(record: Buffer): number {
  try {
    return openCommitNumber(record);
  } catch (error) {
    if (error instanceof RecordError) throw new Damage('', error.message);
    throw error;
  }
}

async function namesIn(path: string): Promise<readonly string[]> {
  return readdir(path).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
}

/** The manifest that counts, as far as CURRENT can be read. */
async function readCurrent(path: string): Promise<string | undefined> {
  const text = await readFile(join(path, 'CURRENT'), 'latin1').catch((error: unknown) => {
    if (isMissing(error)) return '';
    throw error;
  });
  return /^(MANIFEST-\d+)\n$/.exec(text)?.[1];
}

/** Oldest first, as LevelDB replays them. */
function liveLogs({ logNumber, previousLogNumber }: Manifest, data: readonly string[]): readonly string[] {
  const numbered = data
    .filter((name) => name.endsWith('.log'))
    .map((name) => ({ name, number: Number.parseInt(name, 10) }))
    .filter(({ number }) => number >= logNumber || number === previousLogNumber)
    .toSorted((one, other) => one.number - other.number);
  // The log that the manifest counts from is made before the manifest says so. 0: before the first.
  if (logNumber > 0 && !numbered.some(({ number }) => number === logNumber)) {
    throw new Damage(fileName(logNumber, 'log'), 'it is missing');
  }
  return numbered.map(({ name }) => name);
}

/** Today's name, and that of LevelDB before 1.14. */
function tableNames(number: number): readonly [string, string] {
  return [fileName(number, 'ldb'), fileName(number, 'sst')];
}

function fileName(number: number, suffix: string): string {
  return `${String(number).padStart(6, '0')}.${suffix}`;
}

async function judged<Result>(
  name: string,
  read: () => Promise<Buffer>,
  judge: (file: Buffer) => Result,
): Promise<Result> {
  const file = await read();
  try {
    return judge(file);
  } catch (error) {
    if (error instanceof FormatError) throw new Damage(name, error.message);
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
