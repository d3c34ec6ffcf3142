import type { Base, Position } from '../../store/journal/port.ts';

/**
 * How far the journal has been applied to the views, per origin. Entries may be met ahead of others while the journal
 * is replayed; the checkpoint covers only what was applied without a gap. What lies below a base will never come, and
 * counts as applied.
 */
export class Applied {
  /** The last entry applied together with all before it. */
  readonly #applied = new Map<string, number>();
  /** What was applied beyond that. */
  readonly #ahead = new Map<string, Set<number>>();
  /** What the next checkpoint says. */
  #settled: ReadonlyMap<string, number> = new Map();
  #flushed: ReadonlyMap<string, number> = new Map();

  restore(checkpoint: Readonly<Record<string, number>>): void {
    for (const [origin, sequence] of Object.entries(checkpoint)) this.#applied.set(origin, sequence);
    this.settle();
    this.onFlushed();
  }

  of(origin: string): number {
    return this.#applied.get(origin) ?? 0;
  }

  add({ origin, sequence }: Position): void {
    if (sequence <= this.of(origin)) return;
    const ahead = this.#ahead.get(origin) ?? new Set();
    this.#ahead.set(origin, ahead.add(sequence));
    this.#catchUp(origin, this.of(origin));
  }

  jump(bases: Readonly<Record<string, Base>>): void {
    for (const [origin, { sequence }] of Object.entries(bases)) {
      if (sequence <= this.of(origin)) continue;
      const ahead = this.#ahead.get(origin);
      for (const met of ahead ?? []) if (met <= sequence) ahead?.delete(met);
      this.#catchUp(origin, sequence);
    }
  }

  /** All that is applied is ready to be written. */
  settle(): void {
    this.#settled = new Map(this.#applied);
  }

  get settled(): ReadonlyMap<string, number> {
    return this.#settled;
  }

  onFlushed(): void {
    this.#flushed = this.#settled;
  }

  /** What the checkpoint in the table covers, or would if anything had had to be written. */
  flushed(origin: string): number {
    return this.#flushed.get(origin) ?? 0;
  }

  #catchUp(origin: string, from: number): void {
    const ahead = this.#ahead.get(origin);
    let applied = from;
    while (ahead?.delete(applied + 1) === true) applied += 1;
    this.#applied.set(origin, applied);
  }
}
