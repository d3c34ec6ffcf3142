import type { RecordedEvent } from '../orders/events.ts';
import type { Environment } from '../../store/environment.ts';
import { JournalError, type Entry, type Journal } from '../../store/journal/port.ts';

/**
 * Derives damaged rows again from the journal, in the background. Owns when the journal is read through, and for whom;
 * what an order is made of its events is the views'.
 *
 * H1  An order whose row is damaged gets all its events back at once, or none yet.
 * H2  Damage that may have hit a key is answered by a check of the whole table: a row under a wrong key is also one
 *     that is missing under its own, and nothing else would notice.
 *     What was found damaged stays until all that the check found is derived again and written: a process that dies
 *     before leaves the damage to the next one, which would notice nothing else.
 * H3  One reading at a time, page by page; whoever needs one meanwhile waits for the next.
 */
export interface HealingDependencies {
  readonly environment: Environment;
  readonly journal: Pick<Journal, 'read' | 'vector' | 'bases'>;
  readonly decode: (entry: Entry) => RecordedEvent;
  /** Looks at a page of events for orders that the table does not have as it should. */
  readonly check: (events: readonly RecordedEvent[]) => Promise<void>;
  /** A check has been through the whole journal, and what it found is derived again. */
  readonly checked: () => Promise<void>;
  /** Rows have been derived again. */
  readonly healed: () => Promise<void>;
}

interface Patient {
  readonly events: RecordedEvent[];
  readonly resolve: (events: readonly RecordedEvent[]) => void;
}

const PAGE = 500;
const RETRY_AFTER_MS = 1_000;

export class Healing {
  readonly #dependencies: HealingDependencies;
  #waiting = new Map<string, Patient>();
  #checkWanted = false;
  /** A check is through, and what was damaged is still there. */
  #isChecked = false;
  #running = false;
  #stopped = false;

  constructor(dependencies: HealingDependencies) {
    this.#dependencies = dependencies;
  }

  /** Something was found damaged that is not derived again yet. */
  get isAtWork(): boolean {
    return this.#running || this.#hasWork;
  }

  get #hasWork(): boolean {
    return this.#waiting.size > 0 || this.#checkWanted || this.#isChecked;
  }

  /** Resolves with all events of the order that the journal has now; none when there are none. */
  eventsOf(orderId: string): Promise<readonly RecordedEvent[]> {
    return new Promise((resolve) => {
      this.#waiting.set(orderId, { events: [], resolve });
      this.#start();
    });
  }

  /** H2. */
  checkAll(): void {
    this.#checkWanted = true;
    this.#start();
  }

  /** Those who wait are not answered any more. */
  stop(): void {
    this.#stopped = true;
  }

  #start(): void {
    if (this.#running || this.#stopped) return;
    this.#running = true;
    void this.#work().catch((error: unknown) => {
      const { log, clock } = this.#dependencies.environment;
      log.warn({ error: String(error) }, 'damaged views could not be derived again yet');
      clock.after(RETRY_AFTER_MS, () => this.#start());
    });
  }

  async #work(): Promise<void> {
    try {
      await this.#workOff();
    } finally {
      // In the same turn as the last look at who waits: nobody is missed.
      this.#running = false;
    }
  }

  async #workOff(): Promise<void> {
    const { environment, check, checked, healed } = this.#dependencies;
    while (!this.#stopped && this.#hasWork) {
      // First those for whom somebody waits.
      if (this.#waiting.size > 0) {
        const patients = this.#waiting;
        this.#waiting = new Map();
        try {
          await this.#readAll(async (events) => {
            for (const event of events) patients.get(event.orderId)?.events.push(event);
          });
        } catch (error) {
          for (const [id, patient] of patients) this.#waiting.set(id, { ...patient, events: [] });
          throw error;
        }
        // H1: what was read may not be all.
        if (this.#stopped) return;
        for (const { events, resolve } of patients.values()) resolve(events);
        await healed();
        environment.log.info({ orders: patients.size }, 'derived damaged orders again from the journal');
        continue;
      }
      if (!this.#checkWanted) {
        await checked();
        this.#isChecked = false;
        environment.log.info({}, 'checked the views against the journal');
        continue;
      }
      environment.log.warn({}, 'checking the views against the journal: a row of theirs is damaged');
      this.#checkWanted = false;
      try {
        await this.#readAll(check);
      } catch (error) {
        this.#checkWanted = true;
        throw error;
      }
      this.#isChecked = true;
    }
  }

  async #readAll(visit: (events: readonly RecordedEvent[]) => Promise<void>): Promise<void> {
    const { journal, decode, environment } = this.#dependencies;
    for (const [origin, last] of Object.entries(journal.vector())) {
      let from = 1;
      while (from <= last && !this.#stopped) {
        from = Math.max(from, (journal.bases()[origin]?.sequence ?? 0) + 1);
        let page: readonly Entry[];
        try {
          page = await journal.read(origin, from, PAGE);
        } catch (error) {
          if (error instanceof JournalError && error.code === 'COMPACTED') continue;
          throw error;
        }
        if (page.length === 0) break;
        await visit(page.map(decode));
        from += page.length;
        environment.log.debug({ origin, from, last }, 'reading the journal for damaged views');
      }
    }
  }
}
