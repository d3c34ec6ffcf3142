import type { StruckFault } from './plan.ts';
import type { RunResult } from './run.ts';

/** Adds up what many runs did. */
export class Tally {
  runs = 0;
  readonly failed: RunResult[] = [];
  readonly #faults = new Map<StruckFault, number>();
  #accepted = 0;
  #ended = 0;
  #happenings = 0;
  #decided = 0;
  #terms = 0;
  #worldMs = 0;
  #answers = 0;
  #quorums = 0;
  #reads = 0;
  #forgotten = 0;
  #givenUp = 0;
  #renamed = 0;

  add(result: RunResult): void {
    this.runs += 1;
    if (result.violation !== undefined) this.failed.push(result);
    for (const [kind, times] of Object.entries(result.faults) as [StruckFault, number][]) {
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + times);
    }
    this.#accepted += result.accepted;
    this.#ended += result.ended;
    this.#happenings += result.happenings;
    this.#decided += result.decided;
    this.#terms += result.terms;
    this.#worldMs += result.worldMs;
    this.#answers += result.checks.answers;
    this.#quorums += result.checks.quorums;
    this.#reads += result.checks.linearizableReads;
    this.#forgotten += result.checks.forgotten;
    this.#givenUp += result.checks.givenUp;
    this.#renamed += result.checks.renamed;
  }

  /** Accepted orders that were forgotten. */
  get forgotten(): number {
    return this.#forgotten;
  }

  line(seconds: number): string {
    return `${this.runs} runs, ${(this.runs / seconds).toFixed(1)}/s, ${this.failed.length} failed`;
  }

  /** Faults that never struck. */
  missing(kinds: readonly StruckFault[]): readonly StruckFault[] {
    return kinds.filter((kind) => !this.#faults.has(kind));
  }

  report(seconds: number, kinds: readonly StruckFault[]): string {
    const faults = kinds.map((kind) => `${kind} ${this.#faults.get(kind) ?? 0}`);
    return [
      `${this.line(seconds)}, ${seconds.toFixed(1)} s for ${(this.#worldMs / 60_000).toFixed(1)} simulated minutes`,
      `orders: ${this.#accepted} accepted, ${this.#ended} ended, ${this.#forgotten} forgotten`,
      `journal: ${this.#givenUp} entries given up`,
      `limit: ${this.#renamed} became another registration of their key when a disk was lost`,
      `log: ${this.#decided} entries decided in ${this.#terms} terms`,
      `checked: ${this.#happenings} happenings, ${this.#answers} ledger answers, ${this.#quorums} quorum ` +
        `acknowledgements, ${this.#reads} linearizable reads`,
      `faults: ${faults.join(', ')}`,
    ].join('\n');
  }
}
