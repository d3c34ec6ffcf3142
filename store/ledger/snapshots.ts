/**
 * Snapshots as the replica's loop sees them: joins the core's words to who takes, keeps, serves and fetches snapshots,
 * and has the log on disk shortened. Owns the order of these; each step is in a file of its own (snapshot-*.ts,
 * log-compaction.ts).
 *
 * 1. A snapshot of this node counts once all of it is on disk; only then does the core hear of it, and only then does an
 *    entry go.
 * 2. The log reaches back to the snapshot before the newest one, so that one damaged snapshot is no harm; and some way
 *    before the newest one, so that who was away for a moment needs no transfer.
 * 3. A fetched snapshot counts in the same write that makes the log begin after it. Until that is done no other one is
 *    fetched, which would take the place of what is on its way to count.
 * 4. None is taken while one is being fetched from here, or two more would take it away; but that wait is bounded.
 */
import type { Entry, Raft, Ready, SnapshotMark } from '../consensus/index.ts';
import type { Committer, Operation } from '../disk/port.ts';
import { invariant, type Cancel, type Clock, type Log } from '../environment.ts';
import type { Network } from '../peers/port.ts';
import { LogCompaction } from './log-compaction.ts';
import type { StateMachine } from './machine.ts';
import type { Restart } from './raft-restart.ts';
import { SnapshotFetcher, type FetchedSnapshot } from './snapshot-fetcher.ts';
import type { SnapshotManifest } from './snapshot-manifest.ts';
import { SnapshotSchedule, snapshotThresholdsDefault, type SnapshotThresholds } from './snapshot-schedule.ts';
import { SnapshotServer } from './snapshot-server.ts';
import type { SnapshotStore } from './snapshot-store.ts';
import { SnapshotTaker } from './snapshot-taker.ts';

export interface SnapshotOptions extends SnapshotThresholds {
  /** The machine is held for as long as it takes to read this much out. */
  readonly chunkBytesMax: number;
  /** Of one answer to who fetches a snapshot. */
  readonly answerBytesMax: number;
  /** Entries before the newest snapshot that stay for members that are a little behind. */
  readonly keptEntries: number;
}

const defaults: SnapshotOptions = {
  ...snapshotThresholdsDefault,
  chunkBytesMax: 64 * 1024,
  answerBytesMax: 1024 * 1024,
  keptEntries: 2_000,
};

const transferIdleMs = 5_000;
/** However busy the transfers, a snapshot is taken when the log has grown by so many times what is due. */
const postponedTimesMax = 4;
const fetching = { requestTimeoutMs: 10_000, pauseMsMin: 250, pauseMsMax: 15_000 };

export interface SnapshotsDependencies {
  readonly raft: Raft;
  readonly machine: StateMachine;
  readonly store: SnapshotStore;
  readonly committer: Committer;
  readonly network: Network;
  readonly clock: Clock;
  readonly log: Log;
  /** There is something for the loop to do. */
  readonly onReady: () => void;
  /** Runs what touches the core; what it throws ends the replica. */
  readonly guard: (action: () => void) => void;
}

interface Installing {
  /** Of the write that makes it count. */
  readonly sequence: number;
  readonly manifest: SnapshotManifest;
  /** Of the log on disk that it replaces. */
  readonly lastIndex: number;
}

export class Snapshots {
  readonly #options: SnapshotOptions;
  readonly #dependencies: SnapshotsDependencies;
  readonly #schedule: SnapshotSchedule;
  readonly #taker: SnapshotTaker;
  readonly #server: SnapshotServer;
  readonly #fetcher: SnapshotFetcher;
  readonly #compaction: LogCompaction;
  /** The core has heard of it, and says in its next `Ready` whether it is taken. */
  #fetched: FetchedSnapshot | undefined;
  /** Taken, and on its way to count. */
  readonly #installing: Installing[] = [];

