/**
 * How much CPU time the calls of each function take, smoothed, and so which functions are slow: those whose calls nobody
 * should have to wait behind. A function that was never seen to be quick counts as slow. Guests do nothing but compute,
 * and on a busy machine every call takes long by the clock.
 */
const SLOW_MS = 10;
/** The weight of a new measurement. */
const WEIGHT = 0.2;

export class Pace {
  readonly #ms = new Map<number, number>();

  isSlow(guest: number): boolean {
    return (this.#ms.get(guest) ?? Infinity) >= SLOW_MS;
  }

  ran(guest: number, cpuMs: number): void {
    const before = this.#ms.get(guest) ?? cpuMs;
    this.#ms.set(guest, before + WEIGHT * (cpuMs - before));
  }
}
