import type { JournalErrorCode } from '../../store/journal/port.ts';
import type { Instruments, Reading } from './instruments.ts';
import { JOURNAL } from './names.ts';
import type { CurrentSources } from './sources.ts';

export function journalMetrics(instruments: Instruments, sources: CurrentSources) {
  const quorumAppendDuration = instruments.histogram(JOURNAL.quorumAppendDuration);
  const appendFailures = instruments.counter(JOURNAL.appendFailures);
  instruments.gauges(JOURNAL.position, () =>
    Object.entries(sources().journal?.vector() ?? {}).map(([origin, sequence]): Reading<'origin'> => [
      { origin },
      sequence,
    ]),
  );
  instruments.gauges(JOURNAL.peerLag, () =>
    (sources().journal?.replication() ?? []).map(({ peer, lag }): Reading<'peer'> => [{ peer }, lag]),
  );

  return {
    quorumAppended: (seconds: number): void => quorumAppendDuration.observe(seconds),
    appendFailed: (code: JournalErrorCode): void => appendFailures.inc({ code }),
  };
}
