/**
 * Lists of members, and how one follows from another. Pure.
 *
 * M1  A list differs from the one before by one member: two majorities of neighbouring lists always meet.
 * M2  A zone keeps a voter as long as it has members.
 * M3  A zone's epoch grows with every change of its voters, and only then; two lists with the same epoch of a
 *     zone have the same voters there.
 * M4  The name, the peer id and the address of a member belong to it alone.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Configuration } from '../consensus/index.ts';
import type { NodeId } from '../environment.ts';
import { checkMember, MembersError } from '../peers/members.ts';
import { MembershipError, type MemberChange, type MemberList, type MemberRecord } from './port.ts';

const membersMax = 32;
/** Names become parts of keys on every disk. */
const namePattern = /^[a-z][a-z0-9-]{0,31}$/;

/** The list that a cluster is founded with: every founder takes it from its own configuration file. */
export function foundingList(members: readonly MemberRecord[]): MemberList {
  return { members: members.map(recordOf), epochs: {} };
}

/** What the list becomes; the same object when it is so already. Throws MembershipError. */
export function changed(list: MemberList, change: MemberChange): MemberList {
  switch (change.kind) {
    case 'add':
      return withAdded(list, { ...change.member, voter: false });
    case 'promote': {
      const member = find(list, change.id);
      if (member.voter) return list;
      const promoted = { ...member, voter: true };
      return {
        members: list.members.map((one) => (one === member ? promoted : one)),
        epochs: nextEpoch(list, member.zone),
      };
    }
    case 'move': {
      const member = find(list, change.id);
      if (isDeepStrictEqual(member.address, change.address)) return list;
      const moved = recordOf({ ...member, address: change.address });
      checkPlace(list, moved);
      return { members: list.members.map((one) => (one === member ? moved : one)), epochs: list.epochs };
    }
    case 'remove': {
      const member = find(list, change.id);
      const others = list.members.filter((one) => one !== member);
      if (!member.voter) return { members: others, epochs: list.epochs };
      if (votersOf(others, member.zone).length === 0) {
        throw new MembershipError(
          'LAST_VOTER',
          `${member.id} is the last voter of zone ${member.zone}`,
          member.id,
        );
      }
      return { members: others, epochs: nextEpoch(list, member.zone) };
    }
  }
}

export function epochOf(list: MemberList, zone: string): number {
  return list.epochs[zone] ?? 0;
}

export function votersOf(members: readonly MemberRecord[], zone?: string): readonly NodeId[] {
  return members
    .filter((member) => member.voter && (zone === undefined || member.zone === zone))
    .map(({ id }) => id);
}

/** The list as the consensus core takes it, with all of it attached for whoever reads the log. */
export function configurationOf(list: MemberList): Configuration {
  const { members } = list;
  return {
    voters: votersOf(members),
    observers: members.filter(({ voter }) => !voter).map(({ id }) => id),
    records: JSON.stringify({ members: members.map(recordOf), epochs: list.epochs }),
  };
}

/** What `configurationOf` attached; undefined when there is nothing that can be read. */
export function listOf(configuration: Configuration): MemberList | undefined {
  if (configuration.records === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(configuration.records);
    return isList(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** What one list says of the members and another does not, in words for a log; empty when they agree. */
export function differences(one: MemberList, other: MemberList): readonly string[] {
  const lines: string[] = [];
  const known = new Map(other.members.map((member) => [member.id, member]));
  for (const member of one.members) {
    const counterpart = known.get(member.id);
    if (counterpart === undefined) lines.push(`${member.id} is only in the first`);
    else if (counterpart.peerId !== member.peerId) lines.push(`${member.id} has another peer id`);
    else if (counterpart.voter !== member.voter)
      lines.push(`${member.id} is ${member.voter ? 'a voter' : 'no voter'} only in the first`);
    known.delete(member.id);
  }
  for (const id of known.keys()) lines.push(`${id} is only in the second`);
  return lines;
}

function withAdded(list: MemberList, asked: MemberRecord): MemberList {
  const member = recordOf(asked);
  const same = list.members.find(({ id }) => id === member.id);
  if (same !== undefined && isDeepStrictEqual({ ...same, voter: false }, member)) return list;
  if (!namePattern.test(member.id)) {
    throw new MembershipError('INVALID_MEMBER', `${member.id} is not a name such as n4`);
  }
  if (votersOf(list.members, member.zone).length === 0) {
    throw new MembershipError('INVALID_MEMBER', `zone ${member.zone} has no voter to learn from`, member.id);
  }
  if (list.members.length >= membersMax) {
    throw new MembershipError('INVALID_MEMBER', `a cluster has at most ${membersMax} members`, member.id);
  }
  const namesake = list.members.find(({ id }) => id === member.id);
  if (namesake !== undefined) {
    throw new MembershipError('ALREADY_MEMBER', `${member.id} is a member, and not as asked for`, member.id);
  }
  checkPlace(list, member);
  return { members: [...list.members, member], epochs: list.epochs };
}

/** That `member` can be reached and known by what belongs to no other. */
function checkPlace(list: MemberList, member: MemberRecord): void {
  try {
    checkMember(member);
  } catch (error) {
    if (!(error instanceof MembersError)) throw error;
    throw new MembershipError('INVALID_MEMBER', error.detail, member.id);
  }
  for (const other of list.members) {
    if (other.id === member.id) continue;
    const hasKey = other.peerId === member.peerId;
    if (!hasKey && !isDeepStrictEqual(other.address, member.address)) continue;
    const shared = hasKey ? 'peer id' : 'address';
    throw new MembershipError('ALREADY_MEMBER', `${other.id} is a member with this ${shared}`, other.id);
  }
}

function find(list: MemberList, id: NodeId): MemberRecord {
  const member = list.members.find((one) => one.id === id);
  if (member === undefined) throw new MembershipError('UNKNOWN_MEMBER', `${id} is not a member`, id);
  return member;
}

function nextEpoch(list: MemberList, zone: string): Readonly<Record<string, number>> {
  return { ...list.epochs, [zone]: epochOf(list, zone) + 1 };
}

/** The known fields, in one order: what is attached is compared byte for byte. */
function recordOf({ id, peerId, zone, address, voter }: MemberRecord): MemberRecord {
  return { id, peerId, zone, address: { host: address.host, port: address.port }, voter };
}

function isList(value: unknown): value is MemberList {
  if (!isObject(value) || !Array.isArray(value['members']) || !isObject(value['epochs'])) return false;
  return value['members'].every(isRecord) && Object.values(value['epochs']).every(Number.isSafeInteger);
}

function isRecord(value: unknown): value is MemberRecord {
  if (!isObject(value) || !isObject(value['address'])) return false;
  const { id, peerId, zone, voter, address } = value;
  return (
    [id, peerId, zone, address['host']].every((text) => typeof text === 'string') &&
    typeof voter === 'boolean' &&
    typeof address['port'] === 'number'
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
