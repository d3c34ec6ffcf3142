/**
 * Who may connect. A connection is judged once its encryption has proved who is at the other end, and nothing
 * that an unlisted peer sends is read before that.
 */
import type { ConnectionGater } from '@libp2p/interface';
import type { NodeId } from '../environment.ts';
import type { Members } from './members.ts';

export interface GaterDependencies {
  readonly members: Members;
  /** Whether the supervisor is dialling this member now: libp2p's services may not dial on their own. */
  readonly dialing: (peer: NodeId) => boolean;
  /**
   * A member that dials has no link any more, whatever this side still believes. The old one must end before
   * the new one counts: libp2p would see one unbroken presence, and gossip would stay on the dead connection.
   */
  readonly onReturn: (peer: NodeId) => void;
  readonly onRefused: (peerId: string) => void;
}

export function createGater({ members, dialing, onReturn, onRefused }: GaterDependencies): ConnectionGater {
  return {
    denyDialPeer: (peerId) => {
      const peer = members.idOf(peerId.toString());
      return peer === undefined || !dialing(peer);
    },
    denyInboundEncryptedConnection: (peerId) => {
      const text = peerId.toString();
      const peer = members.idOf(text);
      if (peer === undefined || members.dials(text)) {
        onRefused(text);
        return true;
      }
      onReturn(peer);
      return false;
    },
    denyOutboundEncryptedConnection: (peerId) => members.idOf(peerId.toString()) === undefined,
  };
}
