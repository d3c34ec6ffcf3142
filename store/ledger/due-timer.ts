import type { Cancel, Clock } from '../environment.ts';

/**
 * Asks the machine, as long as this node leads, what is due by the passing of time, and has it decided. One command at
 * a time; while there is more, the next follows at once.
 */
export interface DueTimerDependencies {
  readonly clock: Clock;
  /** What is due, if this node leads. */
  readonly due: () => Uint8Array | undefined;
  /** Undecided is no loss: it is still due the next time. */
  readonly submit: (command: Uint8Array) => Promise<unknown>;
}

export class DueTimer {
  readonly #intervalMs: number;
  readonly #dependencies: DueTimerDependencies;
  #cancel: Cancel = () => undefined;
  #isUnderWay = false;
  #isStopped = false;

  constructor(options: { readonly intervalMs: number }, dependencies: DueTimerDependencies) {
    this.#intervalMs = options.intervalMs;
    this.#dependencies = dependencies;
  }

  start(): void {
    if (this.#isStopped) return;
    if (!this.#isUnderWay) this.#ask();
    this.#cancel = this.#dependencies.clock.after(this.#intervalMs, () => this.start());
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #ask(): void {
    const { due, submit } = this.#dependencies;
    const command = due();
    this.#isUnderWay = command !== undefined;
    if (command === undefined) return;
    submit(command).then(
      () => {
        if (this.#isStopped) this.#isUnderWay = false;
        else this.#ask();
      },
      () => {
        this.#isUnderWay = false;
      },
    );
  }
}
