import type { Instruments } from './instruments.ts';
import { DISK } from './names.ts';
import type { CurrentSources } from './sources.ts';

export function diskMetrics(instruments: Instruments, sources: CurrentSources) {
  instruments.gauge(DISK.freeBytes, () => sources().storage?.freeBytes);
  instruments.gauge(DISK.reserveBytes, () => sources().storage?.reserveBytes);
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
