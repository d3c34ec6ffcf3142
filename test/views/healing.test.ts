import { expect, it } from 'vitest';
import { eventId } from '../../node/views/codec.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { seededRandom } from '../support/random.ts';
import { settle } from '../support/virtual-clock.ts';
import { HandJournal } from './hand-journal.ts';
import { fact, orderId, registered, world } from './world.ts';

type World = Awaited<ReturnType<typeof world>>;

const names = Array.from({ length: 12 }, (_, index) => `order-${index}`);

function keepSome(journal: HandJournal): void {
  for (const [index, name] of names.entries()) {
    const [registration] = journal.keep(index % 2 === 0 ? 'n1' : 'n2', registered(name, index + 1));
    if (index % 3 === 0) continue;
    journal.keep('n3', fact(name, index + 2, eventId(registration!), { type: 'fulfilled', data: {} }));
    if (index % 3 === 1)
      journal.keep(
        'n2',
        fact(name, index + 3, eventId(registration!), { type: 'synced', data: { revision: 1 } }),
      );
  }
}

async function shown({ views }: World): Promise<unknown> {
  const orders = await Promise.all(names.map((name) => views.get(orderId(name))));
  const events = await Promise.all(names.map((name) => views.events(orderId(name))));
  const list = await views.list({ limit: 100 });
  return { orders, events, list, counts: views.counts(), open: [...views.open()].toSorted() };
}

async function healed(here: World): Promise<unknown> {
  for (let rounds = 0; rounds < 200; rounds += 1) await settle();
  return shown(here);
}

/** The same journal, which from the `count`-th question on is silent. */
function answering(count: number): HandJournal {
  const journal = new HandJournal();
  keepSome(journal);
  const read = journal.read.bind(journal);
  let answers = 0;
  journal.read = (...asked) => (++answers > count ? new Promise(() => undefined) : read(...asked));
  return journal;
}

it('a damaged row is derived again, whichever it is, and never taken for an order that is not there (V6)', async () => {
  const journal = new HandJournal();
  keepSome(journal);
  const whole = await world(new MemoryDisk(), journal);
  await whole.views.flush();
  const expected = await shown(whole);
  const keys = whole.disk.keys('table/orders/');
  expect(keys.length).toBeGreaterThan(40);
  for (const [index, key] of keys.entries()) {
    const random = seededRandom(index);
    const here = await world(new MemoryDisk(), journal);
    await here.views.flush();
    // Half of the time it is met by the process that wrote it, else by the next one.
    const meets = index % 2 === 0;
    here.disk.flipBit(key, Math.floor(random() * 1_000));
    if (!meets) here.disk.killProcess();
    const after = meets ? here : await world(here.disk, journal);
    const asked = await Promise.all(names.map((name) => after.views.get(orderId(name))));
    expect(
      asked.every((folded) => folded !== undefined),
      key,
    ).toBe(true);
    await shown(after);
    expect(await healed(after), key).toEqual(expected);
    // And for good.
    await after.views.flush();
    after.disk.killProcess();
    const next = await world(after.disk, journal);
    expect(await healed(next), key).toEqual(expected);
    next.disk.killProcess();
    const last = await world(after.disk, journal);
    expect(await shown(last), key).toEqual(expected);
    expect(last.environment.lines, key).toEqual([]);
  }
}, 20_000);

it('a row whose key is damaged is one that another order lacks: all are checked (V6)', async () => {
  const journal = new HandJournal();
  keepSome(journal);
  const whole = await world(new MemoryDisk(), journal);
  const expected = await shown(whole);
  const keys = whole.disk.keys('table/orders/').filter((key) => !key.endsWith('checkpoint'));
  for (const [index, key] of keys.entries()) {
    const here = await world(new MemoryDisk(), journal);
    await here.views.flush();
    here.disk.killProcess();
    // One letter of the order's id is another now.
    const place = key.length - 1 - (index % 20);
    const letter = key[place] === 'a' ? 'b' : 'a';
    here.disk.renameKey(key, key.slice(0, place) + letter + key.slice(place + 1));
    const after = await world(here.disk, journal);
    await shown(after);
    if (key.includes('/order!')) await after.views.get(orderId(names[0] ?? ''));
    const found = key.slice(0, place) + letter + key.slice(place + 1);
    if (found.includes('/order!')) await after.views.get(found.slice('table/orders/order!'.length));
    expect(await healed(after), key).toEqual(expected);
  }
}, 20_000);

