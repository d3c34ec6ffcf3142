import type { Cancel, Clock } from '../environment.ts';
import { LedgerError } from './port.ts';

/**
 * Commands that wait for their result. Owns how many there may be and how long each waits; whoever takes some
 * of them out either finishes them or gives them back.
 *
 * 1. Each command is finished once: with its result, or with a LedgerError, at its time-out at the latest.
 * 2. At most `pendingMax` commands and `pendingBytesMax` bytes are unfinished, waiting or taken.
 * 3. Commands are taken in the order in which they came; those given back come first.
 */

export interface PendingCommand {
  /** Where it goes back to. */
  readonly queue: CommandQueue;
  readonly command: Uint8Array;
  /** Monotonic ms. */
  readonly deadline: number;
  /** It left this queue before: its fate is unknown from then on. */
  wasTaken: boolean;
  isFinished: boolean;
  finish(outcome: Uint8Array | LedgerError): void;
}

export interface CommandQueueOptions {
  readonly pendingMax: number;
  readonly pendingBytesMax: number;
}

export class CommandQueue {
  readonly #options: CommandQueueOptions;
  readonly #clock: Clock;
  #waiting: PendingCommand[] = [];
  readonly #unfinished = new Set<PendingCommand>();
  #unfinishedBytes = 0;

  constructor(options: CommandQueueOptions, dependencies: { readonly clock: Clock }) {
    this.#options = options;
    this.#clock = dependencies.clock;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** Resolves with the command's result. Rejects with LedgerError. */
  offer(command: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (
      this.#unfinished.size >= this.#options.pendingMax ||
      (this.#unfinished.size > 0 &&
        this.#unfinishedBytes + command.byteLength > this.#options.pendingBytesMax)
    ) {
      return Promise.reject(new LedgerError('QUEUE_FULL', `${this.#unfinished.size} commands wait already`));
    }
    return new Promise((resolve, reject) => {
      const stopTimer: Cancel = this.#clock.after(timeoutMs, () => {
        pending.finish(
          pending.wasTaken
            ? new LedgerError('TIMEOUT', `undecided after ${timeoutMs} ms`)
            : new LedgerError('NO_LEADER', `no leader for ${timeoutMs} ms`),
        );
      });
      const pending: PendingCommand = {
        queue: this,
        command,
        deadline: this.#clock.monotonic() + timeoutMs,
        wasTaken: false,
        isFinished: false,
        finish: (outcome) => {
          if (pending.isFinished) return;
          pending.isFinished = true;
          stopTimer();
          this.#unfinished.delete(pending);
          this.#unfinishedBytes -= command.byteLength;
          if (outcome instanceof LedgerError) reject(outcome);
          else resolve(outcome);
        },
      };
      this.#unfinished.add(pending);
      this.#unfinishedBytes += command.byteLength;
      this.#waiting.push(pending);
    });
  }

  /** As many commands as fit into both bounds; with `atLeastOne`, the first one even if it is larger. */
  take(bounds: {
    readonly countMax: number;
    readonly bytesMax: number;
    readonly atLeastOne: boolean;
  }): PendingCommand[] {
    const taken: PendingCommand[] = [];
    let bytes = 0;
    let seen = 0;
    for (const pending of this.#waiting) {
      if (!pending.isFinished) {
        bytes += pending.command.byteLength;
        const mayExceed = bounds.atLeastOne && taken.length === 0;
        if (taken.length >= bounds.countMax || (bytes > bounds.bytesMax && !mayExceed)) break;
        pending.wasTaken = true;
        taken.push(pending);
      }
      seen++;
    }
    this.#waiting = this.#waiting.slice(seen);
    return taken;
  }

  /** Takes back those that are from here and not finished. */
  giveBack(pending: readonly PendingCommand[]): void {
    const unfinished = pending.filter(({ queue, isFinished }) => queue === this && !isFinished);
    if (unfinished.length > 0) this.#waiting = [...unfinished, ...this.#waiting];
  }

  /** Finishes with `error` what waits; what was taken is its taker's. */
  refuseWaiting(error: LedgerError): void {
    for (const pending of this.#waiting.splice(0)) pending.finish(error);
  }

  /** Finishes everything with `error`. */
  refuseAll(error: LedgerError): void {
    for (const pending of [...this.#unfinished]) pending.finish(error);
    this.#waiting = [];
  }
}
