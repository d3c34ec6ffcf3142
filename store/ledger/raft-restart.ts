/**
 * How a replica finds itself again: the machine from the newest snapshot that is whole, then the log from there. Owns
 * the choice.
 *
 * 1. A snapshot that is damaged anywhere is not used. The one before it serves as well, as long as the log reaches it;
 *    it is kept for this.
 * 2. Neither is a log used that is not whole, where nothing else holds what it held: the node does not start.
 */
import type { Place, Restored } from '../consensus/index.ts';
import type { Disk } from '../disk/port.ts';
import type { Log } from '../environment.ts';
import type { StateMachine } from './machine.ts';
import { firstEntryOnDisk, readBase, readLog } from './raft-records.ts';
import { SnapshotDigest, type SnapshotManifest } from './snapshot-manifest.ts';
import { SnapshotDamagedError, type SnapshotStore } from './snapshot-store.ts';

export interface Restart {
  readonly restored: Restored;
  readonly snapshot: SnapshotManifest | undefined;
  /** The first entry on disk; some of those before the base may be left. */
  readonly firstIndex: number;
}

/** A node that serves meanwhile is held for as long as it takes to restore so much. */
const chunkBytesPerRead = 256 * 1024;

/** Rejects with LogDamagedError, or with the disk's own error. */
export async function restart({
  disk,
  store,
  machine,
  log,
}: {
  readonly disk: Disk;
  readonly store: SnapshotStore;
  readonly machine: StateMachine;
  readonly log: Log;
}): Promise<Restart> {
  const base = await readBase(disk);
  const snapshot = await restoreNewest({ store, machine, log, base });
  const restored = await readLog(disk, { snapshot: snapshot?.mark, log });
  const firstIndex = (await firstEntryOnDisk(disk)) ?? restored.base.index + 1;
  return { restored, snapshot, firstIndex };
}

async function restoreNewest({
  store,
  machine,
  log,
  base,
}: {
  readonly store: SnapshotStore;
  readonly machine: StateMachine;
  readonly log: Log;
  readonly base: Place;
}): Promise<SnapshotManifest | undefined> {
  const useless: SnapshotManifest[] = [];
  for (const manifest of store.kept) {
    const { index } = manifest.mark;
    try {
      if (index >= base.index) {
        (await restoring(manifest, { store, machine })).finish();
        // What is damaged stays as long as there is nothing better.
        for (const one of useless) store.remove(one);
        return manifest;
      }
    } catch (error) {
      if (!(error instanceof SnapshotDamagedError)) throw error;
      log.error(
        { index, error: error.message },
        'a snapshot is damaged: the one before it is used, if there is one',
      );
    }
    useless.push(manifest);
  }
  if (base.index === 0) for (const one of useless) store.remove(one);
  return undefined;
}

/** Reads and checks a whole snapshot. What it gives needs only to be finished. Rejects with SnapshotDamagedError. */
export async function restoring(
  manifest: SnapshotManifest,
  { store, machine }: { readonly store: SnapshotStore; readonly machine: StateMachine },
): Promise<{ finish(): void }> {
  const restore = machine.beginRestore();
  const digest = new SnapshotDigest();
  for (let number = 0; number < manifest.chunks;) {
    for (const chunk of await store.read(manifest, number, chunkBytesPerRead)) {
      digest.add(chunk);
      number += 1;
      try {
        restore.add(chunk);
      } catch (error) {
        throw new SnapshotDamagedError(`snapshot ${manifest.mark.index}: ${String(error)}`, { cause: error });
      }
    }
  }
  const read = digest.end();
  if (read.digest !== manifest.digest || read.bytes !== manifest.bytes) {
    throw new SnapshotDamagedError(`snapshot ${manifest.mark.index} is not what its manifest says`);
  }
  return restore;
}
