/**
 * Calls that wait, by function.
 *
 * Q1  Functions take turns: between two calls of one function, every other that may run has one. So a call waits for
 *     those of its own function, and for one of each other per turn, however many of those there are.
 * Q2  Bounded, in all and for each function: one that nobody can keep up with leaves room for the others.
 * Q3  Calls of one function are taken in the order they came; what is put back comes first.
 */
export interface FairQueueOptions {
  readonly itemsMax: number;
  readonly perFunctionMax: number;
}

export class FairQueue<Item> {
  readonly #options: FairQueueOptions;
  /** The function whose turn is next stands first. None is empty. */
  readonly #lines = new Map<number, Item[]>();
  #size = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#size;
  }

  /** False when there is no room for it. */
  offer(owner: number, item: Item): boolean {
    const line = this.#lines.get(owner);
    const { itemsMax, perFunctionMax } = this.#options;
    if (this.#size >= itemsMax || (line?.length ?? 0) >= perFunctionMax) return false;
    if (line === undefined) this.#lines.set(owner, [item]);
    else line.push(item);
    this.#size += 1;
    return true;
  }

  /** There is always room for what was here before. */
  putBack(owner: number, item: Item): void {
    const line = this.#lines.get(owner);
    if (line === undefined) this.#lines.set(owner, [item]);
    else line.unshift(item);
    this.#size += 1;
  }

  /** Takes it out of its turn; false when it is not here. */
  remove(owner: number, item: Item): boolean {
    const line = this.#lines.get(owner);
    const place = line?.indexOf(item) ?? -1;
    if (line === undefined || place < 0) return false;
    line.splice(place, 1);
    if (line.length === 0) this.#lines.delete(owner);
    this.#size -= 1;
    return true;
  }

  /** The next call of the first function in turn that `may` run; that function then goes to the end. */
  take(may: (owner: number) => boolean): Item | undefined {
    for (const [owner, line] of this.#lines) {
      if (!may(owner)) continue;
      const item = line.shift();
      this.#lines.delete(owner);
      if (line.length > 0) this.#lines.set(owner, line);
      this.#size -= 1;
      return item;
    }
    return undefined;
  }

  /** Whether a function waits that is like this. */
  some(isLike: (owner: number) => boolean): boolean {
    return this.#lines.keys().some(isLike);
  }

  /** Empties it. */
  takeAll(): readonly Item[] {
    const items = [...this.#lines.values()].flat();
    this.#lines.clear();
    this.#size = 0;
    return items;
  }
}
