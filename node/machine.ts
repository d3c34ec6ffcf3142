import { randomBytes } from 'node:crypto';
import type { Environment, Log } from '../store/environment.ts';

/** The machine's own time and chance, for the program. */
export function machineEnvironment(options: {
  readonly log: Log;
  readonly fatal: (error: Error) => void;
}): Environment {
  return {
    clock: {
      now: () => Date.now(),
      monotonic: () => performance.now(),
      after(delayMs, callback) {
        const timer = setTimeout(callback, delayMs);
        return () => {
          clearTimeout(timer);
        };
      },
    },
    // Not Math.random: order ids are drawn from this, and they must not be guessable.
    random: () => randomBytes(6).readUIntBE(0, 6) / 2 ** 48,
    log: options.log,
    fatal: options.fatal,
  };
}
