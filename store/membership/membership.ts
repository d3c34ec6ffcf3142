/**
 * Who takes part, on this node: carries changes to the leader, makes them there one at a time, and has links and
 * journal follow what is decided. Owns the order of these steps; who counts when is consensus/ and journal/.
 *
 * 1. Only what the ledger has decided changes anything here; a list is taken up once, and none that is older.
 * 2. A change is proposed only when nothing stands in its way (barrier.ts), judged and proposed by the leader alone.
 * 3. Who is removed hears so from the others before they end its links, as far as it can be reached. It does not end
 *    them itself: a list without this node may be an old one, met on the way to one that has it.
 * 4. Every call ends: with the list, with a refusal that changed nothing, or with TIMEOUT.
 */
import type { Cancel, Environment, NodeId } from '../environment.ts';
import { RequestError, type MemberNetwork } from '../peers/port.ts';
import { obstacle, type Standing } from './barrier.ts';
import { changed, votersOf } from './member-list.ts';
import {
  channels,
  decodeAnswer,
  decodeChange,
  decodeFarewell,
  decodeStanding,
  encodeAnswer,
  encodeChange,
  encodeFarewell,
  encodeStanding,
  type ChangeAnswer,
  type DecidedList,
} from './messages.ts';
import {
  MembershipError,
  type MemberChange,
  type MemberList,
  type MemberRecord,
  type Membership,
} from './port.ts';

export interface MembershipOptions {
  readonly self: NodeId;
  /** As found on this node's disk, or in its file when it has never heard of another. */
  readonly decided: DecidedList;
  /** Whether nothing but its file says so: see `Membership.isWaiting`. */
  readonly isWaiting?: boolean;
  /** How long a change may take in all. */
  readonly changeTimeoutMs?: number;
  /** How long the leader waits for members to become ready. */
  readonly barrierTimeoutMs?: number;
  /** How long who is removed keeps its links, so that it can hear why it loses them. */
  readonly farewellMs?: number;
}

/** The log in which lists of members are decided. */
export interface MemberLog {
  leader(): NodeId | undefined;
  /** Told at once of the list as it is: others may have been decided since this node looked. */
  onMembers(handler: (decided: DecidedList) => void): Cancel;
  /** Resolves once it is decided and applied here. Rejects with MembershipError. Leader only. */
  reconfigure(change: MemberChange, next: MemberList, options: { readonly timeoutMs: number }): Promise<void>;
}

export interface MembershipDependencies {
  readonly environment: Environment;
  readonly network: MemberNetwork;
  readonly log: MemberLog;
  readonly journal: {
    standing(): Standing;
    setMembers(list: MemberList): void;
  };
}

export interface OpenMembership extends Membership {
  close(): void;
}

const retryDelayMs = 200;
const standingTimeoutMs = 1_000;

export function openMembership(
  options: MembershipOptions,
  dependencies: MembershipDependencies,
): OpenMembership {
  return new NodeMembership(options, dependencies);
}

class NodeMembership implements OpenMembership {
  readonly #options: Required<MembershipOptions>;
  readonly #dependencies: MembershipDependencies;
  readonly #handlers = new Set<(list: MemberList) => void>();
  readonly #cancels: Cancel[];
  #decided: DecidedList;
  #isWaiting: boolean;
  #isChanging = false;
  #cancelFarewell: Cancel = () => undefined;
  #closed = false;

