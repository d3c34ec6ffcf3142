/** The one door of the consensus core. */
export { Raft } from './raft.ts';
export { decodeConfiguration, encodeConfiguration } from './configuration.ts';
export { emptyDisk } from './types.ts';
export type {
  Append,
  AppendOutcome,
  Configuration,
  ConfigurationChange,
  ConfigurationProposed,
  ConfigurationRefusal,
  Entry,
  EntryKind,
  Event,
  HardState,
  Message,
  NodeId,
  Persist,
  Place,
  Proposed,
  RaftOptions,
  RaftStatus,
  Ready,
  Restored,
  RoleName,
  SnapshotMark,
  SnapshotOffer,
  Standing,
  TransferProposed,
  Vote,
  WantedSnapshot,
} from './types.ts';
