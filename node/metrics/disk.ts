import type { Instruments } from './instruments.ts';
import { DISK } from './names.ts';

export function diskMetrics(instruments: Instruments) {
  const duration = instruments.histogram(DISK.commitDuration);
  const batch = instruments.histogram(DISK.commitBatch);
  return {
    /** One group commit: how long it took, and how many writes shared it. */
    fsync(seconds: number, operations: number): void {
      batch.observe(operations);
      duration.observe(seconds);
    },
  };
}
