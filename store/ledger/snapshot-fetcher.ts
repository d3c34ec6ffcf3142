/**
 * Fetches a snapshot that a leader offers, because its log does not reach back to where this node is. Owns the transfer
 * under way and what of it is on disk; not what becomes of it.
 *
 * 1. One transfer at a time, driven by offers: no offer, no transfer. When it breaks off, what is here stays, on disk
 *    too, and the next offer of the same snapshot goes on from there.
 * 2. An offer that has moved on does not disturb a transfer that works: an older snapshot is as welcome. When the older
 *    one is gone, the next offer is followed.
 * 3. A chunk is on disk before the next page is asked for. Memory holds one page.
 * 4. Nothing is handed over that is not whole, or of which the machine cannot be restored: then it starts from nothing.
 * 5. What the log has reached meanwhile is not fetched: nothing of it is written any more, and what is here goes.
 * 6. After a failure there is a pause, and a longer one after the next.
 */
import type { WantedSnapshot } from '../consensus/index.ts';
import type { Clock, Log } from '../environment.ts';
import { RequestError, type Network } from '../peers/port.ts';
import type { StateMachine } from './machine.ts';
import { restoring } from './raft-restart.ts';
import type { SnapshotManifest } from './snapshot-manifest.ts';
import {
  decodeChunksAnswer,
  decodeManifestAnswer,
  encodeQuestion,
  type SnapshotQuestion,
} from './snapshot-messages.ts';
import { snapshotChannel } from './snapshot-server.ts';
import { SnapshotDamagedError, type SnapshotStore } from './snapshot-store.ts';

export interface SnapshotFetcherOptions {
  readonly requestTimeoutMs: number;
  readonly pauseMsMin: number;
  readonly pauseMsMax: number;
}

export interface FetchedSnapshot {
  readonly manifest: SnapshotManifest;
  /** The machine goes on from it. */
  readonly restore: { finish(): void };
}

export interface SnapshotFetcherDependencies {
  readonly network: Network;
  readonly store: SnapshotStore;
  readonly machine: StateMachine;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether this node is still behind the place `index`. */
  readonly isNeeded: (index: number) => boolean;
  /** All of it is on disk and checked. Who takes it makes it count, or discards it. */
  readonly onFetched: (fetched: FetchedSnapshot) => void;
}

/** The other side does not have what was asked for, or does not make sense. */
class TransferError extends Error {
  override readonly name = 'TransferError';
}

export class SnapshotFetcher {
  readonly #options: SnapshotFetcherOptions;
  readonly #dependencies: SnapshotFetcherDependencies;
  #isUnderWay = false;
  #isStopped = false;
  #pausedUntil = -Infinity;
  #pauseMs: number;

  constructor(options: SnapshotFetcherOptions, dependencies: SnapshotFetcherDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#pauseMs = options.pauseMsMin;
  }

  /** Said again with every offer. */
  want(wanted: WantedSnapshot): void {
    if (this.#isUnderWay || this.#isStopped) return;
    if (this.#dependencies.clock.monotonic() < this.#pausedUntil) return;
    this.#isUnderWay = true;
    void this.#fetch(wanted);
  }

  /** What was handed over counts, or is not needed. */
  done(): void {
    this.#isUnderWay = false;
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #fetch(wanted: WantedSnapshot): Promise<void> {
    const { clock, log, store, onFetched } = this.#dependencies;
    try {
      const fetched = await this.#fetchWhole(wanted);
      this.#pauseMs = this.#options.pauseMsMin;
      if (!this.#isStopped) onFetched(fetched);
    } catch (caught) {
      if (this.#isStopped) return;
      const { index, from } = wanted;
      const isNeeded = this.#dependencies.isNeeded(index);
      const error = isNeeded ? caught : new TransferError('the log has come as far meanwhile');
      const isExpected = error instanceof RequestError || error instanceof TransferError;
      const fields = { index, peer: from, error: String(error), pauseMs: this.#pauseMs };
      if (isExpected) log.info(fields, 'the transfer of a snapshot broke off');
      else log.error(fields, 'a snapshot could not be fetched');
      if (!isNeeded || error instanceof SnapshotDamagedError) store.discardIncoming();
      this.#pausedUntil = clock.monotonic() + this.#pauseMs;
      this.#pauseMs = Math.min(this.#options.pauseMsMax, this.#pauseMs * 2);
      this.#isUnderWay = false;
    }
  }

  async #fetchWhole(wanted: WantedSnapshot): Promise<FetchedSnapshot> {
    const { store, machine, log } = this.#dependencies;
    const manifest = await this.#askManifest(wanted);
    this.#checkNeed(wanted);
    const { chunksHere } = await store.receive(manifest);
    const { index } = manifest.mark;
    const { chunks, bytes } = manifest;
    log.info({ index, peer: wanted.from, chunks, bytes, chunksHere }, 'fetching a snapshot');
    for (let next = chunksHere; next < chunks;) {
      const page = await this.#askChunks(wanted, manifest, next);
      this.#checkNeed(wanted);
      await store.put(index, next, page);
      next += page.length;
      // What gets through is not a failure, however often it breaks off.
      this.#pauseMs = this.#options.pauseMsMin;
    }
    return { manifest, restore: await restoring(manifest, { store, machine }) };
  }

  /** Who has come as far may be taking a snapshot of its own there, whose records have the same names. */
  #checkNeed({ index }: WantedSnapshot): void {
    if (!this.#dependencies.isNeeded(index)) throw new TransferError('nobody needs it any more');
  }

  async #askManifest(wanted: WantedSnapshot): Promise<SnapshotManifest> {
    const answer = decodeManifestAnswer(await this.#ask(wanted, { kind: 'manifest', index: wanted.index }));
    if (answer === 'gone') throw new TransferError('the snapshot is gone');
    if (answer?.mark.index !== wanted.index || answer.mark.term !== wanted.term) {
      throw new TransferError('the manifest is not that of the snapshot that was offered');
    }
    return answer;
  }

  async #askChunks(
    wanted: WantedSnapshot,
    { mark, digest, chunks }: SnapshotManifest,
    from: number,
  ): Promise<readonly Uint8Array[]> {
    const question = { kind: 'chunks', index: mark.index, digest, from } as const;
    const answer = decodeChunksAnswer(await this.#ask(wanted, question));
    if (answer === 'gone') throw new TransferError('the snapshot is gone');
    if (answer === undefined || from + answer.length > chunks) throw new TransferError('a malformed page');
    if (this.#isStopped) throw new TransferError('stopped');
    return answer;
  }

  #ask({ from }: WantedSnapshot, question: SnapshotQuestion): Promise<Uint8Array> {
    const { requestTimeoutMs: timeoutMs } = this.#options;
    const { network } = this.#dependencies;
    return network.request(from, snapshotChannel, encodeQuestion(question), { timeoutMs, lane: 'bulk' });
  }
}
