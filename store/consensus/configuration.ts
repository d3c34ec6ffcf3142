import type { ChangeRefusal, Configuration, ConfigurationChange, MemberChange, NodeId } from './types.ts';

/**
 * Who takes part: what one change makes of a configuration, and how it is written into the log. Pure; whether a
 * change is allowed now is for membership.ts to say.
 */

/** Everything has a bound: a configuration is sent, logged and counted as a whole. */
const membersMax = 64;
const recordsLengthMax = 64 * 1024;

/** The configuration after `change`, one member at a time; or why there is none. */
export function changed(before: Configuration, change: ConfigurationChange): Configuration | ChangeRefusal {
  const after = change.kind === 'describe' ? before : withMember(before, change);
  if (typeof after === 'string') return after;
  const records = change.records ?? before.records;
  const { voters, observers } = after;
  if (membersOf(after).length > membersMax || (records ?? '').length > recordsLengthMax) return 'TOO_LARGE';
  return { voters, observers, ...(records === undefined ? {} : { records }) };
}

function withMember(before: Configuration, change: MemberChange): Configuration | ChangeRefusal {
  const { node } = change;
  const isVoter = before.voters.includes(node);
  const isMember = isVoter || before.observers.includes(node);
  const others = { voters: without(before.voters, node), observers: without(before.observers, node) };
  switch (change.kind) {
    case 'addObserver':
      if (isMember) return 'ALREADY_MEMBER';
      return { ...before, observers: [...before.observers, node] };
    case 'promote':
      if (isVoter) return 'ALREADY_VOTER';
      if (!isMember) return 'UNKNOWN_MEMBER';
      return { ...others, voters: [...before.voters, node] };
    case 'demote':
      if (!isMember) return 'UNKNOWN_MEMBER';
      if (!isVoter) return 'NOT_A_VOTER';
      if (others.voters.length === 0) return 'LAST_VOTER';
      return { ...others, observers: [...before.observers, node] };
    case 'remove':
      if (!isMember) return 'UNKNOWN_MEMBER';
      if (others.voters.length === 0) return 'LAST_VOTER';
      return others;
  }
}

export function membersOf(configuration: Configuration): readonly NodeId[] {
  return [...configuration.voters, ...configuration.observers];
}

/** The data of a `configuration` entry: JSON, for whoever looks at a log by hand. */
export function encodeConfiguration({ voters, observers, records }: Configuration): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ voters, observers, records }));
}

/** Undefined when the bytes are something else. */
export function decodeConfiguration(data: Uint8Array): Configuration | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(data));
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { voters, observers, records } = value as Readonly<Record<string, unknown>>;
  if (!isListOfNodes(voters) || !isListOfNodes(observers) || voters.length === 0) return undefined;
  if (records !== undefined && typeof records !== 'string') return undefined;
  const members = [...voters, ...observers];
  if (new Set(members).size !== members.length) return undefined;
  return { voters, observers, ...(records === undefined ? {} : { records }) };
}

function isListOfNodes(value: unknown): value is readonly NodeId[] {
  return Array.isArray(value) && value.every((node) => typeof node === 'string' && node !== '');
}

function without(nodes: readonly NodeId[], node: NodeId): readonly NodeId[] {
  return nodes.filter((each) => each !== node);
}
