import { expect, test } from 'vitest';
import { createTable } from '../../store/disk/tables.ts';
import { testEnvironment } from '../support/environment.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { seededRandom } from '../support/random.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { del, put, text } from './disk-contract.ts';

function world() {
  const clock = new VirtualClock();
  const environment = testEnvironment({ clock, random: seededRandom(1) });
  const memory = new MemoryDisk();
  const dependencies = { disk: memory.open(clock), log: environment.log };
  return { memory, environment, table: (name: string) => createTable(name, dependencies) };
}

test('tables do not see each other, even when one name begins with the other', async () => {
  const { table } = world();
  await table('view').write([put('k', 'view'), put('gone', ''), del('gone')]);
  await table('view-2').write([put('k', 'view-2')]);
  expect(text(await table('view').get('k'))).toBe('view');
  const rows = await table('view').range({ from: '', to: '\uffff', limit: 10 });
  expect(rows.map(([key, value]) => [key, text(value)])).toEqual([['k', 'view']]);
  expect(() => table('View/..')).toThrow();
});

test('a damaged record is absent and logged, and a page around it is still full', async () => {
  const { table, memory, environment } = world();
  const view = table('view');
  await view.write(['a', 'b', 'c', 'd', 'e'].map((key) => put(key, key)));
  memory.flipBit('table/view/b', 50);
  memory.flipBit('table/view/d', 3);
  expect(await view.get('b')).toBeUndefined();
  expect((await view.getMany(['a', 'b', 'c'])).map(text)).toEqual(['a', undefined, 'c']);
  const page = async (reverse: boolean) =>
    (await view.range({ from: '', to: 'z', limit: 3, reverse })).map(([key]) => key);
  expect(await page(false)).toEqual(['a', 'c', 'e']);
  expect(await page(true)).toEqual(['e', 'c', 'a']);
  expect(environment.lines[0]).toMatchObject({
    level: 'error',
    fields: { code: 'CORRUPT_RECORD', table: 'view' },
  });
});
