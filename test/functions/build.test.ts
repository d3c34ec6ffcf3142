import { appendFile, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { buildGuests } from '../../guest-functions/compile.ts';
import { manifestText, writeFunctions, type GuestSource } from './support.ts';

// Compiling takes a second, and many times that beside other tests.
vi.setConfig({ testTimeout: 120_000 });

const small: GuestSource = {
  manifest: manifestText({
    name: 'small',
    trigger: '{ type: timer, cron: "0 * * * *", singleton: true }',
    grants: 'inventory.pull',
  }),
  source: `
    import { Answer } from 'sdk';
    export function run(): void {
      const answer = new Answer();
      answer.pullInventory();
      answer.send();
    }`,
};

describe('the guest build', () => {
  it('goes by contents, not by dates', async () => {
    const directory = await writeFunctions({ small });
    const source = join(directory, 'small', 'index.ts');
    const target = join(directory, 'small', 'small.wasm');
    const again = async () =>
      (await buildGuests({ directory, ifNeeded: true })).map((built) => built.upToDate);
    const first = await readFile(target);

    const future = new Date(Date.now() + 3_600_000);
    await utimes(source, future, future);
    expect(await again()).toEqual([true]);

    await appendFile(source, '\n// Another word.\n');
    expect(await again()).toEqual([false]);
    expect(await again()).toEqual([true]);

    await writeFile(target, 'damaged');
    expect(await again()).toEqual([false]);

    const manifest = join(directory, 'small', 'function.yaml');
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('4MB', '8MB'));
    expect(await again()).toEqual([false]);
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('8MB', '4MB'));
    await writeFile(source, (await readFile(source, 'utf8')).replace('\n// Another word.\n', ''));
    expect(await again()).toEqual([false]);
    expect(await readFile(target)).toEqual(first);
  });

  it('names the file and the line of an error, and leaves the old module', async () => {
    const directory = await writeFunctions({ small });
    const before = await readFile(join(directory, 'small', 'small.wasm'));
    await writeFile(
      join(directory, 'small', 'index.ts'),
      "import 'sdk';\n\nexport function run(): strin {}\n",
    );

    const building = buildGuests({ directory, ifNeeded: true });
    await expect(building).rejects.toMatchObject({ code: 'GUEST_BUILD', functionName: 'small' });
    await expect(building).rejects.toThrow(/small\/index\.ts\(3,24\)/);
    expect(await readFile(join(directory, 'small', 'small.wasm'))).toEqual(before);
  });
});
