/** `kill -9` at any moment, LevelDB's housekeeping included: nothing acknowledged is missing, and nothing is suspected. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openLevelDisk } from '../../store/disk/level-disk.ts';
import { testEnvironment } from '../support/environment.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const lives = process.env['FREEHOLD_FULL'] === '1' ? 60 : 5;

test('a killed process leaves a directory that opens with all that it was told is on disk', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'freehold-kill-'));
  const random = seededRandom(3);
  const { log, lines } = testEnvironment({ clock: new VirtualClock(), random });
  let told = 0;
  try {
    for (let life = 1; life <= lives; life++) {
      const program = join(import.meta.dirname, 'writer-process.ts');
      const child = spawn(process.execPath, [program, directory, String(told + 1)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      await once(child.stdout, 'data');
      await delay(20 + random() * 400);
      child.kill('SIGKILL');
      await once(child, 'close');
      const numbers = output.split('\n').map(Number).filter(Number.isInteger);
      told = Math.max(told, ...numbers);
      const disk = await openLevelDisk({ directory }, { log });
      const missing: string[] = [];
      for (let number = 1; number <= told; number++) {
        const key = `journal/${String(number).padStart(8, '0')}`;
        if ((await disk.get(key)) === undefined) missing.push(key);
      }
      expect(missing, `life ${life}`).toEqual([]);
      await disk.close();
    }
    expect(told).toBeGreaterThan(lives * 10);
    expect(lines).toEqual([]);
  } finally {
    await rm(directory, { recursive: true });
  }
}, 300_000);
