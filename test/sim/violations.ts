/** Who noticed. Every checker must be tripped by at least one mutant (mutants.test.ts). */
export const checkers = [
  'crash',
  'election safety',
  'log matching',
  'leader completeness',
  'state machine safety',
  'majority of disks',
  'own term',
  'loyalty',
  'promise on disk',
  'linearizable read',
  'whole snapshot',
  'ledger history',
  'stock figures',
  'journal position',
  'journal quorum',
  'one claim',
  'outcome',
  'ledger decides',
  'money',
  'idempotency',
  'acknowledged order',
  'oversold',
  'system of record',
  'retention',
  'convergence',
  'liveness',
] as const;

export type CheckerName = (typeof checkers)[number];

export interface Violation {
  readonly checker: CheckerName;
  readonly detail: string;
  /** World time, ms. */
  readonly at: number;
}

/** Keeps the first breach of a promise; the run ends with it. What comes after it may only be its consequence. */
export class Violations {
  readonly #now: () => number;
  #first: Violation | undefined;

  constructor(dependencies: { readonly now: () => number }) {
    this.#now = dependencies.now;
  }

  get first(): Violation | undefined {
    return this.#first;
  }

  report(checker: CheckerName, detail: string): void {
    this.#first ??= { checker, detail, at: this.#now() };
  }
}
