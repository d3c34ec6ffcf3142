/**
 * The threads that run guests: a few that work and one warm spare.
 *
 * It owns the queue of calls and who is to run them. It knows nothing of what a call means: text goes in, text
 * or a failure comes out. One thread and the clock on its calls: worker-thread.ts.
 *
 * 1. Every call is settled exactly once. The calls behind one that ended its worker go to the next worker: a
 *    guest performs nothing, so running one twice does no harm.
 * 2. A worker that ended is replaced by the spare at once; a new spare is started behind it.
 * 3. Bounded: `queueMax` calls wait, `window` are with each worker.
 * 4. While there is no worker and none can be started, calls are refused rather than kept waiting.
 */
import type { Cancel, Environment } from '../../store/environment.ts';
import {
  WorkerThread,
  type Call,
  type CallResult,
  type EndReason,
  type ThreadOptions,
} from './worker-thread.ts';
import type { Job } from './worker-protocol.ts';

export interface PoolOptions extends ThreadOptions {
  /** Threads that work, besides the spare. */
  readonly workers: number;
  /** Calls that may wait for a worker. */
  readonly queueMax: number;
  /** Calls sent to a worker ahead of their turn. */
  readonly window: number;
  /** The pause before starting a worker again after one failed to start. */
  readonly startRetryMs: number;
}

export type PoolResult =
  CallResult | { readonly kind: 'queueFull' } | { readonly kind: 'unavailable'; readonly reason: string };

export interface PoolObserver {
  /** A worker was ended: a call took too long, or the thread died. */
  workerRestarted?(reason: 'timeout' | 'crash'): void;
}

/** Asked as a call leaves the queue, again if it comes back to it: why it may not run, if so. */
export type Admission = () => string | undefined;

interface QueuedCall extends Call {
  readonly refusal: Admission;
  settle(result: PoolResult): void;
}

