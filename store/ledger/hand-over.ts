/**
 * Those who wait for another node to lead, after this one has asked to be succeeded. Owns the waiting; who succeeds,
 * and whether, is the core's affair (C21).
 */
import type { Clock, NodeId } from '../environment.ts';

export class HandOver {
  readonly #self: NodeId;
  readonly #clock: Clock;
  readonly #waiting = new Set<(succeeded: boolean) => void>();

  constructor(options: { readonly self: NodeId }, dependencies: { readonly clock: Clock }) {
    this.#self = options.self;
    this.#clock = dependencies.clock;
  }

  /** True as soon as another node leads; false when the time is over, or at the end. */
  outcome(timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (succeeded: boolean): void => {
        cancel();
        this.#waiting.delete(finish);
        resolve(succeeded);
      };
      const cancel = this.#clock.after(timeoutMs, () => finish(false));
      this.#waiting.add(finish);
    });
  }

  leaderIs(leader: NodeId | undefined): void {
    if (leader === undefined || leader === this.#self) return;
    for (const finish of this.#waiting) finish(true);
  }

  close(): void {
    for (const finish of this.#waiting) finish(false);
  }
}
