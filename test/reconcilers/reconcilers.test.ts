import { describe, expect, it } from 'vitest';
import { parkedCursor } from '../../node/http/request-schemas.ts';
import type { Effect } from '../../node/orders/effects.ts';
import type { TimerFunction } from '../../node/ports/functions.ts';
import { SystemOfRecordUnavailable } from '../../node/ports/system-of-record.ts';
import type { OutcomeRecord, SystemOfRecord } from '../../node/ports/system-of-record.ts';
import { createReconcilers } from '../../node/reconcilers/reconcilers.ts';
import type { Ledger } from '../../store/ledger/port.ts';
import { testEnvironment } from '../support/environment.ts';
import { seededRandom } from '../support/random.ts';
import { settle, VirtualClock } from '../support/virtual-clock.ts';
import { outcomeOf } from './support/fixtures.ts';
import { PendingList } from './support/pending-list.ts';

const timers: readonly TimerFunction[] = [
  { name: 'reconcile-inbound', cron: '*/5 * * * *', singleton: true },
  { name: 'reconcile-outbound', cron: '*/10 * * * * *', singleton: true },
];
const minute = 60_000;
/** Between two ticks: 2023-11-14T22:12:03Z. */
const startWallMs = Date.UTC(2023, 10, 14, 22, 12, 3);

/**
 * One node with a system of record of a few lines: what is tried here is when it is asked, on a virtual clock.
 * What it does when asked is tried with real databases in adapter.test.ts and exactness.test.ts.
 */
function world(options: { readonly leading?: boolean; readonly workMs?: number } = {}) {
  const clock = new VirtualClock({ startWallMs });
  const wall = clock.node();
  const environment = testEnvironment({ clock: wall, random: seededRandom(7) });
  const calls: string[] = [];
  const decided: { readonly name: string; readonly scheduledAt: number }[] = [];
  const refused = new Map<string, string>();
  const batches: number[] = [];
  let away = false;
  let leading = options.leading ?? true;
  let tellLeadership: (leading: boolean) => void = () => undefined;
  let lastSyncAt = 0;
  const pending = new PendingList(() => clock.now());
  const work = async (call: string): Promise<void> => {
    calls.push(call);
    if (away) throw new SystemOfRecordUnavailable('nobody answers');
    if (options.workMs !== undefined)
      await new Promise<void>((resolve) => clock.after(options.workMs ?? 0, resolve));
  };
  const sor: SystemOfRecord = {
    migrate: () => work('migrate'),
    productCount: async () => 1,
    readInventory: async () => {
      await work('read');
      return { takenAt: clock.now(), products: [], applied: [] };
    },
    applyOutcomes: async (outcomes) => {
      await work('apply');
      batches.push(outcomes.length);
      const isRefused = ({ order }: OutcomeRecord): boolean => refused.has(order.id);
      return {
        applied: outcomes
          .filter((record) => !isRefused(record))
          .map(({ order }) => ({ orderId: order.id, revision: 1 })),
        parked: outcomes
          .filter(isRefused)
          .map(({ order }) => ({ orderId: order.id, reason: refused.get(order.id) ?? '' })),
      };
    },
    close: async () => undefined,
  };
  const ledger: Pick<
    Ledger,
    'sync' | 'unappliedSales' | 'stocks' | 'lastSyncAt' | 'onLeadership' | 'status'
  > = {
    sync: async ({ takenAt }) => {
      lastSyncAt = takenAt;
      return { applied: true };
    },
    unappliedSales: () => [],
    stocks: () => [],
    lastSyncAt: () => lastSyncAt,
    onLeadership: (handler) => {
      tellLeadership = handler;
      if (leading) handler(true);
      return () => undefined;
    },
    status: () => ({
      role: leading ? 'leader' : 'follower',
      leader: leading ? 'n1' : 'n2',
      term: 1,
      lastIndex: 0,
      commitIndex: 0,
      appliedIndex: 0,
      match: {},
    }),
  };
  const reconcilers = createReconcilers(
    { timers },
    {
      environment,
      sor,
      ledger,
      pending: pending.port,
      decide: async (name, { scheduledAt }): Promise<readonly Effect[]> => {
        decided.push({ name, scheduledAt });
        return name === 'reconcile-inbound'
          ? [{ type: 'inventory.pull' }]
          : [{ type: 'orders.push', batch: 3 }];
      },
    },
  );
  return {
    clock,
    wall,
    calls,
    decided,
    refused,
    batches,
    reconcilers,
    ended: (...ids: string[]) => {
      pending.outcomes.push(...ids.map((id) => outcomeOf(id, { A: 1 }, { endedAt: clock.now() })));
    },
    list: pending,
    pending: () => pending.outcomes.length,
    setAway: (isAway: boolean) => {
      away = isAway;
    },
    lead: (isLeading: boolean) => {
      leading = isLeading;
      tellLeadership(isLeading);
    },
    count: (call: string) => calls.filter((one) => one === call).length,
    status: (name: string) => reconcilers.status().find((one) => one.name === name),
  };
}

