/** Every bound and interval of the journal, with the values the program runs with. Bytes and ms. */
export interface JournalLimits {
  /** What a caller may put into one entry. */
  readonly payloadBytesMax: number;
  /** Own entries not yet on this disk; more are refused with QUEUE_FULL. */
  readonly queuedEntriesMax: number;
  readonly queuedBytesMax: number;
  /** Own entries and registrations whose caller waits for a majority, or for recovery to end. */
  readonly waitingMax: number;
  /** Received frames and pages waiting for a decision; what exceeds it is dropped, and sent again later. */
  readonly intakeBytesMax: number;
  /** Newest own records kept in memory for pushing; a peer further behind is served from disk. */
  readonly recentBytesMax: number;
  /** Claims whose holder is remembered in memory; the others are looked up on disk. */
  readonly claimsCachedMax: number;

  /** A push closes when it holds this much; the one entry that exceeds it alone still fits a frame. */
  readonly frameBytesMax: number;
  readonly frameEntriesMax: number;
  /** Pushes to one peer that are not acknowledged yet. */
  readonly framesInFlightMax: number;
  readonly pageBytesMax: number;
  readonly pageEntriesMax: number;
  /** Entries below a base that are deleted at a time. */
  readonly deletedPerBatch: number;
  /** Origins that are pulled at the same time. */
  readonly pullsMax: number;

  /** How often time-outs, re-sends and announcements are looked at. */
  readonly tickMs: number;
  /** An unanswered push goes out again after this, then after twice as long, up to eight times this. */
  readonly resendAfterMs: number;
  readonly requestTimeoutMs: number;
  /** Announcement interval while the vector moves, and while it does not. Jittered by a quarter. */
  readonly announceChangedMs: number;
  readonly announceIdleMs: number;
  /** Vectors are exchanged by request this often, whatever gossip does. */
  readonly exchangeEveryMs: number;
  /** How long a reachable origin may fail to push what others announce before it is pulled from them. */
  readonly pullPatienceMs: number;
  /** How long a node whose disk looks whole waits at start to hear its peers, before it goes on without. */
  readonly startPatienceMs: number;
  /** For `durability: 'quorum'` without a time-out of its own. */
  readonly quorumTimeoutMs: number;
}

export const defaultLimits: JournalLimits = {
  payloadBytesMax: 64 * 1024,
  queuedEntriesMax: 20_000,
  queuedBytesMax: 32 * 1024 * 1024,
  waitingMax: 50_000,
  intakeBytesMax: 32 * 1024 * 1024,
  recentBytesMax: 8 * 1024 * 1024,
  claimsCachedMax: 50_000,
  frameBytesMax: 96 * 1024,
  frameEntriesMax: 512,
  framesInFlightMax: 8,
  pageBytesMax: 256 * 1024,
  pageEntriesMax: 512,
  deletedPerBatch: 256,
  pullsMax: 4,
  tickMs: 50,
  resendAfterMs: 500,
  requestTimeoutMs: 2_000,
  announceChangedMs: 500,
  announceIdleMs: 3_000,
  exchangeEveryMs: 10_000,
  pullPatienceMs: 1_000,
  startPatienceMs: 1_000,
  quorumTimeoutMs: 5_000,
};