  constructor(
    options: Partial<SnapshotOptions> & { readonly restarted: Restart },
    dependencies: SnapshotsDependencies,
  ) {
    const { restarted, ...chosen } = options;
    this.#options = { ...defaults, ...chosen };
    this.#dependencies = dependencies;
    const { machine, store, committer, network, clock, log } = dependencies;
    const { chunkBytesMax, answerBytesMax } = this.#options;
    this.#schedule = new SnapshotSchedule(this.#options);
    this.#schedule.took(restarted.snapshot?.bytes ?? 0);
    this.#taker = new SnapshotTaker({ chunkBytesMax }, { machine, store, log });
    this.#server = new SnapshotServer(
      { answerBytesMax, idleMs: transferIdleMs },
      { network, store, clock, log, onDamaged: () => this.#schedule.demand() },
    );
    this.#fetcher = new SnapshotFetcher(fetching, {
      ...{ network, store, machine, clock, log },
      isNeeded: (index) => index > dependencies.raft.status().commitIndex,
      onFetched: (fetched) => this.#onFetched(fetched),
    });
    const { base } = restarted.restored;
    this.#compaction = new LogCompaction({ firstIndex: restarted.firstIndex, base }, { committer });
  }

  start(): Cancel {
    const stopServing = this.#server.start();
    const { raft } = this.#dependencies;
    const base = raft.placeAt(raft.status().baseIndex);
    if (base !== undefined) this.#compaction.to(base);
    return () => {
      stopServing();
      this.#fetcher.stop();
      this.#taker.abandon();
    };
  }

  get newestBytes(): number {
    return this.#dependencies.store.kept[0]?.bytes ?? 0;
  }

  /** What must be on disk together with what the core wants written. `lastIndex`: of the log on disk before it. */
  together({ persist }: Ready, lastIndex: number): readonly Operation[] {
    if (persist?.snapshot === undefined) return [];
    const { manifest } = this.#fetchedAt(persist.snapshot);
    this.#installing.push({ sequence: persist.sequence, manifest, lastIndex });
    return this.#dependencies.store.countOperations(manifest);
  }

  /** Replaces the machine. Gives the largest stamp that is applied with it. */
  install(mark: SnapshotMark): number {
    const { manifest, restore } = this.#fetchedAt(mark);
    // What is being read out would be behind what is on disk.
    this.#taker.abandon();
    // The write that makes it count has been asked for: what is removed from now on takes effect after it, and with its
    // base. Later, a removal under way could put back the base from before.
    this.#compaction.to(mark, this.#installing.at(-1)?.lastIndex);
    restore.finish();
    this.#schedule.begun();
    this.#schedule.took(manifest.bytes);
    this.#dependencies.log.info({ index: mark.index, bytes: manifest.bytes }, 'a snapshot was installed');
    return manifest.appliedAt;
  }

  applied(entry: Entry): void {
    this.#schedule.applied(entry.data.byteLength);
  }

  /** At the end of each turn: `appliedAt` is the largest stamp applied so far. */
  turn({ install, wantedSnapshot }: Ready, appliedAt: number): void {
    const { store } = this.#dependencies;
    if (this.#fetched !== undefined) {
      this.#fetched = undefined;
      if (install === undefined) {
        // Not taken: the log came as far meanwhile.
        store.discardIncoming();
        this.#fetcher.done();
      }
    }
    if (wantedSnapshot !== undefined) this.#fetcher.want(wantedSnapshot);
    if (this.#isDue()) void this.#take(appliedAt);
  }

  /** Write `sequence` of the core is on disk. */
  written(sequence: number): void {
    const [first] = this.#installing;
    if (first === undefined || first.sequence > sequence) return;
    this.#installing.shift();
    this.#dependencies.store.counts(first.manifest, { oldestIndex: first.manifest.mark.index });
    this.#fetcher.done();
  }

  #isDue(): boolean {
    const { raft, store } = this.#dependencies;
    if (this.#schedule.dueTimes < (this.#server.isBusy ? postponedTimesMax : 1)) return false;
    if (this.#taker.isUnderWay) return false;
    const { appliedIndex } = raft.status();
    // Its records would be those of another one.
    return appliedIndex > (store.kept[0]?.mark.index ?? 0) && appliedIndex !== store.incomingIndex;
  }

  async #take(appliedAt: number): Promise<void> {
    const { raft, store, committer, clock, log, guard } = this.#dependencies;
    const mark = raft.markAt(raft.status().appliedIndex);
    const startedAt = clock.monotonic();
    this.#schedule.begun();
    const manifest = await this.#taker.take(mark, appliedAt);
    if (manifest === undefined) return;
    await committer.commit(store.countOperations(manifest));
    guard(() => {
      const previousIndex = store.kept[0]?.mark.index ?? 0;
      const compactTo = Math.min(previousIndex, mark.index - this.#options.keptEntries);
      raft.step({ kind: 'snapshotTaken', now: clock.monotonic(), mark, compactTo: Math.max(0, compactTo) });
      const { snapshotIndex, baseIndex } = raft.status();
      // A fetched one is on its way to disk, or about to be: until it counts there, nothing goes that is older.
      const isOvertaken = snapshotIndex > mark.index;
      const base = isOvertaken ? undefined : raft.placeAt(baseIndex);
      store.counts(manifest, { oldestIndex: base?.index ?? 0 });
      if (base !== undefined) this.#compaction.to(base);
    });
    this.#schedule.took(manifest.bytes);
    const tookMs = Math.round(clock.monotonic() - startedAt);
    log.info(
      { index: mark.index, bytes: manifest.bytes, chunks: manifest.chunks, tookMs },
      'a snapshot was taken',
    );
  }

  #onFetched(fetched: FetchedSnapshot): void {
    const { raft, clock, guard, onReady } = this.#dependencies;
    this.#fetched = fetched;
    guard(() => raft.step({ kind: 'snapshotFetched', now: clock.monotonic(), mark: fetched.manifest.mark }));
    onReady();
  }

  #fetchedAt({ index }: SnapshotMark): FetchedSnapshot {
    const fetched = this.#fetched;
    invariant(fetched?.manifest.mark.index === index, `snapshot ${index} is installed when it was fetched`);
    return fetched;
  }
}