describe('the schedule', () => {
  it('reads the inventory at once, catches up one missed tick of each timer, then keeps to the pattern', async () => {
    const { clock, decided, reconcilers, calls } = world();
    reconcilers.start();
    await clock.advance(0);
    expect(calls[0]).toBe('migrate');
    expect(calls).toContain('read');
    expect(decided).toEqual([
      { name: 'reconcile-inbound', scheduledAt: Date.UTC(2023, 10, 14, 22, 10) },
      { name: 'reconcile-outbound', scheduledAt: Date.UTC(2023, 10, 14, 22, 12) },
    ]);
    decided.length = 0;
    await clock.advance(10 * minute);
    const inbound = decided.filter(({ name }) => name === 'reconcile-inbound');
    expect(inbound.map(({ scheduledAt }) => scheduledAt)).toEqual([
      Date.UTC(2023, 10, 14, 22, 15),
      Date.UTC(2023, 10, 14, 22, 20),
    ]);
    const outbound = decided
      .filter(({ name }) => name === 'reconcile-outbound')
      .map(({ scheduledAt }) => scheduledAt);
    expect(outbound).toHaveLength(60);
    expect(outbound.every((at, index) => index === 0 || at - (outbound[index - 1] ?? 0) === 10_000)).toBe(
      true,
    );
    expect(calls.filter((call) => call === 'migrate')).toHaveLength(1);
    await reconcilers.stop();
    decided.length = 0;
    await clock.advance(10 * minute);
    expect(decided).toEqual([]);
  });

  it('does nothing where the ledger is not led, and names who leads', async () => {
    const { clock, decided, reconcilers, calls, lead } = world({ leading: false });
    reconcilers.start();
    await clock.advance(30 * minute);
    expect([calls, decided]).toEqual([[], []]);
    await expect(reconcilers.run('inbound')).rejects.toMatchObject({ code: 'NOT_LEADER' });
    await expect(reconcilers.run('inbound')).rejects.toThrow('n2');
    await expect(reconcilers.run('sideways')).rejects.toMatchObject({ code: 'UNKNOWN_RECONCILER' });

    lead(true);
    await clock.advance(0);
    expect(calls).toContain('read');
    // Thirty minutes of ticks are one tick.
    expect(decided.map(({ name }) => name)).toEqual(['reconcile-inbound', 'reconcile-outbound']);
    lead(false);
    calls.length = 0;
    await clock.advance(30 * minute);
    expect(calls).toEqual([]);
    await reconcilers.stop();
  });

  it('ticks once after a jump of the clock forward, and not again after one back', async () => {
    const { clock, wall, decided, reconcilers } = world();
    const inbound = () => decided.filter(({ name }) => name === 'reconcile-inbound').length;
    reconcilers.start();
    await clock.advance(minute);
    decided.length = 0;
    wall.jumpWall(60 * minute);
    await clock.advance(minute);
    expect(inbound()).toBe(1);

    // It is 22:14:03 again, and 23:10 has been handled.
    wall.jumpWall(-60 * minute);
    decided.length = 0;
    await clock.advance(30_000);
    expect(inbound()).toBe(0);
    await clock.advance(minute);
    expect(inbound()).toBe(1);
    await reconcilers.stop();
  });

  it('folds overlapping runs of one reconciler into one, and keeps the two apart', async () => {
    const { clock, reconcilers, calls, ended, count } = world({ workMs: 1_000 });
    reconcilers.start();
    await clock.advance(10_000);
    calls.length = 0;
    ended('1');
    const runs = [reconcilers.run('inbound'), reconcilers.run('inbound'), reconcilers.run('outbound')];
    await settle();
    // The second one waits for its turn.
    expect(calls).toHaveLength(1);
    const reports = await clock.resolve(Promise.all(runs), { withinMs: 10_000 });
    expect(reports[0]).toBe(reports[1]);
    expect(count('read')).toBe(1);
    expect(reports[2]).toMatchObject({ name: 'outbound', processed: 1, pending: 0 });
    await clock.resolve(reconcilers.stop(), { withinMs: 10_000 });
  });
});

