/**
 * Commands on their way into the log: this node's own, and those that other nodes forwarded to it as their leader. Owns
 * both queues, and who is served first.
 *
 * 1. An entry's worth of commands fits into one frame, and holds at least one command, however large.
 * 2. This node's commands and the others' come first by turns: who is always second never gets a place when the first
 *    fill every entry, and none for a large command ever.
 */
import type { Clock } from '../environment.ts';
import { CommandQueue, type PendingCommand } from './command-queue.ts';
import type { LedgerError } from './port.ts';
import { decodeForwarded, encodeResults } from './replica-messages.ts';

export const batchBounds = { countMax: 1_000, bytesMax: 256 * 1024 };
const pendingBytesMax = 32 * 1024 * 1024;
const guestTimeoutMsMax = 60_000;

export class CommandIntake {
  /** Of this node. */
  readonly own: CommandQueue;
  readonly #guests: CommandQueue;
  #isOwnTurn = false;

  /** `pendingMax`: of each kind. */
  constructor(options: { readonly pendingMax: number }, dependencies: { readonly clock: Clock }) {
    const bounds = { ...options, pendingBytesMax };
    this.own = new CommandQueue(bounds, dependencies);
    this.#guests = new CommandQueue(bounds, dependencies);
  }

  get isEmpty(): boolean {
    return this.own.isEmpty && this.#guests.isEmpty;
  }

  /** Answers another node's commands. One that does not lead has none decided: the sender waits for who does. */
  async serve(
    payload: Uint8Array,
    options: { readonly isLeading: boolean; readonly onOffered: () => void },
  ): Promise<Uint8Array> {
    const forwarded = decodeForwarded(payload);
    if (forwarded === undefined) throw new Error('malformed commands');
    const { commands } = forwarded;
    const undecided = (): undefined => undefined;
    if (!options.isLeading) return encodeResults(commands.map(undecided));
    const timeoutMs = Math.min(forwarded.timeoutMs, guestTimeoutMsMax);
    const results = commands.map((command) => this.#guests.offer(command, timeoutMs).catch(undecided));
    options.onOffered();
    return encodeResults(await Promise.all(results));
  }

  /** The commands of the next entry. */
  take(): readonly PendingCommand[] {
    const [first, second] = this.#isOwnTurn ? [this.own, this.#guests] : [this.#guests, this.own];
    this.#isOwnTurn = !this.#isOwnTurn;
    const taken = first.take({ ...batchBounds, atLeastOne: true });
    const bytes = taken.reduce((sum, { command }) => sum + command.byteLength, 0);
    const rest = second.take({
      countMax: batchBounds.countMax - taken.length,
      bytesMax: batchBounds.bytesMax - bytes,
      atLeastOne: taken.length === 0,
    });
    return [...taken, ...rest];
  }

  giveBack(commands: readonly PendingCommand[]): void {
    this.own.giveBack(commands);
    this.#guests.giveBack(commands);
  }

  /** Their senders try again with the next leader, as this node does with its own. */
  refuseGuests(error: LedgerError): void {
    if (!this.#guests.isEmpty) this.#guests.refuseWaiting(error);
  }

  refuseAll(error: LedgerError): void {
    this.own.refuseAll(error);
    this.#guests.refuseAll(error);
  }
}
