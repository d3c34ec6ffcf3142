import type { Message } from '../../../store/consensus/index.ts';
import { openRecord } from '../../../store/disk/record.ts';
import type { NodeId } from '../../../store/environment.ts';
import type { Position } from '../../../store/journal/port.ts';
import {
  baseKey,
  claimKey,
  entryKey,
  openBase,
  openClaim,
  openEntry,
  samePosition,
} from '../../../store/journal/records.ts';
import { channels, decodeAcknowledgement, decodePush } from '../../../store/journal/wire.ts';
import { unpack } from '../../../store/ledger/msgpack.ts';
import type { Violations } from '../violations.ts';

/**
 * Durable before visible (S1, C2, J1, J9): what a frame promises is on its sender's disk, safe from a loss of power,
 * when the frame leaves. Looks at every frame of the consensus and of the journal.
 */
interface DurableDisk {
  lookDurable(key: string): Uint8Array | undefined;
  keys(prefix: string): readonly string[];
}

export class PromiseChecker {
  readonly #violations: Violations;
  readonly #diskOf: (id: NodeId) => DurableDisk;

  constructor(dependencies: {
    readonly violations: Violations;
    readonly diskOf: (id: NodeId) => DurableDisk;
  }) {
    this.#violations = dependencies.violations;
    this.#diskOf = dependencies.diskOf;
  }

  sentMessage({ from, to, ...message }: Message): void {
    switch (message.kind) {
      case 'voteRequest':
        this.#checkVote(from, message.term, from);
        break;
      case 'voteAnswer':
        if (message.vote !== 'refused') this.#checkVote(from, message.term, to);
        break;
      case 'appendAnswer':
        if (message.outcome.kind === 'accepted') {
          this.#checkEntry(from, message.term, message.outcome.matchIndex);
        }
        break;
      default:
        break;
    }
  }

  sent(from: NodeId, to: NodeId, channel: string, payload: Uint8Array): void {
    switch (channel) {
      case channels.acknowledge:
        this.#checkAcknowledgement(from, to, payload);
        break;
      case channels.push:
        this.#checkPush(from, payload);
        break;
    }
  }

  #checkVote(voter: NodeId, term: number, candidate: NodeId): void {
    const state = this.#hardStateOf(voter);
    if (state === 'damaged') return;
    const holds =
      state !== undefined && (state.term > term || (state.term === term && state.votedFor === candidate));
    if (!holds) this.#broken(voter, `its vote for ${candidate} in term ${term}`);
  }

  #checkEntry(id: NodeId, term: number, index: number): void {
    if (index === 0) return;
    const state = this.#hardStateOf(id);
    // Under a newer term the log may have been cut meanwhile; the answer to the old one promises nothing then.
    if (state === 'damaged' || (state !== undefined && state.term > term)) return;
    if (state?.term === term && this.#holdsEntry(id, index)) return;
    this.#broken(id, `entry ${index} in term ${term}`);
  }

  #holdsEntry(id: NodeId, index: number): boolean {
    const disk = this.#diskOf(id);
    const number = String(index).padStart(16, '0');
    if (disk.lookDurable(`raft/entry/${number}`) !== undefined) return true;
    // A snapshot holds what came before it.
    return disk
      .keys('raft/snapshot/')
      .some(
        (key) => key.endsWith('/manifest') && (key.split('/')[2] ?? '') >= number && disk.lookDurable(key),
      );
  }

  #checkAcknowledgement(from: NodeId, to: NodeId, payload: Uint8Array): void {
    const { upTo, votes } = decodeAcknowledgement(payload);
    const disk = this.#diskOf(from);
    if (upTo > 0 && !holdsOrGaveUp(disk, { origin: to, sequence: upTo })) {
      this.#broken(from, `${to}:${upTo}`);
    }
    for (const { sequence, vote } of votes) {
      if (vote.kind !== 'granted') continue;
      const position = { origin: to, sequence };
      if (!holdsVote(disk, position) && !gaveUp(disk, position))
        this.#broken(from, `its vote for ${to}:${sequence}`);
    }
  }

  #checkPush(from: NodeId, payload: Uint8Array): void {
    for (const { sequence } of decodePush(payload).records) {
      if (!holdsOrGaveUp(this.#diskOf(from), { origin: from, sequence })) {
        this.#broken(from, `its own entry ${sequence}`);
      }
    }
  }

  #hardStateOf(id: NodeId): { readonly term: number; readonly votedFor: unknown } | 'damaged' | undefined {
    const record = this.#diskOf(id).lookDurable('raft/state');
    if (record === undefined) return undefined;
    try {
      const [term, votedFor] = unpack(openRecord('raft/state', record)) as [number, unknown];
      return { term, votedFor };
    } catch {
      return 'damaged';
    }
  }

  #broken(id: NodeId, what: string): void {
    this.#violations.report('promise on disk', `${id} promises ${what}, which is not on its disk`);
  }
}

function holdsOrGaveUp(disk: DurableDisk, position: Position): boolean {
  const { origin, sequence } = position;
  return disk.lookDurable(entryKey(origin, sequence)) !== undefined || gaveUp(disk, position);
}

/** It was there, and is old: the base on the disk says so. */
function gaveUp(disk: DurableDisk, { origin, sequence }: Position): boolean {
  const record = disk.lookDurable(baseKey(origin));
  if (record === undefined) return false;
  try {
    return openBase(origin, record).sequence >= sequence;
  } catch {
    // A bit was flipped since it was written.
    return true;
  }
}

function holdsVote(disk: DurableDisk, position: Position): boolean {
  const record = disk.lookDurable(entryKey(position.origin, position.sequence));
  if (record === undefined) return false;
  try {
    const { claim } = openEntry(position, record).entry;
    const held = claim === undefined ? undefined : disk.lookDurable(claimKey(claim));
    return claim !== undefined && held !== undefined && samePosition(openClaim(claim, held).holder, position);
  } catch {
    // A bit was flipped since it was written.
    return true;
  }
}
