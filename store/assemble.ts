/**
 * Builds the store of one node on a disk and a network that others provide: LevelDB and libp2p in the program,
 * simulated ones in the simulator, the same store above them. Owns the order in which the parts open and close,
 * and nothing else: who decides what is in the parts.
 *
 * 1. A part is closed before what it stands on: membership, journal, ledger, committer. Disk and network are the
 *    caller's.
 * 2. When a part does not open, those that did are closed again.
 * 3. Every handler is in place when this resolves: from then on the network may hand over frames.
 */
import { createCommitter, type CommitterStats } from './disk/group-commit.ts';
import type { Disk } from './disk/port.ts';
import { createTable } from './disk/tables.ts';
import { invariant, type Environment, type NodeId } from './environment.ts';
import { openJournal, type JournalStats, type OpenJournal } from './journal/journal.ts';
import type { JournalLimits } from './journal/limits.ts';
import type { ZoneMembers } from './journal/port.ts';
import { createLedger } from './ledger/ledger.ts';
import type { Ledger } from './ledger/port.ts';
import { openReplica, type ReplicaStats } from './ledger/replica.ts';
import { createStockMachine } from './ledger/stock.ts';
import { decidedListOf, memberLogOf } from './membership/ledger-members.ts';
import { configurationOf, differences, epochOf, foundingList } from './membership/member-list.ts';
import { openMembership } from './membership/membership.ts';
import type { MemberList, MemberRecord, Membership } from './membership/port.ts';
import type { MemberNetwork } from './peers/port.ts';
import type { Table } from './tables.ts';

export interface AssembleOptions {
  readonly self: NodeId;
  readonly zone: string;
  /**
   * All members, this node included: what a cluster is founded with, and whom a newcomer asks. Once the ledger knows
   * of a list, that one counts.
   */
  readonly members: readonly MemberRecord[];
  /**
   * Whether this node may found a cluster with the voters among `members`, if it is one and its disk knows of no list.
   * Otherwise it waits to be told: an empty disk cannot tell a new cluster from one that has long had other members.
   */
  readonly found: boolean;
  readonly ledger?: {
    readonly heartbeatMs?: number;
    readonly electionTimeoutMs?: number;
    /** How long a command may stay undecided before its caller hears TIMEOUT. */
    readonly commandTimeoutMs?: number;
    /** Entries of the log after which a snapshot takes the place of what came before it. */
    readonly snapshotAfterEntries?: number;
  };
  readonly journal?: Partial<JournalLimits>;
}

/** Hears what happens inside, for metrics. Must not throw. */
export interface StoreObserver {
  /** One group commit: how long it took, and how many writes shared it. */
  fsync?(seconds: number, operations: number): void;
}

export interface AssembledStore {
  /** Registers and appends once `opened()` has resolved, which may have to wait for peers. */
  readonly journal: Omit<OpenJournal, 'close' | 'stats'>;
  readonly ledger: Ledger;
  readonly membership: Membership;
  /** The same name gives the same table. */
  table(name: string): Table;
  stats(): {
    readonly committer: CommitterStats;
    readonly journal: JournalStats;
    readonly ledger: ReplicaStats;
  };
  /** Before it is closed: has another node lead the ledger, if this one does. See `Replica.handOver`. */
  handOver(): Promise<boolean>;
  /** Idempotent. What is still asked of the store after it is never answered, or rejected as CLOSED. */
  close(): Promise<void>;
}

const waitingMessage =
  'this disk is empty: the node waits for its cluster to take it in. A new cluster has to be founded: start each of ' +
  'its first voters once with --found (or cluster.found: true)';
const commandTimeoutMsDefault = 5_000;
/** Of the entries before a snapshot, for who is a little behind; never more than lie between two snapshots. */
const keptEntriesMax = 2_000;

