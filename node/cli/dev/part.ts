import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { CommandError } from '../context.ts';
import type { ServiceStarted } from '../context.ts';
import { lastLines } from './log-tail.ts';
import type { PlannedPart } from './plan.ts';

/**
 * One process of a local cluster. Owns its process, its pid file and its log file; knows nothing of the others.
 *
 * P1  At most one process at a time: `start` is refused unless the part is down.
 * P2  The pid file exists exactly while the process does.
 * P3  Every end of a process that was up, except by `stop`, is told to `onDeath`, once.
 */

export type PartState = 'down' | 'starting' | 'up' | 'paused' | 'stopping';

export interface Death {
  readonly part: PlannedPart;
  /** `exit code 70`, `SIGKILL` */
  readonly how: string;
  readonly lastLines: readonly string[];
}

/** How long a process that did not get up in time may take to leave. */
const failedStartGraceMs = 5_000;

export interface PartOptions {
  readonly planned: PlannedPart;
  /** The file that `node` runs, absolute. */
  readonly main: string;
  /** For the node binary, ahead of `main`. */
  readonly nodeArguments: readonly string[];
  readonly startTimeoutMs: number;
}

export class Part {
  readonly planned: PlannedPart;
  readonly #options: PartOptions;
  readonly #onDeath: (death: Death) => void;
  #state: PartState = 'down';
  #process: ChildProcess | undefined;
  #ended: Promise<string> = Promise.resolve('');

  constructor(options: PartOptions, dependencies: { readonly onDeath: (death: Death) => void }) {
    this.planned = options.planned;
    this.#options = options;
    this.#onDeath = dependencies.onDeath;
  }

  get state(): PartState {
    return this.#state;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /**
   * Resolves with the URL that the process serves. Rejects with CommandError when it ends, or takes too long.
   * `extra`: arguments for this start alone.
   */
  async start(extra: readonly string[] = []): Promise<string> {
    if (this.#state !== 'down') throw new CommandError(`${this.planned.title} is ${this.#state}, not down`);
    this.#state = 'starting';
    const started = Promise.withResolvers<string>();
    const ended = Promise.withResolvers<string>();
    this.#ended = ended.promise;

    const process = this.#spawn(extra);
    this.#process = process;
    if (process.pid !== undefined) writeFileSync(this.planned.pidFile, `${String(process.pid)}\n`);
    process.on('message', (message) => {
      const { kind, url } = message as Partial<ServiceStarted>;
      if (kind !== 'started' || url === undefined) return;
      if (this.#state === 'starting') this.#state = 'up';
      started.resolve(url);
    });
    process.once('error', (error) => {
      ended.resolve(error.message);
    });
    process.once('exit', (code, signal) => {
      ended.resolve(signal ?? `exit code ${String(code)}`);
    });
    void ended.promise.then((how) => {
      this.#hasEnded(how);
      started.reject(new CommandError(this.#explain(`ended while it was starting (${how})`)));
    });

    const timer = setTimeout(() => {
      const seconds = String(this.#options.startTimeoutMs / 1000);
      started.reject(new CommandError(this.#explain(`is not up after ${seconds} s`)));
    }, this.#options.startTimeoutMs);
    try {
      return await started.promise;
    } catch (error) {
      await this.stop(failedStartGraceMs);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** SIGTERM, and SIGKILL for what is still there after `graceMs`. Gives how it ended; `''` when it was down. */
  async stop(graceMs: number): Promise<{ readonly clean: boolean; readonly how: string }> {
    if (this.#state === 'down') return { clean: true, how: '' };
    const paused = this.#state === 'paused';
    this.#state = 'stopping';
    this.#process?.kill('SIGTERM');
    if (paused) this.#process?.kill('SIGCONT');
    const timer = setTimeout(() => this.#process?.kill('SIGKILL'), graceMs);
    const how = await this.#ended;
    clearTimeout(timer);
    return { clean: how === 'exit code 0', how };
  }

  /** Sends a signal that somebody asked for, and waits for the end when it is one that ends a process. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    if (this.#process === undefined) throw new CommandError(`${this.planned.title} is down`);
    if (signal === 'SIGSTOP') {
      if (this.#state !== 'up') throw new CommandError(`${this.planned.title} is ${this.#state}, not up`);
      this.#state = 'paused';
      this.#process.kill(signal);
      return;
    }
    if (signal === 'SIGCONT') {
      if (this.#state !== 'paused')
        throw new CommandError(`${this.planned.title} is ${this.#state}, not paused`);
      this.#state = 'up';
      this.#process.kill(signal);
      return;
    }
    this.#process.kill(signal);
    if (this.#state === 'paused') this.#process.kill('SIGCONT');
    await this.#ended;
  }

  /** Kills what is left, without waiting. For the moment before this process ends. */
  abandon(): void {
    this.#state = 'stopping';
    this.#process?.kill('SIGKILL');
    rmSync(this.planned.pidFile, { force: true });
  }

  #spawn(extra: readonly string[]): ChildProcess {
    const { main, nodeArguments, planned } = this.#options;
    mkdirSync(dirname(planned.logFile), { recursive: true });
    // The log of the run before is kept, and no older one: bounded without a rotation of our own.
    if (existsSync(planned.logFile)) renameSync(planned.logFile, `${planned.logFile}.1`);
    const log = openSync(planned.logFile, 'a');
    try {
      return spawn(process.execPath, [...nodeArguments, main, ...planned.command, ...extra], {
        // Its own process group: Ctrl-C reaches the supervisor alone, which then stops the parts in order.
        detached: true,
        // Straight into the file: the log is complete even when the supervisor is killed.
        stdio: ['ignore', log, log, 'ipc'],
      });
    } finally {
      closeSync(log);
    }
  }

  #hasEnded(how: string): void {
    const expected = this.#state === 'stopping' || this.#state === 'starting';
    this.#state = 'down';
    this.#process = undefined;
    rmSync(this.planned.pidFile, { force: true });
    if (!expected) this.#onDeath({ part: this.planned, how, lastLines: lastLines(this.planned.logFile) });
  }

  #explain(what: string): string {
    const lines = lastLines(this.planned.logFile).map((line) => `    ${line}`);
    return [`${this.planned.title} ${what}. The end of ${this.planned.logFile}:`, ...lines].join('\n');
  }
}
