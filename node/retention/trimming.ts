import type { Environment } from '../../store/environment.ts';
import { JournalError, type Entry, type Journal } from '../../store/journal/port.ts';
import type { SubjectOf, Views } from './ports.ts';

/**
 * Finds how far each origin's journal holds only orders that this node has forgotten, and gives that up. Owns how far
 * it has looked; the journal owns what is gone.
 *
 *   K1  An entry is given up only if it is in the views' table, or would be, and the order it is about is not there any
 *       more. A damaged row is one that is there.
 *   K2  A registration that is younger than the horizon can not have been forgotten: were its order not there, the
 *       views would be wrong, and it stays.
 *   K3  No entry is read twice for this: what was found free is remembered, and an origin whose next entry has to stay
 *       is not read until that entry's order is gone.
 */
export interface TrimmingDependencies {
  readonly environment: Environment;
  readonly journal: Pick<Journal, 'vector' | 'bases' | 'read' | 'compact'>;
  readonly views: Pick<Views, 'kept' | 'flush' | 'flushedUpTo'>;
  readonly subjectOf: SubjectOf;
}

const PAGE = 500;

/** How far one origin was looked at. */
interface Looked {
  /** Up to here nothing has to stay. */
  free: number;
  /** The order that the next entry is about, while it has to stay. */
  stays: string | undefined;
}

export class Trimming {
  readonly #dependencies: TrimmingDependencies;
  readonly #looked = new Map<string, Looked>();

  constructor(dependencies: TrimmingDependencies) {
    this.#dependencies = dependencies;
  }

  /** `horizon` (ms) is the one that the views have forgotten behind. Rejects with JournalError. */
  async run(horizon: number): Promise<void> {
    const { journal, views } = this.#dependencies;
    await views.flush();
    const upTo: Record<string, number> = {};
    for (const origin of Object.keys(journal.vector())) {
      const free = await this.#look(origin, horizon);
      if (free > (journal.bases()[origin]?.sequence ?? 0)) upTo[origin] = free;
    }
    if (Object.keys(upTo).length > 0) await journal.compact({ upTo, horizon });
  }

  async #look(origin: string, horizon: number): Promise<number> {
    const { journal, views } = this.#dependencies;
    const looked = this.#looked.get(origin) ?? { free: 0, stays: undefined };
    this.#looked.set(origin, looked);
    if (looked.stays !== undefined && (await views.kept([looked.stays])).size > 0) return looked.free;
    looked.stays = undefined;
    looked.free = Math.max(looked.free, journal.bases()[origin]?.sequence ?? 0);
    const last = views.flushedUpTo(origin);
    while (looked.free < last && looked.stays === undefined) {
      const page = await this.#read(origin, looked.free + 1, Math.min(PAGE, last - looked.free));
      if (page.length === 0) break;
      await this.#passOver(page, looked, horizon);
    }
    return looked.free;
  }

  /** None when a base has risen meanwhile: the next run begins beyond it. */
  async #read(origin: string, from: number, limit: number): Promise<readonly Entry[]> {
    try {
      return await this.#dependencies.journal.read(origin, from, limit);
    } catch (error) {
      if (error instanceof JournalError && error.code === 'COMPACTED') return [];
      throw error;
    }
  }

  async #passOver(page: readonly Entry[], looked: Looked, horizon: number): Promise<void> {
    const { views, subjectOf, environment } = this.#dependencies;
    const subjects = page.map(subjectOf);
    const kept = await views.kept([...new Set(subjects.map(({ orderId }) => orderId))]);
    for (const [index, { orderId, registeredAt }] of subjects.entries()) {
      if (!kept.has(orderId)) {
        if (registeredAt === undefined || registeredAt < horizon) {
          looked.free = page[index]?.sequence ?? looked.free;
          continue;
        }
        // K2.
        environment.log.error(
          { orderId, registeredAt, horizon },
          'a young order is in the journal and in no view',
        );
      }
      looked.stays = orderId;
      return;
    }
  }
}
