/** What passes between the pool and its worker threads. Replies come in the order of the jobs. */

/** Handed over once, as `workerData`. */
export interface WorkerSetup {
  readonly guests: readonly GuestSetup[];
  readonly outputBytesMax: number;
  /** Int32s that the worker keeps and the main thread reads: see `Progress`. */
  readonly progress: SharedArrayBuffer;
}

/** Indexes into `progress`. */
export const Progress = {
  /** How many jobs this worker has finished, modulo 2^32. Raised after the reply was posted. */
  FINISHED: 0,
  /** The thread's CPU time when it took up the job it is at, ms. */
  CPU_AT_START_MS: 1,
  /** The one that the main thread sets: jobs with a lower number were called back, and need not be run. Modulo 2^32. */
  CALLED_BACK: 2,
} as const;

export const PROGRESS_BYTES = 12;

/** More jobs than are ever sent ahead: numbers that are further apart than this have gone round. */
export const JOBS_AHEAD_MAX = 65_536;

export interface GuestSetup {
  readonly name: string;
  readonly module: WebAssembly.Module;
  readonly call: string;
  /** The most the guest may have in blocks of the host's memory, which its own limit does not cover. */
  readonly blockBytesMax: number;
}

export interface Job {
  /** Index into `guests`. */
  readonly guest: number;
  /** JSON. */
  readonly input: string;
}

/** What came of a call. */
export type Outcome = {
  /** What the guest had to say; cut short. */
  readonly log: readonly { readonly level: LogLevel; readonly text: string }[];
} & (
  | { readonly kind: 'output'; readonly text: string }
  | {
      readonly kind: 'failed';
      readonly code: 'FUNCTION_TRAP' | 'FUNCTION_BAD_OUTPUT';
      readonly detail: string;
    }
);

/** And the CPU time that the guest took. */
export type Reply = Outcome & { readonly cpuMs: number };

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Sent once every guest has been instantiated; replies follow. */
export const READY = 'ready';

/** Takes the place of a reply: the job was called back before it began. */
export const SKIPPED = 'skipped';

export type FromWorker = typeof READY | typeof SKIPPED | Reply;
