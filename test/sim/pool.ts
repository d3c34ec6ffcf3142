import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { RunResult } from './run.ts';
import type { WorkerAnswer, WorkerRequest } from './worker.ts';

/**
 * Runs seeds in several processes. Owns the processes: none of them outlives the call, and one that dies or hangs is an
 * error that names its seed.
 */
export interface PoolOptions {
  readonly workers: number;
  readonly mutant?: string;
  /** Real time that one seed may take; a run that does not get on is as wrong as one that breaks a promise. */
  readonly secondsPerSeedMax?: number;
}

export interface PoolRun {
  readonly result: RunResult;
  readonly trace: readonly string[];
}

/** Told of each run as it ends; `stop` ends the call after the runs under way. */
export type OnRun = (run: PoolRun, stop: () => void) => void;

const secondsPerSeedDefault = 60;

export async function runAll(
  requests: Iterable<WorkerRequest>,
  options: PoolOptions,
  onRun: OnRun,
): Promise<void> {
  const left = requests[Symbol.iterator]();
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
  };
  const next = (): WorkerRequest | undefined => {
    const taken = isStopped ? undefined : left.next();
    return taken?.done === false ? taken.value : undefined;
  };
  const running = Array.from({ length: options.workers }, () =>
    runWorker(next, options, (run) => {
      onRun(run, stop);
    }),
  );
  try {
    await Promise.all(running);
  } finally {
    stop();
    await Promise.allSettled(running);
  }
}

function runWorker(
  next: () => WorkerRequest | undefined,
  options: PoolOptions,
  onRun: (run: PoolRun) => void,
): Promise<void> {
  const { mutant, secondsPerSeedMax = secondsPerSeedDefault } = options;
  return new Promise((resolve, reject) => {
    const child: ChildProcess = fork(
      join(import.meta.dirname, 'worker.ts'),
      mutant === undefined ? [] : [mutant],
      { stdio: ['ignore', 'inherit', 'pipe', 'ipc'], execArgv: [] },
    );
    let current: WorkerRequest | undefined;
    let words = '';
    let alarm: NodeJS.Timeout | undefined;
    let isDone = false;
    const end = (error?: Error): void => {
      if (isDone) return;
      isDone = true;
      clearTimeout(alarm);
      child.kill('SIGKILL');
      if (error === undefined) resolve();
      else reject(error);
    };
    const proceed = (): void => {
      clearTimeout(alarm);
      current = next();
      if (current === undefined) {
        end();
        return;
      }
      const { seed } = current;
      alarm = setTimeout(() => {
        end(new Error(`seed ${seed} does not end within ${secondsPerSeedMax} s`));
      }, secondsPerSeedMax * 1_000);
      child.send(current);
    };
    child.stderr?.on('data', (chunk: Buffer) => {
      words += chunk.toString();
    });
    child.on('message', (answer: WorkerAnswer) => {
      if (answer.kind === 'result') onRun(answer);
      proceed();
    });
    child.on('error', end);
    child.on('exit', (code) => {
      const where = current === undefined ? 'before its first seed' : `in seed ${current.seed}`;
      end(new Error(`a simulation ended with code ${code ?? 'none'} ${where}: ${words.trim()}`));
    });
  });
}
