import type { LogLevel } from '../config.ts';
import type { Log } from '../../store/environment.ts';

/** What a command gets from the process. `run` answers with the exit code. */
export interface CommandContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Who runs the process. USER is not set in containers and cron's jobs, where the system may know it all the same. */
  userName(): string | undefined;
  /** The directory of package.json, absolute. */
  readonly root: string;
  readonly version: string;
  /** Aborted when the process is asked to stop: drain, then return. */
  readonly stop: AbortSignal;
  /** Aborted when it is asked again: leave now. */
  readonly hurry: AbortSignal;
  readonly print: (line: string) => void;
  readonly printError: (line: string) => void;
  /** The structured log, on standard output. Created once, by commands that run as a service. */
  log(options: { readonly level: LogLevel; readonly name: string }): Log;
  /** To the process that started this one over IPC, if one did. */
  tellSupervisor(message: ServiceStarted): void;
  exitNow(code: number): never;
}

/** Sent by a service once it takes work. */
export interface ServiceStarted {
  readonly kind: 'started';
  readonly url: string;
}

export interface Command {
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `freehold NAME --help` prints. */
  readonly help: string;
  run(args: readonly string[], context: CommandContext): Promise<number>;
}

/** `unsafe`: stopped, or did not start, rather than break a promise; somebody has to act before it is started again. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, unsafe: 70 } as const;

/** The command was not typed, or the environment not set, as it should be. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The command cannot do its work, for a reason that its message explains to whoever typed it. Exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}

/** Resolves when `signal` is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    signal.addEventListener(
      'abort',
      () => {
        resolve();
      },
      { once: true },
    );
  });
}
