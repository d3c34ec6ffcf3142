/**
 * One worker thread as the main thread sees it: the calls that were sent and not yet answered, and the clock
 * on the one that runs. It owns the life of the thread; the pool decides what it is used for.
 *
 * 1. The thread runs its calls one by one in the order they were sent, so the first unanswered call is the one
 *    that runs. Several are sent ahead, or each call would cost a turn of a busy main thread.
 * 2. A thread is ended only for a call that used its whole time as CPU time: on a busy machine a thread may not
 *    be run for longer than that. One that takes `WALL_FACTOR` times as long without using the CPU is ended too.
 * 3. A main thread that was held up sees time pass as well: what the worker has finished meanwhile tells whether
 *    the first unanswered call still runs.
 * 4. A call that runs longer than `callBackAfterMs` loses those behind it: they are called back, to be run elsewhere.
 *    The thread may have begun one just then; that run counts for nothing, but is watched like any other.
 * 5. Everything the thread posted counts, however late it is read: blame is laid when the thread has exited.
 */
import { Worker } from 'node:worker_threads';
import { invariant, type Cancel, type Clock } from '../../store/environment.ts';
import { Progress, PROGRESS_BYTES, READY, SKIPPED } from './worker-protocol.ts';
import type { FromWorker, GuestSetup, Job, Outcome, WorkerSetup } from './worker-protocol.ts';

export interface ThreadOptions {
  readonly guests: readonly GuestSetup[];
  readonly outputBytesMax: number;
  /** How long a new thread may take to load all guests. */
  readonly startTimeoutMs: number;
  /** How long a call may keep those that were sent behind it. */
  readonly callBackAfterMs: number;
}

export interface Call {
  readonly job: Job;
  readonly timeoutMs: number;
  settle(result: CallResult): void;
}

export type CallResult = Outcome | { readonly kind: 'timeout' };

export interface ThreadListener<C extends Call> {
  /** There is room for another call. `cpuMs` is what this one took; undefined when it was skipped. */
  answered(call: C, cpuMs: number | undefined): void;
  /** These are to be run elsewhere: the call before them takes long. */
  calledBack(calls: readonly C[]): void;
  /** A call ran out of time; the thread is being ended and takes no more calls. */
  condemned(): void;
  /** A thread that had been ready is gone. The call to blame is settled, `unfinished` are the others. */
  ended(reason: EndReason, unfinished: readonly C[]): void;
}

/** A call took too long; the thread died of itself; it was closed. */
export type EndReason = 'timeout' | 'crash' | 'closed';

/** A call that was sent; of one that was called back nobody waits for the answer here. */
interface Sent<C extends Call> {
  readonly call: C;
  calledBack: boolean;
}

/** The heap of the thread itself, which guests fill only through faults of the engine or of Extism. */
const RESOURCE_LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 16 };

const WALL_FACTOR = 10;
/** How often an overdue call is looked at again: after this part of its time. */
const LOOK_AGAIN_PART = 1 / 4;

export class WorkerThread<C extends Call> {
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #clock: Clock;
  readonly #listener: ThreadListener<C>;
  readonly #progress = new Int32Array(new SharedArrayBuffer(PROGRESS_BYTES));
  readonly #started = Promise.withResolvers<void>();
  #wasReady = false;
  #answered = 0;
  #unanswered: Sent<C>[] = [];
  readonly #callBackAfterMs: number;
  #error: unknown;
  #condemned: Sent<C> | undefined;
  #closing = false;
  /** When the first unanswered call's turn came, as far as is known here. Monotonic ms. */
  #turnAt = 0;
  #watch: { readonly until: number; readonly cancel: Cancel } | undefined;

