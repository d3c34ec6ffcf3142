/** Writes to the data directory named in its first argument until it is killed, and tells each number that is on disk. */
import { writeSync } from 'node:fs';
import { openLevelDisk } from '../../store/disk/level-disk.ts';
import type { Operation } from '../../store/disk/port.ts';

const [, , directory = '', from = '1'] = process.argv;
const silent = (): void => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
// LevelDB goes over to a new log every few hundred batches.
const disk = await openLevelDisk({ directory, writeBufferBytes: 64 * 1024 }, { log });
const value = Buffer.alloc(200, 'v');
const put = (key: string): Operation => ({ kind: 'put', key, value });
writeSync(1, `opened\n`);
for (let number = Number(from); ; number++) {
  const key = String(number).padStart(8, '0');
  const derived = [1, 2, 3].map((part) => disk.write([put(`table/t/${key}-${part}`)], { sync: false }));
  await disk.write([put(`journal/${key}`)], { sync: true });
  writeSync(1, `${number}\n`);
  await Promise.all(derived);
}
