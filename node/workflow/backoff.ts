import type { Random } from '../../store/environment.ts';

/**
 * Full-jitter exponential back-off (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015), never
 * below a quarter of the step so that a retry is never at once.
 * @param attempt from 1
 * @returns ms
 */
export function backoffMs(attempt: number, random: Random, baseMs = 100, capMs = 5_000): number {
  const step = Math.min(capMs, baseMs * 2 ** Math.min(attempt - 1, 16));
  return step / 4 + random() * (step * 0.75);
}
