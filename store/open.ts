/**
 * Opens one node's store on LevelDB and libp2p: puts the disk and the network under what `assemble.ts` builds.
 *
 * 1. A part is closed before what it stands on: what was assembled, the network, the disk.
 * 2. When a part does not open, those that did are closed again, and the data directory's lock is given back.
 */
import { assembleStore, type AssembledStore, type AssembleOptions, type StoreObserver } from './assemble.ts';
import { openLevelDisk } from './disk/level-disk.ts';
import type { Environment, NodeId } from './environment.ts';
import type { Identity } from './peers/identity.ts';
import type { MemberRecord } from './membership/port.ts';
import { createNetwork } from './peers/network.ts';
import type { Address, Lane, Network } from './peers/port.ts';

export interface StoreOptions extends Pick<AssembleOptions, 'self' | 'zone' | 'found' | 'ledger'> {
  /** Created when missing; one process at a time. */
  readonly dataDirectory: string;
  readonly identity: Identity;
  /** Where this node listens for the others. */
  readonly listen: Address;
  /** All members, this node included: what a cluster is founded with, and whom a newcomer asks. */
  readonly members: readonly MemberRecord[];
}

export interface MemberStatus {
  readonly id: NodeId;
  readonly peerId: string;
  readonly zone: string;
  readonly voter: boolean;
  /** This node always reaches itself. */
  readonly reachable: boolean;
}

export interface StoreStats extends ReturnType<AssembledStore['stats']> {
  /** Bytes that wait to be sent, per peer and lane. */
  readonly queuedBytes: Readonly<Record<NodeId, Readonly<Record<Lane, number>>>>;
}

export interface Store
  extends Omit<AssembledStore, 'stats'>, Pick<Network, 'self' | 'peers' | 'reachable' | 'onReachability'> {
  /** Where this node really listens for the others. */
  readonly listening: Address;
  members(): readonly MemberStatus[];
  /** Members that do not let this node in: it was taken out while it was down, or is not added yet. */
  refusedBy(): readonly NodeId[];
  stats(): StoreStats;
}

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
  const { self, identity, listen, members } = options;
  const { environment } = dependencies;

  const disk = await openLevelDisk({ directory: options.dataDirectory }, environment);
  closing.push(() => disk.close());
  const network = await createNetwork({ self, identity, listen, members }, { environment });
  closing.push(() => network.close());
  const assembled = await assembleStore(options, { ...dependencies, disk, network });
  closing.push(() => assembled.close());
  // Last: from the first frame on, every handler is in place.
  await network.start();

  let closed: Promise<void> | undefined;
  return {
    ...assembled,
    self,
    get peers() {
      return network.peers;
    },
    listening: network.listening,
    members: () =>
      assembled.membership.list().members.map(({ id, peerId, voter, zone }) => {
        return { id, peerId, zone, voter, reachable: id === self || network.reachable(id) };
      }),
    refusedBy: () => network.refusedBy,
    reachable: (peer) => network.reachable(peer),
    onReachability: (handler) => network.onReachability(handler),
    stats: () => ({ ...assembled.stats(), queuedBytes: network.queuedBytes() }),
    close: () => (closed ??= closeAll()),
  };
}
