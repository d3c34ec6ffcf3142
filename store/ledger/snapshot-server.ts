/**
 * Hands this node's snapshots to members that fetch them. Owns no snapshot, and nothing of who needs one.
 *
 * 1. What it answers is whole: a chunk whose record is damaged is answered `gone`, and its snapshot is not served again.
 * 2. An answer is bounded, and read for the question only.
 */
import type { Cancel, Clock, Log, NodeId } from '../environment.ts';
import type { Network } from '../peers/port.ts';
import {
  decodeQuestion,
  encodeChunksAnswer,
  encodeManifestAnswer,
  type SnapshotQuestion,
} from './snapshot-messages.ts';
import { SnapshotDamagedError, type SnapshotStore } from './snapshot-store.ts';

export const snapshotChannel = 'ledger/snapshot';

export interface SnapshotServerOptions {
  readonly answerBytesMax: number;
  /** How long after a question the next one is waited for. */
  readonly idleMs: number;
}

export interface SnapshotServerDependencies {
  readonly network: Network;
  readonly store: SnapshotStore;
  readonly clock: Clock;
  readonly log: Log;
  /** The newest snapshot is of no use: another one is needed. */
  readonly onDamaged: () => void;
}

export class SnapshotServer {
  readonly #options: SnapshotServerOptions;
  readonly #dependencies: SnapshotServerDependencies;
  readonly #damaged = new Set<number>();
  #askedAt = -Infinity;

  constructor(options: SnapshotServerOptions, dependencies: SnapshotServerDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  start(): Cancel {
    return this.#dependencies.network.onRequest(snapshotChannel, (from, payload) =>
      this.#answer(from, payload),
    );
  }

  /** A transfer is under way, as far as this node can tell: two more snapshots would take away what it needs. */
  get isBusy(): boolean {
    return this.#dependencies.clock.monotonic() - this.#askedAt < this.#options.idleMs;
  }

  async #answer(from: NodeId, payload: Uint8Array): Promise<Uint8Array> {
    const question = decodeQuestion(payload);
    if (question === undefined) throw new Error('a malformed question for a snapshot');
    const { store, clock, log } = this.#dependencies;
    const manifest = this.#damaged.has(question.index) ? undefined : store.at(question.index);
    if (manifest !== undefined) this.#askedAt = clock.monotonic();
    if (question.kind === 'manifest') {
      log.info({ peer: from, index: question.index, bytes: manifest?.bytes }, 'a member asks for a snapshot');
      return encodeManifestAnswer(manifest ?? 'gone');
    }
    const isSame = manifest?.digest === question.digest && question.from < manifest.chunks;
    return encodeChunksAnswer(isSame ? await this.#read(question) : 'gone');
  }

  async #read(question: Extract<SnapshotQuestion, { kind: 'chunks' }>): Promise<Uint8Array[] | 'gone'> {
    const { store, log, onDamaged } = this.#dependencies;
    const manifest = store.at(question.index);
    if (manifest === undefined) return 'gone';
    try {
      return await store.read(manifest, question.from, this.#options.answerBytesMax);
    } catch (error) {
      if (!(error instanceof SnapshotDamagedError)) throw error;
      // It may have been removed while it was read.
      if (store.at(question.index) === manifest) {
        log.error(
          { index: question.index, error: error.message },
          'a snapshot on this disk is damaged: not served',
        );
        this.#damaged.add(question.index);
        onDamaged();
      }
      return 'gone';
    }
  }
}
