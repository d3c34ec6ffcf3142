/**
 * What happened in a run, for whoever has to understand a failing seed. Owns the last lines and a digest over all of
 * them: two runs with the same digest did the same.
 */
export interface TraceLine {
  /** World time, ms. */
  readonly at: number;
  /** The node, or who else it was: `world`, `clients`, `bank`, `shop` (the system of record). */
  readonly who: string;
  readonly what: string;
  readonly detail: string;
}

export class Trace {
  readonly #linesMax: number;
  readonly #now: () => number;
  readonly #lines: TraceLine[] = [];
  #next = 0;
  #digest = 0;
  #count = 0;

  constructor(options: { readonly linesMax: number }, dependencies: { readonly now: () => number }) {
    this.#linesMax = options.linesMax;
    this.#now = dependencies.now;
  }

  /** Hex. */
  get digest(): string {
    return `${this.#digest.toString(16).padStart(8, '0')}-${this.#count}`;
  }

  add(who: string, what: string, detail = ''): void {
    const line: TraceLine = { at: this.#now(), who, what, detail };
    this.#digest = mixed(this.#digest, line);
    this.#count += 1;
    this.#lines[this.#next] = line;
    this.#next = (this.#next + 1) % this.#linesMax;
  }

  /** The last lines, oldest first; those that contain `filter` in any part, when it is given. */
  lines(filter?: string): readonly string[] {
    return [...this.#lines.slice(this.#next), ...this.#lines.slice(0, this.#next)]
      .map(
        ({ at, who, what, detail }) =>
          `${at.toFixed(2).padStart(10)}  ${who.padEnd(7)} ${what.padEnd(12)} ${detail}`,
      )
      .filter((line) => filter === undefined || line.includes(filter));
  }
}

/** Cheap, for it is done for everything that happens: the time, and the ends of the words, tell two histories apart. */
function mixed(digest: number, { at, who, what, detail }: TraceLine): number {
  let mixing = digest ^ Math.floor(at * 1_000);
  for (const word of [who, what, detail]) {
    mixing = Math.imul(mixing ^ word.length ^ (word.charCodeAt(word.length - 1) << 8), 0x0100_0193);
  }
  return mixing >>> 0;
}
