/**
 * Snapshots on this node's disk: `raft/snapshot/<index>/chunk/<number>` and, once it counts, its manifest beside them.
 * `raft/incoming` is the manifest of one that is being fetched. Owns these records, and which snapshots there are.
 *
 * 1. A snapshot counts when its manifest is on disk, and that is written after its last chunk: in the order of writes,
 *    a manifest without its chunks is damage.
 * 2. At most two count: the newest, and the one before it, for who is still fetching it, and in case the newest is
 *    damaged.
 * 3. No damaged chunk is handed out: whoever asks for it hears `SnapshotDamagedError`.
 * 4. What does not count and is not being fetched is removed when the store is opened.
 * 5. Nobody waits for a removal: it is asked for at once, and writes take effect in the order in which they are asked
 *    for.
 */
import { below, keyOf, parseFixedWidth, partsOf } from '../disk/keys.ts';
import type { Committer, Disk, Operation } from '../disk/port.ts';
import { openRecord, RecordError, sealRecord } from '../disk/record.ts';
import { invariant, type Log } from '../environment.ts';
import { decodeManifest, encodeManifest, type SnapshotManifest } from './snapshot-manifest.ts';

const snapshotRoot = keyOf('raft', 'snapshot');
const incomingKey = keyOf('raft', 'incoming');
const rootOf = (index: number): string => keyOf('raft', 'snapshot', index);
const manifestKey = (index: number): string => keyOf('raft', 'snapshot', index, 'manifest');
const chunkKey = (index: number, number: number): string => keyOf('raft', 'snapshot', index, 'chunk', number);

const keptMax = 2;
const deletesPerCommit = 500;
/** Chunks are large: few at a time, where rows are read only to be removed. */
const rowsPerScan = 16;

/** A record of a snapshot is not what was written. The snapshot is of no use any more. */
export class SnapshotDamagedError extends Error {
  readonly code = 'SNAPSHOT_DAMAGED';
  constructor(detail: string, options?: { readonly cause?: unknown }) {
    super(`SNAPSHOT_DAMAGED: ${detail}`, options);
    this.name = 'SnapshotDamagedError';
  }
}

export interface IncomingSnapshot {
  readonly manifest: SnapshotManifest;
  /** How many chunks are here, from the first on. */
  readonly chunksHere: number;
}

export interface SnapshotStoreDependencies {
  readonly disk: Disk;
  readonly committer: Committer;
  readonly log: Log;
}

export class SnapshotStore {
  readonly #disk: Disk;
  readonly #committer: Committer;
  readonly #log: Log;
  /** The newest first. */
  #kept: readonly SnapshotManifest[] = [];
  #incoming: SnapshotManifest | undefined;

  private constructor({ disk, committer, log }: SnapshotStoreDependencies) {
    this.#disk = disk;
    this.#committer = committer;
    this.#log = log;
  }

  /** Finds out what is there, and removes what is of no use. Rejects with the disk's own errors only. */
  static async open(dependencies: SnapshotStoreDependencies): Promise<SnapshotStore> {
    const store = new SnapshotStore(dependencies);
    await store.#findAll();
    return store;
  }

  /** Those that count, the newest first. */
  get kept(): readonly SnapshotManifest[] {
    return this.#kept;
  }

  /** Of the one that is being fetched, or was when the transfer broke off. */
  get incomingIndex(): number | undefined {
    return this.#incoming?.mark.index;
  }

  at(index: number): SnapshotManifest | undefined {
    return this.#kept.find(({ mark }) => mark.index === index);
  }

