/**
 * Sets gossip up anew on a link where it has gone deaf. libp2p tells gossipsub late that a connection has ended,
 * after a look into its peer store; when the peer is back by then, gossipsub forgets the peer that stands, and only
 * closes its own halves of their streams. The peer notices nothing, never says again what it wants to hear, and is
 * sent nothing for as long as the link lasts. Here the streams are reset, which both sides do notice.
 *
 * Owns when to do that; not the links, nor how gossipsub opens its streams again.
 *
 * 1. Only gossip's streams are touched, never a lane: at worst an announcement is lost, and any may be.
 * 2. A link has time to set gossip up before it counts as deaf, and more after each attempt: who is merely slow is
 *    not disturbed for ever.
 * 3. Each side looks after what it hears itself. Who is not heard by the peer is found deaf by the peer.
 */
import type { Connection } from '@libp2p/interface';
import type { Log, NodeId } from '../environment.ts';

/** Setting up takes a handshake and, when that was missed, the next look of gossipsub at its direct peers. */
const firstPatienceTicks = 5;
const patienceTicksMax = 40;

const gossipProtocol = /^\/(meshsub|floodsub)\//;

interface Deafness {
  ticks: number;
  patienceTicks: number;
}

/** A link that carries frames. */
export interface MendableLink {
  readonly peer: NodeId;
  readonly connection: Connection;
}

export class GossipMender {
  readonly #hears: (peerId: string) => boolean;
  readonly #log: Log;
  readonly #deaf = new WeakMap<Connection, Deafness>();

  /** `hears`: whether gossipsub knows what the holder of this peer id wants to hear. */
  constructor(dependencies: { readonly hears: (peerId: string) => boolean; readonly log: Log }) {
    this.#hears = dependencies.hears;
    this.#log = dependencies.log;
  }

  /** To be called at a steady pace, with every link that is up. */
  tick(links: Iterable<MendableLink>): void {
    for (const { peer, connection } of links) {
      if (this.#hears(connection.remotePeer.toString())) {
        this.#deaf.delete(connection);
        continue;
      }
      const deafness = this.#deaf.get(connection) ?? { ticks: 0, patienceTicks: firstPatienceTicks };
      this.#deaf.set(connection, deafness);
      if (++deafness.ticks < deafness.patienceTicks) continue;
      deafness.ticks = 0;
      deafness.patienceTicks = Math.min(patienceTicksMax, deafness.patienceTicks * 2);
      this.#log.warn({ peer }, 'gossip with this peer works one way at most, its streams are set up anew');
      resetGossip(connection);
    }
  }
}

function resetGossip(connection: Connection): void {
  for (const stream of [...connection.streams]) {
    if (!gossipProtocol.test(stream.protocol)) continue;
    try {
      stream.abort(new Error('gossip is set up anew'));
    } catch {
      // It was already gone.
    }
  }
}
