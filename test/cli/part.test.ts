import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { stopLeftovers } from '../../node/cli/dev/leftovers.ts';
import { Part } from '../../node/cli/dev/part.ts';
import type { Death } from '../../node/cli/dev/part.ts';
import { planOf } from '../../node/cli/dev/plan.ts';

let directory: string;
let parts: Part[] = [];
const deaths: Death[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'freehold-part-'));
  deaths.length = 0;
});
afterEach(() => {
  for (const part of parts) part.abandon();
  parts = [];
  rmSync(directory, { recursive: true, force: true });
});

function create(behaviour: string, startTimeoutMs = 10_000): Part {
  const planned = {
    name: 'n2',
    title: 'node n2',
    directory,
    pidFile: join(directory, 'node.pid'),
    logFile: join(directory, 'log', 'n2.log'),
    command: [behaviour, directory],
    ports: [],
  };
  const main = join(import.meta.dirname, 'fixtures/service.ts');
  const part = new Part(
    { planned, main, nodeArguments: [], startTimeoutMs },
    { onDeath: (death) => void deaths.push(death) },
  );
  parts.push(part);
  return part;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

it('has a pid file exactly while its process is there', async () => {
  const part = create('good');
  expect(await part.start()).toBe('http://127.0.0.1:1');
  const pid = Number(readFileSync(part.planned.pidFile, 'utf8'));
  expect(pid).toBe(part.pid);
  expect(isAlive(pid)).toBe(true);
  expect(await part.stop(5_000)).toEqual({ clean: true, how: 'exit code 0' });
  expect(existsSync(part.planned.pidFile)).toBe(false);
  expect(isAlive(pid)).toBe(false);
  expect(deaths).toEqual([]);
});

it('reports a process that was killed, once, with the end of its log, and can be started again', async () => {
  const part = create('good');
  await part.start();
  await part.signal('SIGKILL');
  expect(deaths).toEqual([{ part: part.planned, how: 'SIGKILL', lastLines: ['behaving: good'] }]);
  expect(part.state).toBe('down');
  await part.start();
  expect(part.state).toBe('up');
});

it('says how a process ended that did not get up, and what it logged last', async () => {
  const part = create('crashes');
  await expect(part.start()).rejects.toThrow(
    /node n2 ended while it was starting \(exit code 7\)[^]*for this reason/,
  );
  expect(deaths).toEqual([]);
});

it('does not leave a process behind that never got up', async () => {
  const part = create('silent', 500);
  const starting = expect(part.start()).rejects.toThrow(/is not up after 0.5 s/);
  const { pid } = part;
  await starting;
  expect(isAlive(pid ?? 0)).toBe(false);
});

it('kills a process that ignores the request to stop, and says that this was not clean', async () => {
  const part = create('stubborn');
  await part.start();
  expect(await part.stop(200)).toEqual({ clean: false, how: 'SIGKILL' });
});

it('stops a paused process as cleanly as a running one', async () => {
  const part = create('good');
  await part.start();
  await part.signal('SIGSTOP');
  expect(part.state).toBe('paused');
  expect(await part.stop(5_000)).toMatchObject({ clean: true });
});

it('is refused a second process while it has one', async () => {
  const part = create('good');
  await part.start();
  await expect(part.start()).rejects.toThrow(/is up, not down/);
});

it('leftovers of an earlier run are stopped, other programs that have their pid now are not', async () => {
  const plan = planOf({
    dataDirectory: directory,
    port: 20_000,
    catalog: 'none',
    capture: 'immediate',
    logLevel: 'info',
    overrides: [],
    direct: false,
  });
  const [n1, n2] = plan.nodes;
  if (n1 === undefined || n2 === undefined) throw new Error('three nodes are planned');
  const start = async (planned: typeof n1, command: readonly string[]): Promise<Part> => {
    const main = join(import.meta.dirname, 'fixtures/service.ts');
    const part = new Part(
      { planned: { ...planned, command }, main, nodeArguments: [], startTimeoutMs: 10_000 },
      { onDeath: (death) => void deaths.push(death) },
    );
    parts.push(part);
    await part.start();
    return part;
  };
  const leftover = await start(n1, n1.command);
  await leftover.signal('SIGSTOP');
  const stranger = await start(n2, ['good']);

  const notes: string[] = [];
  await stopLeftovers(plan, (line) => void notes.push(line));
  expect(notes).toHaveLength(1);
  expect(notes[0]).toContain('node n1 of an earlier run');
  for (let round = 0; leftover.state !== 'down' && round < 200; round += 1) await delay(10);
  expect(leftover.state).toBe('down');
  expect(stranger.state).toBe('up');
});
