/**
 * Whether this disk still knows all that its node ever said: pure, fed with what the peers hold.
 *
 *   starting ──► open            every peer was heard, or patience is over, and nobody holds more of us than we do
 *      │          ▲
 *      ▼          │
 *   relearning ───┘              every peer was heard, and all that they held then is on this disk
 *
 * A disk that was wiped, or lost its tail, has forgotten two things: which sequences it used, and whom it gave
 * its votes to. The first lies with whoever received the entries, the second can only be bounded by what *every*
 * other member holds: a registration whose owner was not asked may still be collecting votes, the forgotten one
 * among them. Therefore:
 *
 * R1  Nothing is appended before `open`, so no sequence is used twice.
 * R2  Claims met while relearning are inherited: this node votes on none of them again.
 * R3  `relearning` ends only after every other member of the zone has answered in this process life: of the zone as it
 *     is now, so the list of members must be known to be the newest that this node can have voted under.
 */
import type { NodeId } from '../environment.ts';

export type RecoveryPhase = 'starting' | 'relearning' | 'open';

/** Sequences per origin; what is not in it is 0. */
export type Positions = ReadonlyMap<NodeId, number>;

export class Recovery {
  readonly #self: NodeId;
  readonly #peers: () => readonly NodeId[];
  readonly #isListCurrent: () => boolean;
  readonly #patienceEndsAt: number;
  /** The first answer of each peer: what it holds later cannot stem from before our start. */
  readonly #answers = new Map<NodeId, Positions>();
  #phase: RecoveryPhase;

  /** `whole`: the disk says of itself that nothing is missing. `patienceEndsAt` is monotonic ms. */
  constructor(options: {
    readonly self: NodeId;
    /** The other members of the zone, now. */
    readonly peers: () => readonly NodeId[];
    readonly isListCurrent: () => boolean;
    readonly whole: boolean;
    readonly patienceEndsAt: number;
  }) {
    this.#self = options.self;
    this.#peers = options.peers;
    this.#isListCurrent = options.isListCurrent;
    this.#patienceEndsAt = options.patienceEndsAt;
    this.#phase = options.whole ? 'starting' : 'relearning';
  }

  get phase(): RecoveryPhase {
    return this.#phase;
  }

  /** Peers not heard yet. */
  get missing(): readonly NodeId[] {
    return this.#peers().filter((peer) => !this.#answers.has(peer));
  }

  heard(peer: NodeId, vector: Positions): void {
    if (!this.#answers.has(peer)) this.#answers.set(peer, vector);
  }

  /** A peer turned out to hold more of us than our disk, and nothing was appended meanwhile: begin again. */
  relearn(peer: NodeId, vector: Positions): void {
    this.#phase = 'relearning';
    this.#answers.set(peer, vector);
  }

  /** Moves on when it can; `durable` is what this disk holds. */
  poll(now: number, durable: Positions): RecoveryPhase {
    const everyoneHeard = this.missing.length === 0;
    if (this.#phase === 'starting') {
      if (this.#target(this.#self) > (durable.get(this.#self) ?? 0)) this.#phase = 'relearning';
      else if (everyoneHeard || now >= this.#patienceEndsAt) this.#phase = 'open';
    }
    if (
      this.#phase === 'relearning' &&
      everyoneHeard &&
      this.#isListCurrent() &&
      this.#holdsEverything(durable)
    )
      this.#phase = 'open';
    return this.#phase;
  }

  /** Of those who are members: what only one held that is gone for good, nobody can give any more. */
  #heard(): readonly Positions[] {
    return this.#peers().flatMap((peer) => this.#answers.get(peer) ?? []);
  }

  #target(origin: NodeId): number {
    let target = 0;
    for (const vector of this.#heard()) target = Math.max(target, vector.get(origin) ?? 0);
    return target;
  }

  #holdsEverything(durable: Positions): boolean {
    for (const vector of this.#heard()) {
      for (const [origin, sequence] of vector) {
        if ((durable.get(origin) ?? 0) < sequence) return false;
      }
    }
    return true;
  }
}