it('is done by the next process when one dies at any moment of it (V6)', async () => {
  const journal = new HandJournal();
  keepSome(journal);
  const whole = await world(new MemoryDisk(), journal);
  await whole.views.flush();
  const expected = await shown(whole);
  const listings = whole.disk.keys('table/orders/').filter((key) => /\/(time|state|open)!/.test(key));
  for (const [index, key] of listings.entries()) {
    const here = await world(new MemoryDisk(), journal);
    await here.views.flush();
    here.disk.killProcess();
    here.disk.flipBit(key, 77);
    // Its journal answers some questions only: it dies in the middle of the check, or of what follows from it.
    const dying = await world(here.disk, answering(index % 7));
    void shown(dying);
    for (let rounds = 0; rounds < 20; rounds += 1) await settle();
    dying.disk.killProcess();
    const next = await world(here.disk, journal);
    await shown(next);
    expect(await healed(next), key).toEqual(expected);
  }
}, 20_000);

it('what comes for an order while its row is derived again is not lost', async () => {
  const journal = new HandJournal();
  keepSome(journal);
  const here = await world(new MemoryDisk(), journal);
  await here.views.flush();
  here.disk.killProcess();
  const id = orderId('order-1');
  here.disk.flipBit(`table/orders/order!${id}`, 77);
  const after = await world(here.disk, journal);
  const read = journal.read.bind(journal);
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  journal.read = async (...asked) => {
    await held;
    return read(...asked);
  };
  const asked = after.views.get(id);
  await settle();
  const registration = 'n2:1';
  journal.keep('n1', fact('order-1', 50, registration, { type: 'cancelRequested', data: {} }));
  await after.views.flush();
  after.disk.killProcess();
  // The process died before it was healed: nothing counts as contained that is not.
  journal.read = read;
  const next = await world(after.disk, journal);
  expect((await next.views.get(id))?.order.cancelRequested).toBe(true);
  expect((await next.views.events(id))?.length).toBe(4);
  release();
  void asked;
});

it('an order that changes while it is checked leaves no listing behind (V6)', async () => {
  const id = orderId('order-0');
  const listings = ['time', 'state!registered', 'open'].map(
    (list) => `table/orders/${list}!${'1'.padStart(15, '0')}!${id}`,
  );
  const orders = async (journal: HandJournal, disk?: MemoryDisk) => shown(await world(disk, journal));
  for (const key of listings) {
    for (let moment = 0; moment < 60; moment += 1) {
      const journal = new HandJournal();
      keepSome(journal);
      const here = await world(new MemoryDisk(), journal);
      await here.views.flush();
      here.disk.flipBit(key, 77);
      void shown(here);
      for (let turns = 0; turns < moment; turns += 1) await Promise.resolve();
      journal.keep('n3', fact('order-0', 30, 'n1:1', { type: 'fulfilled', data: {} }));
      journal.keep('n2', fact('order-0', 31, 'n1:1', { type: 'synced', data: { revision: 1 } }));
      const expected = await orders(journal);
      expect(await healed(here), `${key} ${moment}`).toEqual(expected);
      await here.views.flush();
      here.disk.killProcess();
      expect(await orders(journal, here.disk), `${key} ${moment}`).toEqual(expected);
    }
  }
}, 20_000);

/** Its pages come when they are let. */
function slow(journal: HandJournal): () => void {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const read = journal.read.bind(journal);
  journal.read = async (...asked) => {
    await promise;
    return read(...asked);
  };
  return () => {
    resolve(undefined);
  };
}

