import { setTimeout as delay } from 'node:timers/promises';
import { CommandError } from '../context.ts';
import type { Plan, PlannedNode } from './plan.ts';

const pollMs = 100;
const requestTimeoutMs = 2_000;

/** Resolves when every node says that it takes orders. `during` aborts the wait. */
export async function waitForReady(plan: Plan, timeoutMs: number, during: AbortSignal): Promise<void> {
  await Promise.all(
    plan.nodes.map((node) =>
      poll(node, 'to be ready', timeoutMs, during, async () => {
        const answer = await get(`${node.httpUrl}/readyz`);
        return answer.status === 200 ? true : undefined;
      }),
    ),
  );
}

/** Something to buy, and in which money. */
export interface Offer {
  readonly sku: string;
  readonly currency: string;
}

/** Resolves with a product to buy, when the first node knows one. */
export async function waitForStock(plan: Plan, timeoutMs: number, during: AbortSignal): Promise<Offer> {
  const [first] = plan.nodes;
  if (first === undefined) throw new CommandError('a cluster needs a node');
  return poll(first, 'to know the catalogue', timeoutMs, during, async () => {
    const answer = await get(`${first.httpUrl}/stock?limit=100`);
    return mostInStock(answer.body);
  });
}

/** What there is most of: the first purchase should not take the last of something. */
function mostInStock(body: unknown): Offer | undefined {
  const { stock = [] } = (body ?? {}) as { stock?: readonly (Offer & { available: number })[] };
  const [most] = stock.toSorted((left, right) => right.available - left.available);
  return most !== undefined && most.available > 0 ? most : undefined;
}

async function poll<Value>(
  node: PlannedNode,
  what: string,
  timeoutMs: number,
  during: AbortSignal,
  attempt: () => Promise<Value | undefined>,
): Promise<Value> {
  const begun = performance.now();
  let last = 'no answer';
  while (performance.now() - begun < timeoutMs) {
    during.throwIfAborted();
    try {
      const value = await attempt();
      if (value !== undefined) return value;
      last = 'not yet';
    } catch (error) {
      last = error instanceof Error ? error.message : String(error);
    }
    await delay(pollMs, undefined, { signal: during });
  }
  throw new CommandError(
    `waited ${String(timeoutMs / 1000)} s for ${node.title} ${what} (last: ${last}). Its log: ${node.logFile}`,
  );
}

async function get(url: string): Promise<{ status: number; body: unknown }> {
  const response = await fetch(url, { signal: AbortSignal.timeout(requestTimeoutMs) });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
}
