import type { Clock, Log, NodeId } from '../environment.ts';
import { RequestError, type Network } from '../peers/port.ts';
import type { CommandQueue, PendingCommand } from './command-queue.ts';
import { decodeResults, encodeForwarded } from './replica-messages.ts';

/**
 * Takes a non-leader's commands to the leader, in batches. Owns the requests under way. A batch that comes back
 * undecided goes back to the queue: commands are idempotent, so sending one twice does no harm, and its
 * time-out in the queue ends the trying.
 */

export const submitChannel = 'ledger/submit';

export interface ForwarderOptions {
  readonly batchCountMax: number;
  readonly batchBytesMax: number;
  /** Requests under way at a time; what comes meanwhile gathers for the next. */
  readonly requestsMax: number;
  /** Pause after a batch came back undecided. */
  readonly retryDelayMs: number;
}

export interface ForwarderDependencies {
  readonly network: Network;
  readonly queue: CommandQueue;
  readonly clock: Clock;
  readonly log: Log;
  /** Told when there may be something to send again. */
  readonly onReady: () => void;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #dependencies: ForwarderDependencies;
  #underWay = new Set<readonly PendingCommand[]>();
  #pausedUntil = -Infinity;

  constructor(options: ForwarderOptions, dependencies: ForwarderDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  sendTo(leader: NodeId): void {
    const { network, queue, clock } = this.#dependencies;
    if (clock.monotonic() < this.#pausedUntil || !network.reachable(leader)) return;
    while (this.#underWay.size < this.#options.requestsMax && !queue.isEmpty) {
      const batch = queue.take({
        countMax: this.#options.batchCountMax,
        bytesMax: this.#options.batchBytesMax,
        atLeastOne: true,
      });
      if (batch.length > 0) void this.#send(leader, batch);
    }
  }

  /** The leader they went to is no longer the one: ask again elsewhere. An answer that comes late still counts. */
  abandon(): void {
    for (const batch of this.#underWay) this.#dependencies.queue.giveBack(batch);
    this.#underWay = new Set();
    this.#pausedUntil = -Infinity;
  }

  async #send(leader: NodeId, batch: readonly PendingCommand[]): Promise<void> {
    const { network, queue, clock, log, onReady } = this.#dependencies;
    this.#underWay.add(batch);
    const waitMs = Math.max(1, ...batch.map(({ deadline }) => deadline - clock.monotonic()));
    try {
      const request = encodeForwarded({
        timeoutMs: waitMs,
        commands: batch.map(({ command }) => command),
      });
      const answer = await network.request(leader, submitChannel, request, { timeoutMs: waitMs });
      const results = decodeResults(answer, batch.length);
      if (results === undefined) log.warn({ peer: leader }, 'malformed answer to forwarded commands');
      batch.forEach((pending, place) => {
        const result = results?.[place];
        if (result !== undefined) pending.finish(result);
      });
    } catch (error) {
      const code = error instanceof RequestError ? error.code : String(error);
      log.debug({ peer: leader, code, commands: batch.length }, 'commands could not be forwarded');
    }
    // Abandoned meanwhile: the queue has them already.
    if (!this.#underWay.delete(batch)) return;
    if (batch.some(({ isFinished }) => !isFinished)) {
      queue.giveBack(batch);
      this.#pausedUntil = clock.monotonic() + this.#options.retryDelayMs;
      clock.after(this.#options.retryDelayMs, onReady);
    }
    onReady();
  }
}
