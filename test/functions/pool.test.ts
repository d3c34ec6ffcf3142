import { describe, expect, it, onTestFinished } from 'vitest';
import { WorkerPool } from '../../node/functions/pool.ts';
import { RequestDeadline } from '../../node/http/deadline.ts';
import { eventually } from '../support/eventually.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { LOOP_FOR_EVER, observe, realEnvironment, UNREACHABLE, wasm } from './support.ts';

/** The threads alone, with modules of a few bytes. `quiet` returns at once and gives no output. */

async function openPool(
  modules: readonly Uint8Array[],
  { startTimeoutMs = 30_000, workers = 1, queueMax = 100 } = {},
) {
  const observed = observe();
  const guests = modules.map((bytes, index) => ({
    name: `guest-${index}`,
    module: new WebAssembly.Module(bytes),
    call: 'run',
    blockBytesMax: 65_536,
  }));
  const options = { guests, workers, queueMax, window: 8, outputBytesMax: 1_024, callBackAfterMs: 25 };
  const pool = await WorkerPool.open(
    { ...options, startTimeoutMs, startRetryMs: 1_000 },
    { environment: realEnvironment(), observer: observed },
  );
  onTestFinished(() => pool.close());
  return { pool, observed };
}

const SHARED_MEMORY = [3, 1, 1];

/** Instructions that wait on a word of shared memory which nobody changes; −1 for ever. */
function sleep(ms: number): readonly number[] {
  const nanoseconds = signedLeb128(ms < 0 ? -1n : BigInt(ms) * 1_000_000n);
  // i32.const 0, i32.const 0, i64.const nanoseconds, memory.atomic.wait32, drop
  return [0x41, 0, 0x41, 0, 0x42, ...nanoseconds, 0xfe, 0x01, 2, 0, 0x1a];
}

function signedLeb128(value: bigint): readonly number[] {
  const low = Number(value & 0x7fn);
  const rest = value >> 7n;
  const isLast = (rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40);
  return isLast ? [low] : [low | 0x80, ...signedLeb128(rest)];
}

const quiet = wasm({});
const quietAnswer = { kind: 'failed', code: 'FUNCTION_BAD_OUTPUT', detail: 'no output' };
const job = (guest: number) => ({ guest, input: '{}' });

describe('a thread that dies of itself', () => {
  it('fails the call that ran; the others are run again elsewhere, each answered once', async () => {
    const { pool, observed } = await openPool([quiet]);
    const before = Array.from({ length: 3 }, () => pool.call(job(0), 5_000));
    // No such guest: an error of the thread itself, as would be one of Extism or of the engine.
    const deadly = pool.call(job(99), 5_000);
    const after = Array.from({ length: 30 }, () => pool.call(job(0), 5_000));

    await expect(deadly).resolves.toMatchObject({ kind: 'failed', code: 'FUNCTION_TRAP' });
    expect(await Promise.all([...before, ...after])).toMatchObject(Array(33).fill(quietAnswer));
    expect(observed.restarts).toEqual(['crash']);
  });

  it('can die more often than there are spares', async () => {
    const { pool, observed } = await openPool([quiet]);
    const deadly = Array.from({ length: 5 }, () => pool.call(job(99), 5_000));
    const after = pool.call(job(0), 5_000);

    expect(await Promise.all(deadly)).toMatchObject(Array(5).fill({ kind: 'failed', code: 'FUNCTION_TRAP' }));
    await expect(after).resolves.toMatchObject(quietAnswer);
    expect(observed.restarts).toHaveLength(5);
  });
});

describe('a module that fails as it is instantiated', () => {
  it('by trapping: the pool does not open', async () => {
    await expect(openPool([quiet, wasm({ start: true, body: UNREACHABLE })])).rejects.toThrow(/unreachable/);
  });

  it('by looping: the pool does not open, once the time to start is over', async () => {
    const opening = openPool([wasm({ start: true, body: LOOP_FOR_EVER })], { startTimeoutMs: 300 });
    await expect(opening).rejects.toThrow('not ready within 300 ms');
  });
});

