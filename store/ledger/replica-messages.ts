/**
 * What replicas say to each other, and its bytes: msgpack arrays that open with an opcode. Owns the encoding and
 * the check at the edge: what comes out of a decoder is well-formed, or is undefined. Who sent it and for whom
 * are the network's to say and are not part of the bytes.
 */
import type { AppendOutcome, Message, NodeId, Standing, Vote } from '../consensus/index.ts';
import { pack, unpack } from './msgpack.ts';
import { decodeEntries, encodeEntries } from './raft-records.ts';

const opcode = {
  preVoteRequest: 1,
  preVoteAnswer: 2,
  voteRequest: 3,
  voteAnswer: 4,
  append: 5,
  accepted: 6,
  rejected: 7,
  snapshotOffer: 8,
  campaignNow: 9,
} as const;

/** Their places are their codes on the wire: append only. */
const votes: readonly Vote[] = ['refused', 'remembering', 'recovering'];
const standings: readonly Standing[] = ['remembering', 'recovering'];
const ends = ['nothing', 'recovery'] as const;
const causes = ['timeout', 'transfer'] as const;

export function encodeMessage(message: Message): Uint8Array {
  const { term } = message;
  switch (message.kind) {
    case 'preVoteRequest':
      return pack([opcode.preVoteRequest, term, message.lastIndex, message.lastTerm]);
    case 'voteRequest': {
      const { lastIndex, lastTerm, cause } = message;
      return pack([opcode.voteRequest, term, lastIndex, lastTerm, causes.indexOf(cause)]);
    }
    case 'preVoteAnswer':
    case 'voteAnswer':
      return pack([opcode[message.kind], term, votes.indexOf(message.vote)]);
    case 'append':
      return pack([
        opcode.append,
        term,
        message.previousIndex,
        message.previousTerm,
        message.commitIndex,
        ends.indexOf(message.ends),
        message.sentAt,
        encodeEntries(message.entries),
      ]);
    case 'campaignNow':
      return pack([opcode.campaignNow, term]);
    case 'snapshotOffer':
      return pack([opcode.snapshotOffer, term, message.index, message.snapshotTerm, message.sentAt]);
    case 'appendAnswer': {
      const { outcome, sentAt } = message;
      const standing = standings.indexOf(message.standing);
      return outcome.kind === 'accepted'
        ? pack([opcode.accepted, term, standing, sentAt, outcome.matchIndex])
        : pack([
            opcode.rejected,
            term,
            standing,
            sentAt,
            outcome.previousIndex,
            outcome.hintIndex,
            outcome.hintTerm,
            outcome.lastIndex,
          ]);
    }
  }
}

export function decodeMessage(from: NodeId, to: NodeId, bytes: Uint8Array): Message | undefined {
  const fields = unpackList(bytes);
  if (fields === undefined) return undefined;
  const [code, term, ...rest] = fields;
  if (!isCount(term)) return undefined;
  const addressed = { from, to, term };
  switch (code) {
    case opcode.preVoteRequest:
    case opcode.voteRequest: {
      const [lastIndex, lastTerm, causeCode] = rest;
      if (!isCount(lastIndex) || !isCount(lastTerm)) return undefined;
      if (code === opcode.preVoteRequest)
        return { kind: 'preVoteRequest', ...addressed, lastIndex, lastTerm };
      const cause = pick(causes, causeCode);
      return cause === undefined
        ? undefined
        : { kind: 'voteRequest', ...addressed, lastIndex, lastTerm, cause };
    }
    case opcode.campaignNow:
      return { kind: 'campaignNow', ...addressed };
    case opcode.preVoteAnswer:
    case opcode.voteAnswer: {
      const vote = pick(votes, rest[0]);
      if (vote === undefined) return undefined;
      return { kind: code === opcode.voteAnswer ? 'voteAnswer' : 'preVoteAnswer', ...addressed, vote };
    }
    case opcode.append: {
      const [previousIndex, previousTerm, commitIndex, endsCode, sentAt, packed] = rest;
      const what = pick(ends, endsCode);
      if (!isCount(previousIndex) || !isCount(previousTerm) || !isCount(commitIndex)) return undefined;
      if (what === undefined || !isTime(sentAt) || !(packed instanceof Uint8Array)) return undefined;
      // A copy (which `slice` of a Buffer is not): the entries stay in memory, and must not keep alive whatever
      // buffer the frame came in.
      const entries = decodeEntries(new Uint8Array(packed));
      if (entries === undefined) return undefined;
      const isContiguous = entries.every((entry, place) => entry.index === previousIndex + 1 + place);
      const terms = [previousTerm, ...entries.map((entry) => entry.term), term];
      const isOrdered = terms.every((each, place) => place === 0 || each >= (terms[place - 1] ?? 0));
      if (!isContiguous || !isOrdered) return undefined;
      return {
        kind: 'append',
        ...addressed,
        previousIndex,
        previousTerm,
        commitIndex,
        ends: what,
        sentAt,
        entries,
      };
    }
    case opcode.snapshotOffer: {
      const [index, snapshotTerm, sentAt] = rest;
      if (!isCount(index) || !isCount(snapshotTerm) || !isTime(sentAt)) return undefined;
      if (index === 0 || snapshotTerm > term) return undefined;
      return { kind: 'snapshotOffer', ...addressed, index, snapshotTerm, sentAt };
    }
    case opcode.accepted:
    case opcode.rejected: {
      const [standingCode, sentAt, ...places] = rest;
      const standing = pick(standings, standingCode);
      const outcome = outcomeOf(code, places);
      if (standing === undefined || !isTime(sentAt) || outcome === undefined) return undefined;
      return { kind: 'appendAnswer', ...addressed, standing, sentAt, outcome };
    }
    default:
      return undefined;
  }
}

