import { CommandError } from '../context.ts';
import type { Plan, PlannedNode } from './plan.ts';

/** Asks `others`, one after the other, to let `newcomer` in. Rejects with CommandError. */
export async function admit(
  plan: Plan,
  newcomer: PlannedNode,
  { peerId, others }: { readonly peerId: string; readonly others: readonly PlannedNode[] },
): Promise<void> {
  const body = JSON.stringify({
    id: newcomer.name,
    peerId,
    zone: plan.zone,
    address: `${plan.host}:${String(newcomer.peerPort)}`,
  });
  let last = 'no node answers';
  for (const node of others) {
    try {
      const response = await fetch(`${node.httpUrl}/cluster/members`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        signal: AbortSignal.timeout(requestTimeoutMs),
      });
      if (response.ok) return;
      const { detail = '' } = (await response.json()) as { readonly detail?: string };
      last = `${node.name} answers ${String(response.status)}: ${detail}`;
    } catch (error) {
      last = `${node.name}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
  throw new CommandError(`${newcomer.name} runs, and was not let in (${last})`);
}

const requestTimeoutMs = 30_000;
