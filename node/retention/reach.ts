import type { Entry, Journal } from '../../store/journal/port.ts';

/**
 * Whether an order from before `horizon` (ms) may ever have been here. What is forgotten was in a journal that was
 * shortened since, or still begins before the horizon: where neither is so, the cluster is younger than its horizon.
 * In doubt it may have been.
 */
export async function mayHaveForgotten(
  horizon: number,
  dependencies: {
    readonly journal: Pick<Journal, 'bases' | 'vector' | 'read'>;
    /** When the event of an entry was recorded, ms by the clock of its node. */
    readonly timeOf: (entry: Entry) => number;
  },
): Promise<boolean> {
  const { journal, timeOf } = dependencies;
  if (horizon <= 0) return false;
  if (Object.values(journal.bases()).some(({ sequence }) => sequence > 0)) return true;
  try {
    for (const origin of Object.keys(journal.vector())) {
      const [first] = await journal.read(origin, 1, 1);
      if (first === undefined || timeOf(first) < horizon + CLOCK_SKEW_MS) return true;
    }
    return false;
  } catch {
    // Shortened just now, or damaged and not yet fetched again.
    return true;
  }
}

/** Clocks are not set back by more. */
const CLOCK_SKEW_MS = 5 * 60_000;
