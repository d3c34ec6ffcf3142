import { Raft, type ConfigurationChange, type Entry, type Message, type Ready } from '../consensus/index.ts';
import type { Committer, Disk } from '../disk/port.ts';
import { invariant, type Cancel, type Environment, type NodeId } from '../environment.ts';
import type { Network } from '../peers/port.ts';
import { batchBounds, CommandIntake } from './command-intake.ts';
import type { PendingCommand } from './command-queue.ts';
import {
  ConfigurationChanges,
  type DecidedConfiguration,
  type Reconfigured,
} from './configuration-changes.ts';
import { DueTimer } from './due-timer.ts';
import { Forwarder, submitChannel } from './forwarder.ts';
import { HandOver } from './hand-over.ts';
import { Leadership } from './leadership.ts';
import { LedgerClock } from './ledger-clock.ts';
import { limits } from './limits.ts';
import { LogWriter } from './log-writer.ts';
import type { ReplicatedLog, StateMachine } from './machine.ts';
import { LedgerError, type Ledger } from './port.ts';
import { Proposals } from './proposals.ts';
import { restart, type Restart } from './raft-restart.ts';
import { decodeBatch, decodeMessage, encodeBatch, encodeMessage } from './replica-messages.ts';
import { Snapshots, type SnapshotOptions } from './snapshots.ts';
import { SnapshotStore } from './snapshot-store.ts';

/** More than slewing and drift do between two turns, less than any hold lasts. */
const clockJumpToleratedMs = 2_000;

/**
 * Runs the consensus core on this node: gives it messages and time, does what it says in the order in which it
 * says it, and drives the state machine with what is decided. Owns the loop and the wiring. What is decided and
 * when is the core's; who waits for what is in command-intake.ts, proposals.ts and forwarder.ts; how snapshots are
 * taken and fetched, and the log shortened, in snapshots.ts.
 *
 * 1. One turn at a time, without a pause in it: what arrives between two turns is taken in together.
 * 2. What the core wants on disk is written in its order, before what promises it is sent (log-writer.ts).
 * 3. Each decided command is applied once per process life, or is in the snapshot that the machine was restored to; in
 *    order, with a time that never goes back.
 * 4. What the machine is told of time depends on the log alone: the leader's stamp, or the one before if that
 *    was later.
 * 5. After a broken invariant nothing is sent, written or answered any more: `Environment.fatal` is told.
 */
export interface ReplicaOptions {
  readonly self: NodeId;
  /** Who takes part until the log says otherwise. Empty for who is to join others: they tell it who votes. */
  readonly voters: readonly NodeId[];
  /** Receive the log and serve reads; neither vote nor count. */
  readonly observers: readonly NodeId[];
  /** What the log shall carry about the founders; opaque here. */
  readonly records?: string;
  readonly heartbeatMs?: number;
  /** A follower waits between this and twice as long before it seeks election. */
  readonly electionTimeoutMs?: number;
  /** How much faster than the leader's a follower's clock may run: 0.1 is ten per cent. */
  readonly clockDriftRatioMax?: number;
  /** Unfinished commands of this node; as many again are taken in from others. */
  readonly pendingMax?: number;
  /** Log entries proposed and not decided; what comes meanwhile gathers for the next. */
  readonly roundsMax?: number;
  /** How often the leader asks the machine what is due. */
  readonly dueIntervalMs?: number;
  readonly snapshots?: Partial<SnapshotOptions>;
}

export interface ReplicaDependencies {
  readonly environment: Environment;
  readonly disk: Disk;
  /** Must put writes on the same disk, in call order. */
  readonly committer: Committer;
  readonly network: Network;
  readonly machine: StateMachine;
}

/** What the ledger keeps, in memory and on disk. */
export interface ReplicaStats {
  /** Entries of the log that are still kept. */
  readonly logEntries: number;
  /** How far the newest snapshot goes; 0 without one. */
  readonly snapshotIndex: number;
  /** 0 without one. */
  readonly snapshotBytes: number;
}

