/**
 * The threads that run guests: a few that work and one warm spare.
 *
 * It owns who runs which call, and when; the calls that wait are in fair-queue.ts. It knows nothing of what a call means: text goes in, text
 * or a failure comes out. One thread and the clock on its calls: worker-thread.ts.
 *
 * 1. Every call is settled exactly once. The calls behind one that ended its worker go to the next worker: a
 *    guest performs nothing, so running one twice does no harm.
 * 2. A worker that ended is replaced by the spare at once; a new spare is started behind it.
 * 3. Bounded: `queueMax` calls wait, of one function half as many, and `window` are with each worker.
 * 4. One slow function does not starve the others. Functions take turns. Behind a call of a slow one no other is sent,
 *    and slow ones have all workers but one, or the only one in turns; so a quick call waits for quick ones only, or
 *    with a single worker for one slow call. One that turns slow of a sudden loses the calls that were sent behind it.
 * 5. Slow functions are not starved either: while one waits that may run, a worker is kept free for it.
 * 6. While there is no worker and none can be started, calls are refused rather than kept waiting.
 * 7. A call that nobody waits for any more leaves the queue at once, its place with it, and is not run. One that was sent to
 *    a worker may be: at most `window` are, and what it answers is thrown away by whoever asked.
 */
import type { Cancel, Environment } from '../../store/environment.ts';
import { NO_DEADLINE, type Deadline } from '../ports/deadline.ts';
import { FairQueue } from './fair-queue.ts';
import { Pace } from './pace.ts';
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
  | CallResult
  | { readonly kind: 'queueFull' }
  | { readonly kind: 'expired' }
  | { readonly kind: 'unavailable'; readonly reason: string };

export interface PoolObserver {
  /** A worker was ended: a call took too long, or the thread died. */
  workerRestarted?(reason: 'timeout' | 'crash'): void;
}

/** Asked as a call leaves the queue, again if it comes back to it: why it may not run, if so. */
export type Admission = () => string | undefined;

interface QueuedCall extends Call {
  readonly refusal: Admission;
  readonly deadline: Deadline;
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
  readonly #queue: FairQueue<QueuedCall>;
  readonly #pace = new Pace();
  /** Threads with a call of a slow function, which get no other. */
  readonly #occupied = new Set<WorkerThread<QueuedCall>>();
  /** Functions that were called before. The first call of one shows how slow it is, and waits for no slow one. */
  readonly #tried = new Set<number>();
  #dispatchPlanned = false;
  #cancelRetry: Cancel | undefined;
  /** Why nobody can run a call now. */
  #unavailable: string | undefined;
  #closed = false;

  private constructor(options: PoolOptions, environment: Environment, observer: PoolObserver) {
    this.#options = options;
    this.#queue = new FairQueue({
      itemsMax: options.queueMax,
      perFunctionMax: Math.ceil(options.queueMax / 2),
    });
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
    return this.#queue.size;
  }

  call(
    job: Job,
    timeoutMs: number,
    refusal: Admission = () => undefined,
    deadline: Deadline = NO_DEADLINE,
  ): Promise<PoolResult> {
    const { promise, resolve } = Promise.withResolvers<PoolResult>();
    if (deadline.givenUp !== undefined) return Promise.resolve({ kind: 'expired' });
    if (this.#unavailable !== undefined)
      return Promise.resolve({ kind: 'unavailable', reason: this.#unavailable });
    let stopListening: Cancel = () => undefined;
    const settle = (result: PoolResult): void => {
      stopListening();
      resolve(result);
    };
    const call: QueuedCall = { job, timeoutMs, refusal, deadline, settle };
    if (!this.#queue.offer(job.guest, call)) return Promise.resolve({ kind: 'queueFull' });
    stopListening = deadline.onGivenUp(() => {
      if (this.#queue.remove(job.guest, call)) settle({ kind: 'expired' });
    });
    this.#planDispatch();
    return promise;
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
    const kept = this.#keptForSlow();
    const share = Math.ceil(this.#queue.size / Math.max(1, this.#working.size));
    for (const thread of this.#working) {
      if (this.#occupied.has(thread)) continue;
      if (thread === kept && thread.unanswered > 0) continue;
      // Topped up from half, so that under load one message carries many calls.
      if (thread.unanswered > this.#options.window / 2) continue;
      const calls = this.#take(thread, Math.min(share, this.#options.window - thread.unanswered));
      if (calls.length > 0) thread.send(calls);
    }
  }

  /** The worker that finishes what it has for the sake of a slow function that waits; the one that is done first. */
  #keptForSlow(): WorkerThread<QueuedCall> | undefined {
    if (!this.#queue.some((guest) => this.#pace.isSlow(guest) && this.#isRoomFor(guest))) return undefined;
    const free = [...this.#working].filter((thread) => !this.#occupied.has(thread));
    return free.toSorted((left, right) => left.unanswered - right.unanswered)[0];
  }

  /** Of a slow function: whether one more worker may be occupied for its sake. */
  #isRoomFor(guest: number): boolean {
    if (!this.#tried.has(guest)) return true;
    return this.#occupied.size < Math.max(1, this.#options.workers - 1);
  }

  /** The next calls for this worker, at most `count`; those before them that may not run are refused. */
  #take(thread: WorkerThread<QueuedCall>, count: number): readonly QueuedCall[] {
    const calls: QueuedCall[] = [];
    const mayRun = (guest: number): boolean =>
      !this.#pace.isSlow(guest) || (this.#isRoomFor(guest) && thread.unanswered + calls.length === 0);
    while (calls.length < count && !this.#occupied.has(thread)) {
      const call = this.#queue.take(mayRun);
      if (call === undefined) break;
      if (call.deadline.givenUp !== undefined) {
        call.settle({ kind: 'expired' });
        continue;
      }
      const reason = call.refusal();
      if (reason !== undefined) {
        call.settle({ kind: 'unavailable', reason });
        continue;
      }
      const { guest } = call.job;
      calls.push(call);
      this.#tried.add(guest);
      if (this.#pace.isSlow(guest)) this.#occupied.add(thread);
    }
    return calls;
  }

  #putBack(calls: readonly QueuedCall[]): void {
    for (const call of calls.toReversed()) {
      if (call.deadline.givenUp === undefined) this.#queue.putBack(call.job.guest, call);
      else call.settle({ kind: 'expired' });
    }
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
      answered: ({ job }, cpuMs) => {
        if (cpuMs !== undefined) this.#pace.ran(job.guest, cpuMs);
        if (thread.unanswered === 0) this.#occupied.delete(thread);
        this.#planDispatch();
      },
      calledBack: (calls) => {
        this.#occupied.add(thread);
        this.#putBack(calls);
        this.#planDispatch();
      },
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
    this.#occupied.delete(thread);
    if (this.#closed || reason === 'closed') return refuse(unfinished, CLOSED);
    this.#putBack(unfinished);
    if (reason === 'crash') this.#replace(thread, reason);
    else this.#dispatch();
  }

  #refuseWaiting(reason: string): void {
    this.#unavailable = reason;
    refuse(this.#queue.takeAll(), reason);
  }
}

const CLOSED = 'the function host is closed';

function refuse(calls: readonly QueuedCall[], reason: string): void {
  for (const call of calls) call.settle({ kind: 'unavailable', reason });
}
