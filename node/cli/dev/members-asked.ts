import { ask } from './ask.ts';
import type { PlannedNode } from './plan.ts';

/** Who takes part in a cluster, as the cluster has decided it. */
export interface Member {
  readonly id: string;
  readonly voter: boolean;
}

interface View {
  readonly self: string;
  readonly leader?: string;
  readonly term: number;
}

/**
 * The members by the word of the one of `nodes` that leads: the others may be a moment behind, and one that was removed
 * has an old list. Undefined when none of them leads, or answers.
 */
export async function askMembers(
  nodes: readonly Pick<PlannedNode, 'httpUrl'>[],
): Promise<readonly Member[] | undefined> {
  const views = await Promise.all(
    nodes.map(async ({ httpUrl }) => ({ httpUrl, view: await answerOf<View>(`${httpUrl}/cluster`) })),
  );
  // One that was paused may think that it leads still; the later term counts.
  const [leading] = views
    .filter(({ view }) => view?.leader !== undefined && view.leader === view.self)
    .toSorted((left, right) => (right.view?.term ?? 0) - (left.view?.term ?? 0));
  if (leading === undefined) return undefined;
  return (await answerOf<{ readonly members?: readonly Member[] }>(`${leading.httpUrl}/cluster/members`))
    ?.members;
}

async function answerOf<Body>(url: string): Promise<Body | undefined> {
  try {
    const { status, body } = await ask(url);
    return status === 200 ? (body as Body) : undefined;
  } catch {
    // It is down, or paused, or something else has its port.
    return undefined;
  }
}
