import type { Cancel, Log } from '../environment.ts';

/**
 * Tells who wants to know when this node begins and ceases to lead. What a handler throws is its own affair.
 */
export class Leadership {
  readonly #log: Log;
  readonly #handlers = new Set<(leading: boolean) => void>();
  #isLeading = false;

  constructor(dependencies: { readonly log: Log }) {
    this.#log = dependencies.log;
  }

  get isLeading(): boolean {
    return this.#isLeading;
  }

  notice(leading: boolean): void {
    if (leading === this.#isLeading) return;
    this.#isLeading = leading;
    this.#log.info({ leading }, 'ledger leadership');
    for (const handler of this.#handlers) this.#tell(handler);
  }

  /** Told at once when this node leads already. */
  on(handler: (leading: boolean) => void): Cancel {
    this.#handlers.add(handler);
    if (this.#isLeading) this.#tell(handler);
    return () => {
      this.#handlers.delete(handler);
    };
  }

  #tell(handler: (leading: boolean) => void): void {
    const leading = this.#isLeading;
    try {
      handler(leading);
    } catch (error) {
      this.#log.error({ error: String(error), leading }, 'a leadership handler failed');
    }
  }
}