/** Rejects with what a damaged journal or ledger throws, or with the disk's own error. */
export async function assembleStore(
  options: AssembleOptions,
  dependencies: {
    readonly environment: Environment;
    readonly disk: Disk;
    readonly network: MemberNetwork;
    readonly observer?: StoreObserver;
  },
): Promise<AssembledStore> {
  const { self, zone, members } = options;
  const { environment, disk, network, observer } = dependencies;
  const {
    commandTimeoutMs = commandTimeoutMsDefault,
    snapshotAfterEntries,
    ...timing
  } = options.ledger ?? {};
  checkMembership(options);

  const closing: (() => Promise<void>)[] = [];
  const closeAll = async (): Promise<void> => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };
  try {
    const committer = createCommitter(observer === undefined ? {} : { observer }, { disk, environment });
    closing.push(() => committer.close());
    const parts = { ...dependencies, committer };
    const founding = foundingList(members);
    const founds = options.found && isVoter(options);
    const machine = createStockMachine();
    const replica = await openReplica(
      {
        self,
        ...(founds ? configurationOf(founding) : { voters: [], observers: [] }),
        ...timing,
        ...(snapshotAfterEntries === undefined ? {} : { snapshots: snapshotsEvery(snapshotAfterEntries) }),
      },
      { ...parts, machine },
    );
    closing.push(() => replica.close());
    const decided = decidedListOf(replica.configuration()) ?? { index: 0, list: founding };
    const { epoch, members: inZone } = zoneOf(decided.list, zone);
    const journal = await openJournal(
      {
        ...options.journal,
        self,
        zonePeers: inZone.map(({ id }) => id).filter((id) => id !== self),
        zoneVoters: inZone.filter(({ voter }) => voter).map(({ id }) => id),
        epoch,
      },
      // An emptied disk is whole again only with the ledger's word on who the others are.
      { ...parts, isListCurrent: () => !replica.isRecovering() },
    );
    closing.push(() => journal.close());
    const isWaiting = decided.index === 0 && !founds;
    if (isWaiting) environment.log.warn({}, waitingMessage);
    if (decided.index > 0) {
      if (options.found)
        environment.log.warn({}, 'this node has a cluster already: it need not be told to found one');
      // Who was taken out has only its file to find those who may take it back.
      if (decided.list.members.some(({ id }) => id === self)) network.setMembers(decided.list.members);
      const disagreements = differences(founding, decided.list);
      if (disagreements.length > 0) {
        const message =
          'the configuration file (first) lists other members than the ledger (second), which counts';
        environment.log.warn({ disagreements }, message);
      }
    }
    const membership = openMembership(
      { self, decided, isWaiting },
      {
        environment,
        network,
        log: memberLogOf(replica),
        journal: {
          standing: () => journal.standing(),
          setMembers: (list) => {
            journal.setMembers(zoneOf(list, zone));
          },
        },
      },
    );
    closing.push(async () => {
      membership.close();
    });

    let closed: Promise<void> | undefined;
    return {
      journal,
      membership,
      ledger: createLedger({ commandTimeoutMs }, { log: replica, machine, environment }),
      table: (name) => createTable(name, { disk, log: environment.log }),
      stats: () => ({ committer: committer.stats(), journal: journal.stats(), ledger: replica.stats() }),
      handOver: () => replica.handOver(),
      close: () => (closed ??= closeAll()),
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function snapshotsEvery(entries: number): { readonly logEntriesMax: number; readonly keptEntries: number } {
  return { logEntriesMax: entries, keptEntries: Math.min(entries, keptEntriesMax) };
}

/** What the configuration has checked with better words; wrong here, orders could cross zones. */
function checkMembership({ self, zone, members }: AssembleOptions): void {
  const own = members.find((member) => member.id === self);
  invariant(own !== undefined && own.zone === zone, `${self} is listed in zone ${zone}`);
  invariant(
    members.some((member) => member.zone === zone && member.voter),
    `zone ${zone} has a voter`,
  );
}

function isVoter({ self, members }: AssembleOptions): boolean {
  return members.some(({ id, voter }) => id === self && voter);
}

function zoneOf(list: MemberList, zone: string): ZoneMembers {
  const members = list.members.filter((member) => member.zone === zone);
  return { epoch: epochOf(list, zone), members: members.map(({ id, voter }) => ({ id, voter })) };
}
