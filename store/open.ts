/**
 * Builds one node's store out of its parts and joins them. Owns the order in which they open and close, and
 * nothing else: who decides what is in the parts.
 *
 * 1. A part is closed before what it stands on: ledger and journal, network, committer, disk.
 * 2. When a part does not open, those that did are closed again, and the data directory's lock is given back.
 */
import { createCommitter, type CommitterStats } from './disk/group-commit.ts';
import { openLevelDisk } from './disk/level-disk.ts';
import { createTable } from './disk/tables.ts';
import { invariant, type Environment, type NodeId } from './environment.ts';
import { openJournal, type JournalStats, type OpenJournal } from './journal/journal.ts';
import { createLedger } from './ledger/ledger.ts';
import type { Ledger } from './ledger/port.ts';
import { openReplica } from './ledger/replica.ts';
import { createStockMachine } from './ledger/stock.ts';
import type { Identity } from './peers/identity.ts';
import type { Address, Member } from './peers/members.ts';
import { createNetwork } from './peers/network.ts';
import type { Lane, Network } from './peers/port.ts';
import type { Table } from './tables.ts';

export interface StoreMember extends Member {
  readonly zone: string;
  /** Whether it decides: its disk counts towards majorities, of its zone's journal and of the ledger. */
  readonly voter: boolean;
}

export interface StoreOptions {
  readonly self: NodeId;
  readonly zone: string;
  /** Created when missing; one process at a time. */
  readonly dataDirectory: string;
  readonly identity: Identity;
  /** Where this node listens for the others. */
  readonly listen: Address;
  /** All members, this node included. */
  readonly members: readonly StoreMember[];
  readonly ledger?: {
    readonly heartbeatMs?: number;
    readonly electionTimeoutMs?: number;
    /** How long a command may stay undecided before its caller hears TIMEOUT. */
    readonly commandTimeoutMs?: number;
  };
}

/** Hears what happens inside, for metrics. Must not throw. */
export interface StoreObserver {
  /** One group commit: how long it took, and how many writes shared it. */
  fsync?(seconds: number, operations: number): void;
}

export interface MemberStatus {
  readonly id: NodeId;
  readonly peerId: string;
  readonly zone: string;
  readonly voter: boolean;
  /** This node always reaches itself. */
  readonly reachable: boolean;
}

export interface StoreStats {
  readonly committer: CommitterStats;
  readonly journal: JournalStats;
  /** Bytes that wait to be sent, per peer and lane. */
  readonly queuedBytes: Readonly<Record<NodeId, Readonly<Record<Lane, number>>>>;
}

export interface Store extends Pick<Network, 'self' | 'peers' | 'reachable' | 'onReachability'> {
  /** Registers and appends once `opened()` has resolved, which may have to wait for peers. */
  readonly journal: Omit<OpenJournal, 'close' | 'stats'>;
  readonly ledger: Ledger;
  /** Where this node really listens for the others. */
  readonly listening: Address;
  /** The same name gives the same table. */
  table(name: string): Table;
  members(): readonly MemberStatus[];
  stats(): StoreStats;
  /** Idempotent. What is still asked of the store after it is never answered, or rejected as CLOSED. */
  close(): Promise<void>;
}

const commandTimeoutMsDefault = 5_000;

/**
 * Resolves when this node can receive, read and take part in decisions; it need not have met a peer yet.
 * Rejects with DiskError, MembersError, NetworkError, or what a damaged journal or ledger throws.
 */
export async function openStore(
  options: StoreOptions,
  dependencies: { readonly environment: Environment; readonly observer?: StoreObserver },
): Promise<Store> {
  const closing: (() => Promise<void>)[] = [];
  const closeAll = async (): Promise<void> => {
    for (let close = closing.pop(); close !== undefined; close = closing.pop()) await close();
  };
  try {
    return await openParts(options, dependencies, { closing, closeAll });
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function openParts(
  options: StoreOptions,
  dependencies: { readonly environment: Environment; readonly observer?: StoreObserver },
  {
    closing,
    closeAll,
  }: { readonly closing: (() => Promise<void>)[]; readonly closeAll: () => Promise<void> },
): Promise<Store> {
  const { self, zone, identity, listen, members } = options;
  const { environment, observer } = dependencies;
  const { log } = environment;
  const { commandTimeoutMs = commandTimeoutMsDefault, ...timing } = options.ledger ?? {};
  checkMembership(options);

  const disk = await openLevelDisk({ directory: options.dataDirectory });
  closing.push(() => disk.close());
  const committer = createCommitter(observer === undefined ? {} : { observer }, { disk, environment });
  closing.push(() => committer.close());
  const network = await createNetwork({ self, identity, listen, members }, { environment });
  closing.push(() => network.close());

  const parts = { environment, disk, committer, network };
  const inZone = members.filter((member) => member.zone === zone);
  const journal = await openJournal(
    { self, zonePeers: idsOf(inZone).filter((id) => id !== self), zoneVoters: idsOf(inZone.filter(isVoter)) },
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
    },
    { ...parts, machine },
  );
  closing.push(() => replica.close());
  const ledger = createLedger({ commandTimeoutMs }, { log: replica, machine, environment });
  // Last: from the first frame on, every handler is in place.
  await network.start();

  let closed: Promise<void> | undefined;
  return {
    self,
    peers: network.peers,
    journal,
    ledger,
    listening: network.listening,
    table: (name) => createTable(name, { disk, log }),
    members: () =>
      members.map(({ id, peerId, voter, zone: itsZone }) => {
        return { id, peerId, zone: itsZone, voter, reachable: id === self || network.reachable(id) };
      }),
    reachable: (peer) => network.reachable(peer),
    onReachability: (handler) => network.onReachability(handler),
    stats: () => {
      return { committer: committer.stats(), journal: journal.stats(), queuedBytes: network.queuedBytes() };
    },
    close: () => (closed ??= closeAll()),
  };
}

/** What the configuration has checked with better words; wrong here, orders could cross zones. */
function checkMembership({ self, zone, members }: StoreOptions): void {
  const own = members.find((member) => member.id === self);
  invariant(own !== undefined && own.zone === zone, `${self} is listed in zone ${zone}`);
  invariant(
    members.some((member) => member.zone === zone && member.voter),
    `zone ${zone} has a voter`,
  );
}

const isVoter = (member: StoreMember): boolean => member.voter;
const idsOf = (members: readonly StoreMember[]): readonly NodeId[] => members.map((member) => member.id);