  /** Resolves when they are on disk. */
  put(index: number, from: number, chunks: readonly Uint8Array[]): Promise<void> {
    return this.#committer.commit(
      chunks.map((chunk, place) => {
        const key = chunkKey(index, from + place);
        return { kind: 'put', key, value: sealRecord(key, chunk) };
      }),
    );
  }

  /** Chunks from `from` (0 is the first) on, as many as fit into `bytesMax`, and one at least. */
  async read({ mark, chunks }: SnapshotManifest, from: number, bytesMax: number): Promise<Uint8Array[]> {
    const read: Uint8Array[] = [];
    let bytes = 0;
    for (let number = from; number < chunks; number += 1) {
      const key = chunkKey(mark.index, number);
      const record = await this.#disk.get(key);
      if (record === undefined) throw new SnapshotDamagedError(`${key} is missing`);
      const chunk = unsealed(key, record);
      bytes += chunk.byteLength;
      if (read.length > 0 && bytes > bytesMax) break;
      read.push(chunk);
    }
    return read;
  }

  /** What makes a snapshot count, all of whose chunks are on disk or on their way there. Then call `counts`. */
  countOperations(manifest: SnapshotManifest): Operation[] {
    const key = manifestKey(manifest.mark.index);
    const put: Operation = { kind: 'put', key, value: sealRecord(key, encodeManifest(manifest)) };
    const isIncoming = this.#incoming !== undefined && this.#incoming.mark.index <= manifest.mark.index;
    return isIncoming ? [put, { kind: 'delete', key: incomingKey }] : [put];
  }

  /** Those operations are on disk. `oldestIndex`: what ends before it is of no use, the log does not reach it. */
  counts(manifest: SnapshotManifest, options: { readonly oldestIndex: number }): void {
    const { index } = manifest.mark;
    const overtaken = this.#incoming;
    if (overtaken !== undefined && overtaken.mark.index <= index) {
      this.#incoming = undefined;
      if (overtaken.mark.index < index) this.removeUncounted(overtaken.mark.index, overtaken.chunks);
    }
    const all = [manifest, ...this.#kept].sort((left, right) => right.mark.index - left.mark.index);
    const isOfUse = (one: SnapshotManifest, place: number): boolean =>
      place < keptMax && one.mark.index >= options.oldestIndex;
    this.#kept = all.filter(isOfUse);
    for (const one of all) if (!this.#kept.includes(one)) this.remove(one);
  }

  /** Its manifest goes first: it never counts without its chunks. */
  remove(manifest: SnapshotManifest): void {
    const { index } = manifest.mark;
    this.#kept = this.#kept.filter((one) => one !== manifest);
    this.#delete([manifestKey(index)]);
    this.removeUncounted(index, manifest.chunks);
  }

  /** Chunks of a snapshot that never counted. */
  removeUncounted(index: number, chunks: number): void {
    invariant(this.at(index) === undefined, `snapshot ${index} does not count`);
    this.#delete(Array.from({ length: chunks }, (_, number) => chunkKey(index, number)));
  }

  /** What of `manifest` is here already; what is here of another one goes. */
  async receive(manifest: SnapshotManifest): Promise<IncomingSnapshot> {
    const known = this.#incoming;
    if (known?.mark.index === manifest.mark.index && known.digest === manifest.digest) {
      return { manifest: known, chunksHere: await this.#chunksHere(known) };
    }
    this.discardIncoming();
    const value = sealRecord(incomingKey, encodeManifest(manifest));
    this.#incoming = manifest;
    await this.#committer.commit([{ kind: 'put', key: incomingKey, value }]);
    return { manifest, chunksHere: 0 };
  }

  discardIncoming(): void {
    const known = this.#incoming;
    if (known === undefined) return;
    this.#incoming = undefined;
    this.#delete([incomingKey]);
    this.removeUncounted(known.mark.index, known.chunks);
  }

  async #chunksHere({ mark }: SnapshotManifest): Promise<number> {
    const range = below(keyOf('raft', 'snapshot', mark.index, 'chunk'));
    const [last] = await this.#disk.range({ ...range, limit: 1, reverse: true });
    // They were written in their order, so the last one tells.
    return last === undefined ? 0 : (parseFixedWidth(partsOf(last[0]).at(-1) ?? '') ?? -1) + 1;
  }

  #delete(keys: readonly string[]): void {
    for (let from = 0; from < keys.length; from += deletesPerCommit) {
      const batch = keys.slice(from, from + deletesPerCommit);
      void this.#committer.commit(batch.map((key) => ({ kind: 'delete', key })));
    }
  }

  async #findAll(): Promise<void> {
    this.#incoming = await this.#readManifest(incomingKey);
    const kept: SnapshotManifest[] = [];
    const root = below(snapshotRoot);
    for (let { from } = root; ;) {
      const [row] = await this.#disk.range({ from, to: root.to, limit: 1 });
      const index = row === undefined ? undefined : parseFixedWidth(partsOf(row[0])[2] ?? '');
      if (index === undefined) break;
      const manifest = await this.#readManifest(manifestKey(index));
      if (manifest?.mark.index === index) kept.unshift(manifest);
      else if (this.#incoming?.mark.index !== index) await this.#sweep(index);
      from = below(rootOf(index)).to;
    }
    this.#kept = kept;
  }

  /** Undefined when there is none, or none that can be read. */
  async #readManifest(key: string): Promise<SnapshotManifest | undefined> {
    const record = await this.#disk.get(key);
    if (record === undefined) return undefined;
    try {
      const manifest = decodeManifest(unsealed(key, record));
      if (manifest !== undefined) return manifest;
      this.#log.error({ key }, 'the manifest of a snapshot cannot be read');
    } catch (error) {
      if (!(error instanceof SnapshotDamagedError)) throw error;
      this.#log.error({ key, error: error.message }, 'the manifest of a snapshot is damaged');
    }
    return undefined;
  }

  /** Removes whatever there is below an index. */
  async #sweep(index: number): Promise<void> {
    this.#log.info({ index }, 'removing the remains of a snapshot');
    const range = below(rootOf(index));
    for (let { from } = range; ;) {
      const rows = await this.#disk.range({ from, to: range.to, limit: rowsPerScan });
      this.#delete(rows.map(([key]) => key));
      const last = rows.at(-1);
      if (last === undefined || rows.length < rowsPerScan) return;
      // The first key after the last one that was read.
      from = `${last[0]}\0`;
    }
  }
}

function unsealed(key: string, record: Uint8Array): Uint8Array {
  try {
    return openRecord(key, record);
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    throw new SnapshotDamagedError(error.message, { cause: error });
  }
}
