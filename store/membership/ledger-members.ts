/**
 * Lists of members as configurations of the ledger's log. Owns the translation: what the core calls a change, what it
 * refuses, and what it attaches to an entry.
 */
import type { ConfigurationChange, ConfigurationRefusal } from '../consensus/index.ts';
import type { DecidedConfiguration } from '../ledger/configuration-changes.ts';
import type { Replica } from '../ledger/replica.ts';
import { configurationOf, listOf } from './member-list.ts';
import type { MemberLog } from './membership.ts';
import type { DecidedList } from './messages.ts';
import { MembershipError, type MemberChange, type MemberList } from './port.ts';

/** Undefined for a log that began before lists were kept in it. */
export function decidedListOf({ index, configuration }: DecidedConfiguration): DecidedList | undefined {
  const list = listOf(configuration);
  return list === undefined ? undefined : { index, list };
}

export function memberLogOf(
  replica: Pick<Replica, 'status' | 'configuration' | 'onConfiguration' | 'reconfigure'>,
): MemberLog {
  return {
    leader: () => replica.status().leader,
    onMembers: (handler) => {
      const tell = (decided: DecidedConfiguration): void => {
        const list = decidedListOf(decided);
        if (list !== undefined) handler(list);
      };
      const cancel = replica.onConfiguration(tell);
      tell(replica.configuration());
      return cancel;
    },
    async reconfigure(change, next, options) {
      const outcome = await replica.reconfigure(toCore(change, next), options);
      switch (outcome.kind) {
        case 'decided':
          return;
        case 'overtaken':
          throw new MembershipError('NO_LEADER', 'another node leads now, and the change was not made');
        case 'undecided':
          throw new MembershipError('TIMEOUT', 'the change was not decided in time');
        case 'refused':
          throw refusalOf(outcome);
      }
    },
  };
}

function toCore(change: MemberChange, next: MemberList): ConfigurationChange {
  const { records = '' } = configurationOf(next);
  switch (change.kind) {
    case 'add':
      return { kind: 'addObserver', node: change.member.id, records };
    case 'promote':
    case 'remove':
      return { kind: change.kind, node: change.id, records };
    case 'move':
      return { kind: 'describe', records };
  }
}

function refusalOf(refusal: ConfigurationRefusal): MembershipError {
  switch (refusal.code) {
    case 'NOT_LEADER':
    case 'NOT_ESTABLISHED':
    case 'TRANSFER_UNDER_WAY':
      return new MembershipError('NO_LEADER', 'the ledger is between two leaders');
    case 'CHANGE_UNDER_WAY':
      return new MembershipError('CHANGE_UNDER_WAY', 'another change of members is not decided yet');
    case 'QUORUM_AT_RISK':
      return new MembershipError(
        'QUORUM_AT_RISK',
        'no majority of the voters that would be left is in contact',
      );
    case 'NOT_CAUGHT_UP':
      return new MembershipError(
        'NOT_CAUGHT_UP',
        `it lacks ${refusal.lag} entries of the ledger, and may lack ${refusal.lagMax}`,
      );
    case 'NOT_IN_CONTACT':
      return new MembershipError('NOT_CAUGHT_UP', `${refusal.node} does not answer the leader`, refusal.node);
    case 'RECOVERING':
      return new MembershipError(
        'NOT_CAUGHT_UP',
        `the disk of ${refusal.node} was empty and is still being filled`,
        refusal.node,
      );
    // The list was judged before it came here; the core knows another one.
    case 'ALREADY_MEMBER':
    case 'ALREADY_VOTER':
    case 'UNKNOWN_MEMBER':
    case 'NOT_A_VOTER':
    case 'LAST_VOTER':
    case 'TOO_LARGE':
      return new MembershipError('CHANGE_UNDER_WAY', `the ledger is ahead of this node (${refusal.code})`);
  }
}
