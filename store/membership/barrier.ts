/**
 * Whether the journals are ready for another list of voters. Asked by the leader before it proposes one.
 *
 * B1  A change of a zone's voters is proposed only when a majority of the voters that will be has taken up the
 *     epoch before it: each of them holds every entry and knows every claim that was decided in earlier epochs.
 *     With this, no two majorities that never met can decide a claim, however far apart their lists are, and no
 *     member that leaves takes the only copy of an acknowledged entry with it (store/journal/DESIGN.md, J16).
 * B2  Every voter-to-be that can be reached is ready, not only a majority: who lags is waited for, then named.
 * B3  Whoever becomes a voter has been reached, and its journal is open.
 * B4  The voters that can be reached are a majority of the new list, or it could not even be decided.
 */
import type { NodeId } from '../environment.ts';
import { epochOf, votersOf } from './member-list.ts';
import { MembershipError, type MemberList } from './port.ts';

/** What a member says of its journal. */
export interface Standing {
  /** The epoch that it has taken up. */
  readonly epoch: number;
  /** Whether it may vote and append. */
  readonly open: boolean;
}

/** What stands in the way of `next`; undefined when nothing does. `standings` holds who has answered. */
export function obstacle(
  list: MemberList,
  next: MemberList,
  standings: ReadonlyMap<NodeId, Standing>,
): MembershipError | undefined {
  const zone = changedZone(list, next);
  if (zone === undefined) return undefined;
  const epoch = epochOf(list, zone);
  const voters = votersOf(next.members, zone);
  for (const id of voters) {
    const standing = standings.get(id);
    const isNew = !votersOf(list.members, zone).includes(id);
    if (standing === undefined) {
      if (isNew) return new MembershipError('JOURNAL_BEHIND', `${id} cannot be reached`, id);
      continue;
    }
    if (!standing.open) {
      return new MembershipError('JOURNAL_BEHIND', `${id} is still learning what its journal held`, id);
    }
    if (standing.epoch !== epoch) {
      return new MembershipError('JOURNAL_BEHIND', `${id} has not taken up the last change of voters`, id);
    }
  }
  for (const group of [voters, votersOf(next.members)]) {
    const silent = group.filter((id) => !standings.has(id));
    if (silent.length * 2 < group.length) continue;
    return new MembershipError(
      'QUORUM_AT_RISK',
      `of ${group.length} voters, ${silent.length} cannot be reached: ${silent.join(', ')}`,
      silent[0],
    );
  }
  return undefined;
}

/** The zone whose voters differ; at most one does (M1). */
function changedZone(list: MemberList, next: MemberList): string | undefined {
  return Object.keys(next.epochs).find((zone) => epochOf(next, zone) !== epochOf(list, zone));
}
