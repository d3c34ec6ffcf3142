import { describe, expect, it } from 'vitest';
import { eventId } from '../../node/views/codec.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { seededRandom } from '../support/random.ts';
import { settle } from '../support/virtual-clock.ts';
import { HandJournal } from './hand-journal.ts';
import { fact, orderId, registered, world } from './world.ts';

const fulfilled = { type: 'fulfilled', data: {} } as const;
const synced = { type: 'synced', data: { revision: 1 } } as const;
const paid = { mode: 'captured', intent: 'pi_1', attempt: 1 } as const;

/** Registered at `at`, ended and delivered. */
function keepClosed(journal: HandJournal, name: string, at: number): void {
  const [registration] = journal.keep('n1', registered(name, at));
  journal.keep('n1', fact(name, at, eventId(registration!), fulfilled));
  journal.keep('n2', fact(name, at, eventId(registration!), synced));
}

async function listed({ views }: Awaited<ReturnType<typeof world>>): Promise<readonly number[]> {
  return (await views.list({ limit: 100 })).orders.map(({ createdAt }) => createdAt);
}

describe('orders behind the horizon', () => {
  it('are not read, listed, counted or driven any more, and leave the table (V5)', async () => {
    const here = await world();
    const { views, journal, disk } = here;
    for (let at = 1; at <= 9; at += 1) keepClosed(journal, `order-${at}`, at);
    // One that this node still takes for open: it ended elsewhere.
    journal.keep('n1', registered('stale', 4));
    await views.flush();
    expect(views.open().has(orderId('stale'))).toBe(true);

    views.forget(7);
    expect(await views.get(orderId('order-3'))).toBeUndefined();
    expect(await views.events(orderId('stale'))).toBeUndefined();
    expect(views.open().size).toBe(0);
    expect(await listed(here)).toEqual([9, 8, 7]);
    await views.flush();
    expect(views.counts().get('synced')).toBe(3);
    expect(views.counts().get('registered')).toBe(0);
    expect(disk.keys('table/orders/order!')).toHaveLength(3);
    expect(disk.keys('table/orders/')).toHaveLength(3 * 3 + 1);
    expect(here.environment.lines.map(({ fields }) => fields['orders'])).toEqual([1]);
    expect(await views.oldestUnclosed()).toBeUndefined();
  });

  it('stay forgotten, whatever arrives about them, and leave nothing behind', async () => {
    const { views, journal, disk } = await world();
    keepClosed(journal, 'old', 5);
    await views.flush();
    views.forget(10);
    await views.flush();
    // A node that was away tells the story again, and adds to it.
    journal.keep('n3', registered('old', 6), registered('older', 3));
    journal.keep('n3', fact('old', 20, 'n3:1', { type: 'takenOver', data: { from: 'n1' } }));
    await views.flush();
    expect(await views.get(orderId('old'))).toBeUndefined();
    expect(views.open().size).toBe(0);
    expect(await views.kept([orderId('older')])).toEqual(new Set());
    // What is left is a fact without an order, until the horizon has passed it too.
    expect(await views.oldestUnclosed()).toBeUndefined();
    views.forget(21);
    await views.flush();
    await views.flush();
    expect(disk.keys('table/orders/')).toEqual(['table/orders/checkpoint']);
    expect(await views.kept([orderId('old')])).toEqual(new Set());
  });

  it('are counted no more, whatever arrives about them before their rows are gone', async () => {
    const disk = new MemoryDisk();
    const journal = new HandJournal();
    const before = await world(disk, journal);
    const registrations = [1, 2, 3, 4, 5, 6].map((at) => {
      const [registration] = journal.keep('n1', registered(`order-${at}`, at));
      journal.keep('n1', fact(`order-${at}`, at, eventId(registration!), fulfilled));
      return eventId(registration!);
    });
    await before.views.flush();
    disk.killProcess();
    // None of them is in memory any more; one row can not be read, nor what lists another one by its age.
    disk.flipBit(`table/orders/order!${orderId('order-6')}`, 77);
    const [byAge = ''] = disk.keys('table/orders/time!').filter((key) => key.endsWith(orderId('order-5')));
    disk.flipBit(byAge, 77);
    const { views } = await world(disk, journal);
    expect(views.counts().get('fulfilled')).toBe(6);
    views.forget(10);
    // That it was delivered, late; and its key again, for another order.
    journal.keep('n2', fact('order-1', 20, registrations[0]!, synced), registered('order-2', 30));
    for (let rounds = 0; rounds < 50; rounds += 1) await settle();
    await views.flush();
    expect(views.counts().get('fulfilled')).toBe(0);
    expect(views.counts().get('registered')).toBe(1);
    expect(views.pendingCount()).toBe(0);
    views.forget(31);
    for (let rounds = 0; rounds < 50; rounds += 1) await settle();
    await views.flush();
    expect([...views.counts().values()].every((count) => count === 0)).toBe(true);
    expect(disk.keys('table/orders/')).toEqual(['table/orders/checkpoint']);
  });

  it('hold nothing up, but an order that is open or not delivered does', async () => {
    const { views, journal } = await world();
    keepClosed(journal, 'closed', 1);
    const [registration] = journal.keep('n1', registered('ended', 3));
    journal.keep('n1', registered('open', 2));
    expect(await views.oldestUnclosed()).toEqual({ orderId: orderId('open'), createdAt: 2 });
    journal.keep('n2', fact('open', 4, 'n1:4', { type: 'fulfilled', data: {} }));
    journal.keep('n2', fact('open', 4, 'n1:4', synced), fact('ended', 4, eventId(registration!), fulfilled));
    expect(await views.oldestUnclosed()).toEqual({ orderId: orderId('ended'), createdAt: 3 });
    journal.keep('n2', fact('ended', 5, eventId(registration!), synced));
    expect(await views.oldestUnclosed()).toBeUndefined();
  });

  it('are held up by the earliest registration that an unsettled order may turn out to be', async () => {
    const { views, journal } = await world();
    const [first] = journal.keep('n1', registered('twice', 5));
    const [second] = journal.keep('n2', registered('twice', 9));
    journal.keep('n1', fact('twice', 10, eventId(first!), { type: 'deferred', data: { reason: 'x' } }));
    journal.keep('n3', registered('other', 7));
    const twice = orderId('twice');
    await views.flush();
    expect((await views.get(twice))?.order.createdAt).toBe(9);
    expect(await views.oldestUnclosed()).toEqual({ orderId: twice, createdAt: 5 });
    // The later one is settled on: the earlier holds nothing up any more.
    journal.keep('n2', fact('twice', 11, eventId(second!), { type: 'takenOver', data: { from: 'n1' } }));
    expect(await views.oldestUnclosed()).toEqual({ orderId: orderId('other'), createdAt: 7 });
  });

  it('hold the horizon where it is when one comes back as what an unsettled order may be', async () => {
    const { views, journal } = await world();
    journal.keep('n2', registered('twice', 9));
    views.forget(8);
    const [late] = journal.keep('n1', registered('twice', 5));
    journal.keep('n1', fact('twice', 6, eventId(late!), { type: 'deferred', data: { reason: 'x' } }));
    await views.flush();
    expect((await views.get(orderId('twice')))?.order.createdAt).toBe(9);
    expect((await views.oldestUnclosed())?.createdAt).toBeLessThan(8);
  });

  it('are skipped by a node that jumped, whose checkpoint lies below a base', async () => {
    const disk = new MemoryDisk();
    const journal = new HandJournal();
    const before = await world(disk, journal);
    for (let at = 1; at <= 4; at += 1) keepClosed(journal, `order-${at}`, at);
    await before.views.flush();
    disk.killProcess();
    for (let at = 5; at <= 9; at += 1) keepClosed(journal, `order-${at}`, at);
    journal.raise('n1', { sequence: 14, horizon: 8 });
    journal.raise('n2', { sequence: 6, horizon: 7 });
    const after = await world(disk, journal);
    expect(await listed(after)).toEqual([9, 8]);
    await after.views.flush();
    expect(disk.keys('table/orders/order!')).toHaveLength(2);

    // And while it runs.
    for (let at = 10; at <= 12; at += 1) keepClosed(journal, `order-${at}`, at);
    journal.raise('n1', { sequence: 20, horizon: 11 });
    expect(await listed(after)).toEqual([12, 11]);
    await after.views.flush();
    expect(after.views.flushedUpTo('n1')).toBe(24);
  });

  it('take no order along that came later under the same name', async () => {
    const journal = new HandJournal();
    const [registration] = journal.keep('n1', registered('again', 5));
    const old = eventId(registration!);
    journal.keep('n2', fact('again', 6, old, { type: 'paid', data: paid }));
    journal.keep('n2', fact('again', 7, old, fulfilled), fact('again', 8, old, synced));
    // Met together by a node that does not know of the horizon yet,
    const lagging = await world(new MemoryDisk(), journal);
    journal.keep('n3', registered('again', 30));
    await lagging.views.flush();
    lagging.views.forget(10);
    await lagging.views.flush();
    // by one that has both in one row,
    const disk = new MemoryDisk();
    const before = await world(disk, journal);
    await before.views.flush();
    disk.killProcess();
    journal.raise('n2', { sequence: 1, horizon: 10 });
    const restarted = await world(disk, journal);
    // and by one that jumped over half of the old one.
    const jumped = await world(new MemoryDisk(), journal);
    for (const here of [lagging, restarted, jumped]) {
      const folded = await here.views.get(orderId('again'));
      expect(folded?.order).toMatchObject({ createdAt: 30, state: 'registered', registration: 'n3:1' });
      expect(folded?.order.payment.status).toBe('pending');
      for (let rounds = 0; rounds < 5; rounds += 1) await here.views.flush();
      expect(await listed(here)).toEqual([30]);
      expect(here.views.counts().get('registered')).toBe(1);
      expect(here.views.counts().get('synced')).toBe(0);
      expect([...here.views.open()]).toEqual([orderId('again')]);
      const states = here.disk.keys('table/orders/state!');
      expect(states.map((key) => key.split('!')[1])).toEqual(['registered']);
    }
  });

  it('take along another attempt to register the same', async () => {
    const { views, journal } = await world();
    const [first] = journal.keep('n1', registered('twice', 5));
    journal.keep('n2', registered('twice', 12));
    journal.keep(
      'n1',
      fact('twice', 20, eventId(first!), fulfilled),
      fact('twice', 21, eventId(first!), synced),
    );
    await views.flush();
    views.forget(10);
    expect(await views.get(orderId('twice'))).toBeUndefined();
    expect(views.open().size).toBe(0);
  });

  it('are known for such, and skipped, when the journal gives them up while the views start', async () => {
    const journal = new HandJournal();
    for (let at = 1; at <= 9; at += 1) keepClosed(journal, `order-${at}`, at);
    const subscribe = journal.subscribe.bind(journal);
    journal.subscribe = (listener) => {
      journal.raise('n1', { sequence: 14, horizon: 8 });
      return subscribe(listener);
    };
    const here = await world(new MemoryDisk(), journal);
    await here.views.flush();
    expect(here.views.flushedUpTo('n1')).toBe(18);
    expect(await listed(here)).toEqual([9, 8]);
  });

  it('do not come back with an own registration whose verdict took longer than that (V5)', async () => {
    const { views, journal } = await world();
    journal.keep('n1', registered('late', 50));
    await views.flush();
    views.forget(100);
    await views.flush();
    views.record({ ...registered('late', 50), id: 'n1:1' });
    await views.flush();
    expect([views.open().size, await views.get(orderId('late'))]).toEqual([0, undefined]);
    expect(await views.kept([orderId('late')])).toEqual(new Set());
  });

  it('are the same after a crash at any point as for a node that never had them', async () => {
    for (let seed = 0; seed < 40; seed += 1) {
      const random = seededRandom(seed);
      const journal = new HandJournal();
      let now = await world(new MemoryDisk(), journal);
      let horizon = 0;
      for (let at = 1; at <= 40; at += 1) {
        if (random() < 0.7) keepClosed(journal, `order-${at}`, at);
        else journal.keep(random() < 0.5 ? 'n1' : 'n2', registered(`order-${at}`, at));
        if (random() < 0.2) {
          horizon = Math.max(horizon, Math.floor(at * random()));
          now.views.forget(horizon);
        }
        if (random() < 0.3) await now.views.flush();
        if (random() < 0.1) {
          now.disk.losePower(random);
          now = await world(now.disk, journal);
          now.views.forget(horizon);
        }
      }
      const fresh = await world(new MemoryDisk(), journal);
      fresh.views.forget(horizon);
      await fresh.views.flush();
      for (let rounds = 0; rounds < 10; rounds += 1) await now.views.flush();
      expect(await listed(now)).toEqual(await listed(fresh));
      expect(now.views.counts()).toEqual(fresh.views.counts());
      expect([...now.views.open()].toSorted()).toEqual([...fresh.views.open()].toSorted());
      expect(now.environment.fatalErrors).toEqual([]);
    }
  });
});
