/**
 * Whose disks count: the members of this zone, the voters among them, and the epoch, which grows with each change of
 * the voters. Owns the record of it on this disk, and the way from hearing of an epoch to counting under it.
 *
 *   heard ──► known: on this disk, told to the others ──► taken up: registrations are made and counted under it
 *
 * E1  The epoch that is known never goes back, not by a restart either: it is on disk before anything is answered
 *     under it.
 * E2  An epoch is taken up when all is on this disk that a majority of its voters, each of which knows it, held when
 *     asked. So whoever has taken it up holds everything that was decided in epochs before.
 * E3  Between hearing of an epoch and taking it up nothing is counted: what waits for a majority goes on waiting, what
 *     waits for a verdict hears `unavailable`.
 */
import type { Committer, Operation } from '../disk/port.ts';
import { invariant, type Cancel, type Environment, type NodeId } from '../environment.ts';
import type { ZoneMembers } from './port.ts';
import { electorateKey, sealElectorate, type ElectorateRecord } from './records.ts';

export interface ElectorateOptions {
  readonly self: NodeId;
  readonly zone: ZoneMembers;
  /** What this disk knew. */
  readonly restored: ElectorateRecord | undefined;
  readonly retryAfterMs: number;
}

export interface ElectorateDependencies {
  readonly environment: Environment;
  readonly committer: Committer;
  /** True once all that a majority of the voters held, asked from now on, is on this disk (E2); false: try again. */
  readonly covers: (epoch: number) => Promise<boolean>;
  /** Members or voters are others now. */
  readonly onChange: () => void;
  readonly onTakenUp: () => void;
}

/** Before the first epoch there is nothing to catch up with. */
const foundingEpoch = 0;

export class Electorate {
  readonly self: NodeId;
  readonly #retryAfterMs: number;
  readonly #dependencies: ElectorateDependencies;
  #zone: ZoneMembers;
  #known: number;
  #takenUp: number;
  #grants: boolean;
  #settled = Promise.withResolvers<void>();
  #closed = false;

  constructor(options: ElectorateOptions, dependencies: ElectorateDependencies) {
    const { self, zone, restored } = options;
    invariant(
      zone.members.some(({ voter }) => voter),
      'a zone has at least one voter',
    );
    this.self = self;
    this.#retryAfterMs = options.retryAfterMs;
    this.#dependencies = dependencies;
    this.#zone = restored !== undefined && restored.epoch > zone.epoch ? withVoters(zone, restored) : zone;
    this.#known = restored?.epoch ?? foundingEpoch;
    this.#takenUp = restored?.takenUp ?? foundingEpoch;
    this.#grants = this.isSettled && this.isVoter;
    if (this.isSettled) this.#settled.resolve();
  }

  /** To be called when everything that `covers` needs is there. */
  start(): void {
    if (!this.isSettled) this.#learn();
  }

  /** The other members of the zone: all that may hold or lack an entry of it. */
  get peers(): readonly NodeId[] {
    return this.#zone.members.map(({ id }) => id).filter((id) => id !== this.self);
  }

  get voters(): readonly NodeId[] {
    return this.#zone.members.filter(({ voter }) => voter).map(({ id }) => id);
  }

  get isVoter(): boolean {
    return this.voters.includes(this.self);
  }

  /** Whether this node gives votes: a voter does, a new one from the moment that it has taken its epoch up. */
  get grants(): boolean {
    return this.#grants;
  }

  /** What this node says it knows (E1). */
  get known(): number {
    return this.#known;
  }

  /** What this node counts under. */
  get takenUp(): number {
    return this.#takenUp;
  }

  /** Whether the newest epoch that was heard of is taken up (E3). */
  get isSettled(): boolean {
    return this.#takenUp === this.#zone.epoch;
  }

  set(zone: ZoneMembers): void {
    if (this.#closed || zone.epoch < this.#zone.epoch) return;
    const isNew = zone.epoch > this.#zone.epoch;
    if (isNew && this.isSettled) {
      this.#settled = Promise.withResolvers();
      // Nobody may be waiting when this closes.
      this.#settled.promise.catch(() => undefined);
    }
    this.#zone = zone;
    this.#grants &&= this.isVoter;
    this.#dependencies.onChange();
    if (isNew) this.#learn();
  }

  /** False when `deadline` (monotonic ms) comes first. Rejects when this closes. */
  async settledBefore(deadline: number): Promise<boolean> {
    if (this.isSettled) return true;
    const { clock } = this.#dependencies.environment;
    let cancel: Cancel = () => undefined;
    const late = new Promise<false>((resolve) => {
      cancel = clock.after(Math.max(0, deadline - clock.monotonic()), () => {
        resolve(false);
      });
    });
    try {
      return await Promise.race([this.#settled.promise.then(() => true), late]);
    } finally {
      cancel();
    }
  }

  close(error: Error): void {
    this.#closed = true;
    this.#settled.promise.catch(() => undefined);
    this.#settled.reject(error);
  }

  #learn(): void {
    const { epoch } = this.#zone;
    if (this.#known === epoch) {
      void this.#takeUp(epoch);
      return;
    }
    void this.#dependencies.committer.commit([this.#record()]).then(() => {
      if (this.#closed) return;
      this.#known = Math.max(this.#known, epoch);
      if (epoch === this.#zone.epoch) void this.#takeUp(epoch);
    });
  }

  #record(): Operation {
    const { epoch } = this.#zone;
    const value = sealElectorate({ epoch, takenUp: this.#takenUp, voters: this.voters });
    return { kind: 'put', key: electorateKey, value };
  }

  async #takeUp(epoch: number): Promise<void> {
    const { environment, committer, covers, onTakenUp } = this.#dependencies;
    const isOver = (): boolean => this.#closed || epoch !== this.#zone.epoch;
    while (!(await covers(epoch))) {
      if (isOver()) return;
      await new Promise<void>((resolve) => environment.clock.after(this.#retryAfterMs, resolve));
    }
    if (isOver()) return;
    this.#takenUp = epoch;
    this.#grants = this.isVoter;
    // Without it the next start would only take the epoch up once more.
    void committer.commit([this.#record()]);
    environment.log.info({ epoch, voters: this.voters }, 'the journal counts under a new list of voters');
    this.#settled.resolve();
    onTakenUp();
  }
}

/** A disk that knows more than the list it was started with: its voters, and the rest of that list beside them. */
function withVoters({ members }: ZoneMembers, { epoch, voters }: ElectorateRecord): ZoneMembers {
  const others = members.filter(({ id }) => !voters.includes(id)).map(({ id }) => ({ id, voter: false }));
  return { epoch, members: [...voters.map((id) => ({ id, voter: true })), ...others] };
}
