import { invariant } from '../environment.ts';
import type { PendingCommand } from './command-queue.ts';

/**
 * Which commands wait for which entry of the log. Owns the match between a place in the log and those who wait
 * for it.
 *
 * An entry is known by its index and term. When an entry of a newer term is decided, every older one that is
 * still undecided can never be: terms do not go back along the log, and indexes are decided in order.
 */

interface Proposal {
  readonly index: number;
  readonly term: number;
  readonly commands: readonly PendingCommand[];
}

export class Proposals {
  /** In the order of the log. */
  readonly #undecided: Proposal[] = [];

  get size(): number {
    return this.#undecided.length;
  }

  add(proposal: Proposal): void {
    const last = this.#undecided.at(-1);
    invariant(last === undefined || last.term <= proposal.term, 'proposals come in the order of terms');
    this.#undecided.push(proposal);
  }

  /**
   * An entry is decided. Gives those who wait for it, if they proposed it here, and those whose own entries
   * will never be decided.
   */
  decided(entry: { readonly index: number; readonly term: number }): {
    readonly winners: readonly PendingCommand[];
    readonly losers: readonly PendingCommand[];
  } {
    const losers: PendingCommand[] = [];
    for (;;) {
      const first = this.#undecided[0];
      if (first === undefined || first.term >= entry.term) break;
      this.#undecided.shift();
      losers.push(...first.commands);
    }
    const first = this.#undecided[0];
    if (first?.index !== entry.index || first.term !== entry.term) return { winners: [], losers };
    this.#undecided.shift();
    return { winners: first.commands, losers };
  }

  /**
   * A snapshot took the place of everything up to `place`. Gives those whose entries are in it or can never be decided:
   * what became of them is not to be told from here.
   */
  overtaken(place: { readonly index: number; readonly term: number }): readonly PendingCommand[] {
    const first = this.#undecided.findIndex(({ index, term }) => index > place.index && term >= place.term);
    const overtaken = this.#undecided.splice(0, first < 0 ? this.#undecided.length : first);
    return overtaken.flatMap(({ commands }) => commands);
  }
}
