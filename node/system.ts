/** The machine's own time and chance: the one place where the program takes them from the runtime. */
import type { Environment, Log } from '../store/environment.ts';

/** `onFatal` must end the process: whoever reports a fatal error makes no further progress. */
export function systemEnvironment(log: Log, onFatal: (error: Error) => void): Environment {
  return {
    clock: {
      now: () => Date.now(),
      monotonic: () => performance.now(),
      after: (delayMs, callback) => {
        const timer = setTimeout(callback, delayMs);
        return () => {
          clearTimeout(timer);
        };
      },
    },
    random: () => Math.random(),
    log,
    fatal: onFatal,
  };
}
