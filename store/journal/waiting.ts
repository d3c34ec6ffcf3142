/** Callers that wait for a majority, and callers that wait for a verdict. Bounded by whoever adds to them. */
import type { NodeId } from '../environment.ts';
import { decideClaim, type ClaimDecision, type Vote } from './claims.ts';
import { JournalError } from './port.ts';

interface QuorumWaiter {
  readonly sequence: number;
  readonly deadline: number;
  readonly kept: PromiseWithResolvers<void>;
  expired: boolean;
}

/** Own entries to be held by a majority, in the order of their sequences. */
export class QuorumWaiters {
  #waiters: QuorumWaiter[] = [];
  #earliestDeadline = Infinity;

  get size(): number {
    return this.#waiters.length;
  }

  /** Rejects with JournalError UNAVAILABLE after `deadline` (monotonic ms). */
  add(sequence: number, deadline: number): Promise<void> {
    const kept = Promise.withResolvers<void>();
    // Whoever appends without waiting must not crash the process by a time-out.
    kept.promise.catch(() => undefined);
    this.#waiters.push({ sequence, deadline, kept, expired: false });
    this.#earliestDeadline = Math.min(this.#earliestDeadline, deadline);
    return kept.promise;
  }

  /** A majority holds everything up to `sequence`. */
  advance(sequence: number): void {
    let done = 0;
    for (const waiter of this.#waiters) {
      if (waiter.sequence > sequence) break;
      waiter.kept.resolve();
      done++;
    }
    if (done > 0) this.#waiters.splice(0, done);
  }

  expire(now: number): void {
    if (now < this.#earliestDeadline) return;
    for (const waiter of this.#waiters) {
      if (waiter.deadline > now) continue;
      waiter.expired = true;
      waiter.kept.reject(
        new JournalError(
          'UNAVAILABLE',
          `no majority of the zone acknowledged entry ${waiter.sequence} in time`,
        ),
      );
    }
    this.#waiters = this.#waiters.filter((waiter) => !waiter.expired);
    this.#earliestDeadline = this.#waiters.reduce((least, one) => Math.min(least, one.deadline), Infinity);
  }

  close(error: Error): void {
    for (const waiter of this.#waiters) waiter.kept.reject(error);
    this.#waiters = [];
  }
}

export type Verdict = NonNullable<ClaimDecision> | { readonly kind: 'unavailable' };

interface Registration {
  readonly addedAt: number;
  readonly deadline: number;
  readonly votes: Map<NodeId, Vote>;
  /** When each voter was last asked again. */
  readonly askedAt: Map<NodeId, number>;
  readonly verdict: PromiseWithResolvers<Verdict>;
}

/** Own registrations whose votes are being collected, by sequence. */
export class OpenRegistrations {
  readonly #self: NodeId;
  readonly #voters: readonly NodeId[];
  readonly #registrations = new Map<number, Registration>();

  constructor(options: { readonly self: NodeId; readonly voters: readonly NodeId[] }) {
    this.#self = options.self;
    this.#voters = options.voters;
  }

  get size(): number {
    return this.#registrations.size;
  }

  add(sequence: number, addedAt: number, deadline: number): Promise<Verdict> {
    const verdict = Promise.withResolvers<Verdict>();
    this.#registrations.set(sequence, { addedAt, deadline, votes: new Map(), askedAt: new Map(), verdict });
    return verdict.promise;
  }

  /** A voter's vote holds once given: the first one heard counts. Others than voters are not counted. */
  vote(sequence: number, voter: NodeId, vote: Vote): void {
    const registration = this.#registrations.get(sequence);
    if (registration === undefined || registration.votes.has(voter)) return;
    registration.votes.set(voter, vote);
    const decision = decideClaim({ origin: this.#self, sequence }, this.#voters, registration.votes);
    if (decision === undefined) return;
    this.#registrations.delete(sequence);
    registration.verdict.resolve(decision);
  }

  /** Registrations up to `acknowledged` that `voter` holds but whose vote did not arrive; marks them as asked. */
  unanswered(
    voter: NodeId,
    acknowledged: number,
    bounds: { now: number; afterMs: number; max: number },
  ): number[] {
    const sequences: number[] = [];
    if (!this.#voters.includes(voter)) return sequences;
    for (const [sequence, { addedAt, votes, askedAt }] of this.#registrations) {
      if (sequences.length >= bounds.max) break;
      if (sequence > acknowledged || votes.has(voter)) continue;
      if (bounds.now - (askedAt.get(voter) ?? addedAt) < bounds.afterMs) continue;
      askedAt.set(voter, bounds.now);
      sequences.push(sequence);
    }
    return sequences;
  }

  expire(now: number): void {
    for (const [sequence, { deadline, verdict }] of this.#registrations) {
      if (deadline > now) continue;
      this.#registrations.delete(sequence);
      verdict.resolve({ kind: 'unavailable' });
    }
  }

  close(error: Error): void {
    for (const { verdict } of this.#registrations.values()) verdict.reject(error);
    this.#registrations.clear();
  }
}
