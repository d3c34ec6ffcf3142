/**
 * Leads this node from start to the point where it may append: feeds recovery.ts with what peers answer, keeps the
 * outcome on disk, and watches afterwards that nobody holds more of us than we do.
 */
import type { Committer } from '../disk/port.ts';
import type { Cancel, Environment, NodeId } from '../environment.ts';
import type { OwnLog } from './own-log.ts';
import type { JournalError } from './port.ts';
import { sealState, stateKey } from './records.ts';
import { Recovery, type Positions, type RecoveryPhase } from './recovery.ts';

export interface OpeningOptions {
  readonly self: NodeId;
  /** The other members of the zone, now. */
  readonly peers: () => readonly NodeId[];
  /** Whether no newer list of members can have been known to this node before its disk forgot. */
  readonly isListCurrent: () => boolean;
  /** What the disk says of itself. */
  readonly whole: boolean;
  readonly startPatienceMs: number;
}

export interface OpeningDependencies {
  readonly environment: Environment;
  readonly committer: Committer;
  readonly own: OwnLog;
  readonly durable: Positions;
  /** It is known how claims are to be decided: received entries may be taken. */
  readonly onKnown: () => void;
  readonly onOpen: () => void;
  /** Told before `Environment.fatal`. */
  readonly onFork: () => void;
}

export class Opening {
  readonly #self: NodeId;
  readonly #dependencies: OpeningDependencies;
  readonly #recovery: Recovery;
  #gate = Promise.withResolvers<void>();
  #phase: RecoveryPhase = 'starting';
  /** What the disk says, or will say once the write under way is done. */
  #whole: boolean;
  #writing = false;
  #waiting = 0;
  #closed = false;

  constructor(options: OpeningOptions, dependencies: OpeningDependencies) {
    this.#self = options.self;
    this.#dependencies = dependencies;
    this.#whole = options.whole;
    this.#recovery = new Recovery({
      ...options,
      patienceEndsAt: dependencies.environment.clock.monotonic() + options.startPatienceMs,
    });
    this.#gate.promise.catch(() => undefined);
  }

  get phase(): RecoveryPhase {
    return this.#phase;
  }

  /** Members that have to be heard before this node may open. */
  get unheard(): readonly NodeId[] {
    return this.#phase === 'open' ? [] : this.#recovery.missing;
  }

  /** Callers that wait for this node to open. */
  get waiting(): number {
    return this.#waiting;
  }

  opened(): Promise<void> {
    return this.#gate.promise;
  }

  /** False when `deadline` (monotonic ms) comes first. Rejects with CLOSED. */
  async openedBefore(deadline: number): Promise<boolean> {
    if (this.#phase === 'open') return true;
    const { clock } = this.#dependencies.environment;
    this.#waiting++;
    let cancel: Cancel = () => undefined;
    const late = new Promise<false>((resolve) => {
      cancel = clock.after(Math.max(0, deadline - clock.monotonic()), () => {
        resolve(false);
      });
    });
    try {
      return await Promise.race([this.#gate.promise.then(() => true), late]);
    } finally {
      cancel();
      this.#waiting--;
    }
  }

  /** A peer answered, by request, what it holds. */
  heard(peer: NodeId, vector: Positions): void {
    this.#recovery.heard(peer, vector);
    this.check(peer, vector);
    this.advance();
  }

  /**
   * J2: a position that a peer holds of us and we do not was given out before our disk lost it. Nothing appended
   * since: relearn. Otherwise some position has two meanings already, and only an operator can choose.
   */
  check(peer: NodeId, vector: Positions): void {
    const { own, environment, onFork } = this.#dependencies;
    const held = vector.get(this.#self) ?? 0;
    if (this.#closed || this.#phase !== 'open' || held <= own.assigned) return;
    if (own.appended > 0) {
      onFork();
      environment.fatal(
        new Error(
          `this node's journal lost its end and went on without it: ${peer} holds ${held} entries of ${this.#self}, ` +
            `this disk ${own.assigned}. Restore the newest disk, or empty this node's data directory`,
        ),
      );
      return;
    }
    environment.log.error({ peer, held, here: own.assigned }, 'this disk lost the end of its journal');
    this.#recovery.relearn(peer, vector);
    this.#phase = 'starting';
    this.#gate = Promise.withResolvers();
    this.#gate.promise.catch(() => undefined);
    this.advance();
  }

  /** Looks whether it may go on; called when time passes, a peer answers, or the disk holds more. */
  advance(): void {
    if (this.#closed || this.#writing || this.#phase === 'open') return;
    const { environment, durable, onKnown } = this.#dependencies;
    const phase = this.#recovery.poll(environment.clock.monotonic(), durable);
    if (phase === 'open') {
      this.#finish();
    } else if (phase === 'relearning' && this.#phase !== 'relearning') {
      this.#phase = 'relearning';
      const waitingFor = this.#recovery.missing;
      if (this.#whole) environment.log.error({ waitingFor }, 'this disk lost its journal, and relearns it');
      else environment.log.info({ waitingFor }, 'this disk knows no past: it hears every member first');
      // A restart on the way must not take what is here by then for all there is.
      if (this.#whole) this.#write(false, () => undefined);
      onKnown();
    }
  }

  close(error: JournalError): void {
    this.#closed = true;
    this.#gate.reject(error);
  }

  #finish(): void {
    if (this.#whole) this.#open();
    else this.#write(true, () => this.#open());
  }

  #open(): void {
    const { own, durable, onKnown, onOpen } = this.#dependencies;
    own.rebase(durable.get(this.#self) ?? 0);
    this.#phase = 'open';
    onKnown();
    onOpen();
    this.#gate.resolve();
  }

  #write(whole: boolean, then: () => void): void {
    const { committer } = this.#dependencies;
    this.#whole = whole;
    this.#writing = true;
    void committer.commit([{ kind: 'put', key: stateKey, value: sealState({ whole }) }]).then(() => {
      this.#writing = false;
      if (!this.#closed) then();
    });
  }
}
