import type { Environment } from '../../store/environment.ts';
import { storedOrder, type OrderShelf } from './order-shelf.ts';
import type { OrderTable } from './order-table.ts';
import { createdAtOfAge, orderIdOfAge, orphanPrefix, timePrefix } from './table-layout.ts';

/**
 * Takes the rows of forgotten orders out of the table (V5), in the background and page by page, between other work. Owns
 * when; what is forgotten the shelf knows.
 */
export interface ForgettingDependencies {
  readonly environment: Pick<Environment, 'fatal'>;
  readonly shelf: OrderShelf;
  readonly table: OrderTable;
}

/** Orders at a time. */
const PAGE = 200;

export class Forgetting {
  readonly #dependencies: ForgettingDependencies;
  #isRunning = false;
  #isStopped = false;
  /** Rows went of which nobody knows any more what they were counted as. */
  #isMiscounted = false;

  constructor(dependencies: ForgettingDependencies) {
    this.#dependencies = dependencies;
  }

  /** To be called when the horizon has moved. */
  start(): void {
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    const done = this.#forgetAll().finally(() => {
      this.#isRunning = false;
    });
    void done.catch((error: unknown) => this.#dependencies.environment.fatal(error as Error));
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #forgetAll(): Promise<void> {
    const { shelf } = this.#dependencies;
    for (let horizon = -1; horizon < shelf.horizon;) {
      ({ horizon } = shelf);
      for (const prefix of [timePrefix(), orphanPrefix()]) {
        while ((await shelf.alone(() => this.#forgetPage(prefix))) && !this.#isStopped);
      }
    }
    if (!this.#isMiscounted || this.#isStopped) return;
    this.#isMiscounted = false;
    await shelf.recount();
  }

  /** False when nothing was left to forget. */
  async #forgetPage(prefix: string): Promise<boolean> {
    const { shelf, table } = this.#dependencies;
    await shelf.write();
    const ages = await table.agesBefore(prefix, shelf.horizon, PAGE);
    if (ages.length === 0) return false;
    const rows = await table.rows(ages.map(orderIdOfAge));
    for (const [index, age] of ages.entries()) {
      const orderId = orderIdOfAge(age);
      const row = rows[index];
      if (shelf.isInTableOnly(orderId)) {
        if (row === undefined || row === 'damaged') {
          shelf.takeOut(orderId, createdAtOfAge(age));
          this.#isMiscounted = true;
        } else {
          const stored = storedOrder(orderId, row);
          if (shelf.isForgotten(stored)) shelf.letGo(stored);
        }
      }
      // In any case: it may be listed by what was thought of it before.
      shelf.unlist(orderId, createdAtOfAge(age));
    }
    await shelf.write();
    return true;
  }
}
