import type { Instruments } from './instruments.ts';
import { DISK } from './names.ts';

export function diskMetrics(instruments: Instruments) {
  const duration = instruments.histogram(DISK.commitDuration);
  const batch = instruments.histogram(DISK.commitBatch);
  return {
    /** One group commit: how many writes shared it, and how long it took. */
    committed(operations: number, seconds: number): void {
      batch.observe(operations);
      duration.observe(seconds);
    },
  };
}
