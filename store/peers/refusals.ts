/**
 * Who lets this node connect, and then ends the connection before it carries anything. That is what becomes of a dial to
 * a member that does not list this node: it was taken out while it was down, or has not been added yet. Owns the
 * counting; who may connect is the gater's, on the other side.
 *
 * 1. A peer that is down, or stopping, is not one that refuses: only connections that stood count, several in a row.
 * 2. A link that comes up ends it at once.
 */
import type { Log, NodeId } from '../environment.ts';

/** A peer that is just starting or stopping may end one or two. */
const inARowMin = 4;

export class Refusals {
  readonly #log: Log;
  readonly #inARow = new Map<NodeId, number>();

  constructor(dependencies: { readonly log: Log }) {
    this.#log = dependencies.log;
  }

  /** A connection that this node dialled has ended before it carried anything. */
  endedUnused(peer: NodeId): void {
    const times = (this.#inARow.get(peer) ?? 0) + 1;
    this.#inARow.set(peer, times);
    if (times !== inARowMin) return;
    this.#log.warn(
      { peer },
      'this member refuses this node: it does not list it (any more), or under another key',
    );
  }

  /** A link is up, or the peer is no member any more. */
  forget(peer: NodeId): void {
    this.#inARow.delete(peer);
  }

  get by(): readonly NodeId[] {
    return [...this.#inARow].filter(([, times]) => times >= inARowMin).map(([peer]) => peer);
  }
}
