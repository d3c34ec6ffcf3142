import type { FunctionErrorCode } from '../ports/functions.ts';
import type { Instruments } from './instruments.ts';
import { FUNCTIONS } from './names.ts';

export function functionMetrics(instruments: Instruments) {
  const calls = instruments.counter(FUNCTIONS.calls);
  const duration = instruments.histogram(FUNCTIONS.duration);
  const workerRestarts = instruments.counter(FUNCTIONS.workerRestarts);
  return {
    called(name: string, seconds: number, code: 'ok' | FunctionErrorCode): void {
      calls.inc({ function: name, code });
      duration.observe({ function: name }, seconds);
    },
    workerRestarted: (reason: string): void => workerRestarts.inc({ reason }),
  };
}
