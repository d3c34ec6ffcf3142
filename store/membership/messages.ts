/**
 * What members say to each other about the membership, as JSON: rare, and read by people when something is odd.
 * What comes out of a decoder is well-formed, or is undefined.
 */
import type { Address } from '../peers/port.ts';
import type { Standing } from './barrier.ts';
import { configurationOf, listOf } from './member-list.ts';
import { MembershipError, type MemberChange, type MemberList, type MembershipErrorCode } from './port.ts';

export const channels = {
  /** Request: a change; answer: what became of it. */
  change: 'membership/change',
  /** Request: nothing; answer: a `Standing`. */
  standing: 'membership/standing',
  /** To who was removed: the list that it is not on. */
  farewell: 'membership/farewell',
} as const;

export type ChangeAnswer =
  | { readonly kind: 'changed'; readonly list: MemberList }
  | { readonly kind: 'refused'; readonly error: MembershipError };

/** A list, and the place in the log where it was decided. */
export interface DecidedList {
  readonly index: number;
  readonly list: MemberList;
}

const codes: Readonly<Record<MembershipErrorCode, true>> = {
  INVALID_MEMBER: true,
  ALREADY_MEMBER: true,
  UNKNOWN_MEMBER: true,
  LAST_VOTER: true,
  CHANGE_UNDER_WAY: true,
  NOT_CAUGHT_UP: true,
  JOURNAL_BEHIND: true,
  QUORUM_AT_RISK: true,
  NO_LEADER: true,
  TIMEOUT: true,
};

export function encodeChange(change: MemberChange): Uint8Array {
  return encode(change);
}

export function decodeChange(bytes: Uint8Array): MemberChange | undefined {
  const value = decode(bytes);
  if (value === undefined) return undefined;
  const { kind, id, member, address } = value;
  if ((kind === 'promote' || kind === 'remove') && typeof id === 'string') return { kind, id };
  if (kind === 'move' && typeof id === 'string' && isAddress(address)) return { kind, id, address };
  if (kind !== 'add') return undefined;
  const list = asList({ members: [{ ...(member as object), voter: false }], epochs: {} });
  const [added] = list?.members ?? [];
  return added === undefined ? undefined : { kind, member: added };
}

export function encodeAnswer(answer: ChangeAnswer): Uint8Array {
  if (answer.kind === 'changed') return encode({ list: answer.list });
  const { code, detail, member } = answer.error;
  return encode({ refused: { code, detail, ...(member === undefined ? {} : { member }) } });
}

export function decodeAnswer(bytes: Uint8Array): ChangeAnswer | undefined {
  const value = decode(bytes);
  const list = value?.['list'] === undefined ? undefined : asList(value['list']);
  if (list !== undefined) return { kind: 'changed', list };
  const refused = value?.['refused'];
  if (typeof refused !== 'object' || refused === null) return undefined;
  const { code, detail, member } = refused as Record<string, unknown>;
  if (!isCode(code) || typeof detail !== 'string') return undefined;
  return {
    kind: 'refused',
    error: new MembershipError(code, detail, typeof member === 'string' ? member : undefined),
  };
}

export function encodeStanding(standing: Standing): Uint8Array {
  return encode(standing);
}

export function decodeStanding(bytes: Uint8Array): Standing | undefined {
  const { epoch, open } = decode(bytes) ?? {};
  if (typeof epoch !== 'number' || typeof open !== 'boolean') return undefined;
  return { epoch, open };
}

export function encodeFarewell(decided: DecidedList): Uint8Array {
  return encode(decided);
}

export function decodeFarewell(bytes: Uint8Array): DecidedList | undefined {
  const { index, list: value } = decode(bytes) ?? {};
  const list = asList(value);
  return typeof index === 'number' && list !== undefined ? { index, list } : undefined;
}

function encode(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function decode(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** A list is checked in one place, by whoever reads it from the log. */
function asList(value: unknown): MemberList | undefined {
  const list = listOf({ voters: [], observers: [], records: JSON.stringify(value) ?? '' });
  return list === undefined ? undefined : listOf(configurationOf(list));
}

function isAddress(value: unknown): value is Address {
  if (typeof value !== 'object' || value === null) return false;
  const { host, port } = value as Record<string, unknown>;
  return typeof host === 'string' && typeof port === 'number';
}

function isCode(value: unknown): value is MembershipErrorCode {
  return typeof value === 'string' && Object.hasOwn(codes, value);
}
