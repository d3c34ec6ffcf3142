import { assert } from './assert.ts';
import type { NodeId, Standing } from './types.ts';

/**
 * What a leader knows about one peer's log, and how fast it may send. Owns the window, not the messages.
 *
 * 1. matchIndex < nextIndex. The peer holds everything up to `matchIndex` on disk, equal to ours.
 * 2. `probe`: where the logs part is unknown; empty appends only, one per heartbeat or answer.
 * 3. `replicate`: appends leave as entries come, up to the window; `nextIndex` runs ahead of the answers.
 * 4. `outOfLog`: the peer needs entries that are compacted away. Offers of a snapshot only, until that one, an
 *    earlier one or its own log brings it back into reach: it says how far it is with every answer.
 */

interface Inflight {
  readonly lastIndex: number;
  readonly bytes: number;
}

export type Pace =
  | { readonly kind: 'probe' }
  | { readonly kind: 'replicate'; readonly inflight: Inflight[] }
  | { readonly kind: 'outOfLog' };

export interface Recovery {
  /** When the peer first said so. */
  readonly since: number;
  /** Since when our appends say that it ends. */
  endOfferedAt: number | undefined;
  /** The peer says that it is over. It counts as one that remembers as soon as that makes no quorum smaller. */
  hasEnded: boolean;
}

export interface Progress {
  readonly peer: NodeId;
  /** When we began to follow it. */
  readonly since: number;
  pace: Pace;
  matchIndex: number;
  nextIndex: number;
  /** Our time at the sending of the latest message that the peer has answered in this term. */
  contactAt: number;
  /** Our time at the last sending; -Infinity asks for one at once. */
  lastSentAt: number;
  /** Set while the peer's word is that of a recovering one (C12). */
  recovery: Recovery | undefined;
  /** The commit index that the peer was last told. */
  toldCommitIndex: number;
}

export interface Window {
  readonly inflightMessagesMax: number;
  readonly inflightBytesMax: number;
}

export function newProgress(peer: NodeId, lastIndex: number, now: number): Progress {
  return {
    peer,
    since: now,
    pace: { kind: 'probe' },
    matchIndex: 0,
    nextIndex: lastIndex + 1,
    contactAt: -Infinity,
    lastSentAt: -Infinity,
    recovery: undefined,
    toldCommitIndex: 0,
  };
}

export function mayStream(progress: Progress, window: Window): boolean {
  switch (progress.pace.kind) {
    case 'probe':
    case 'outOfLog':
      return false;
    case 'replicate': {
      const { inflight } = progress.pace;
      const bytes = inflight.reduce((sum, message) => sum + message.bytes, 0);
      return inflight.length < window.inflightMessagesMax && bytes < window.inflightBytesMax;
    }
  }
}

/** Entries up to `lastIndex` have left; they count as received until an answer says otherwise. */
export function streamed(progress: Progress, lastIndex: number, bytes: number): void {
  assert(progress.pace.kind === 'replicate', 'only a replicating peer is streamed to');
  progress.pace.inflight.push({ lastIndex, bytes });
  progress.nextIndex = lastIndex + 1;
}

/**
 * C12: takes note of whether the peer remembers. False when its answer must not be used: it stems from before
 * its disk was emptied, or was overtaken by one that says more.
 */
export function heardStanding(
  progress: Progress,
  answer: { readonly standing: Standing; readonly sentAt: number },
  now: number,
): boolean {
  const { recovery } = progress;
  if (answer.standing === 'recovering') {
    if (recovery !== undefined && !recovery.hasEnded) return true;
    if (answer.sentAt < progress.contactAt) return false;
    progress.recovery = { since: now, endOfferedAt: undefined, hasEnded: false };
    // It has forgotten whatever it promised.
    progress.matchIndex = 0;
    progress.contactAt = -Infinity;
    return true;
  }
  if (recovery === undefined) return true;
  if (recovery.endOfferedAt === undefined || answer.sentAt < recovery.endOfferedAt) return false;
  recovery.hasEnded = true;
  return true;
}

/** The peer holds everything up to `matchIndex`. True when that is news. */
export function accepted(progress: Progress, matchIndex: number): boolean {
  const isNews = matchIndex > progress.matchIndex;
  progress.matchIndex = Math.max(progress.matchIndex, matchIndex);
  progress.nextIndex = Math.max(progress.nextIndex, progress.matchIndex + 1);
  switch (progress.pace.kind) {
    case 'probe':
    case 'outOfLog':
      // Any acceptance in this term is at a place where the logs agree: from there on they can only grow.
      progress.pace = { kind: 'replicate', inflight: [] };
      progress.nextIndex = progress.matchIndex + 1;
      break;
    case 'replicate': {
      const { inflight } = progress.pace;
      while (inflight[0] !== undefined && inflight[0].lastIndex <= progress.matchIndex) inflight.shift();
      break;
    }
  }
  return isNews;
}

/**
 * The peer lacks `rejectedIndex`, and the logs may agree at `hintIndex` at best. False when the answer is
 * older than what we know since.
 */
export function rejected(
  progress: Progress,
  answer: { readonly rejectedIndex: number; readonly hintIndex: number; readonly lastIndex: number },
): boolean {
  if (progress.pace.kind === 'outOfLog') return false;
  if (answer.lastIndex < progress.matchIndex) {
    // The peer has less than it once acknowledged: its disk was emptied (or the answer was overtaken, which
    // costs a resend). Forgetting is always safe: what is committed stays committed.
    progress.matchIndex = 0;
  } else if (answer.rejectedIndex <= progress.matchIndex) {
    return false;
  }
  if (progress.pace.kind === 'probe' && answer.rejectedIndex !== progress.nextIndex - 1) return false;
  progress.nextIndex = Math.max(
    Math.min(answer.rejectedIndex, answer.hintIndex + 1),
    progress.matchIndex + 1,
  );
  progress.pace = { kind: 'probe' };
  return true;
}
