import { expect, it } from 'vitest';
import { Trimming } from '../../node/retention/trimming.ts';
import { decodeEntry, eventId } from '../../node/views/codec.ts';
import type { Entry } from '../../store/journal/port.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { integerBetween, seededRandom } from '../support/random.ts';
import { HandJournal } from '../views/hand-journal.ts';
import { fact, orderId, registered, world } from '../views/world.ts';

type World = Awaited<ReturnType<typeof world>>;

const origins = ['n1', 'n2', 'n3'];
const fulfilled = { type: 'fulfilled', data: {} } as const;
const synced = { type: 'synced', data: { revision: 1 } } as const;

function trimmingOf({ journal, views, environment }: World): Trimming {
  const subjectOf = (entry: Entry) => {
    const { orderId: subject, type, at } = decodeEntry(entry);
    return type === 'registered' ? { orderId: subject, registeredAt: at } : { orderId: subject };
  };
  return new Trimming({ journal, views, environment, subjectOf });
}

async function shown({ views }: World): Promise<unknown> {
  return [await views.list({ limit: 200 }), views.counts(), [...views.open()].toSorted()];
}

it('gives up nothing that an order which is kept was made of (K1)', async () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = seededRandom(seed);
    const here = await world(new MemoryDisk(), new HandJournal());
    const { journal, views } = here;
    const trimming = trimmingOf(here);
    const waiting: {
      readonly name: string;
      readonly registration: string;
      readonly facts: (typeof fulfilled | typeof synced)[];
    }[] = [];
    const somewhere = (): string => origins[integerBetween(random, 0, 2)] ?? 'n1';
    for (let at = 1; at <= 60; at += 1) {
      const [registration] = journal.keep(somewhere(), registered(`order-${at}`, at));
      waiting.push({ name: `order-${at}`, registration: eventId(registration!), facts: [fulfilled, synced] });
      // Some close soon, some late.
      for (const { name, registration: its, facts } of waiting) {
        const next = random() < 0.3 ? facts.shift() : undefined;
        if (next !== undefined) journal.keep(somewhere(), fact(name, at, its, next));
      }
      if (random() < 0.2) {
        const oldest = await views.oldestUnclosed();
        const horizon = Math.min(at - 5, oldest?.createdAt ?? Infinity);
        if (horizon <= 0) continue;
        views.forget(horizon);
        await views.flush();
        await trimming.run(horizon);
      }
    }
    expect(Object.keys(journal.bases()).length).toBeGreaterThan(0);
    // A node that has only what is left of the journal shows the same.
    const fresh = await world(new MemoryDisk(), journal);
    await fresh.views.flush();
    for (let rounds = 0; rounds < 5; rounds += 1) await views.flush();
    const horizon = journal.horizon();
    const { orders } = await views.list({ limit: 200 });
    for (const order of orders) {
      expect(await fresh.views.events(order.id)).toEqual(await views.events(order.id));
      expect(order.createdAt).toBeGreaterThanOrEqual(horizon);
    }
    expect(await shown(fresh)).toEqual(await shown(here));
  }
});

it('stops at an order that is young and in no view, and says so (K2)', async () => {
  const here = await world(new MemoryDisk(), new HandJournal());
  const { journal, views, environment } = here;
  for (const name of ['a', 'b', 'c']) {
    const [registration] = journal.keep('n1', registered(name, 5));
    journal.keep(
      'n1',
      fact(name, 6, eventId(registration!), fulfilled),
      fact(name, 7, eventId(registration!), synced),
    );
  }
  await views.flush();
  views.forget(6);
  await views.flush();
  // All are forgotten; but by a horizon that they are younger than, they could not be.
  await trimmingOf(here).run(4);
  expect(journal.bases()).toEqual({});
  expect(environment.lines.map(({ fields }) => fields['orderId'])).toEqual([orderId('a')]);
  await trimmingOf(here).run(6);
  expect(journal.bases()).toEqual({ n1: { sequence: 8, horizon: 6 } });
});

it('reads no entry twice, and none behind one that stays (K3)', async () => {
  const here = await world(new MemoryDisk(), new HandJournal());
  const { journal, views } = here;
  const close = (name: string, at: number): void => {
    const [registration] = journal.keep('n1', registered(name, at));
    journal.keep(
      'n1',
      fact(name, at, eventId(registration!), fulfilled),
      fact(name, at, eventId(registration!), synced),
    );
  };
  for (let at = 1; at <= 20; at += 1) close(`order-${at}`, at);
  const [open] = journal.keep('n1', registered('open', 20));
  for (let at = 21; at <= 40; at += 1) close(`order-${at}`, at);
  let entries = 0;
  const read = journal.read.bind(journal);
  journal.read = async (...asked) => {
    const page = await read(...asked);
    entries += page.length;
    return page;
  };
  const trimming = trimmingOf(here);
  await views.flush();
  views.forget(20);
  await views.flush();
  await trimming.run(20);
  expect(journal.bases()['n1']?.sequence).toBe(57);
  const first = entries;
  for (let runs = 0; runs < 10; runs += 1) await trimming.run(20);
  expect(entries).toBe(first);
  journal.keep('n1', fact('open', 41, eventId(open!), fulfilled), fact('open', 41, eventId(open!), synced));
  await views.flush();
  views.forget(41);
  await views.flush();
  await trimming.run(41);
  expect(journal.bases()['n1']?.sequence).toBe((journal.entries.get('n1')?.length ?? 0) - 1);
});
