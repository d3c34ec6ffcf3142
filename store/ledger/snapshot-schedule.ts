/**
 * When to take the next snapshot: when the log since the last one outweighs it. A snapshot costs what it weighs, a
 * restart what the log weighs, so neither may become much more than the other.
 */
export interface SnapshotThresholds {
  /** However small the last snapshot was, the log since then weighs this much before another is taken. */
  readonly logBytesMin: number;
  /** Of the last snapshot's weight. */
  readonly logBytesRatio: number;
  /** However small its entries are: each costs memory. */
  readonly logEntriesMax: number;
}

export const snapshotThresholdsDefault: SnapshotThresholds = {
  logBytesMin: 16 * 1024 * 1024,
  logBytesRatio: 0.5,
  logEntriesMax: 50_000,
};

export class SnapshotSchedule {
  readonly #thresholds: SnapshotThresholds;
  #logBytes = 0;
  #logEntries = 0;
  #snapshotBytes = 0;

  constructor(thresholds: SnapshotThresholds) {
    this.#thresholds = thresholds;
  }

  applied(bytes: number): void {
    this.#logBytes += bytes;
    this.#logEntries += 1;
  }

  /** What is applied from now on is not in the next snapshot. */
  begun(): void {
    this.#logBytes = 0;
    this.#logEntries = 0;
  }

  took(bytes: number): void {
    this.#snapshotBytes = bytes;
  }

  /** The next one is due, however little was applied. */
  demand(): void {
    this.#logEntries = Infinity;
  }

  /** How many times over it is due: from 1 on, it is. */
  get dueTimes(): number {
    const { logBytesMin, logBytesRatio, logEntriesMax } = this.#thresholds;
    const bytes = Math.max(logBytesMin, this.#snapshotBytes * logBytesRatio);
    return Math.max(this.#logEntries / logEntriesMax, this.#logBytes / bytes);
  }
}