describe('calls that nobody waits for any more', () => {
  it('leave a full queue without being run, and their room to others', async () => {
    const { pool } = await openPool([quiet, wasm({ memory: SHARED_MEMORY, body: sleep(700) })], {
      queueMax: 100,
    });
    const clock = new VirtualClock();
    const busy = pool.call(job(1), 5_000);
    let isBusy = true;
    void busy.then(() => (isBusy = false));
    await eventually(() => pool.queueDepth === 0, { withinMs: 5_000, what: 'the worker has its call' });
    const deadlines = Array.from({ length: 50 }, () => new RequestDeadline(1_000, { clock }));
    const waiting = deadlines.map((deadline) => pool.call(job(0), 5_000, undefined, deadline));
    expect(await pool.call(job(0), 5_000)).toEqual({ kind: 'queueFull' });

    for (const deadline of deadlines.slice(0, 25)) deadline.clientGone();
    expect(pool.queueDepth).toBe(25);
    await clock.advance(1_000);
    expect([pool.queueDepth, isBusy]).toEqual([0, true]);
    expect(await Promise.all(waiting)).toEqual(Array(50).fill({ kind: 'expired' }));
    expect(await pool.call(job(0), 5_000, undefined, deadlines[0])).toEqual({ kind: 'expired' });

    const inTime = new RequestDeadline(1_000, { clock });
    const next = pool.call(job(0), 5_000, undefined, inTime);
    expect([pool.queueDepth, inTime.listeners]).toEqual([1, 1]);
    await expect(next).resolves.toMatchObject(quietAnswer);
    expect(inTime.listeners).toBe(0);
    await busy;
  });
});

describe('a call that loops', () => {
  it('may be followed by more of them than there are spares', async () => {
    const { pool, observed } = await openPool([quiet, wasm({ body: LOOP_FOR_EVER })]);
    const loops = Array.from({ length: 5 }, () => pool.call(job(1), 100));
    const after = pool.call(job(0), 5_000);

    expect(await Promise.all(loops)).toEqual(Array(5).fill({ kind: 'timeout' }));
    await expect(after).resolves.toMatchObject(quietAnswer);
    expect(observed.restarts).toEqual(Array(5).fill('timeout'));
  });

  it('is given its whole time, and not much more', async () => {
    const { pool } = await openPool([quiet, wasm({ body: LOOP_FOR_EVER })]);
    await pool.call(job(0), 5_000);
    const startedAt = performance.now();
    await expect(pool.call(job(1), 250)).resolves.toEqual({ kind: 'timeout' });
    const took = performance.now() - startedAt;
    expect(took).toBeGreaterThanOrEqual(250);
    // On an idle machine a quarter more; on a busy one the thread has to get its CPU time first.
    expect(took).toBeLessThan(5_000);
  });

  it('is found by its own time, although a call before it was allowed far more', async () => {
    const { pool } = await openPool([quiet, wasm({ body: LOOP_FOR_EVER })]);
    const patient = pool.call(job(0), 60_000);
    const loop = pool.call(job(1), 100);
    await expect(patient).resolves.toMatchObject(quietAnswer);
    await expect(loop).resolves.toEqual({ kind: 'timeout' });
  });
});

describe('a call that waits without using the CPU, as all do on a starved machine', () => {
  it('is not held to its time', async () => {
    const { pool, observed } = await openPool([wasm({ memory: SHARED_MEMORY, body: sleep(400) })]);
    await expect(pool.call(job(0), 100)).resolves.toMatchObject(quietAnswer);
    expect(observed.restarts).toEqual([]);
  });

  it('is ended after ten times its time', async () => {
    const { pool, observed } = await openPool([quiet, wasm({ memory: SHARED_MEMORY, body: sleep(-1) })]);
    const startedAt = performance.now();
    const waits = pool.call(job(1), 50);
    const after = pool.call(job(0), 50);
    await expect(waits).resolves.toEqual({ kind: 'timeout' });
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(500);
    await expect(after).resolves.toMatchObject(quietAnswer);
    expect(observed.restarts).toEqual(['timeout']);
  });
});

