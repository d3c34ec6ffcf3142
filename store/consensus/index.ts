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
  Proposed,
  RaftOptions,
  RaftStatus,
  Ready,
  Restored,
  RoleName,
  Standing,
  Vote,
} from './types.ts';
