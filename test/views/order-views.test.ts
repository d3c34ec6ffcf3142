import { describe, expect, it } from 'vitest';
import type { OrderFact } from '../../node/orders/events.ts';
import { eventId } from '../../node/views/codec.ts';
import { MemoryDisk } from '../support/memory-disk.ts';
import { seededRandom } from '../support/random.ts';
import { settle } from '../support/virtual-clock.ts';
import { HandJournal } from './hand-journal.ts';
import { fact, orderId, registered, world } from './world.ts';

describe('the views of orders', () => {
  it('show an own event at once, and keep it out of the table until the journal has it (V2)', async () => {
    const { views, journal, disk } = await world();
    const [entry] = journal.keep('n1', registered('a', 1));
    const paid = fact('a', 2, eventId(entry!), {
      type: 'paid',
      data: { mode: 'authorized', intent: 'pi', attempt: 1 },
    });
    await views.get(orderId('a'));
    views.record({ ...paid, id: 'n1:2' });
    expect((await views.get(orderId('a')))?.order.state).toBe('paid');
    await views.flush();

    // The process dies before the journal has it; the place n1:2 is given to something else.
    disk.killProcess();
    journal.keep('n1', fact('a', 3, 'n1:1', { type: 'paymentRefused', data: { code: 'card_declined' } }));
    const after = await world(disk, journal);
    expect((await after.views.events(orderId('a')))?.map(({ type }) => type)).toEqual([
      'registered',
      'paymentRefused',
    ]);
  });

  it('are the same after a crash at any point, as the journal is replayed from the checkpoint (V1, V4)', async () => {
    for (let seed = 0; seed < 40; seed += 1) {
      const random = seededRandom(seed);
      const journal = new HandJournal();
      let now = await world(new MemoryDisk(), journal);
      for (let index = 0; index < 30; index += 1) {
        const name = `order-${Math.floor(random() * 8)}`;
        const known = await now.views.get(orderId(name));
        if (known === undefined) journal.keep(random() < 0.5 ? 'n1' : 'n2', registered(name, index));
        else {
          const registration = known.order.registration;
          journal.keep('n1', fact(name, index, registration, { type: 'reserved', data: { expiresAt: 9 } }));
          journal.keep(
            'n2',
            fact(name, index, registration, {
              type: random() < 0.5 ? 'fulfilled' : 'cancelRequested',
              data: {},
            }),
          );
        }
        if (random() < 0.3) await now.views.flush();
        if (random() < 0.1) {
          now.disk.losePower(random);
          now = await world(now.disk, journal);
        }
      }
      now.disk.losePower(random);
      const restored = await world(now.disk, journal);
      const fresh = await world(new MemoryDisk(), journal);
      expect(await restored.views.list({ limit: 100 })).toEqual(await fresh.views.list({ limit: 100 }));
      expect(restored.views.counts()).toEqual(fresh.views.counts());
      expect([...restored.views.open()].toSorted()).toEqual([...fresh.views.open()].toSorted());
    }
  });

  it('never count as contained what was skipped, when new entries arrive during a replay that a crash ends (V1)', async () => {
    const journal = new HandJournal();
    for (const name of ['a', 'b', 'c', 'd']) journal.keep('n1', registered(name, 1));
    const disk = new MemoryDisk();
    const page = journal.read.bind(journal);
    let pages = 0;
    journal.read = async (origin, from) => {
      pages += 1;
      if (pages > 1) return new Promise(() => undefined);
      journal.keep('n1', registered('e', 2));
      return page(origin, from, 2);
    };
    void world(disk, journal);
    while (pages < 2) await settle();

    disk.killProcess();
    journal.read = page;
    const after = await world(disk, journal);
    expect((await after.views.list({ limit: 10 })).orders).toHaveLength(5);
  });

  it('page from newest to oldest without gap or repetition, by state or all', async () => {
    const { views, journal } = await world();
    for (let index = 0; index < 25; index += 1) {
      const [entry] = journal.keep('n1', registered(`o${index}`, 1_000 + (index % 7)));
      if (index % 3 === 0)
        journal.keep('n1', fact(`o${index}`, 2_000, eventId(entry!), { type: 'fulfilled', data: {} }));
    }
    for (const [state, expected] of [
      [undefined, 25],
      ['fulfilled', 9],
      ['registered', 16],
    ] as const) {
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const page = await views.list({
          limit: 4,
          ...(state === undefined ? {} : { state }),
          ...(after === undefined ? {} : { after }),
        });
        seen.push(...page.orders.map((order) => `${order.createdAt}!${order.id}`));
        after = page.next;
      } while (after !== undefined);
      expect(seen).toEqual([...new Set(seen)].toSorted().toReversed());
      expect(seen).toHaveLength(expected);
    }
  });

  it('offer what the system of record lacks, oldest first, until it is synced', async () => {
    const { views, journal } = await world();
    for (const [index, name] of ['a', 'b', 'c', 'd', 'e'].entries()) {
      const [entry] = journal.keep('n1', registered(name, 100 - index));
      journal.keep(
        'n1',
        fact(name, 200, eventId(entry!), {
          type: index % 2 === 0 ? 'fulfilled' : 'failed',
          data: { code: 'x' },
        } as OrderFact),
      );
    }
    const next = async (limit: number, except: string[] = []): Promise<string[]> =>
      (await views.pending(limit, new Set(except.map(orderId)))).map(({ order }) => order.fingerprint);
    expect(await next(3)).toEqual(['e', 'd', 'c']);
    expect(await next(3, ['d'])).toEqual(['e', 'c', 'b']);
    expect(views.pendingCount()).toBe(5);
    const e = await views.get(orderId('e'));
    journal.keep('n2', fact('e', 300, e!.order.registration, { type: 'synced', data: { revision: 1 } }));
    expect(await next(3)).toEqual(['d', 'c', 'b']);
    expect(views.pendingCount()).toBe(4);
  });

  it('keep no more in memory than they may, whatever is asked for (V3)', async () => {
    const { views, journal, clock } = await world();
    const names = Array.from({ length: 20 }, (_, index) => `k${index}`);
    for (const name of names) {
      const [entry] = journal.keep('n1', registered(name, 1));
      journal.keep('n1', fact(name, 2, eventId(entry!), { type: 'failed', data: { code: 'x' } }));
    }
    await settle();
    await views.flush();
    const inMemory = (): number =>
      [...names, ...names.map((name) => `no-${name}`)].filter(
        (name) => views.peek(orderId(name)) !== undefined,
      ).length;
    expect(inMemory()).toBeLessThanOrEqual(3);
    for (const name of names) await views.get(orderId(`no-${name}`));
    expect(inMemory()).toBeLessThanOrEqual(3);
    for (const name of names) await views.get(orderId(name));
    await clock.advance(1_000);
    expect(inMemory()).toBeLessThanOrEqual(3);
  });

  it('lose nothing of an order that left the memory before an own event came', async () => {
    const { views, journal, disk } = await world();
    const [entry] = journal.keep('n1', registered('a', 1));
    journal.keep('n1', fact('a', 2, eventId(entry!), { type: 'cancelled', data: {} }));
    for (const name of ['b', 'c', 'd', 'e']) {
      const [other] = journal.keep('n1', registered(name, 3));
      journal.keep('n1', fact(name, 4, eventId(other!), { type: 'cancelled', data: {} }));
    }
    await settle();
    await views.flush();
    expect(views.peek(orderId('a'))).toBeUndefined();
    const late = fact('a', 5, eventId(entry!), { type: 'synced', data: { revision: 1 } });
    views.record({ ...late, id: 'n1:11' });
    journal.keep('n1', late);
    await settle();
    await views.flush();
    expect((await views.get(orderId('a')))?.order.state).toBe('synced');
    const after = await world(disk, journal);
    expect((await after.views.events(orderId('a')))?.map(({ type }) => type)).toEqual([
      'registered',
      'cancelled',
      'synced',
    ]);
  });

  it('lose nothing that came before this node registered the same, and left the memory (V1)', async () => {
    const { views, journal, disk } = await world();
    const asRow = async () => {
      for (let rounds = 0; rounds < 2; rounds += 1) await views.flush();
    };
    // Of a registration that is on its way.
    journal.keep('n3', fact('x', 10, 'n2:1', { type: 'takenOver', data: { from: 'n2' } }));
    await asRow();
    for (const [index, name] of ['a', 'b', 'c', 'd', 'e'].entries()) {
      const [entry] = journal.keep('n1', registered(name, 20 + index));
      journal.keep('n1', fact(name, 30, eventId(entry!), { type: 'failed', data: { code: 'NO' } }));
    }
    await asRow();
    expect(views.peek(orderId('x'))).toBeUndefined();
    views.record({ ...registered('x', 50), id: 'n1:11' });
    expect(views.counts().get('registered')).toBe(1);
    await asRow();
    journal.keep('n1', registered('x', 50));
    journal.keep('n2', registered('x', 9));
    await asRow();
    const all = ['n2:1', 'n3:1', 'n1:11'];
    expect((await views.events(orderId('x')))?.map(({ id }) => id)).toEqual(all);
    expect(views.counts().get('registered')).toBe(1);
    disk.killProcess();
    const next = await world(disk, journal);
    expect((await next.views.events(orderId('x')))?.map(({ id }) => id)).toEqual(all);
    expect(next.views.counts()).toEqual(views.counts());
  });

  it('count an order once that began in memory while its row said something else (V1)', async () => {
    const { views, journal } = await world();
    const [entry] = journal.keep('n2', registered('x', 1));
    journal.keep('n2', fact('x', 2, eventId(entry!), { type: 'failed', data: { code: 'NO' } }));
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      const [other] = journal.keep('n1', registered(name, 20));
      journal.keep('n1', fact(name, 30, eventId(other!), { type: 'failed', data: { code: 'NO' } }));
    }
    for (let rounds = 0; rounds < 2; rounds += 1) await views.flush();
    expect(views.peek(orderId('x'))).toBeUndefined();
    views.record({ ...registered('x', 50), id: 'n1:11' });
    await views.flush();
    expect([views.counts().get('registered'), views.counts().get('failed')]).toEqual([0, 6]);
    expect(views.open().size).toBe(0);
  });

  it('know after a restart what the system of record refuses, until it has it or somebody gave it up', async () => {
    const { views, journal, disk } = await world();
    const refuse = (name: string, code: string, at: number): string => {
      const [entry] = journal.keep('n1', registered(name, 1));
      const registration = eventId(entry!);
      journal.keep('n1', fact(name, 2, registration, { type: 'fulfilled', data: {} }));
      const refusal = { type: 'deliveryRefused', data: { code, detail: 'MUG' } } as const;
      journal.keep('n2', fact(name, at, registration, refusal));
      return registration;
    };
    refuse('a', 'UNKNOWN_SKU', 3);
    const [taken, given] = [refuse('b', 'ON_HAND_SHORT', 4), refuse('c', 'ON_HAND_SHORT', 5)];
    for (const name of ['d', 'e', 'f', 'g']) journal.keep('n1', registered(name, 6));
    await settle();
    await views.flush();
    const parked = (of: typeof views) => [...of.parked()].map(([id, { code, at }]) => [id, code, at]);
    const all = [
      [orderId('a'), 'UNKNOWN_SKU', 3],
      [orderId('b'), 'ON_HAND_SHORT', 4],
      [orderId('c'), 'ON_HAND_SHORT', 5],
    ].toSorted();
    expect(parked(views).toSorted()).toEqual(all);
    const again = await world(disk, journal);
    expect(parked(again.views).toSorted()).toEqual(all);
    expect(await again.views.pendingOne(orderId('b'))).toMatchObject({ outcome: 'fulfilled', revision: 1 });

    journal.keep('n2', fact('b', 7, taken, { type: 'synced', data: { revision: 1 } }));
    journal.keep('n2', fact('c', 7, given, { type: 'discarded', data: { reason: 'by hand', by: 'ada' } }));
    await settle();
    await again.views.flush();
    const last = await world(disk, journal);
    for (const now of [again.views, last.views]) {
      expect(parked(now)).toEqual([[orderId('a'), 'UNKNOWN_SKU', 3]]);
      expect(await now.discarded()).toEqual([orderId('c')]);
      expect((await now.pending(10, new Set())).map(({ order }) => order.id)).toEqual([orderId('a')]);
      expect(await now.pendingOne(orderId('c'))).toBeUndefined();
      // It holds the horizon no more.
      expect((await now.oldestUnclosed())?.orderId).not.toBe(orderId('c'));
    }
  });
});
