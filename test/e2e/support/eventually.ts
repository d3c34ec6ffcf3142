import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks again until `attempt` no longer throws, and gives what it gave. After `withinMs` the last error is
 * thrown, so that a test fails with what was wrong and not with "timed out".
 */
export async function eventually<Value>(
  withinMs: number,
  attempt: () => Promise<Value> | Value,
  everyMs = 50,
): Promise<Value> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() >= deadline) throw error;
    }
    await delay(everyMs);
  }
}