  constructor(options: MembershipOptions, dependencies: MembershipDependencies) {
    this.#options = {
      isWaiting: false,
      changeTimeoutMs: 20_000,
      barrierTimeoutMs: 5_000,
      farewellMs: 500,
      ...options,
    };
    this.#isWaiting = this.#options.isWaiting;
    this.#dependencies = dependencies;
    this.#decided = options.decided;
    const { network, log, journal } = dependencies;
    this.#cancels = [
      log.onMembers((decided) => {
        this.#take(decided);
      }),
      network.onRequest(channels.change, (_from, payload) => this.#answer(payload)),
      network.onRequest(channels.standing, async () => encodeStanding(journal.standing())),
      network.onMessage(channels.farewell, (from, payload) => {
        this.#hearFarewell(from, payload);
      }),
    ];
  }

  list(): MemberList {
    return this.#decided.list;
  }

  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  onChange(handler: (list: MemberList) => void): Cancel {
    this.#handlers.add(handler);
    return () => {
      this.#handlers.delete(handler);
    };
  }

  async change(change: MemberChange, patience: { readonly timeoutMs?: number } = {}): Promise<MemberList> {
    const { log, environment } = this.#dependencies;
    const { clock } = environment;
    const timeoutMs = Math.min(this.#options.changeTimeoutMs, patience.timeoutMs ?? Infinity);
    const deadline = clock.monotonic() + timeoutMs;
    let isUnknown = false;
    while (!this.#closed) {
      const leader = log.leader();
      const left = deadline - clock.monotonic();
      if (left <= 0) break;
      const answer = leader === undefined ? 'nobody' : await this.#ask(leader, change, left);
      if (answer === 'unknown') isUnknown = true;
      else if (answer !== 'nobody') {
        if (answer.kind === 'changed') return answer.list;
        const { code } = answer.error;
        // What was asked before without an answer may be what made it so.
        if (isUnknown && code === 'UNKNOWN_MEMBER' && change.kind === 'remove') return this.list();
        if (code === 'TIMEOUT') isUnknown = true;
        else if (code !== 'NO_LEADER') throw answer.error;
      }
      await this.#pause(Math.min(retryDelayMs, left));
    }
    throw isUnknown
      ? new MembershipError('TIMEOUT', 'the change was not decided in time, and may take effect yet')
      : new MembershipError('NO_LEADER', 'the ledger has no leader that could decide the change');
  }

  close(): void {
    this.#closed = true;
    for (const cancel of this.#cancels) cancel();
    this.#cancelFarewell();
    this.#handlers.clear();
  }

  async #ask(
    leader: NodeId,
    change: MemberChange,
    timeoutMs: number,
  ): Promise<ChangeAnswer | 'nobody' | 'unknown'> {
    const { network } = this.#dependencies;
    if (leader === this.#options.self) return this.#changeHere(change, timeoutMs);
    try {
      const answer = await network.request(leader, channels.change, encodeChange(change), { timeoutMs });
      return decodeAnswer(answer) ?? 'unknown';
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      // Without a link it was not even sent; whether it was before the link broke, nobody can tell.
      return error.code === 'NO_HANDLER' || error.code === 'OVERLOADED' ? 'nobody' : 'unknown';
    }
  }

  async #answer(payload: Uint8Array): Promise<Uint8Array> {
    const change = decodeChange(payload);
    if (change === undefined) throw new Error('a malformed change of members');
    const { log } = this.#dependencies;
    if (log.leader() !== this.#options.self) {
      const error = new MembershipError('NO_LEADER', 'this node does not lead the ledger');
      return encodeAnswer({ kind: 'refused', error });
    }
    return encodeAnswer(await this.#changeHere(change, this.#options.changeTimeoutMs));
  }

  async #changeHere(change: MemberChange, timeoutMs: number): Promise<ChangeAnswer> {
    const { environment, log } = this.#dependencies;
    const { clock } = environment;
    const deadline = clock.monotonic() + timeoutMs;
    if (this.#isChanging) {
      const error = new MembershipError('CHANGE_UNDER_WAY', 'another change of members is being made');
      return { kind: 'refused', error };
    }
    this.#isChanging = true;
    try {
      const { list } = this.#decided;
      const next = changed(list, change);
      if (next === list) return { kind: 'changed', list };
      await this.#untilReady(
        list,
        next,
        Math.min(deadline, clock.monotonic() + this.#options.barrierTimeoutMs),
      );
      if (this.#decided.list !== list) {
        throw new MembershipError('CHANGE_UNDER_WAY', 'another change of members was just decided');
      }
      environment.log.info({ change }, 'changing the members');
      await log.reconfigure(change, next, { timeoutMs: Math.max(1, deadline - clock.monotonic()) });
      return { kind: 'changed', list: next };
    } catch (error) {
      if (!(error instanceof MembershipError)) throw error;
      environment.log.warn(
        { change, code: error.code, detail: error.detail },
        'the members were not changed',
      );
      return { kind: 'refused', error };
    } finally {
      this.#isChanging = false;
    }
  }

  /** Rejects with what is still in the way at `deadline` (monotonic ms). */
  async #untilReady(list: MemberList, next: MemberList, deadline: number): Promise<void> {
    const { clock } = this.#dependencies.environment;
    for (;;) {
      const found = obstacle(list, next, await this.#standings(votersOf(next.members)));
      if (found === undefined) return;
      if (clock.monotonic() >= deadline || this.#closed) throw found;
      await this.#pause(retryDelayMs);
    }
  }

  async #standings(ids: readonly NodeId[]): Promise<ReadonlyMap<NodeId, Standing>> {
    const { network, journal } = this.#dependencies;
    const standings = new Map<NodeId, Standing>();
    await Promise.all(
      ids.map(async (id) => {
        if (id === this.#options.self) {
          standings.set(id, journal.standing());
          return;
        }
        try {
          const options = { timeoutMs: standingTimeoutMs };
          const standing = decodeStanding(
            await network.request(id, channels.standing, new Uint8Array(), options),
          );
          if (standing !== undefined) standings.set(id, standing);
        } catch (error) {
          // Who does not answer is not there: the barrier judges what that means.
          if (!(error instanceof RequestError)) throw error;
        }
      }),
    );
    return standings;
  }

  /** Invariant 1. */
  #take(decided: DecidedList): void {
    if (this.#closed || decided.index <= this.#decided.index) return;
    const before = this.#decided.list;
    this.#decided = decided;
    this.#isWaiting = false;
    const { list } = decided;
    const { journal, environment } = this.#dependencies;
    const isMember = (id: NodeId): boolean => list.members.some((member) => member.id === id);
    const removed = before.members.filter(({ id }) => id !== this.#options.self && !isMember(id));
    const members = list.members.map(({ id, voter }) => (voter ? id : `${id} (observer)`));
    const message = isMember(this.#options.self) ? 'members decided' : 'members decided, without this node';
    environment.log.info({ index: decided.index, members }, message);
    journal.setMembers(list);
    if (isMember(this.#options.self)) this.#follow(decided, removed);
    for (const handler of [...this.#handlers]) handler(list);
  }

  /** Who is new is let in at once; who has to leave is told first. */
  #follow(decided: DecidedList, removed: readonly MemberRecord[]): void {
    const { network, environment } = this.#dependencies;
    const { list } = decided;
    this.#cancelFarewell();
    network.setMembers([...list.members, ...removed.filter((member) => !sharesKey(member, list))]);
    for (const { id } of removed) network.send(id, channels.farewell, encodeFarewell(decided));
    if (removed.length > 0) {
      this.#cancelFarewell = environment.clock.after(this.#options.farewellMs, () => {
        network.setMembers(list.members);
      });
    }
  }

  #hearFarewell(from: NodeId, payload: Uint8Array): void {
    const decided = decodeFarewell(payload);
    const { log } = this.#dependencies.environment;
    if (decided === undefined) {
      log.warn({ from }, 'a malformed farewell was dropped');
      return;
    }
    // Only what concerns this node: everything else comes by the log.
    if (!decided.list.members.some(({ id }) => id === this.#options.self)) this.#take(decided);
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#dependencies.environment.clock.after(delayMs, resolve);
    });
  }
}

/** Whether a member of `list` has the name or the key of `left`: both cannot be listed at once. */
function sharesKey(left: { readonly id: NodeId; readonly peerId: string }, list: MemberList): boolean {
  return list.members.some(({ id, peerId }) => id === left.id || peerId === left.peerId);
}
