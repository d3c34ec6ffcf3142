import type { Cancel, Clock, NodeId } from '../../../store/environment.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * One life of a node's program: it runs, stands still, or is dead. Owns the gate through which everything reaches the
 * program from outside: its timers, what its disk finished, what its network brought.
 *
 * 1. Nothing reaches a dead program, ever: its promises stay unsettled, as those of a killed process do.
 * 2. A program that stands still (stopped, swapped out, its machine migrating) knows nothing of it: its clock goes on,
 *    and when it continues it takes its overdue timers first or what waits in its sockets, as an event loop may.
 */
export interface MachineClock {
  /** How fast this machine's clock runs: 1.01 is one per cent fast. */
  readonly rate: number;
  /** How far its wall clock is off, ms. */
  skewMs: number;
}

/** The world begins in November 2026. */
const worldBeganAt = 1_795_000_000_000;

export function worldWallClock(scheduler: Scheduler): number {
  return worldBeganAt + Math.floor(scheduler.now);
}

/** No timer fires at once: a real one takes a millisecond at least, and time must not stand still for rounding. */
const timerMsMin = 0.05;

type Kind = 'timer' | 'input';

export class Process {
  readonly id: NodeId;
  /** Counts the lives of this node's program, from 1. */
  readonly life: number;
  readonly clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #onRun: (id: NodeId) => void;
  #state: 'running' | 'standing' | 'dead' = 'running';
  #waiting: { readonly kind: Kind; readonly run: () => void }[] = [];

  constructor(
    options: { readonly id: NodeId; readonly life: number },
    dependencies: {
      readonly scheduler: Scheduler;
      readonly machine: MachineClock;
      /** Told whenever the program got something to do. */
      readonly onRun: (id: NodeId) => void;
    },
  ) {
    const { scheduler, machine } = dependencies;
    this.id = options.id;
    this.life = options.life;
    this.#scheduler = scheduler;
    this.#onRun = dependencies.onRun;
    const startedAt = scheduler.now;
    this.clock = {
      now: () => worldWallClock(scheduler) + machine.skewMs,
      monotonic: () => (scheduler.now - startedAt) * machine.rate,
      after: (delayMs, callback) => this.#after(Math.max(delayMs, timerMsMin) / machine.rate, callback),
    };
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  get isStanding(): boolean {
    return this.#state === 'standing';
  }

  /** Something from outside reaches the program: now, when it continues, or never. */
  run(kind: Kind, run: () => void): void {
    if (this.#state === 'dead') return;
    if (this.#state === 'standing') {
      this.#waiting.push({ kind, run });
      return;
    }
    this.#onRun(this.id);
    run();
  }

  stand(): void {
    if (this.#state === 'running') this.#state = 'standing';
  }

  proceed(first: Kind): void {
    if (this.#state !== 'standing') return;
    this.#state = 'running';
    const waiting = this.#waiting;
    this.#waiting = [];
    // One turn each, as the event loop would take them.
    for (const { run } of waiting.filter(({ kind }) => kind === first)) this.#runSoon(run);
    for (const { run } of waiting.filter(({ kind }) => kind !== first)) this.#runSoon(run);
  }

  die(): void {
    this.#state = 'dead';
    this.#waiting = [];
  }

  #runSoon(run: () => void): void {
    this.#scheduler.after(0, () => this.run('input', run));
  }

  #after(delayMs: number, callback: () => void): Cancel {
    if (this.#state === 'dead') return () => undefined;
    let isCancelled = false;
    const cancel = this.#scheduler.after(delayMs, () => {
      this.run('timer', () => {
        if (!isCancelled) callback();
      });
    });
    return () => {
      isCancelled = true;
      cancel();
    };
  }
}
