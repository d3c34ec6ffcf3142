/**
 * What is going to happen by itself, each thing at its time: at most one per id. Ids that wait equally long stand in
 * one lane, which is in order because time only rises; there are as many lanes as different delays, which are few.
 *
 *   A1  Things come in the order of their times, whatever lanes they stand in. Which of two that are due at the same
 *       time is first depends on what was set, never on when somebody looked.
 */
export class Agenda {
  /** By delay in ms; within, ids and the times at which they are due. */
  readonly #lanes = new Map<number, Map<string, number>>();
  readonly #laneOf = new Map<string, number>();

  /** `id` is due `delayMs` after `at`, and not when it was due before. `at` never falls. */
  set(at: number, id: string, delayMs: number): void {
    this.remove(id);
    const lane = this.#lanes.get(delayMs) ?? new Map<string, number>();
    this.#lanes.set(delayMs, lane.set(id, at + delayMs));
    this.#laneOf.set(id, delayMs);
  }

  remove(id: string): void {
    const delayMs = this.#laneOf.get(id);
    if (delayMs === undefined) return;
    this.#laneOf.delete(id);
    const lane = this.#lanes.get(delayMs);
    lane?.delete(id);
    if (lane?.size === 0) this.#lanes.delete(delayMs);
  }

  next(): { readonly id: string; readonly dueAt: number } | undefined {
    let next: { readonly id: string; readonly dueAt: number } | undefined;
    for (const lane of this.#lanes.values()) {
      for (const [id, dueAt] of lane) {
        const isFirst = next === undefined || dueAt < next.dueAt || (dueAt === next.dueAt && id < next.id);
        if (isFirst) next = { id, dueAt };
        break;
      }
    }
    return next;
  }
}