export interface Replica extends ReplicatedLog, Pick<Ledger, 'status' | 'freshness'> {
  /**
   * Told when this node begins to lead (lease held, everything decided before applied) and when it ceases to;
   * and at once, when it leads already.
   */
  onLeadership(handler: (leading: boolean) => void): Cancel;
  /** Who takes part, as decided and applied here. */
  configuration(): DecidedConfiguration;
  onConfiguration(handler: (decided: DecidedConfiguration) => void): Cancel;
  /** Proposes another configuration, if this node leads, and waits until it is decided and applied here. */
  reconfigure(change: ConfigurationChange, options: { readonly timeoutMs: number }): Promise<Reconfigured>;
  /** Whether this disk may lack what this node once acknowledged (C12). */
  isRecovering(): boolean;
  /**
   * Before this node stops: has another one lead, so that nobody waits for an election time-out. True when this node
   * does not lead (any more), false when nobody took over within about an election time-out.
   */
  handOver(): Promise<boolean>;
  stats(): ReplicaStats;
  /** What waits is rejected as CLOSED. What was sent or proposed may still take effect. */
  close(): Promise<void>;
}

const raftChannel = 'raft';

const defaults = {
  heartbeatMs: 75,
  // A dead leader costs two seconds of decisions at most; a machine that stalls for less keeps its leader.
  electionTimeoutMs: 1_000,
  clockDriftRatioMax: 0.1,
  pendingMax: 10_000,
  roundsMax: 2,
  dueIntervalMs: 500,
};

/** Restores the machine from disk and starts. Rejects with LogDamagedError when the log is not whole. */
export async function openReplica(
  options: ReplicaOptions,
  dependencies: ReplicaDependencies,
): Promise<Replica> {
  const { disk, committer, machine, environment } = dependencies;
  const { log } = environment;
  const store = await SnapshotStore.open({ disk, committer, log });
  const restarted = await restart({ disk, store, machine, log });
  const { hardState, snapshot, entries } = restarted.restored;
  const { term, commitIndex } = hardState;
  log.info({ term, commitIndex, snapshot: snapshot?.index, entries: entries.length }, 'ledger log read');
  const { self, voters, observers, records } = options;
  const electionTimeoutMs = options.electionTimeoutMs ?? defaults.electionTimeoutMs;
  const raft = new Raft(
    {
      self,
      configuration: { voters, observers, ...(records === undefined ? {} : { records }) },
      electionTimeoutMsMin: electionTimeoutMs,
      electionTimeoutMsMax: electionTimeoutMs * 2,
      heartbeatMs: options.heartbeatMs ?? defaults.heartbeatMs,
      commitNoticeMs: 10,
      clockDriftRatioMax: options.clockDriftRatioMax ?? defaults.clockDriftRatioMax,
      messageBytesMax: 256 * 1024,
      inflightMessagesMax: 64,
      inflightBytesMax: 4 * 1024 * 1024,
      // Rounds are the bound; this one is out of their reach.
      uncommittedBytesMax: ((options.roundsMax ?? defaults.roundsMax) + 1) * 4 * 1024 * 1024,
      promotionLagEntriesMax: 1_000,
    },
    { random: environment.random },
    { restored: restarted.restored, now: environment.clock.monotonic() },
  );
  return new RaftReplica({ ...defaults, ...options }, { ...dependencies, store }, raft, restarted);
}

class RaftReplica implements Replica {
  readonly #options: Required<Pick<ReplicaOptions, 'pendingMax' | 'roundsMax' | 'dueIntervalMs'>> &
    ReplicaOptions;
  readonly #environment: Environment;
  readonly #network: Network;
  readonly #machine: StateMachine;
  readonly #raft: Raft;
  readonly #configurations: ConfigurationChanges;

  readonly #intake: CommandIntake;
  readonly #forwarder: Forwarder;
  readonly #proposals = new Proposals();
  readonly #writer: LogWriter;
  readonly #snapshots: Snapshots;
  readonly #leadership: Leadership;
  readonly #dueTimer: DueTimer;
  readonly #handOver: HandOver;
  readonly #cancels: Cancel[] = [];

  readonly #time: LedgerClock;
  /** The largest stamp applied so far. */
  #appliedAt: number;
  #knownLeader: NodeId | undefined;
  #isTurnScheduled = false;
  #alarm: { readonly at: number; readonly cancel: Cancel } | undefined;
  #state: 'running' | 'broken' | 'closed' = 'running';