  constructor(options: ThreadOptions, clock: Clock, listener: ThreadListener<C>) {
    this.#clock = clock;
    this.#callBackAfterMs = options.callBackAfterMs;
    this.#listener = listener;
    const setup: WorkerSetup = {
      guests: options.guests,
      outputBytesMax: options.outputBytesMax,
      progress: this.#progress.buffer,
    };
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), {
      name: 'functions',
      workerData: setup,
      env: {},
      // Extism loads WASI, which no guest gets, and Node warns about it.
      execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: RESOURCE_LIMITS,
    });
    const cancelStart = clock.after(options.startTimeoutMs, () => {
      this.#error = new Error(`not ready within ${options.startTimeoutMs} ms`);
      void this.#worker.terminate();
    });
    this.ready = this.#started.promise.finally(cancelStart);
    this.#worker.on('message', (message: FromWorker) => this.#receive(message));
    this.#worker.on('error', (error: unknown) => (this.#error = error));
    this.#worker.on('exit', () => this.#exited());
  }

  get unanswered(): number {
    return this.#unanswered.length;
  }

  send(calls: readonly C[]): void {
    invariant(this.#condemned === undefined, 'no calls for a thread that is being ended');
    if (this.#unanswered.length === 0) this.#turnAt = this.#clock.monotonic();
    this.#unanswered.push(...calls.map((call) => ({ call, calledBack: false })));
    this.#worker.postMessage(calls.map(({ job }) => job));
    this.#keepWatch();
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#worker.terminate();
  }

  #receive(message: FromWorker): void {
    if (message === READY) {
      this.#wasReady = true;
      this.#started.resolve();
      return;
    }
    const sent = this.#unanswered.shift();
    invariant(sent !== undefined, 'a reply answers a call');
    this.#answered = (this.#answered + 1) | 0;
    this.#turnAt = this.#clock.monotonic();
    this.#keepWatch();
    if (message === SKIPPED) {
      // Not called back, and skipped all the same: the numbers have gone round.
      if (!sent.calledBack) this.#listener.calledBack([sent.call]);
      this.#listener.answered(sent.call, undefined);
      return;
    }
    const { cpuMs, ...outcome } = message;
    if (!sent.calledBack) sent.call.settle(outcome);
    this.#listener.answered(sent.call, cpuMs);
  }

  /** Sees to it that somebody looks when the running call is due, at the latest. */
  #keepWatch(): void {
    const running = this.#unanswered[0];
    if (running === undefined || this.#condemned !== undefined) return;
    const { timeoutMs } = running.call;
    const isWaitedFor = this.#behind().length > 0;
    this.#lookAt(this.#turnAt + (isWaitedFor ? Math.min(timeoutMs, this.#callBackAfterMs) : timeoutMs));
  }

  /** Those that wait for the running call to end. */
  #behind(): readonly Sent<C>[] {
    return this.#unanswered.slice(1).filter(({ calledBack }) => !calledBack);
  }

  #lookAt(due: number): void {
    if (this.#watch !== undefined) {
      // An earlier look finds the call in time and sets the next; one timer serves many calls.
      if (this.#watch.until <= due) return;
      this.#watch.cancel();
    }
    const cancel = this.#clock.after(Math.max(1, due - this.#clock.monotonic()), () => this.#look());
    this.#watch = { until: due, cancel };
  }

  #look(): void {
    this.#watch = undefined;
    const running = this.#unanswered[0];
    if (running === undefined || this.#condemned !== undefined) return;
    const now = this.#clock.monotonic();
    const elapsedMs = now - this.#turnAt;
    const { timeoutMs } = running.call;
    if (elapsedMs < Math.min(timeoutMs, this.#callBackAfterMs)) return this.#keepWatch();
    if (!this.#stillRuns(running)) {
      // Its answer is on the way. When the turn of the next came is not known: give it all of its time.
      this.#turnAt = now;
      return this.#keepWatch();
    }
    this.#callBack();
    if (elapsedMs < timeoutMs) return this.#keepWatch();
    if (elapsedMs >= timeoutMs * WALL_FACTOR) return this.#condemn(running);
    this.#lookAt(now + timeoutMs * LOOK_AGAIN_PART);
    void this.#condemnIfSpent(running);
  }

  #callBack(): void {
    const behind = this.#behind();
    if (behind.length === 0) return;
    Atomics.store(this.#progress, Progress.CALLED_BACK, (this.#answered + this.#unanswered.length) | 0);
    for (const sent of behind) sent.calledBack = true;
    this.#listener.calledBack(behind.map(({ call }) => call));
  }

  async #condemnIfSpent(sent: Sent<C>): Promise<void> {
    const startedAtMs = Atomics.load(this.#progress, Progress.CPU_AT_START_MS);
    // Answered by an interrupt of the thread, so also while a guest loops; not once it has exited.
    const usage = await this.#worker.cpuUsage().catch(() => undefined);
    if (usage === undefined || !this.#stillRuns(sent)) return;
    const usedMs = (usage.user + usage.system) / 1_000 - startedAtMs;
    if (usedMs >= sent.call.timeoutMs) this.#condemn(sent);
  }

  #stillRuns(sent: Sent<C>): boolean {
    if (this.#unanswered[0] !== sent || this.#condemned !== undefined) return false;
    return Atomics.load(this.#progress, Progress.FINISHED) === this.#answered;
  }

  #condemn(sent: Sent<C>): void {
    this.#condemned = sent;
    void this.#worker.terminate();
    this.#listener.condemned();
  }

  /** Node hands over every message that was posted before it tells of the exit. */
  #exited(): void {
    this.#watch?.cancel();
    this.#watch = undefined;
    const error = this.#error instanceof Error ? this.#error : new Error('the worker thread exited');
    if (!this.#wasReady) return this.#started.reject(error);

    const unanswered = this.#unanswered;
    this.#unanswered = [];
    const [running] = unanswered;
    const unfinished = (of: readonly Sent<C>[]) =>
      of.filter(({ calledBack }) => !calledBack).map(({ call }) => call);
    if (this.#closing) return this.#listener.ended('closed', unfinished(unanswered));
    // It may have finished after all, in the moment before the end; then nobody is to blame.
    const isToBlame = this.#condemned === undefined || this.#condemned === running;
    const result: CallResult =
      this.#condemned === undefined
        ? { kind: 'failed', code: 'FUNCTION_TRAP', detail: error.message, log: [] }
        : { kind: 'timeout' };
    if (isToBlame && running?.calledBack === false) running.call.settle(result);
    const reason = this.#condemned === undefined ? 'crash' : 'timeout';
    this.#listener.ended(reason, unfinished(isToBlame ? unanswered.slice(1) : unanswered));
  }
}
