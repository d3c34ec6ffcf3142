/**
 * Writes what the consensus core wants to have on disk, and holds back the messages that promise it. Owns the writes
 * that are under way, and what the last entry on disk will be.
 *
 * 1. Writes take effect in the order in which the core numbered them.
 * 2. A message that promises something leaves after the write it promises, and every earlier one, is on disk.
 */
import type { Message, Persist, Ready } from '../consensus/index.ts';
import type { Committer, Operation } from '../disk/port.ts';
import { invariant } from '../environment.ts';
import { operationsOf } from './raft-records.ts';

export interface LogWriterDependencies {
  readonly committer: Committer;
  /** Everything up to write `sequence` is on disk. */
  readonly onWritten: (sequence: number) => void;
}

export class LogWriter {
  readonly #dependencies: LogWriterDependencies;
  readonly #writes: { readonly sequence: number; readonly messages: Message[] }[] = [];
  #lastIndex: number;

  constructor(options: { readonly lastIndex: number }, dependencies: LogWriterDependencies) {
    this.#lastIndex = options.lastIndex;
    this.#dependencies = dependencies;
  }

  /** The last entry on disk once all writes under way are done. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  /** `together`: operations that must be on disk with it, or not at all. */
  take({ persist, sendAfterPersist }: Ready, together: readonly Operation[]): void {
    if (persist !== undefined) {
      this.#write(persist, [...sendAfterPersist], together);
    } else if (sendAfterPersist.length > 0) {
      const last = this.#writes.at(-1);
      invariant(last !== undefined, 'what waits for the disk waits for a write that is under way');
      last.messages.push(...sendAfterPersist);
    }
  }

  /** The messages that waited for write `sequence`, which is on disk. */
  written(sequence: number): readonly Message[] {
    const write = this.#writes.shift();
    invariant(write?.sequence === sequence, 'writes complete in the order in which they were begun');
    return write.messages;
  }

  #write(persist: Persist, messages: Message[], together: readonly Operation[]): void {
    const { committer, onWritten } = this.#dependencies;
    const { sequence, truncateFrom, entries } = persist;
    const operations = [...operationsOf(persist, this.#lastIndex), ...together];
    this.#lastIndex =
      entries.at(-1)?.index ?? (truncateFrom === undefined ? this.#lastIndex : truncateFrom - 1);
    this.#writes.push({ sequence, messages });
    void committer.commit(operations).then(() => onWritten(sequence));
  }
}