/** A world that begins with the rows of `damaged` damaged. */
async function damagedWorld(journal: HandJournal, damaged: readonly string[]): Promise<World> {
  const before = await world(new MemoryDisk(), journal);
  await before.views.flush();
  before.disk.killProcess();
  for (const name of damaged) before.disk.flipBit(`table/orders/order!${orderId(name)}`, 77);
  return world(before.disk, journal);
}

it('an order that retention asks for while it waits to be healed is healed all the same (V6)', async () => {
  const journal = new HandJournal();
  keepSome(journal);
  const here = await damagedWorld(journal, ['order-1', 'order-4']);
  const letRead = slow(journal);
  const asked = [here.views.get(orderId('order-4'))];
  for (let rounds = 0; rounds < 5; rounds += 1) await settle();
  asked.push(here.views.get(orderId('order-1')));
  for (let rounds = 0; rounds < 5; rounds += 1) await settle();
  const id = orderId('order-1');
  expect(await here.views.kept([id])).toEqual(new Set([id]));
  letRead();
  expect(await here.clock.resolve(Promise.all(asked), { withinMs: 100 })).toMatchObject([
    { order: { state: 'synced' } },
    { order: { state: 'synced' } },
  ]);
  await healed(here);
  expect(here.views.isWhole()).toBe(true);
  const [entry] = journal.keep('n1', registered('later', 100));
  await here.views.flush();
  expect(here.views.flushedUpTo('n1')).toBe(entry?.sequence);
});

it('an order gets none of its events back when its node is stopped before all are read (H1)', async () => {
  const journal = new HandJournal();
  keepSome(journal);
  const here = await damagedWorld(journal, ['order-1']);
  const letRead = slow(journal);
  void here.views.get(orderId('order-1'));
  await settle();
  const closed = here.views.close();
  letRead();
  await here.clock.resolve(closed, { withinMs: 1_000 });
  for (let rounds = 0; rounds < 50; rounds += 1) await settle();
  here.disk.killProcess();
  const next = await world(here.disk, journal);
  expect((await next.views.get(orderId('order-1')))?.order.state).toBe('synced');
});

it('tells that something is missing as soon as it does, so that nobody takes what is left for all', async () => {
  const journal = new HandJournal();
  keepSome(journal);
  // Open orders are in memory, whatever becomes of the table: the oldest shall be one that is not.
  const [first = ''] = names;
  journal.keep('n3', fact(first, 5, 'n1:1', { type: 'fulfilled', data: {} }));
  journal.keep('n3', fact(first, 6, 'n1:1', { type: 'synced', data: { revision: 1 } }));
  const here = await world(new MemoryDisk(), journal);
  await here.views.flush();
  const oldest = await here.views.oldestUnclosed();
  expect(here.views.isWhole()).toBe(true);
  for (const key of here.disk.keys('table/orders/'))
    if (key.includes('!000000000000003!')) here.disk.flipBit(key, 9);
  expect(await here.views.oldestUnclosed()).not.toEqual(oldest);
  expect(here.views.isWhole()).toBe(false);
  await healed(here);
  expect(await here.views.oldestUnclosed()).toEqual(oldest);
  expect(here.views.isWhole()).toBe(true);
});

it('comes to an end, however many forgotten orders the journal still has', async () => {
  const journal = new HandJournal();
  journal.keep('n1', ...Array.from({ length: 7_000 }, (_, index) => registered(`old-${index}`, 1)));
  journal.keep('n2', registered('young', 5));
  const here = await world(new MemoryDisk(), journal);
  const { views, disk } = here;
  views.forget(2);
  await views.flush();
  const [listing] = disk.keys('table/orders/open!');
  disk.flipBit(listing ?? '', 9);
  expect(await views.oldestUnclosed()).toMatchObject({ orderId: orderId('young') });
  await healed(here);
  expect(views.isWhole()).toBe(true);
  expect(disk.keys('table/orders/')).toHaveLength(5);
  journal.keep('n2', registered('younger', 6));
  await views.flush();
  expect(views.flushedUpTo('n2')).toBe(2);
});
