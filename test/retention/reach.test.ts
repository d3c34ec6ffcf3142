import { expect, it } from 'vitest';
import { mayHaveForgotten } from '../../node/retention/reach.ts';
import { Trimming } from '../../node/retention/trimming.ts';
import { decodeEntry } from '../../node/views/codec.ts';
import type { Entry } from '../../store/journal/port.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { HandJournal } from '../views/hand-journal.ts';
import { fact, registered, world } from '../views/world.ts';

const dayMs = 86_400_000;
const foundedAt = 100 * dayMs;
const timeOf = (entry: Entry): number => decodeEntry(entry).at;

it('is said of no horizon that lies before the first order', async () => {
  const journal = new HandJournal();
  const asked = (horizon: number) => mayHaveForgotten(horizon, { journal, timeOf });
  expect(await asked(foundedAt - 30 * dayMs)).toBe(false);
  journal.keep('n1', registered('order-1', foundedAt));
  journal.keep('n2', registered('order-2', foundedAt + 1));
  expect(await asked(0)).toBe(false);
  expect(await asked(foundedAt - 30 * dayMs)).toBe(false);
  expect(await asked(foundedAt + 1)).toBe(true);
});

it('is said for ever once a journal was shortened, whatever is left of it', async () => {
  const here = await world(new MemoryDisk(), new HandJournal());
  const { journal, views, environment } = here;
  const [registration] = journal.keep('n1', registered('order-1', foundedAt));
  const its = `${registration!.origin}:${registration!.sequence}`;
  journal.keep('n1', fact('order-1', foundedAt + 1, its, { type: 'fulfilled', data: {} }));
  journal.keep('n1', fact('order-1', foundedAt + 2, its, { type: 'synced', data: { revision: 1 } }));
  journal.keep('n1', registered('order-2', foundedAt + 60 * dayMs));
  const horizon = foundedAt + 30 * dayMs;
  views.forget(horizon);
  await views.flush();
  await new Trimming({
    journal,
    views,
    environment,
    subjectOf: (entry) => {
      const { orderId, type, at } = decodeEntry(entry);
      return type === 'registered' ? { orderId, registeredAt: at } : { orderId };
    },
  }).run(horizon);
  expect(journal.bases()).toMatchObject({ n1: { sequence: 3 } });
  expect(await mayHaveForgotten(horizon, { journal, timeOf })).toBe(true);
});

it('is said in doubt', async () => {
  const journal = {
    bases: () => ({}),
    vector: () => ({ n1: 5 }),
    read: () => Promise.reject(new Error('damaged')),
  };
  expect(await mayHaveForgotten(foundedAt, { journal, timeOf })).toBe(true);
});