describe('a function that is slow', () => {
  /** Counts to a hundred million in memory: i32.load at 4, i32.const 1, i32.add, i32.store; i32.lt_s, br_if; then from 0. */
  const slow = wasm({
    memory: [0, 1],
    body: [
      ...[0x03, 0x40, 0x41, 4, 0x41, 4, 0x28, 2, 0, 0x41, 1, 0x6a, 0x36, 2, 0],
      ...[0x41, 4, 0x28, 2, 0, 0x41, ...signedLeb128(100_000_000n), 0x48, 0x0d, 0, 0x0b],
      ...[0x41, 4, 0x41, 0, 0x36, 2, 0],
    ],
  });
  /** i32.const 0, i32.const 0, i32.load, i32.const 1, i32.add, i32.store at 4; then sleeps from the fifth call on. */
  const turnsSlow = wasm({
    memory: SHARED_MEMORY,
    body: [
      ...[0x41, 4, 0x41, 4, 0x28, 2, 0, 0x41, 1, 0x6a, 0x36, 2, 0],
      ...[0x41, 4, 0x28, 2, 0, 0x41, 4, 0x4a, 0x04, 0x40, ...sleep(2_000), 0x0b],
    ],
  });

  /** Calls the quick function one after the other; how long each took. */
  async function quickTimes(pool: WorkerPool, guest: number, times: number): Promise<readonly number[]> {
    const took: number[] = [];
    for (let time = 0; time < times; time += 1) {
      const startedAt = performance.now();
      await expect(pool.call(job(guest), 5_000)).resolves.toMatchObject(quietAnswer);
      took.push(performance.now() - startedAt);
    }
    return took;
  }

  /** How long one call of the slow function takes on this machine now. */
  async function timeOf(pool: WorkerPool, guest: number): Promise<number> {
    const startedAt = performance.now();
    await pool.call(job(guest), 10_000);
    return performance.now() - startedAt;
  }

  it('does not make the others wait, although hundreds of its calls were there before', async () => {
    const { pool } = await openPool([slow, quiet], { workers: 2, queueMax: 1_000 });
    const slowMs = await timeOf(pool, 0);
    void Promise.allSettled(Array.from({ length: 500 }, () => pool.call(job(0), 10_000)));
    const took = (await quickTimes(pool, 1, 50)).toSorted((left, right) => left - right);
    // With one line for all, the first would have waited for hundreds of calls.
    expect(took[25]).toBeLessThan(slowMs / 4);
    expect(Math.max(...took)).toBeLessThan(2 * slowMs + 100);
  });

  it('lets the others wait for one call of it where there is only one worker', async () => {
    const { pool } = await openPool([slow, quiet], { workers: 1, queueMax: 1_000 });
    const slowMs = await timeOf(pool, 0);
    void Promise.allSettled(Array.from({ length: 100 }, () => pool.call(job(0), 10_000)));
    const took = await quickTimes(pool, 1, 4);
    expect(Math.max(...took)).toBeLessThan(4 * slowMs + 200);
  });

  it('has its turn while others keep every worker busy', async () => {
    const { pool } = await openPool([slow, quiet], { workers: 2, queueMax: 1_000 });
    let stopped = false;
    const busy = Promise.all(
      Array.from({ length: 64 }, async () => {
        while (!stopped) await pool.call(job(1), 5_000);
      }),
    );
    for (let time = 0; time < 3; time += 1)
      await expect(pool.call(job(0), 10_000)).resolves.toMatchObject(quietAnswer);
    stopped = true;
    await busy;
  });

  it('loses the calls that were sent behind it when it turns slow, each answered once', async () => {
    const { pool } = await openPool([turnsSlow, quiet], { workers: 2, queueMax: 1_000 });
    for (let time = 0; time < 4; time += 1) await pool.call(job(0), 5_000);
    await pool.call(job(1), 5_000);
    const startedAt = performance.now();
    const turned = pool.call(job(0), 10_000);
    const answers = await Promise.all(Array.from({ length: 12 }, () => pool.call(job(1), 5_000)));
    expect(answers).toMatchObject(Array(12).fill(quietAnswer));
    expect(performance.now() - startedAt).toBeLessThan(1_000);
    await expect(turned).resolves.toMatchObject(quietAnswer);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(2_000);
    await expect(pool.call(job(1), 5_000)).resolves.toMatchObject(quietAnswer);
  });
});
