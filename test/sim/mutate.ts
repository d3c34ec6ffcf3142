import { registerHooks } from 'node:module';
import { fileURLToPath } from 'node:url';
import { resolve } from 'node:path';
import type { Mutant } from './mutant.ts';

/** Makes every later import of the mutant's file see the edited source. To be called before the program is imported. */
export function mutate({ name, file, find, replace }: Mutant): void {
  const target = resolve(import.meta.dirname, '../..', file);
  registerHooks({
    load: (url, context, nextLoad) => {
      const loaded = nextLoad(url, context);
      if (!url.startsWith('file:') || fileURLToPath(url) !== target) return loaded;
      const source =
        typeof loaded.source === 'string' ? loaded.source : Buffer.from(loaded.source as Buffer).toString();
      const [before, after, ...more] = source.split(find);
      if (before === undefined || after === undefined || more.length > 0) {
        throw new Error(
          `mutant ${name}: its snippet occurs ${source.split(find).length - 1} times in ${file}, not once`,
        );
      }
      return { ...loaded, source: before + replace + after };
    },
  });
}
