/** The one door of the consensus core. */
export { Raft } from './raft.ts';
export { emptyDisk } from './types.ts';
export type {
  Append,
  AppendOutcome,
  Configuration,
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
  Vote,
  WantedSnapshot,
} from './types.ts';
