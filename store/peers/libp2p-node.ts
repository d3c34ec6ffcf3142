/**
 * The libp2p node behind the network, set up for a small, closed group of members. Everything that libp2p
 * would do on its own (dial, judge peers dead, limit neighbours on one host) is either turned off here,
 * because this folder does it, or opened wide enough for several nodes on one machine.
 */
import { noise } from '@libp2p/noise';
import { gossipsub, type GossipSub } from '@libp2p/gossipsub';
import { identify } from '@libp2p/identify';
import type { ConnectionGater, Libp2p } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { invariant } from '../environment.ts';
import { announcementId } from './announcements.ts';
import type { Identity } from './identity.ts';
import { multiaddrOf } from './members.ts';
import type { Address } from './port.ts';

const mebibyte = 1024 * 1024;

export type PeersLibp2p = Libp2p<{ readonly gossip: GossipSub }>;

export interface PeersLibp2pOptions {
  readonly identity: Identity;
  readonly listen: Address;
  /** Peer ids of the other members. */
  readonly others: readonly string[];
}

/** A node that does not listen yet. */
export async function createPeersLibp2p(
  options: PeersLibp2pOptions,
  dependencies: { readonly gater: ConnectionGater },
): Promise<PeersLibp2p> {
  const { identity, listen, others } = options;
  const node = await createLibp2p({
    start: false,
    privateKey: identity,
    addresses: { listen: [multiaddrOf(listen).toString()] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        // The links have their own sign of life.
        enableKeepAlive: false,
        // What may arrive before a stream's reader is in place; past it the stream would be reset.
        streamOptions: { maxReadBufferLength: 16 * mebibyte },
      }),
    ],
    connectionGater: dependencies.gater,
    connectionMonitor: { enabled: false },
    connectionManager: {
      // The defaults count per host and refuse a whole cluster that restarts on one machine.
      inboundConnectionThreshold: 1_000,
      maxIncomingPendingConnections: 1_000,
      // A handshake takes milliseconds; whoever connects and says nothing sensible is not kept.
      inboundUpgradeTimeout: 5_000,
    },
    services: {
      // Gossipsub learns from it which peers take part.
      identify: identify(),
      gossip: gossipsub({
        globalSignaturePolicy: 'StrictNoSign',
        msgIdFn: announcementId,
        allowPublishToZeroTopicPeers: true,
        tagMeshPeers: false,
        // Everybody hears everything at first hand; and a gossip stream that broke is set up again this often.
        directPeers: others.map((peerId) => ({ id: peerIdFromString(peerId), addrs: [] })),
        directConnectTicks: 2,
      }),
    },
  });
  return node;
}

/**
 * The peers that gossip sends everything to at first hand, by peer id; to be changed in place. Gossipsub reads the
 * set anew at each use, and takes the list only once, so a member that joins later is put in here.
 */
export function directPeersOf(node: PeersLibp2p): Set<string> {
  const gossip: GossipSub & { readonly direct?: unknown } = node.services.gossip;
  invariant(gossip.direct instanceof Set, 'gossipsub keeps its direct peers in a set');
  return gossip.direct as Set<string>;
}
