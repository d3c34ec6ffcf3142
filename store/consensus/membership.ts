import { changed, encodeConfiguration } from './configuration.ts';
import { quorumContact } from './lease.ts';
import { electorate, isVoter } from './quorum.ts';
import { appendOwn, followMembers } from './replication.ts';
import { configurationOf, type Leader, type State } from './state.ts';
import type {
  ChangeRefusal,
  Configuration,
  ConfigurationChange,
  ConfigurationProposed,
  NodeId,
} from './types.ts';

/**
 * A change of who takes part, one member at a time (dissertation, 4.1 to 4.2; the condition that the leader has
 * decided something in its term first is from Ongaro's correction of 2015). Owns the conditions; see C17 to C20.
 */

export function proposeConfiguration(state: State, change: ConfigurationChange): ConfigurationProposed {
  const { role, log } = state;
  if (role.kind !== 'leader') {
    return {
      kind: 'refused',
      code: 'NOT_LEADER',
      leader: role.kind === 'follower' ? role.leader : undefined,
    };
  }
  if (role.transfer !== undefined) return refused('TRANSFER_UNDER_WAY');
  // C17: two configurations that are not decided could have majorities without a common voter.
  if (log.commitIndex < role.termStartIndex) return refused('NOT_ESTABLISHED');
  // Not even one that is decided and not applied: who asks has not heard of it, and would undo what it recorded.
  if (log.configurations.latest.index > log.appliedIndex) return refused('CHANGE_UNDER_WAY');
  const before = configurationOf(state);
  const after = changed(before, change);
  if (typeof after === 'string') return refused(after);
  if (change.kind === 'promote') {
    const refusal = unfitToVote(state, role, change.node);
    if (refusal !== undefined) return refusal;
  }
  if (change.kind !== 'describe' && isVoter(before, change.node) !== isVoter(after, change.node)) {
    // C19: a quorum of the new configuration must not be made up of voters that forgot.
    const recovering = recoveringVoter(role, without(before, change.node));
    if (recovering !== undefined) return { kind: 'refused', code: 'RECOVERING', node: recovering };
    const contactAt = quorumContact(state, role, electorate(after, before));
    if (contactAt + state.options.electionTimeoutMsMin < state.now) return refused('QUORUM_AT_RISK');
  }
  const { index } = appendOwn(state, role, 'configuration', encodeConfiguration(after));
  followMembers(state, role);
  return { kind: 'accepted', term: state.term, index, configuration: after };
}

function unfitToVote(state: State, leader: Leader, node: NodeId): ConfigurationProposed | undefined {
  const progress = leader.progress.get(node);
  const { electionTimeoutMsMin, promotionLagEntriesMax: lagMax } = state.options;
  if (progress === undefined || progress.contactAt + electionTimeoutMsMin < state.now) {
    return { kind: 'refused', code: 'NOT_IN_CONTACT', node };
  }
  if (progress.recovery !== undefined) return { kind: 'refused', code: 'RECOVERING', node };
  const lag = Math.max(0, state.log.commitIndex - progress.matchIndex);
  return lag > lagMax ? { kind: 'refused', code: 'NOT_CAUGHT_UP', lag, lagMax } : undefined;
}

function recoveringVoter(leader: Leader, voters: readonly NodeId[]): NodeId | undefined {
  // While a cluster is being formed all of them are, the leader included.
  if (leader.standing === 'recovering') return voters[0];
  return voters.find((voter) => leader.progress.get(voter)?.recovery !== undefined);
}

function without({ voters }: Configuration, node: NodeId): readonly NodeId[] {
  return voters.filter((voter) => voter !== node);
}

type PlainRefusal =
  ChangeRefusal | 'NOT_ESTABLISHED' | 'CHANGE_UNDER_WAY' | 'TRANSFER_UNDER_WAY' | 'QUORUM_AT_RISK';

function refused(code: PlainRefusal): ConfigurationProposed {
  return { kind: 'refused', code };
}