/** Commands on their way to the leader, and how long their sender still waits. */
export interface Forwarded {
  readonly timeoutMs: number;
  readonly commands: readonly Uint8Array[];
}

/** Per command its result, or undefined when this node could not have it decided. */
export type ForwardedResults = readonly (Uint8Array | undefined)[];

export function encodeForwarded(forwarded: Forwarded): Uint8Array {
  return pack([forwarded.timeoutMs, ...forwarded.commands]);
}

export function decodeForwarded(bytes: Uint8Array): Forwarded | undefined {
  const fields = unpackList(bytes);
  if (fields === undefined) return undefined;
  const [timeoutMs, ...commands] = fields;
  if (!isTime(timeoutMs) || !commands.every((command) => command instanceof Uint8Array)) return undefined;
  return { timeoutMs, commands };
}

export function encodeResults(results: ForwardedResults): Uint8Array {
  return pack(results.map((result) => result ?? null));
}

/** Undefined unless there is one place per command. */
export function decodeResults(bytes: Uint8Array, count: number): ForwardedResults | undefined {
  const fields = unpackList(bytes);
  if (fields?.length !== count) return undefined;
  if (!fields.every((field) => field === null || field instanceof Uint8Array)) return undefined;
  return fields.map((field) => field ?? undefined);
}

/** The payload of a command entry: commands that are applied together, and the leader's time for them. */
export interface Batch {
  /** Wall clock of the leader, ms. Leaders differ: it may be smaller than in the entry before. */
  readonly at: number;
  readonly commands: readonly Uint8Array[];
}

export function encodeBatch(batch: Batch): Uint8Array {
  return pack([batch.at, ...batch.commands]);
}

/** Undefined when a leader wrote what this program does not know. */
export function decodeBatch(bytes: Uint8Array): Batch | undefined {
  const fields = unpackList(bytes);
  if (fields === undefined) return undefined;
  const [at, ...commands] = fields;
  if (!isTime(at) || !commands.every((command) => command instanceof Uint8Array)) return undefined;
  return { at, commands };
}

function outcomeOf(code: number, places: readonly unknown[]): AppendOutcome | undefined {
  if (!places.every(isCount)) return undefined;
  const [first, hintIndex, hintTerm, lastIndex] = places;
  if (first === undefined) return undefined;
  if (code === opcode.accepted) return { kind: 'accepted', matchIndex: first };
  if (hintIndex === undefined || hintTerm === undefined || lastIndex === undefined) return undefined;
  return { kind: 'rejected', previousIndex: first, hintIndex, hintTerm, lastIndex };
}

function unpackList(bytes: Uint8Array): readonly unknown[] | undefined {
  try {
    const value: unknown = unpack(bytes);
    return Array.isArray(value) ? (value as readonly unknown[]) : undefined;
  } catch {
    return undefined;
  }
}

function pick<Value>(values: readonly Value[], code: unknown): Value | undefined {
  return typeof code === 'number' ? values[code] : undefined;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}
