/** Ways in which a file of a stopped node may come to harm, drawn from a seed. */
import { readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import type { Random } from '../../store/environment.ts';

export interface Damage {
  readonly what: string;
  readonly apply: (path: string) => Promise<void>;
}

const sectorBytes = 512;

/** One way to harm a file of `size` bytes. */
export function drawDamage(size: number, random: Random): Damage {
  const below = (bound: number): number => Math.floor(random() * bound);
  const at = below(size);
  switch (size === 0 ? 5 : below(8)) {
    case 0:
    case 1:
      return edit(`bit ${at * 8} flipped`, (file) => {
        file[at] = (file[at] ?? 0) ^ (1 << below(8));
      });
    case 2: {
      const from = at - (at % sectorBytes);
      return edit(`sector at ${from} zeroed`, (file) =>
        file.fill(0, from, Math.min(size, from + sectorBytes)),
      );
    }
    case 3: {
      const length = 1 + below(64);
      return edit(`${length} bytes at ${at} replaced`, (file) => {
        for (let index = at; index < Math.min(size, at + length); index++) file[index] = below(256);
      });
    }
    case 4:
      return { what: `cut off at ${at}`, apply: (path) => truncate(path, at) };
    case 5:
      return { what: 'deleted', apply: (path) => rm(path) };
    case 6:
      return { what: 'emptied', apply: (path) => truncate(path, 0) };
    default: {
      // The last bytes are those that a crash is most likely to have left undone.
      const tail = Math.max(0, size - 1 - below(Math.min(size, 200)));
      return below(2) === 0
        ? { what: `cut off at ${tail}, near its end`, apply: (path) => truncate(path, tail) }
        : edit(`bit in byte ${tail}, near its end, flipped`, (file) => {
            file[tail] = (file[tail] ?? 0) ^ (1 << below(8));
          });
    }
  }
}

export async function sizeOf(path: string): Promise<number> {
  return (await stat(path)).size;
}

function edit(what: string, change: (file: Buffer) => unknown): Damage {
  return {
    what,
    apply: async (path) => {
      const file = await readFile(path);
      change(file);
      await writeFile(path, file);
    },
  };
}
