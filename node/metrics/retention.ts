import type { Instruments } from './instruments.ts';
import { RETENTION } from './names.ts';
import type { CurrentSources } from './sources.ts';

/** How far back orders go at this node, and what keeps it from letting go. */
export function retentionMetrics(instruments: Instruments, sources: CurrentSources): void {
  const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1_000);
  instruments.gauge(RETENTION.horizonAge, () => seconds(sources().retention?.().ageMs));
  instruments.gauge(RETENTION.behind, () => seconds(sources().retention?.().behindMs));
}
