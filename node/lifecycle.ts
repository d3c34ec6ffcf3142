import type { Clock, Log } from '../store/environment.ts';

/**
 * Starts parts in order and stops them in reverse, each within its time, each with a log line.
 *
 * Owns: which parts run. Does not own: what they are, or when to start and stop (compose.ts and drain.ts say that).
 *
 * L1  A part is stopped exactly once, and only after every part that was started later.
 * L2  When a part does not start, nothing stays running: the parts before it are stopped before `start` rejects,
 *     and a part that gets ready after its time is stopped as soon as it does.
 * L3  A part that fails to stop, or takes too long, is reported and does not keep the others from stopping.
 */

export interface LifecycleOptions {
  readonly startTimeoutMs: number;
  readonly stopTimeoutMs: number;
}

export class LifecycleError extends Error {
  readonly code: 'START_FAILED' | 'START_TIMEOUT' | 'STOPPING';
  readonly part: string;

  constructor(code: LifecycleError['code'], part: string, options: { detail: string; cause?: unknown }) {
    super(`${part}: ${options.detail}`, { cause: options.cause });
    this.name = 'LifecycleError';
    this.code = code;
    this.part = part;
  }
}

interface RunningPart {
  readonly name: string;
  readonly stop: () => Promise<void>;
  readonly stopTimeoutMs: number;
}

export class Lifecycle {
  readonly #options: LifecycleOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #running: RunningPart[] = [];
  #stopping: Promise<readonly string[]> | undefined;

  constructor(options: LifecycleOptions, dependencies: { readonly clock: Clock; readonly log: Log }) {
    this.#options = options;
    this.#clock = dependencies.clock;
    this.#log = dependencies.log;
  }

  /**
   * Starts one part and gives what `start` gave; `stop` gets it back when its turn comes.
   * Rejects with LifecycleError once all parts started before are stopped again.
   */
  async start<Part>(
    name: string,
    start: () => Part | Promise<Part>,
    stop?: (part: Part) => void | Promise<void>,
    limits: Partial<LifecycleOptions> = {},
  ): Promise<Part> {
    if (this.#stopping !== undefined)
      throw new LifecycleError('STOPPING', name, { detail: 'not started, the program is stopping' });

    const { startTimeoutMs, stopTimeoutMs } = { ...this.#options, ...limits };
    const begun = this.#clock.monotonic();
    const starting = Promise.resolve().then(start);
    try {
      const part = await this.#within(starting, startTimeoutMs);
      this.#log.info({ part: name, ms: Math.round(this.#clock.monotonic() - begun) }, 'started');
      const running = {
        name,
        stopTimeoutMs,
        stop: async () => {
          await stop?.(part);
        },
      };
      // stop() may have been called while this part was starting: then nobody else would stop it (L1).
      if (this.isStopping()) {
        await this.#stopOne(running);
        throw new LifecycleError('STOPPING', name, { detail: 'stopped while it was starting' });
      }
      this.#running.push(running);
      return part;
    } catch (error) {
      if (error instanceof LifecycleError) throw error;
      const timedOut = error instanceof TimedOut;
      if (timedOut) this.#stopWhenLate(name, starting, stop);
      await this.stop();
      throw timedOut
        ? new LifecycleError('START_TIMEOUT', name, {
            detail: `not started within ${String(startTimeoutMs)} ms`,
          })
        : new LifecycleError('START_FAILED', name, { detail: messageOf(error), cause: error });
    }
  }

  isStopping(): boolean {
    return this.#stopping !== undefined;
  }

  /** Stops all parts, last first. Never rejects; gives the names of those that failed to stop. Idempotent. */
  stop(): Promise<readonly string[]> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  async #stopAll(): Promise<readonly string[]> {
    const failed: string[] = [];
    for (let part = this.#running.pop(); part !== undefined; part = this.#running.pop())
      if (!(await this.#stopOne(part))) failed.push(part.name);
    return failed;
  }

  async #stopOne(part: RunningPart): Promise<boolean> {
    const begun = this.#clock.monotonic();
    try {
      await this.#within(part.stop(), part.stopTimeoutMs);
      this.#log.info({ part: part.name, ms: Math.round(this.#clock.monotonic() - begun) }, 'stopped');
      return true;
    } catch (error) {
      const reason =
        error instanceof TimedOut
          ? `still stopping after ${String(part.stopTimeoutMs)} ms`
          : messageOf(error);
      this.#log.error({ part: part.name, reason }, 'did not stop');
      return false;
    }
  }

  #stopWhenLate<Part>(
    name: string,
    starting: Promise<Part>,
    stop: ((part: Part) => void | Promise<void>) | undefined,
  ): void {
    starting
      .then(async (part) => {
        await stop?.(part);
        this.#log.warn({ part: name }, 'stopped, as it had started too late');
      })
      .catch((error: unknown) => {
        this.#log.error({ part: name, reason: messageOf(error) }, 'failed after its time to start was over');
      });
  }

  async #within<Value>(work: Promise<Value>, timeoutMs: number): Promise<Value> {
    const expiry = Promise.withResolvers<never>();
    const cancel = this.#clock.after(timeoutMs, () => {
      expiry.reject(new TimedOut());
    });
    try {
      return await Promise.race([work, expiry.promise]);
    } finally {
      cancel();
    }
  }
}

class TimedOut extends Error {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
