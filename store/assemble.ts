/**
 * Builds the store of one node on a disk and a network that others provide: LevelDB and libp2p in the program,
 * simulated ones in the simulator, the same store above them. Owns the order in which the parts open and close,
 * and nothing else: who decides what is in the parts.
 *
 * 1. A part is closed before what it stands on: ledger, journal, committer. Disk and network are the caller's.
 * 2. When a part does not open, those that did are closed again.
 * 3. Every handler is in place when this resolves: from then on the network may hand over frames.
 */
import { createCommitter, type CommitterStats } from './disk/group-commit.ts';
import type { Disk } from './disk/port.ts';
import { createTable } from './disk/tables.ts';
import { invariant, type Environment, type NodeId } from './environment.ts';
import { openJournal, type JournalStats, type OpenJournal } from './journal/journal.ts';
import type { JournalLimits } from './journal/limits.ts';
import { createLedger } from './ledger/ledger.ts';
import type { Ledger } from './ledger/port.ts';
import { openReplica, type ReplicaStats } from './ledger/replica.ts';
import { createStockMachine } from './ledger/stock.ts';
import type { Network } from './peers/port.ts';
import type { Table } from './tables.ts';

export interface AssembleOptions {
  readonly self: NodeId;
  readonly zone: string;
  /** All members, this node included. */
  readonly members: readonly {
    readonly id: NodeId;
    readonly zone: string;
    /** Whether it decides: its disk counts towards majorities, of its zone's journal and of the ledger. */
    readonly voter: boolean;
  }[];
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
  /** The same name gives the same table. */
  table(name: string): Table;
  stats(): {
    readonly committer: CommitterStats;
    readonly journal: JournalStats;
    readonly ledger: ReplicaStats;
  };
  /** Idempotent. What is still asked of the store after it is never answered, or rejected as CLOSED. */
  close(): Promise<void>;
}

const commandTimeoutMsDefault = 5_000;
/** Of the entries before a snapshot, for who is a little behind; never more than lie between two snapshots. */
const keptEntriesMax = 2_000;

/** Rejects with what a damaged journal or ledger throws, or with the disk's own error. */
export async function assembleStore(
  options: AssembleOptions,
  dependencies: {
    readonly environment: Environment;
    readonly disk: Disk;
    readonly network: Network;
    readonly observer?: StoreObserver;
  },
): Promise<AssembledStore> {
  const { self, zone, members } = options;
  const { environment, disk, observer } = dependencies;
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
    const inZone = members.filter((member) => member.zone === zone);
    const journal = await openJournal(
      {
        ...options.journal,
        self,
        zonePeers: idsOf(inZone).filter((id) => id !== self),
        zoneVoters: idsOf(inZone.filter(isVoter)),
      },
      parts,
    );
    closing.push(() => journal.close());
    const machine = createStockMachine();
    const replica = await openReplica(
      {
        self,
        voters: idsOf(members.filter(isVoter)),
        observers: idsOf(members.filter((member) => !isVoter(member))),
        ...timing,
        ...(snapshotAfterEntries === undefined ? {} : { snapshots: snapshotsEvery(snapshotAfterEntries) }),
      },
      { ...parts, machine },
    );
    closing.push(() => replica.close());

    let closed: Promise<void> | undefined;
    return {
      journal,
      ledger: createLedger({ commandTimeoutMs }, { log: replica, machine, environment }),
      table: (name) => createTable(name, { disk, log: environment.log }),
      stats: () => ({ committer: committer.stats(), journal: journal.stats(), ledger: replica.stats() }),
      close: () => (closed ??= closeAll()),
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** What the configuration has checked with better words; wrong here, orders could cross zones. */
function snapshotsEvery(entries: number): { readonly logEntriesMax: number; readonly keptEntries: number } {
  return { logEntriesMax: entries, keptEntries: Math.min(entries, keptEntriesMax) };
}

function checkMembership({ self, zone, members }: AssembleOptions): void {
  const own = members.find((member) => member.id === self);
  invariant(own !== undefined && own.zone === zone, `${self} is listed in zone ${zone}`);
  invariant(
    members.some((member) => member.zone === zone && member.voter),
    `zone ${zone} has a voter`,
  );
}

type Members = AssembleOptions['members'];
const isVoter = (member: Members[number]): boolean => member.voter;
const idsOf = (members: Members): readonly NodeId[] => members.map((member) => member.id);
