import { setTimeout as delay } from 'node:timers/promises';
import { CommandError } from '../context.ts';
import { ask } from './ask.ts';
import { askMembers } from './members-asked.ts';
import type { Member } from './members-asked.ts';
import type { PlannedNode } from './plan.ts';

const pollMs = 100;
const noteAfterMsUsual = 5_000;

export interface Wait {
  readonly timeoutMs: number;
  /** Ends the wait. */
  readonly during: AbortSignal;
  /** Told what is waited for once that has lasted `noteAfterMs`, and again whenever it changes. */
  readonly note: (line: string) => void;
  readonly noteAfterMs?: number;
}

/**
 * Resolves with the members when all of `nodes` that are members say that they take orders. Who is none, because it
 * was removed or is not let in yet, is not waited for. Rejects with CommandError, which gives the nodes' own reasons.
 */
export async function waitForReady(nodes: readonly PlannedNode[], wait: Wait): Promise<readonly Member[]> {
  return until(wait, nodes, 'to be ready', async () => {
    const reasons = new Map(
      await Promise.all(nodes.map(async (node) => [node, await whyNotReady(node)] as const)),
    );
    const ready = nodes.filter((node) => reasons.get(node) === undefined);
    const members = ready.length === 0 ? undefined : await askMembers(ready);
    const missing = nodes.filter(
      (node) => !ready.includes(node) && (members?.some(({ id }) => id === node.name) ?? true),
    );
    if (members !== undefined && missing.length === 0) return { done: members };
    if (missing.length === 0) return { waitsFor: ['nodes: none of them leads'] };
    const namesByReason = Map.groupBy(missing, (node) => reasons.get(node) ?? '');
    return {
      waitsFor: [...namesByReason].map(
        ([reason, these]) => `${these.map(({ name }) => name).join(', ')}: ${reason}`,
      ),
    };
  });
}

/** Something to buy, and in which money. */
export interface Offer {
  readonly sku: string;
  readonly currency: string;
}

/** Resolves with a product to buy, when `node` knows one. Rejects with CommandError. */
export async function waitForStock(node: PlannedNode, wait: Wait): Promise<Offer> {
  return until(wait, [node], 'to know something to sell', async () => {
    try {
      const { body } = await ask(`${node.httpUrl}/stock?limit=100`);
      const offer = mostInStock(body);
      return offer === undefined ? { waitsFor: [`${node.name}: nothing is in stock`] } : { done: offer };
    } catch (error) {
      return { waitsFor: [`${node.name}: ${silence(error)}`] };
    }
  });
}

/** What there is most of: the first purchase should not take the last of something. */
function mostInStock(body: unknown): Offer | undefined {
  const { stock = [] } = (body ?? {}) as { stock?: readonly (Offer & { available: number })[] };
  const [most] = stock.toSorted((left, right) => right.available - left.available);
  return most !== undefined && most.available > 0 ? most : undefined;
}

/** Undefined when it is ready. */
async function whyNotReady(node: PlannedNode): Promise<string | undefined> {
  try {
    const { status, body } = await ask(`${node.httpUrl}/readyz`);
    if (status === 200) return undefined;
    const { reasons = [] } = (body ?? {}) as { readonly reasons?: readonly string[] };
    return reasons.length === 0 ? `/readyz answers ${String(status)}` : reasons.join('; ');
  } catch (error) {
    return silence(error);
  }
}

function silence(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return `it does not answer (${cause instanceof Error ? cause.message : String(cause)})`;
}

type Look<Value> = { readonly done: Value } | { readonly waitsFor: readonly string[] };

async function until<Value>(
  { timeoutMs, during, note, noteAfterMs = noteAfterMsUsual }: Wait,
  nodes: readonly PlannedNode[],
  what: string,
  look: () => Promise<Look<Value>>,
): Promise<Value> {
  const begun = performance.now();
  let told = '';
  for (;;) {
    during.throwIfAborted();
    const seen = await look();
    if ('done' in seen) return seen.done;
    const passedMs = performance.now() - begun;
    if (passedMs >= timeoutMs) {
      const names = nodes.map(({ name }) => name).join(', ');
      const logs = nodes.map(({ logFile }) => logFile).join('  ');
      const waited = `waited ${String(timeoutMs / 1000)} s for ${names} ${what}`;
      const lines = [waited, ...seen.waitsFor, `logs: ${logs}`];
      throw new CommandError(lines.join('\n  '));
    }
    const text = seen.waitsFor.join('\n');
    if (passedMs >= noteAfterMs && text !== told) {
      for (const line of seen.waitsFor) note(`  waiting for ${line}`);
      told = text;
    }
    await delay(pollMs, undefined, { signal: during });
  }
}
