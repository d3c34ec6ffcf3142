/**
 * Own registrations on the way to their verdict: hands them to the intake, collects the votes of the voters, asks for
 * those that got lost, and gives up when the caller's patience is over. Owns who waits; what the votes mean is in
 * claims.ts, who votes for whom in claim-table.ts.
 *
 * G1  A voter's vote holds once given: the first one heard counts, and others than voters are not counted.
 * G2  A caller hears one verdict. What it appended stays, whatever it heard.
 * G3  A registration is decided by the votes of voters who know no other epoch than the one it was made in. When this
 *     node hears of another, whoever still waits hears `unavailable`: the old voters may yet decide for another one.
 */
import type { Environment, NodeId } from '../environment.ts';
import { decideClaim, type ClaimDecision, type Vote } from './claims.ts';
import type { Electorate } from './electorate.ts';
import type { Intake } from './intake.ts';
import type { OwnLog } from './own-log.ts';
import { JournalError, type ClaimVerdict, type Position } from './port.ts';
import type { Pusher } from './pusher.ts';
import type { SealedEntry } from './records.ts';
import type { WireRecord } from './wire.ts';

export interface VerdictsOptions {
  /** A vote that did not arrive is asked for again after this, and then every time it has passed. */
  readonly resendAfterMs: number;
  readonly frameBytesMax: number;
  readonly frameEntriesMax: number;
}

export interface VerdictsDependencies {
  readonly environment: Environment;
  readonly electorate: Pick<Electorate, 'self' | 'voters' | 'takenUp' | 'isSettled'>;
  readonly own: OwnLog;
  readonly intake: Pick<Intake, 'offer'>;
}

export interface Registered {
  readonly position?: Position;
  readonly verdict: ClaimVerdict;
}

type Verdict = NonNullable<ClaimDecision> | { readonly kind: 'unavailable' };

interface Registration {
  readonly addedAt: number;
  readonly deadline: number;
  readonly votes: Map<NodeId, Vote>;
  /** When each voter was last asked again. */
  readonly askedAt: Map<NodeId, number>;
  readonly verdict: PromiseWithResolvers<Verdict>;
}

export class Verdicts {
  readonly #options: VerdictsOptions;
  readonly #dependencies: VerdictsDependencies;
  /** Without a verdict yet, by sequence. */
  readonly #registrations = new Map<number, Registration>();

  constructor(options: VerdictsOptions, dependencies: VerdictsDependencies) {
    this.#options = options;
    this.#dependencies = dependencies;
  }

  get size(): number {
    return this.#registrations.size;
  }

  /** `deadline` is monotonic ms. Rejects with JournalError. */
  async register(claim: string, payload: Uint8Array, deadline: number): Promise<Registered> {
    const decided = Promise.withResolvers<{
      position?: Position;
      verdict: ClaimVerdict | Promise<Verdict>;
    }>();
    const taken = this.#dependencies.intake.offer({
      kind: 'register',
      claim,
      payload,
      answer: (outcome) => {
        if (outcome.kind === 'known') {
          decided.resolve({ verdict: { kind: 'lost', holder: outcome.record.holder } });
          return;
        }
        const { sequence } = outcome;
        const position = { origin: this.#dependencies.electorate.self, sequence };
        decided.resolve({ position, verdict: this.#wait(sequence, deadline) });
      },
      refuse: (error) => {
        decided.reject(error);
      },
    });
    if (!taken) throw new JournalError('QUEUE_FULL', 'too much waits for a decision');
    const { position, verdict } = await decided.promise;
    return position === undefined ? { verdict: await verdict } : { position, verdict: await verdict };
  }

  /** Own entries are on this disk, which counts as this node's vote for what they claim. */
  onOwnDurable(entries: readonly SealedEntry[]): void {
    const { self, takenUp } = this.#dependencies.electorate;
    for (const { entry } of entries) {
      if (entry.claim !== undefined) this.vote(entry.sequence, self, { kind: 'granted' }, takenUp);
    }
  }

  /** G1, G3. `epoch` is the one that the voter knew when it answered. */
  vote(sequence: number, voter: NodeId, vote: Vote, epoch: number): void {
    const { self, voters, takenUp, isSettled } = this.#dependencies.electorate;
    const registration = this.#registrations.get(sequence);
    if (registration === undefined || registration.votes.has(voter) || !voters.includes(voter)) return;
    if (!isSettled || epoch !== takenUp) return;
    registration.votes.set(voter, vote);
    const decision = decideClaim({ origin: self, sequence }, voters, registration.votes);
    if (decision === undefined) return;
    this.#registrations.delete(sequence);
    registration.verdict.resolve(decision);
  }

  /** Gives up what is overdue, and asks again for votes that were lost, or given before a link broke. */
  tick(now: number, pushers: Iterable<Pusher>): void {
    if (this.#registrations.size === 0) return;
    for (const [sequence, { deadline, verdict }] of this.#registrations) {
      if (deadline > now) continue;
      this.#registrations.delete(sequence);
      verdict.resolve({ kind: 'unavailable' });
    }
    for (const pusher of pushers) this.#askAgain(pusher, now);
  }

  /** G3: the voters are others now. */
  giveUp(): void {
    for (const { verdict } of this.#registrations.values()) verdict.resolve({ kind: 'unavailable' });
    this.#registrations.clear();
  }

  close(error: Error): void {
    for (const { verdict } of this.#registrations.values()) verdict.reject(error);
    this.#registrations.clear();
  }

  #wait(sequence: number, deadline: number): Promise<Verdict> {
    const { environment, electorate } = this.#dependencies;
    if (!electorate.isSettled) return Promise.resolve({ kind: 'unavailable' });
    const addedAt = environment.clock.monotonic();
    const verdict = Promise.withResolvers<Verdict>();
    this.#registrations.set(sequence, { addedAt, deadline, votes: new Map(), askedAt: new Map(), verdict });
    return verdict.promise;
  }

  /** Sends entries once more, in frames of bounded size, to hear the votes on their claims. */
  #askAgain(pusher: Pusher, now: number): void {
    let records: WireRecord[] = [];
    let bytes = 0;
    for (const sequence of this.#unanswered(pusher, now)) {
      const record = this.#dependencies.own.recent.get(sequence);
      if (record === undefined) continue;
      if (records.length > 0 && bytes + record.byteLength > this.#options.frameBytesMax) {
        pusher.ask(records);
        records = [];
        bytes = 0;
      }
      records.push({ sequence, record });
      bytes += record.byteLength;
    }
    pusher.ask(records);
  }

  /** Registrations that the peer holds but whose vote did not arrive; marks them as asked. */
  #unanswered({ peer, acknowledged }: Pusher, now: number): readonly number[] {
    const { resendAfterMs, frameEntriesMax } = this.#options;
    const sequences: number[] = [];
    if (!this.#dependencies.electorate.voters.includes(peer)) return sequences;
    for (const [sequence, { addedAt, votes, askedAt }] of this.#registrations) {
      if (sequences.length >= frameEntriesMax) break;
      if (sequence > acknowledged || votes.has(peer)) continue;
      if (now - (askedAt.get(peer) ?? addedAt) < resendAfterMs) continue;
      askedAt.set(peer, now);
      sequences.push(sequence);
    }
    return sequences;
  }
}