  constructor(
    options: ReplicaOptions & Required<Pick<ReplicaOptions, 'pendingMax' | 'roundsMax' | 'dueIntervalMs'>>,
    {
      environment,
      committer,
      network,
      machine,
      store,
    }: ReplicaDependencies & { readonly store: SnapshotStore },
    raft: Raft,
    restarted: Restart,
  ) {
    this.#options = options;
    this.#environment = environment;
    this.#time = new LedgerClock({ toleratedMs: clockJumpToleratedMs }, environment);
    this.#network = network;
    this.#machine = machine;
    this.#raft = raft;
    this.#appliedAt = restarted.snapshot?.appliedAt ?? 0;
    const { clock, log } = environment;
    const { snapshot } = restarted.restored;
    const { voters, observers } = options;
    this.#configurations = new ConfigurationChanges(
      { decided: snapshot ?? { index: 0, configuration: { voters, observers } } },
      { clock, log },
    );
    this.#intake = new CommandIntake({ pendingMax: options.pendingMax }, { clock });
    this.#forwarder = new Forwarder(
      {
        batchCountMax: batchBounds.countMax,
        batchBytesMax: batchBounds.bytesMax,
        requestsMax: options.roundsMax,
        retryDelayMs: options.heartbeatMs ?? defaults.heartbeatMs,
      },
      { network, queue: this.#intake.own, clock, log, onReady: () => this.#schedule() },
    );
    this.#leadership = new Leadership({ log });
    this.#writer = new LogWriter(
      { lastIndex: raft.status().lastIndex },
      { committer, onWritten: (sequence) => this.#onWritten(sequence) },
    );
    this.#snapshots = new Snapshots(
      { ...options.snapshots, restarted },
      {
        raft,
        machine,
        store,
        committer,
        network,
        clock,
        log,
        onReady: () => this.#schedule(),
        guard: (action) => this.#guard(action),
      },
    );
    this.#handOver = new HandOver({ self: options.self }, { clock });
    this.#dueTimer = new DueTimer(
      { intervalMs: options.dueIntervalMs },
      { clock, due: () => this.#due(), submit: (command) => this.#submitDue(command) },
    );
    this.#cancels.push(
      this.#snapshots.start(),
      network.onMessage(raftChannel, (from, payload) => this.#receive(from, payload)),
      network.onRequest(submitChannel, (_from, payload) => this.#receiveForwarded(payload)),
      network.onReachability(() => this.#schedule()),
    );
    this.#turn();
    this.#dueTimer.start();
  }

  async submit(command: Uint8Array, options: { readonly timeoutMs: number }): Promise<Uint8Array> {
    if (this.#state === 'closed') throw new LedgerError('CLOSED', 'the ledger is closed');
    const { commandBytesMax } = limits;
    invariant(command.byteLength <= commandBytesMax, `a command has at most ${commandBytesMax} bytes`);
    const result = this.#intake.own.offer(command, options.timeoutMs);
    this.#schedule();
    return result;
  }

  status(): ReturnType<Ledger['status']> {
    const { role, leader, term, lastIndex, commitIndex, appliedIndex, match, configuration } =
      this.#raft.status();
    const isVoter = configuration.voters.includes(this.#options.self);
    return {
      role: !isVoter ? 'observer' : role === 'preCandidate' ? 'candidate' : role,
      ...(leader === undefined ? {} : { leader }),
      term,
      lastIndex,
      commitIndex,
      appliedIndex,
      match,
    };
  }

  stats(): ReplicaStats {
    const { lastIndex, baseIndex, snapshotIndex } = this.#raft.status();
    return { logEntries: lastIndex - baseIndex, snapshotIndex, snapshotBytes: this.#snapshots.newestBytes };
  }

  freshness(): ReturnType<Ledger['freshness']> {
    return {
      linearizable:
        this.#state === 'running' && this.#raft.isLinearizable(this.#environment.clock.monotonic()),
      asOf: this.#appliedAt,
    };
  }

  onLeadership(handler: (leading: boolean) => void): Cancel {
    return this.#leadership.on(handler);
  }

  configuration(): DecidedConfiguration {
    return this.#configurations.decided;
  }

  onConfiguration(handler: (decided: DecidedConfiguration) => void): Cancel {
    return this.#configurations.on(handler);
  }

  async reconfigure(
    change: ConfigurationChange,
    { timeoutMs }: { readonly timeoutMs: number },
  ): Promise<Reconfigured> {
    let outcome: Reconfigured | Promise<Reconfigured> = { kind: 'undecided' };
    this.#guard(() => {
      const proposed = this.#raft.proposeConfiguration(this.#environment.clock.monotonic(), change);
      outcome = proposed.kind === 'refused' ? proposed : this.#configurations.outcome(proposed, timeoutMs);
    });
    this.#schedule();
    return outcome;
  }

  isRecovering(): boolean {
    return this.#raft.status().recovering;
  }

  async handOver(): Promise<boolean> {
    const now = this.#environment.clock.monotonic();
    let outcome: boolean | Promise<boolean> = false;
    this.#guard(() => {
      const proposed = this.#raft.transferLeadership(now);
      if (proposed.kind === 'accepted') outcome = this.#handOver.outcome(proposed.until - now);
      else outcome = proposed.code === 'NOT_LEADER';
    });
    this.#schedule();
    return outcome;
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#configurations.close();
    this.#handOver.close();
    for (const cancel of this.#cancels.splice(0)) cancel();
    this.#alarm?.cancel();
    this.#dueTimer.stop();
    const error = new LedgerError('CLOSED', 'the ledger is closed');
    this.#intake.refuseAll(error);
    this.#noticeLeadership();
  }

  #receive(from: NodeId, payload: Uint8Array): void {
    const message = decodeMessage(from, this.#options.self, payload);
    if (message === undefined) {
      this.#environment.log.warn(
        { peer: from, bytes: payload.byteLength },
        'malformed consensus message dropped',
      );
      return;
    }
    this.#guard(() =>
      this.#raft.step({ kind: 'message', now: this.#environment.clock.monotonic(), message }),
    );
    this.#schedule();
  }

  #receiveForwarded(payload: Uint8Array): Promise<Uint8Array> {
    const isLeading = this.#state === 'running' && this.#raft.role === 'leader';
    return this.#intake.serve(payload, { isLeading, onOffered: () => this.#schedule() });
  }

  /** A turn follows as soon as the running code has returned. */
  #schedule(): void {
    if (this.#isTurnScheduled || this.#state !== 'running') return;
    this.#isTurnScheduled = true;
    queueMicrotask(() => {
      this.#isTurnScheduled = false;
      this.#turn();
    });
  }

  #turn(): void {
    this.#guard(() => {
      const now = this.#environment.clock.monotonic();
      // Read at every turn, leading or not, so that slow drift is never taken for a jump.
      this.#time.now();
      if (now >= this.#raft.wakeAt()) this.#raft.step({ kind: 'tick', now });
      this.#noticeLeader();
      this.#propose(now);
      const ready = this.#raft.ready();
      this.#writer.take(ready, this.#snapshots.together(ready, this.#writer.lastIndex));
      for (const message of ready.sendNow) this.#send(message);
      this.#install(ready);
      this.#apply(ready.committed);
      this.#snapshots.turn(ready, this.#appliedAt);
      this.#noticeLeadership();
      this.#armAlarm();
      if (this.#canPropose() && !this.#intake.isEmpty) this.#schedule();
    });
  }

  /** Invariant 5: the core is not touched again after it, or its driver, was found to be wrong. */
  #guard(action: () => void): void {
    if (this.#state !== 'running') return;
    try {
      action();
    } catch (error) {
      this.#state = 'broken';
      this.#environment.fatal(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #noticeLeader(): void {
    const { leader } = this.#raft;
    if (leader !== this.#knownLeader) {
      this.#knownLeader = leader;
      this.#environment.log.info({ leader, term: this.#raft.status().term }, 'ledger leader');
      this.#forwarder.abandon();
      this.#handOver.leaderIs(leader);
    }
    if (leader === this.#options.self) return;
    this.#intake.refuseGuests(new LedgerError('NO_LEADER', 'this node does not lead'));
    if (leader !== undefined) this.#forwarder.sendTo(leader);
  }

  #canPropose(): boolean {
    return this.#raft.isEstablished && this.#proposals.size < this.#options.roundsMax;
  }

  #propose(now: number): void {
    while (this.#canPropose()) {
      const commands = this.#intake.take();
      if (commands.length === 0) return;
      const at = this.#time.now();
      const payload = encodeBatch({ at, commands: commands.map(({ command }) => command) });
      const proposed = this.#raft.propose(now, [payload]);
      invariant(proposed.kind === 'accepted', `an established leader takes a batch, not ${proposed.kind}`);
      for (const index of proposed.indexes) this.#proposals.add({ index, term: proposed.term, commands });
    }
  }

  #onWritten(sequence: number): void {
    this.#guard(() => {
      const messages = this.#writer.written(sequence);
      this.#raft.step({ kind: 'persisted', now: this.#environment.clock.monotonic(), sequence });
      for (const message of messages) this.#send(message);
      this.#snapshots.written(sequence);
    });
    this.#schedule();
  }

  /** Lost if the peer cannot be reached: the core sends again whatever matters. */
  #send(message: Message): void {
    if (this.#network.reachable(message.to))
      this.#network.send(message.to, raftChannel, encodeMessage(message));
  }

  /** The machine goes on from a snapshot. What was proposed before it may or may not be in it: ask again. */
  #install({ install }: Ready): void {
    if (install === undefined) return;
    this.#appliedAt = this.#snapshots.install(install);
    this.#intake.giveBack(this.#proposals.overtaken(install));
    this.#configurations.installed(install);
    this.#raft.step({ kind: 'applied', now: this.#environment.clock.monotonic(), index: install.index });
    this.#schedule();
  }

  #apply(committed: readonly Entry[]): void {
    for (const entry of committed) {
      const { winners, losers } = this.#proposals.decided(entry);
      if (losers.length > 0) {
        this.#intake.giveBack(losers);
        this.#schedule();
      }
      if (entry.kind === 'command') this.#applyBatch(entry, winners);
      this.#configurations.applied(entry);
      this.#snapshots.applied(entry);
    }
    const last = committed.at(-1);
    if (last === undefined) return;
    this.#raft.step({ kind: 'applied', now: this.#environment.clock.monotonic(), index: last.index });
  }

  #applyBatch(entry: Entry, winners: readonly PendingCommand[]): void {
    const batch = decodeBatch(entry.data);
    invariant(batch !== undefined, `entry ${entry.index} is a batch of commands that this program can read`);
    // Invariant 4: every replica corrects a stamp from a clock that is behind to the same time.
    this.#appliedAt = Math.max(this.#appliedAt, batch.at);
    invariant(
      winners.length === 0 || winners.length === batch.commands.length,
      `entry ${entry.index} holds the commands that were proposed`,
    );
    batch.commands.forEach((command, place) => {
      const result = this.#machine.apply(this.#appliedAt, command);
      winners[place]?.finish(result);
    });
  }

  #noticeLeadership(): void {
    const now = this.#environment.clock.monotonic();
    const leading =
      this.#state === 'running' &&
      this.#raft.leaseValid(now) &&
      (this.#leadership.isLeading || (this.#raft.isEstablished && this.#raft.isLinearizable(now)));
    this.#leadership.notice(leading);
  }

  /** Keeps one timer, and moves it only when it would come too late. */
  #armAlarm(): void {
    const at = this.#raft.wakeAt();
    if (at === Infinity || (this.#alarm !== undefined && this.#alarm.at <= at)) return;
    this.#alarm?.cancel();
    const { clock } = this.#environment;
    const cancel = clock.after(Math.max(0, at - clock.monotonic()), () => {
      this.#alarm = undefined;
      this.#turn();
    });
    this.#alarm = { at, cancel };
  }

  #due(): Uint8Array | undefined {
    let due: Uint8Array | undefined;
    if (this.#leadership.isLeading) {
      this.#guard(() => {
        due = this.#machine.due(this.#time.now());
      });
    }
    return due;
  }

  #submitDue(command: Uint8Array): Promise<Uint8Array> {
    const decided = this.#intake.own.offer(command, this.#options.dueIntervalMs * 10);
    this.#schedule();
    return decided;
  }
}
