import type { preValidationAsyncHookHandler } from 'fastify';

/**
 * Reads decimal digits in these query parameters as numbers, before validation. Fastify could coerce types by
 * itself, but would then do so in bodies too, where "3" for 3 is a client's mistake that we want to show.
 */
export function readNumbersInQuery(...names: readonly string[]): preValidationAsyncHookHandler {
  return async (request) => {
    const query = request.query as Record<string, unknown>;
    for (const name of names) {
      const value = query[name];
      if (typeof value === 'string' && /^\d{1,9}$/.test(value)) query[name] = Number(value);
    }
  };
}