describe('delivery', () => {
  it('goes on batch after batch until nothing is left', async () => {
    const { clock, reconcilers, batches, ended, pending } = world();
    reconcilers.start();
    ended('1', '2', '3', '4', '5', '6', '7');
    await clock.advance(10_000);
    expect(batches).toEqual([3, 3, 1]);
    expect(pending()).toBe(0);
    await reconcilers.stop();
  });

  it('knocks ever less while the system of record is away, then catches up by itself', async () => {
    const { clock, reconcilers, calls, ended, setAway, pending, status } = world();
    setAway(true);
    reconcilers.start();
    ended('1', '2');
    await clock.advance(60 * minute);
    // Doubling from half a second to a minute, two reconcilers: without pauses it would be hundreds by ticks alone.
    expect(calls.length).toBeGreaterThan(60);
    expect(calls.length).toBeLessThan(300);
    expect(status('outbound')).toMatchObject({ running: false, pending: 2 });
    expect(status('outbound')?.lastError).toContain('SYSTEM_OF_RECORD_UNAVAILABLE');
    expect(status('outbound')?.lagSeconds).toBeGreaterThan(3_500);
    expect(status('inbound')?.lagSeconds).toBeGreaterThan(3_500);
    await expect(reconcilers.run('outbound')).rejects.toMatchObject({ code: 'SYSTEM_OF_RECORD_UNAVAILABLE' });

    setAway(false);
    await clock.until(() => pending() === 0, { withinMs: 2 * minute });
    await clock.until(() => status('outbound')?.lastError === undefined, { withinMs: 2 * minute });
    await clock.until(() => status('inbound')?.lastError === undefined, { withinMs: 2 * minute });
    expect(status('outbound')).toMatchObject({ pending: 0, lagSeconds: 0 });
    await reconcilers.stop();
  });

  it('does not say how far behind it is where another node works on it', async () => {
    const { clock, reconcilers, lead, setAway, ended, pending, status } = world();
    setAway(true);
    reconcilers.start();
    ended('1');
    await clock.advance(minute);
    expect(status('outbound')?.lagSeconds).toBeGreaterThan(50);
    lead(false);
    expect(status('outbound')).toMatchObject({ pending: 1, lagSeconds: null });
    expect(status('inbound')).toMatchObject({ lagSeconds: null });
    lead(true);
    expect(status('outbound')).toMatchObject({ pending: 1, lagSeconds: 0 });
    setAway(false);
    await clock.until(() => pending() === 0, { withinMs: 2 * minute });
    await clock.advance(1_000);
    lead(false);
    expect(status('outbound')).toMatchObject({ pending: 0, lagSeconds: 0 });
    await reconcilers.stop();
  });

  it('parks what is refused, delivers the rest, and tries the refused again later and on demand', async () => {
    const { clock, reconcilers, calls, refused, ended, pending, status } = world();
    refused.set('2', 'ON_HAND_SHORT: A');
    ended('1', '2', '3', '4');
    reconcilers.start();
    await clock.advance(10_000);
    expect(pending()).toBe(1);
    const parkedAt = status('outbound')?.parked[0]?.at;
    const parked = { orderId: '2', code: 'ON_HAND_SHORT', reason: 'ON_HAND_SHORT: A', at: parkedAt };
    expect(status('outbound')?.parked).toEqual([parked]);

    calls.length = 0;
    await clock.advance(4 * minute);
    expect(calls.filter((call) => call === 'apply')).toHaveLength(0);
    await clock.advance(2 * minute);
    expect(calls.filter((call) => call === 'apply')).toHaveLength(1);
    expect(status('outbound')?.parked).toMatchObject([{ orderId: '2', at: parkedAt }]);

    refused.clear();
    const report = await clock.resolve(reconcilers.run('outbound'), { withinMs: 1_000 });
    expect(report).toMatchObject({ processed: 1, parked: 0, pending: 0 });
    expect(status('outbound')?.parked).toEqual([]);
    await reconcilers.stop();
  });

  it('knows what is refused from the beginning, on every node, and notes it once for each code', async () => {
    const { clock, reconcilers, refused, ended, lead, list, status } = world({ leading: false });
    ended('1', '2');
    await list.port.markParked('2', { code: 'UNKNOWN_SKU', detail: 'A' });
    reconcilers.start();
    expect(status('outbound')?.parked).toMatchObject([{ orderId: '2', code: 'UNKNOWN_SKU' }]);
    refused.set('2', 'UNKNOWN_SKU: B');
    lead(true);
    await clock.advance(20 * minute);
    expect(list.noted).toBe(1);
    refused.set('2', 'ON_HAND_SHORT: B');
    await clock.advance(6 * minute);
    expect(list.noted).toBe(2);
    lead(false);
    expect(status('outbound')?.parked).toMatchObject([{ reason: 'ON_HAND_SHORT: B' }]);
    await reconcilers.stop();
  });

  it('retries one that is refused on demand, where the ledger is led, and says how it went', async () => {
    const { clock, reconcilers, refused, ended, lead, status, setAway } = world();
    refused.set('2', 'ON_HAND_SHORT: A');
    ended('2');
    reconcilers.start();
    await clock.advance(10_000);
    const retry = () => clock.resolve(reconcilers.retryParked('2'), { withinMs: 1_000 });
    expect(await retry()).toEqual({ orderId: '2', delivered: false, reason: 'ON_HAND_SHORT: A' });
    await expect(reconcilers.retryParked('3')).rejects.toMatchObject({ code: 'NOT_PARKED' });
    setAway(true);
    await expect(retry()).rejects.toMatchObject({ code: 'SYSTEM_OF_RECORD_UNAVAILABLE' });
    setAway(false);
    lead(false);
    await expect(retry()).rejects.toMatchObject({ code: 'NOT_LEADER' });
    lead(true);
    refused.clear();
    expect(await retry()).toEqual({ orderId: '2', delivered: true });
    expect(status('outbound')?.parked).toEqual([]);
    await reconcilers.stop();
  });

  it('delivers what was discarded no more', async () => {
    const { clock, reconcilers, refused, ended, lead, calls, pending } = world();
    refused.set('2', 'ORDER_ID_TAKEN: 2');
    ended('2');
    reconcilers.start();
    await clock.advance(10_000);
    lead(false);
    const decision = { reason: 'entered by hand', by: 'ada' };
    await reconcilers.discardParked('2', decision);
    await expect(reconcilers.discardParked('2', decision)).rejects.toMatchObject({ code: 'NOT_PARKED' });
    lead(true);
    calls.length = 0;
    await clock.advance(20 * minute);
    expect(calls).not.toContain('apply');
    expect(pending()).toBe(0);
    await reconcilers.stop();
  });

  it('lists what is refused page by page, newest first', async () => {
    const { clock, reconcilers, ended, list } = world({ leading: false });
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      ended(id);
      await list.port.markParked(id, { code: 'UNKNOWN_SKU', detail: id });
      if (id !== 'b') await clock.advance(1_000);
    }
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = reconcilers.parked({ limit: 2, ...(after === undefined ? {} : { after }) });
      seen.push(...page.parked.map(({ orderId }) => orderId));
      after = page.next;
      // The HTTP interface lets no other form in.
      if (after !== undefined) expect(after).toMatch(new RegExp(parkedCursor.pattern));
    } while (after !== undefined);
    expect(seen).toEqual(['e', 'd', 'b', 'c', 'a']);
  });

  it('stops between two batches when it is told to, or leads no more', async () => {
    const { clock, reconcilers, batches, ended, lead, pending } = world({ workMs: 1_000 });
    reconcilers.start();
    await clock.advance(5_000);
    ended(...Array.from({ length: 30 }, (_, index) => `${index}`));
    await clock.until(() => batches.length === 2, { withinMs: minute });
    lead(false);
    await clock.advance(minute);
    expect(batches.length).toBeLessThanOrEqual(3);
    lead(true);
    await clock.until(() => batches.length === 5, { withinMs: minute });
    await clock.resolve(reconcilers.stop(), { withinMs: 10_000 });
    expect(batches.length).toBeLessThanOrEqual(6);
    expect(pending()).toBeGreaterThan(0);
  });
});
