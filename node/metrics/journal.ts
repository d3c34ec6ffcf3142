import type { Instruments, Reading } from './instruments.ts';
import { JOURNAL } from './names.ts';
import type { CurrentSources } from './sources.ts';

/** How far this node's journal is, and how far its peers are with it. */
export function journalMetrics(instruments: Instruments, sources: CurrentSources): void {
  instruments.gauges(JOURNAL.position, () =>
    Object.entries(sources().journal?.vector() ?? {}).map(([origin, sequence]): Reading<'origin'> => [
      { origin },
      sequence,
    ]),
  );
  instruments.gauges(JOURNAL.held, () => {
    const bases = sources().journal?.bases() ?? {};
    return Object.entries(sources().journal?.vector() ?? {}).map(([origin, sequence]): Reading<'origin'> => [
      { origin },
      sequence - (bases[origin]?.sequence ?? 0),
    ]);
  });
  instruments.gauges(JOURNAL.peerLag, () =>
    (sources().journal?.replication() ?? []).map(({ peer, lag }): Reading<'peer'> => [{ peer }, lag]),
  );
}