export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #environment: Environment;
  readonly #observer: PoolObserver;
  readonly #working = new Set<WorkerThread<QueuedCall>>();
  readonly #starting = new Set<WorkerThread<QueuedCall>>();
  /** Threads whose end is awaited on closing, whatever they were. */
  readonly #alive = new Set<WorkerThread<QueuedCall>>();
  #spare: WorkerThread<QueuedCall> | undefined;
  #queue: QueuedCall[] = [];
  #dispatchPlanned = false;
  #cancelRetry: Cancel | undefined;
  /** Why nobody can run a call now. */
  #unavailable: string | undefined;
  #closed = false;

  private constructor(options: PoolOptions, environment: Environment, observer: PoolObserver) {
    this.#options = options;
    this.#environment = environment;
    this.#observer = observer;
  }

  /** Resolves when the workers and the spare are warm; rejects when one of them cannot start. */
  static async open(
    options: PoolOptions,
    dependencies: { readonly environment: Environment; readonly observer?: PoolObserver },
  ): Promise<WorkerPool> {
    const pool = new WorkerPool(options, dependencies.environment, dependencies.observer ?? {});
    try {
      await Promise.all(Array.from({ length: options.workers + 1 }, () => pool.#start()));
      return pool;
    } catch (error) {
      await pool.close();
      throw error;
    }
  }

  /** Calls that wait for a worker. */
  get queueDepth(): number {
    return this.#queue.length;
  }

  call(job: Job, timeoutMs: number, refusal: Admission = () => undefined): Promise<PoolResult> {
    return new Promise((settle) => {
      if (this.#unavailable !== undefined) {
        settle({ kind: 'unavailable', reason: this.#unavailable });
      } else if (this.#queue.length >= this.#options.queueMax) {
        settle({ kind: 'queueFull' });
      } else {
        this.#queue.push({ job, timeoutMs, refusal, settle });
        this.#planDispatch();
      }
    });
  }

  /** Calls that are not answered yet are refused. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRetry?.();
    this.#refuseWaiting(CLOSED);
    await Promise.all([...this.#alive].map((thread) => thread.close()));
  }

  /** Calls made in one turn of the event loop travel in one message. */
  #planDispatch(): void {
    if (this.#dispatchPlanned) return;
    this.#dispatchPlanned = true;
    queueMicrotask(() => {
      this.#dispatchPlanned = false;
      this.#dispatch();
    });
  }

  #dispatch(): void {
    const share = Math.ceil(this.#queue.length / Math.max(1, this.#working.size));
    for (const thread of this.#working) {
      // Topped up from half, so that under load one message carries many calls.
      if (thread.unanswered > this.#options.window / 2) continue;
      const calls = this.#take(Math.min(share, this.#options.window - thread.unanswered));
      if (calls.length > 0) thread.send(calls);
    }
  }

  /** The next calls that may run, at most `count`; those before them that may not are refused. */
  #take(count: number): readonly QueuedCall[] {
    const calls: QueuedCall[] = [];
    let position = 0;
    for (; position < this.#queue.length && calls.length < count; position++) {
      const call = this.#queue[position];
      if (call === undefined) break;
      const reason = call.refusal();
      if (reason === undefined) calls.push(call);
      else call.settle({ kind: 'unavailable', reason });
    }
    this.#queue.splice(0, position);
    return calls;
  }

  /** Starts what is missing. */
  #fill(): void {
    const present = this.#working.size + (this.#spare === undefined ? 0 : 1) + this.#starting.size;
    for (let missing = this.#options.workers + 1 - present; missing > 0; missing--) {
      this.#start().catch((error: unknown) => this.#startFailed(error));
    }
  }

  async #start(): Promise<void> {
    const thread = new WorkerThread<QueuedCall>(this.#options, this.#environment.clock, {
      answered: () => this.#planDispatch(),
      condemned: () => this.#replace(thread, 'timeout'),
      ended: (reason, unfinished) => this.#ended(thread, reason, unfinished),
    });
    this.#alive.add(thread);
    this.#starting.add(thread);
    try {
      await thread.ready;
    } catch (error) {
      this.#alive.delete(thread);
      throw error;
    } finally {
      this.#starting.delete(thread);
    }
    if (this.#closed) return;
    this.#unavailable = undefined;
    if (this.#working.size < this.#options.workers) this.#working.add(thread);
    else this.#spare = thread;
    this.#dispatch();
  }

  #startFailed(error: unknown): void {
    if (this.#closed) return;
    this.#environment.log.error({ err: error }, 'a function worker could not start; trying again');
    if (this.#working.size === 0 && this.#starting.size === 0) this.#refuseWaiting('no worker can start');
    this.#cancelRetry?.();
    this.#cancelRetry = this.#environment.clock.after(this.#options.startRetryMs, () => this.#fill());
  }

  /** Takes a thread out of use; the spare takes its place, and a new spare is started. */
  #replace(thread: WorkerThread<QueuedCall>, reason: 'timeout' | 'crash'): void {
    this.#environment.log.warn({ reason }, 'a function worker is ended and replaced');
    this.#observer.workerRestarted?.(reason);
    if (thread === this.#spare) {
      this.#spare = undefined;
    } else if (this.#working.delete(thread) && this.#spare !== undefined) {
      this.#working.add(this.#spare);
      this.#spare = undefined;
    }
    this.#fill();
    this.#dispatch();
  }

  #ended(thread: WorkerThread<QueuedCall>, reason: EndReason, unfinished: readonly QueuedCall[]): void {
    this.#alive.delete(thread);
    if (this.#closed || reason === 'closed') return refuse(unfinished, CLOSED);
    this.#queue.unshift(...unfinished);
    if (reason === 'crash') this.#replace(thread, reason);
    else this.#dispatch();
  }

  #refuseWaiting(reason: string): void {
    this.#unavailable = reason;
    const calls = this.#queue;
    this.#queue = [];
    refuse(calls, reason);
  }
}

const CLOSED = 'the function host is closed';

function refuse(calls: readonly QueuedCall[], reason: string): void {
  for (const call of calls) call.settle({ kind: 'unavailable', reason });
}
