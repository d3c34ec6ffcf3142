/**
 * The worker thread: runs guests, one call at a time.
 *
 * It owns the instances, one per function. It does not judge outputs beyond their size and encoding, and it
 * does not watch the time: a guest that loops holds the whole thread, so the pool ends it from outside.
 *
 * 1. One call is in flight at a time: overlapping calls on one Extism plugin return each other's output.
 * 2. The plugin is reset before each call, or it dies after some 32,000 blocks.
 * 3. An instance that trapped is never called again: what it had allocated is lost and its state is unknown.
 * 4. Each job is answered by one message, a reply or that it was skipped, which is posted before the count of finished jobs is
 *    raised: who sees the count knows the message is on its way.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { createPlugin, type CurrentPlugin, type Plugin } from '@extism/extism';
import { JOBS_AHEAD_MAX, Progress, READY, SKIPPED } from './worker-protocol.ts';
import type { FromWorker, GuestSetup, Job, LogLevel, Outcome, WorkerSetup } from './worker-protocol.ts';

const LOG_LINES_MAX = 8;
const LOG_LINE_LENGTH_MAX = 300;
/** Extism addresses a block by the top 16 bits of a signed number. */
const BLOCKS_MAX = 10_000;

class Guest {
  readonly #setup: GuestSetup;
  readonly #outputBytesMax: number;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #plugin: Plugin | undefined;
  #blockBytesLeft = 0;
  #blocksLeft = 0;
  #log: { level: LogLevel; text: string }[] = [];

  constructor(setup: GuestSetup, outputBytesMax: number) {
    this.#setup = setup;
    this.#outputBytesMax = outputBytesMax;
  }

  async instantiate(): Promise<Plugin> {
    this.#plugin = await createPlugin(
      { wasm: [{ module: this.#setup.module }] },
      {
        useWasi: false,
        allowedHosts: [],
        logger: this.#logger(),
        functions: {
          'extism:host/env': {
            alloc: (context: CurrentPlugin, bytes: bigint) => this.#allocate(context, bytes),
          },
        },
      },
    );
    return this.#plugin;
  }

  async call(input: string): Promise<Outcome> {
    this.#log = [];
    this.#blockBytesLeft = this.#setup.blockBytesMax;
    this.#blocksLeft = BLOCKS_MAX;
    try {
      const plugin = this.#plugin ?? (await this.instantiate());
      await plugin.reset();
      // A copy of its own: Extism takes the whole buffer behind the bytes it is given.
      const output = await plugin.call(this.#setup.call, new Uint8Array(Buffer.from(input)));
      return this.#read(output?.bytes());
    } catch (error) {
      this.#plugin = undefined;
      const reason = error instanceof Error ? error.message : String(error);
      // A guest says why it aborts in its log, just before it traps.
      const said = this.#log.findLast(({ level }) => level === 'error')?.text;
      return this.#failed('FUNCTION_TRAP', said === undefined ? reason : `${reason}: ${said}`);
    }
  }

  #read(output: Uint8Array | undefined): Outcome {
    if (output === undefined) return this.#failed('FUNCTION_BAD_OUTPUT', 'no output');
    if (output.length > this.#outputBytesMax) {
      const detail = `${output.length} bytes of output; at most ${this.#outputBytesMax} are allowed`;
      return this.#failed('FUNCTION_BAD_OUTPUT', detail);
    }
    try {
      return { kind: 'output', text: this.#decoder.decode(output), log: this.#log };
    } catch {
      return this.#failed('FUNCTION_BAD_OUTPUT', 'the output is not UTF-8');
    }
  }

  #failed(code: 'FUNCTION_TRAP' | 'FUNCTION_BAD_OUTPUT', detail: string): Outcome {
    return { kind: 'failed', code, detail: detail.slice(0, LOG_LINE_LENGTH_MAX), log: this.#log };
  }

  #allocate(context: CurrentPlugin, bytes: bigint): bigint {
    if (bytes < 0n || bytes > BigInt(this.#blockBytesLeft) || this.#blocksLeft === 0) {
      throw new Error('out of host blocks');
    }
    this.#blockBytesLeft -= Number(bytes);
    this.#blocksLeft--;
    return context.alloc(bytes);
  }

  #logger(): Console {
    const take = (level: LogLevel) => (text: string) => {
      if (this.#log.length >= LOG_LINES_MAX) return;
      this.#log.push({ level, text: text.slice(0, LOG_LINE_LENGTH_MAX) });
    };
    const logger = { debug: take('debug'), info: take('info'), warn: take('warn'), error: take('error') };
    return logger as unknown as Console;
  }
}

/** Of this thread, so far. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

async function main(): Promise<void> {
  if (parentPort === null) throw new Error('this file is the body of a worker thread');
  const port = parentPort;
  const post = (message: FromWorker) => port.postMessage(message);
  const setup = workerData as WorkerSetup;
  const progress = new Int32Array(setup.progress);

  const guests = setup.guests.map((guest) => new Guest(guest, setup.outputBytesMax));
  for (const guest of guests) await guest.instantiate();

  let number = 0;
  const isCalledBack = () => {
    const ahead = (Atomics.load(progress, Progress.CALLED_BACK) - number) | 0;
    return ahead > 0 && ahead < JOBS_AHEAD_MAX;
  };
  const answer = async (job: Job): Promise<FromWorker> => {
    if (isCalledBack()) return SKIPPED;
    const guest = guests[job.guest];
    if (guest === undefined) throw new Error(`no guest ${job.guest}`);
    const startedAtMs = cpuMs();
    Atomics.store(progress, Progress.CPU_AT_START_MS, Math.floor(startedAtMs));
    const outcome = await guest.call(job.input);
    return { ...outcome, cpuMs: cpuMs() - startedAtMs };
  };
  const run = async (jobs: readonly Job[]) => {
    for (const job of jobs) {
      post(await answer(job));
      number = (number + 1) | 0;
      Atomics.add(progress, Progress.FINISHED, 1);
    }
  };
  let previous = Promise.resolve();
  port.on('message', (jobs: readonly Job[]) => {
    previous = previous.then(() => run(jobs));
  });
  post(READY);
}

await main();
